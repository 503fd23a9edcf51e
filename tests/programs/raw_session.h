/*
 * A session as an attacker has it: opened as any program does, then its segments are written by hand (src/ffcore/shm.h),
 * and no library checks what. One of everything, and QPs connected in pairs: RC, two of them fed by an SRQ, and an XRC pair.
 */
#ifndef RAW_SESSION_H
#define RAW_SESSION_H

#include "verbs_test.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "ffcore/control.h"

static struct ff_session *session;
static char *control; /* the same */
static int memory_fd = -1, event_fd = -1;
static char *memory;

enum { MEMORY = 4 << 20 }; /* of the memory segment: what the attacker registers, maps and punches */

static inline void find_session(void)
{
	char line[512], path[64], name[128];
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start;
	ssize_t length;

	while (maps && fgets(line, sizeof line, maps))
		if (!control && strstr(line, "memfd:freeflow-control") && sscanf(line, "%lx", &start) == 1)
			control = (char *)start;
	CHECK(control, "no session is mapped");
	fclose(maps);
	session = (struct ff_session *)control;
	for (int fd = 3; fd < 64; fd++) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		length = readlink(path, name, sizeof name - 1);
		if (length < 0)
			continue;
		name[length] = '\0';
		if (strstr(name, "memfd:freeflow-memory"))
			memory_fd = fd;
		else if (strstr(name, "[eventfd]"))
			event_fd = fd;
	}
	CHECK(memory_fd >= 0 && event_fd >= 0, "no descriptors of the session");
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, (off_t)(session->memory_size - MEMORY));
	CHECK(memory != MAP_FAILED, "mmap: %s", strerror(errno));
	memset(memory, 0xa7, MEMORY);
}

static inline void wake_router(void)
{
	eventfd_write(event_fd, 1);
}

/* Returns the status. The library's own calls go through the same slot: not at the same time. */
static inline int command(uint16_t op, const void *request, size_t size, void *reply, size_t reply_size)
{
	struct ff_command_slot *slot = &session->command;
	uint32_t seq = ff_load32(&slot->request_seq) + 1;
	double limit = now_ms() + 5000;

	slot->op = op;
	memcpy(slot->request, request, size);
	ff_store32_release(&slot->request_seq, seq);
	ff_store32(&session->command_bell, 1);
	wake_router();
	while (ff_load32_acquire(&slot->reply_seq) != seq) {
		CHECK(now_ms() < limit, "command %u is not answered", op);
		sched_yield();
	}
	memcpy(reply, slot->reply, reply_size);
	return slot->status;
}

static inline uint32_t make(uint16_t op, const void *request, size_t size)
{
	struct ff_reply_handle reply;
	int error = command(op, request, size, &reply, sizeof reply);

	CHECK(error == 0, "command %u: %s", op, strerror(error));
	return reply.handle;
}

static inline uint32_t make_of(uint16_t op, uint32_t handle)
{
	struct ff_cmd_handle request = {.handle = handle};

	return make(op, &request, sizeof request);
}

static inline struct ff_reply_create_cq raw_cq(uint32_t context, uint32_t channel, uint32_t cqe)
{
	struct ff_cmd_create_cq request = {.context = context, .cqe = cqe, .channel = channel};
	struct ff_reply_create_cq reply;
	int error = command(FF_CMD_CREATE_CQ, &request, sizeof request, &reply, sizeof reply);

	CHECK(error == 0, "create_cq: %s", strerror(error));
	return reply;
}

static const struct ff_cap raw_cap = {.max_send_wr = 32, .max_recv_wr = 32, .max_send_sge = 4, .max_recv_sge = 4,
				      .max_inline = 256};

static uint32_t raw_srq = FF_NO_HANDLE, raw_xrcd = FF_NO_HANDLE; /* of the QPs that are made next */

static inline struct ff_reply_create_qp raw_qp(uint32_t pd, uint32_t send_cq, uint32_t recv_cq, uint32_t type)
{
	struct ff_cmd_create_qp request = {.pd = pd, .send_cq = send_cq, .recv_cq = recv_cq, .srq = raw_srq,
					   .type = type, .cap = raw_cap, .xrcd = raw_xrcd};
	struct ff_reply_create_qp reply;
	int error = command(FF_CMD_CREATE_QP, &request, sizeof request, &reply, sizeof reply);

	CHECK(error == 0, "create_qp: %s", strerror(error));
	return reply;
}

static inline struct ff_reply_create_srq make_raw_srq(uint32_t pd, uint32_t type, uint32_t cq)
{
	struct ff_cmd_create_srq request = {.pd = pd, .type = type, .max_wr = 32, .max_sge = 4, .cq = cq, .xrcd = raw_xrcd};
	struct ff_reply_create_srq reply;
	int error = command(FF_CMD_CREATE_SRQ, &request, sizeof request, &reply, sizeof reply);

	CHECK(error == 0, "create_srq: %s", strerror(error));
	return reply;
}

