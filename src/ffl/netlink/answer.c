/* The answers themselves, as the kernel's nldev.c words them (include/uapi/rdma/rdma_netlink.h names every number). */
#include "ffl/netlink/netlink.h"

#include <errno.h>
#include <rdma/rdma_netlink.h>
#include <string.h>

enum { DEVICE = 0, PORT = 1, NODE_CA = 1, SHARED_NAMESPACES = 1 };

static const char *const kinds[FF_KINDS] = {"pd", "cq", "qp", "mr", "srq"};

struct writer {
	char *at, *end;
	const struct nlmsghdr *request;
	uint32_t pid;
};

/* A message's head, to be completed by close_message. There is room for all: FF_ANSWERS. */
static struct nlmsghdr *open_message(struct writer *w, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *head = (struct nlmsghdr *)w->at;

	*head = (struct nlmsghdr){.nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = w->request->nlmsg_seq, .nlmsg_pid = w->pid};
	w->at += NLMSG_HDRLEN;
	return head;
}

static void close_message(struct writer *w, struct nlmsghdr *head) { head->nlmsg_len = (uint32_t)(w->at - (char *)head); }

static void put(struct writer *w, uint16_t type, const void *value, size_t size)
{
	struct nlattr head = {.nla_len = (uint16_t)(NLA_HDRLEN + size), .nla_type = type};

	memcpy(w->at, &head, sizeof(head));
	memset(w->at + NLA_HDRLEN, 0, NLA_ALIGN(size));
	memcpy(w->at + NLA_HDRLEN, value, size);
	w->at += NLA_HDRLEN + NLA_ALIGN(size);
}

static void put_byte(struct writer *w, uint16_t type, uint8_t value) { put(w, type, &value, sizeof(value)); }
static void put_word(struct writer *w, uint16_t type, uint32_t value) { put(w, type, &value, sizeof(value)); }
static void put_long(struct writer *w, uint16_t type, uint64_t value) { put(w, type, &value, sizeof(value)); }
static void put_text(struct writer *w, uint16_t type, const char *value) { put(w, type, value, strlen(value) + 1); }

static struct nlattr *open_nest(struct writer *w, uint16_t type)
{
	struct nlattr *nest = (struct nlattr *)w->at;

	put(w, type | NLA_F_NESTED, NULL, 0);
	return nest;
}

static void close_nest(struct writer *w, struct nlattr *nest) { nest->nla_len = (uint16_t)(w->at - (char *)nest); }

static void put_handle(struct writer *w)
{
	put_word(w, RDMA_NLDEV_ATTR_DEV_INDEX, DEVICE);
	put_text(w, RDMA_NLDEV_ATTR_DEV_NAME, "ff0");
}

static void put_device(struct writer *w, const struct ff_facts *facts)
{
	put_handle(w);
	put_word(w, RDMA_NLDEV_ATTR_PORT_INDEX, PORT);
	put_long(w, RDMA_NLDEV_ATTR_CAP_FLAGS, 0);
	put_text(w, RDMA_NLDEV_ATTR_FW_VERSION, "0.1.0");
	put_long(w, RDMA_NLDEV_ATTR_NODE_GUID, __builtin_bswap64(facts->guid));
	put_long(w, RDMA_NLDEV_ATTR_SYS_IMAGE_GUID, __builtin_bswap64(facts->guid));
	put_byte(w, RDMA_NLDEV_ATTR_DEV_NODE_TYPE, NODE_CA);
	put_text(w, RDMA_NLDEV_ATTR_DEV_PROTOCOL, "roce");
}

static void put_port(struct writer *w, const struct ff_facts *facts)
{
	put_handle(w);
	put_word(w, RDMA_NLDEV_ATTR_PORT_INDEX, PORT);
	put_byte(w, RDMA_NLDEV_ATTR_PORT_STATE, (uint8_t)facts->state);
	put_byte(w, RDMA_NLDEV_ATTR_PORT_PHYS_STATE, (uint8_t)facts->physical);
	if (facts->ndev_index) {
		put_word(w, RDMA_NLDEV_ATTR_NDEV_INDEX, facts->ndev_index);
		put_text(w, RDMA_NLDEV_ATTR_NDEV_NAME, facts->ndev);
	}
}

