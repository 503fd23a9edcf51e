/* A process that lets another one import what it has: it sends its context's cmd_fd and the numbers of its objects, and then
 * does as it is told. */
#ifndef IMPORT_STEPS_H
#define IMPORT_STEPS_H

#include "verbs_test.h"

#include <fcntl.h>

enum { LENGTH = 65536, DM_LENGTH = 200000 };

struct offer {
	uint32_t pd, mr, second_mr, dm, rkey, second_rkey;
	uint64_t addr, second_addr;
};

/* What it can be told, by a letter and a seed. It answers with the errno, 0 when it went well. */
struct order {
	char what;
	unsigned seed;
};

static inline void send_fd(int socket, int fd)
{
	char byte = 0, space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof fd);
	CHECK(sendmsg(socket, &message, MSG_NOSIGNAL) == 1, "sendmsg: %s", strerror(errno));
}

static inline int receive_fd(int socket)
{
	char byte, space[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
	int fd = -1;

	CHECK(recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1, "no descriptor: %s", strerror(errno));
	CHECK(CMSG_FIRSTHDR(&message), "a message without a descriptor");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
	return fd;
}

/* ---- the exporter ------------------------------------------------------------------------------------------------- */

struct exporter {
	struct end end;
	struct ibv_mr *second;
	struct ibv_dm *dm;
	char *second_buffer;
};

static inline int obey(struct exporter *x, struct order order)
{
	static char bytes[DM_LENGTH];

	switch (order.what) {
	case 'f': /* fill */
		fill(x->end.buffer, LENGTH, order.seed);
		fill(x->second_buffer, LENGTH, order.seed);
		return 0;
	case 'c': /* check */
		check_filled(x->end.buffer, LENGTH, order.seed, "the exporter's memory");
		return 0;
	case 'F': /* fill device memory */
		fill(bytes, DM_LENGTH, order.seed);
		return ibv_memcpy_to_dm(x->dm, 0, bytes, DM_LENGTH);
	case 'C':
		CHECK_EQ(ibv_memcpy_from_dm(bytes, x->dm, 0, DM_LENGTH), 0);
		check_filled(bytes, DM_LENGTH, order.seed, "the exporter's device memory");
		return 0;
	case 'm': return ibv_dereg_mr(x->end.mr);
	case 'M': /* once more */
		x->end.mr = ibv_reg_mr(x->end.pd, x->end.buffer, LENGTH, ALL_ACCESS);
		return x->end.mr ? 0 : errno;
	case 'u': ibv_unimport_mr(x->end.mr); return 0;
	case 's': return ibv_dereg_mr(x->second);
	case 'd': return ibv_free_dm(x->dm);
	case 'q': return ibv_destroy_qp(x->end.qp);
	case 'p': return ibv_dealloc_pd(x->end.pd);
	case 'x': return ibv_close_device(x->end.context);
	}
	fail("an unknown order");
}

static inline void open_exporter(struct exporter *x, struct offer *offer)
{
	struct ibv_alloc_dm_attr attr = {.length = DM_LENGTH};
	const struct wish wish = {.size = LENGTH};

	open_end(&x->end, &wish);
	x->second_buffer = aligned_alloc(4096, LENGTH);
	x->second = ibv_reg_mr(x->end.pd, x->second_buffer, LENGTH, ALL_ACCESS | IBV_ACCESS_MW_BIND);
	x->dm = ibv_alloc_dm(x->end.context, &attr);
	CHECK(x->second && x->dm, "%s", strerror(errno));
	*offer = (struct offer){.pd = x->end.pd->handle, .mr = x->end.mr->handle, .second_mr = x->second->handle,
				.dm = x->dm->handle, .rkey = x->end.mr->rkey, .second_rkey = x->second->rkey,
				.addr = (uintptr_t)x->end.buffer, .second_addr = (uintptr_t)x->second_buffer};
}

/* Until the other side closes. */
static inline void export_to(int socket, const void *row)
{
	struct exporter x = {0};
	struct offer offer;
	struct order order;
	int answer;

	(void)row;
	open_exporter(&x, &offer);
	send_fd(socket, x.end.context->cmd_fd);
	say(socket, &offer, sizeof offer);
	while (recv(socket, &order, sizeof order, MSG_WAITALL) == sizeof order) {
		answer = obey(&x, order);
		say(socket, &answer, sizeof answer);
	}
}

static inline int tell(int socket, char what, unsigned seed)
{
	struct order order;
	int answer;

	memset(&order, 0, sizeof order); /* its padding is sent, too */
	order.what = what;
	order.seed = seed;
	say(socket, &order, sizeof order);
	hear(socket, &answer, sizeof answer);
	return answer;
}

/* ---- the importer ------------------------------------------------------------------------------------------------- */

/* What it has imported, with CQs and a QP of its own, and a peer in this process to talk to. */
struct importer {
	struct end end, peer;
	struct ibv_mr *second;
	struct ibv_dm *dm;
	struct offer offer;
	int fd; /* one more duplicate of the exporter's cmd_fd */
};

static inline void import_from(struct importer *i, int fd, const struct offer *offer)
{
	const struct wish wish = {0};

	i->offer = *offer;
	i->fd = dup(fd);
	i->end.context = ibv_import_device(fd);
	CHECK(i->end.context, "ibv_import_device: %s", strerror(errno));
	i->end.pd = ibv_import_pd(i->end.context, offer->pd);
	CHECK(i->end.pd, "ibv_import_pd: %s", strerror(errno));
	CHECK_EQ(i->end.pd->handle, offer->pd);
	i->end.mr = ibv_import_mr(i->end.pd, offer->mr);
	CHECK(i->end.mr, "ibv_import_mr: %s", strerror(errno));
	CHECK(i->end.mr->addr == NULL && i->end.mr->length == LENGTH && i->end.mr->rkey == offer->rkey, "another MR");
	i->dm = ibv_import_dm(i->end.context, offer->dm);
	CHECK(i->dm, "ibv_import_dm: %s", strerror(errno));
	i->end.buffer = (char *)(uintptr_t)offer->addr; /* of the exporter's process: only requests name it */
	i->end.gid_index = i->peer.gid_index, i->end.gid = i->peer.gid;
	i->end.send_cq = ibv_create_cq(i->end.context, 64, NULL, NULL, 0);
	i->end.recv_cq = ibv_create_cq(i->end.context, 64, NULL, NULL, 0);
	CHECK(i->end.send_cq && i->end.recv_cq, "ibv_create_cq: %s", strerror(errno));
	i->end.qp = make_qp(&i->end, &wish);
}

static inline void connect_both(struct importer *i)
{
	const struct wish wish = {0};
	struct address mine = address_of(&i->end), its = address_of(&i->peer);

	connect_to(&i->end, &its, &wish);
	connect_to(&i->peer, &mine, &wish);
}

/* Starts an exporter, and imports all but its second MR. Returns its pid. */
static inline pid_t open_importer(struct importer *i, int *socket)
{
	const struct wish wish = {.size = LENGTH};
	pid_t child = split(export_to, NULL, socket);
	struct offer offer;
	int fd = receive_fd(*socket);

	memset(i, 0, sizeof *i);
	hear(*socket, &offer, sizeof offer);
	open_end(&i->peer, &wish);
	import_from(i, fd, &offer);
	connect_both(i);
	return child;
}

static inline void leave_exporter(pid_t child, int socket)
{
	shutdown(socket, SHUT_RDWR);
	join(child);
}

/* The exporter's memory is written to by the peer, then sent from by the importer: both ways through the imported MR. */
static inline void both_ways(struct importer *i, unsigned seed)
{
	fill(i->peer.buffer, LENGTH, seed);
	post_simple(&i->peer, seed, IBV_WR_RDMA_WRITE, 0, LENGTH, &i->end, 0);
	expect(i->peer.send_cq, seed, IBV_WC_SUCCESS);
	memset(i->peer.buffer, 0, LENGTH);
	post_recv(&i->peer, seed + 1, 0, LENGTH);
	post_simple(&i->end, seed + 2, IBV_WR_SEND, 0, LENGTH, NULL, 0);
	expect(i->end.send_cq, seed + 2, IBV_WC_SUCCESS);
	expect(i->peer.recv_cq, seed + 1, IBV_WC_SUCCESS);
	check_filled(i->peer.buffer, LENGTH, seed, "sent from the exporter's memory");
}

#endif