static inline uint32_t raw_mr(uint32_t pd, uint64_t length)
{
	struct ff_cmd_reg_mr request = {.pd = pd, .access = ALL_ACCESS, .length = length, .extents = 1};
	struct ff_extent extent = {.offset = session->memory_size - MEMORY, .length = length};
	struct ff_reply_reg_mr reply;
	int error;

	memcpy(control + FF_PAYLOAD_OFFSET, &extent, sizeof extent);
	error = command(FF_CMD_REG_MR, &request, sizeof request, &reply, sizeof reply);
	CHECK(error == 0, "reg_mr: %s", strerror(error));
	return reply.rkey;
}

static inline void raw_modify(uint32_t qp, int mask, const struct ff_qp_attr *attr)
{
	struct ff_cmd_modify_qp request = {.handle = qp, .mask = (uint32_t)mask, .attr = *attr};
	struct ff_reply_state reply;
	int error = command(FF_CMD_MODIFY_QP, &request, sizeof request, &reply, sizeof reply);

	CHECK(error == 0, "modify_qp %#x: %s", mask, strerror(error));
}

static inline void raw_connect(const struct ff_reply_create_qp *qp, uint32_t dest_qpn, const uint8_t *gid)
{
	struct ff_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = 1, .access = ALL_ACCESS};

	raw_modify(qp->handle, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS, &attr);
	attr = (struct ff_qp_attr){.qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_1024, .dest_qpn = dest_qpn,
				   .max_dest_rd_atomic = 4, .min_rnr_timer = 1, .ah = {.is_global = 1, .port_num = 1}};
	memcpy(attr.ah.dgid, gid, 16);
	raw_modify(qp->handle, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
		   IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER, &attr);
	attr = (struct ff_qp_attr){.qp_state = IBV_QPS_RTS, .timeout = 8, .retry_cnt = 1, .rnr_retry = 7,
				   .max_rd_atomic = 4};
	raw_modify(qp->handle, IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
		   IBV_QP_MAX_QP_RD_ATOMIC, &attr);
}

static inline void ring(uint32_t bell)
{
	ff_or64(&session->qp_bell[bell / 64], 1ull << bell % 64);
	ff_or64(&session->qp_summary, 1ull << bell / 64);
	wake_router();
}

/* One of everything, and QPs connected in pairs. */
enum { QPS = 8, XRC = 2, FED = 4 }; /* QP XRC sends to the next one; QPs from FED on have an SRQ */
static struct {
	uint32_t context, pd, channel, mr;
	struct ff_reply_create_cq cq[QPS];
	struct ff_reply_create_qp qp[QPS];
	struct ff_reply_create_srq srq[2]; /* of the QPs from FED on; and what XRC requests are for */
	struct address target; /* a neighbour's */
	uint8_t gid[16];
} raw;

static inline void open_session(void)
{
	struct ff_reply_gids gids;
	struct ibv_context *context = open_device();

	(void)context;
	find_session();
	CHECK_EQ(command(FF_CMD_QUERY_GIDS, "", 0, &gids, sizeof gids), 0);
	memcpy(raw.gid, gids.gid[0], 16);
	raw.context = make(FF_CMD_OPEN_CONTEXT, "", 0);
	raw.pd = make_of(FF_CMD_ALLOC_PD, raw.context);
}

static inline void open_srqs(void)
{
	struct ff_cmd_open_xrcd request = {.context = raw.context};

	raw_xrcd = make(FF_CMD_OPEN_XRCD, &request, sizeof request);
	raw.srq[0] = make_raw_srq(raw.pd, IBV_SRQT_BASIC, FF_NO_HANDLE);
	raw.srq[1] = make_raw_srq(raw.pd, IBV_SRQT_XRC, raw.cq[0].handle);
}

static inline void open_raw(void)
{
	const char *target = getenv("HOSTILE_TARGET");

	open_session();
	raw.channel = make_of(FF_CMD_CREATE_CHANNEL, raw.context);
	raw.mr = raw_mr(raw.pd, MEMORY);
	if (target)
		sscanf(target, "%" SCNx32 " %" SCNx32 " %" SCNx64, &raw.target.qpn, &raw.target.rkey, &raw.target.addr);
	for (int i = 0; i < QPS; i++)
		raw.cq[i] = raw_cq(raw.context, raw.channel, 64);
	open_srqs();
	for (int i = 0; i < QPS; i++) {
		raw_srq = i >= FED ? raw.srq[0].handle : FF_NO_HANDLE;
		raw.qp[i] = raw_qp(raw.pd, raw.cq[i].handle, raw.cq[i].handle,
				   i == XRC ? IBV_QPT_XRC_SEND : i == XRC + 1 ? IBV_QPT_XRC_RECV : IBV_QPT_RC);
	}
	for (int i = 0; i < QPS; i++) /* the last one towards the neighbour, which does not know it */
		raw_connect(&raw.qp[i], i == QPS - 1 && target ? raw.target.qpn : raw.qp[i ^ 1].qpn, raw.gid);
}

#endif