static void put_resources(struct writer *w, const struct ff_facts *facts)
{
	struct nlattr *all, *one;

	put_handle(w);
	all = open_nest(w, RDMA_NLDEV_ATTR_RES_SUMMARY);
	for (int i = 0; i < FF_KINDS; i++) {
		one = open_nest(w, RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY);
		put_text(w, RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_NAME, kinds[i]);
		put_long(w, RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_CURR, facts->held[i]);
		close_nest(w, one);
	}
	close_nest(w, all);
}

static void put_system(struct writer *w, const struct ff_facts *facts)
{
	(void)facts;
	put_byte(w, RDMA_NLDEV_SYS_ATTR_NETNS_MODE, SHARED_NAMESPACES);
}

static void (*content_of(uint16_t command))(struct writer *, const struct ff_facts *)
{
	switch (command) {
	case RDMA_NLDEV_CMD_GET: return put_device;
	case RDMA_NLDEV_CMD_PORT_GET: return put_port;
	case RDMA_NLDEV_CMD_RES_GET: return put_resources;
	case RDMA_NLDEV_CMD_SYS_GET: return put_system;
	default: return NULL;
	}
}

/* 0: for all devices, for ff0, or for its port; ENODEV or EINVAL: for others. */
static int check_names(const struct nlmsghdr *request)
{
	const char *at = (const char *)request + NLMSG_HDRLEN, *end = (const char *)request + request->nlmsg_len;
	struct nlattr head;
	uint32_t value;

	for (; at + NLA_HDRLEN <= end; at += NLA_ALIGN(head.nla_len)) {
		memcpy(&head, at, sizeof(head));
		if (head.nla_len < NLA_HDRLEN || head.nla_len > end - at)
			return EINVAL;
		if (head.nla_len < NLA_HDRLEN + sizeof(value))
			continue;
		memcpy(&value, at + NLA_HDRLEN, sizeof(value));
		if (head.nla_type == RDMA_NLDEV_ATTR_DEV_INDEX && value != DEVICE)
			return ENODEV;
		if (head.nla_type == RDMA_NLDEV_ATTR_PORT_INDEX && value != PORT)
			return EINVAL;
	}
	return 0;
}

static void put_error(struct writer *w, int error)
{
	struct nlmsghdr *head = open_message(w, NLMSG_ERROR, 0);
	struct nlmsgerr body = {.error = -error, .msg = *w->request};

	memcpy(w->at, &body, sizeof(body));
	w->at += sizeof(body);
	close_message(w, head);
}

size_t ff_netlink_answer(const struct nlmsghdr *request, uint32_t pid, char out[FF_ANSWERS])
{
	struct writer w = {.at = out, .end = out + FF_ANSWERS, .request = request, .pid = pid};
	int dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP, error;
	void (*content)(struct writer *, const struct ff_facts *) = NULL;
	struct ff_facts facts;
	struct nlmsghdr *head;

	if (RDMA_NL_GET_CLIENT(request->nlmsg_type) == RDMA_NL_NLDEV)
		content = content_of(RDMA_NL_GET_OP(request->nlmsg_type));
	error = content ? check_names(request) : EOPNOTSUPP;
	if (!error)
		error = ff_netlink_facts(&facts) ? ENODEV : 0;
	if (error && !(dump && error == ENODEV)) { /* a list of no devices is a list */
		put_error(&w, error);
		return (size_t)(w.at - out);
	}
	if (!error) {
		head = open_message(&w, request->nlmsg_type, dump ? NLM_F_MULTI : 0);
		content(&w, &facts);
		close_message(&w, head);
	}
	if (dump) {
		head = open_message(&w, NLMSG_DONE, NLM_F_MULTI);
		memset(w.at, 0, sizeof(int));
		w.at += sizeof(int);
		close_message(&w, head);
	} else if (request->nlmsg_flags & NLM_F_ACK) {
		put_error(&w, 0);
	}
	return (size_t)(w.at - out);
}
