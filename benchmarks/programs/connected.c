/*
 * A crowd of connected QPs between two places: each of `members` processes on one side has `qps` of them, connected to as
 * many of its opposite. On each QP a message goes there and one back, both are looked at, and then nothing happens.
 *
 *   connected serve PORT MEMBERS QPS              ports PORT .. PORT + MEMBERS - 1, "listening" when they are open
 *   connected connect PORT MEMBERS QPS ADDRESS    both print "ready" when all is done, and stay until their stdin ends
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <infiniband/verbs.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { QPS_MAX = 2048, SLOT = 64, PATIENCE_S = 60 };

struct side {
	int socket, qps, serves;
	struct ibv_cq *cq;
	struct ibv_mr *mr;
	char *memory; /* qps slots to send from, qps to receive into */
	struct ibv_qp *qp[QPS_MAX];
	union ibv_gid mine, theirs;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "connected: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void say(int socket, const void *bytes, size_t size)
{
	if (send(socket, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
		die("send");
}

static void hear(int socket, void *bytes, size_t size)
{
	if (recv(socket, bytes, size, MSG_WAITALL) != (ssize_t)size)
		die("recv");
}

static void to_rts(struct ibv_qp *qp, const union ibv_gid *gid, uint32_t peer)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = 1};

	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS))
		die("INIT");
	attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_1024, .dest_qp_num = peer,
				    .min_rnr_timer = 12, .max_dest_rd_atomic = 1,
				    .ah_attr = {.is_global = 1, .port_num = 1, .grh = {.dgid = *gid, .hop_limit = 64}}};
	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
				     IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER))
		die("RTR");
	attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS, .timeout = 18, .retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = 1};
	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
				     IBV_QP_MAX_QP_RD_ATOMIC))
		die("RTS");
}

static void open_side(struct side *s)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *context = list && list[0] ? ibv_open_device(list[0]) : NULL;
	struct ibv_pd *pd = context ? ibv_alloc_pd(context) : NULL;
	size_t size = (size_t)s->qps * SLOT * 2;

	s->cq = context ? ibv_create_cq(context, 2 * s->qps, NULL, NULL, 0) : NULL;
	s->memory = aligned_alloc(4096, (size + 4095) & ~4095ul);
	s->mr = pd && s->memory ? ibv_reg_mr(pd, s->memory, size, IBV_ACCESS_LOCAL_WRITE) : NULL;
	if (!s->cq || !s->mr || ibv_query_gid(context, 1, 0, &s->mine))
		die("device, PD, CQ or MR");
	for (int i = 0; i < s->qps; i++) {
		struct ibv_qp_init_attr init = {.send_cq = s->cq, .recv_cq = s->cq, .qp_type = IBV_QPT_RC, .sq_sig_all = 1,
						.cap = {.max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1}};

		s->qp[i] = ibv_create_qp(pd, &init);
		if (!s->qp[i])
			die("ibv_create_qp");
	}
}

static void connect_all(struct side *s)
{
	uint32_t mine[QPS_MAX], theirs[QPS_MAX];

	for (int i = 0; i < s->qps; i++)
		mine[i] = s->qp[i]->qp_num;
	say(s->socket, &s->mine, sizeof s->mine);
	say(s->socket, mine, s->qps * sizeof *mine);
	hear(s->socket, &s->theirs, sizeof s->theirs);
	hear(s->socket, theirs, s->qps * sizeof *theirs);
	for (int i = 0; i < s->qps; i++) {
		struct ibv_sge sge = {(uintptr_t)s->memory + (size_t)(s->qps + i) * SLOT, SLOT, s->mr->lkey};
		struct ibv_recv_wr wr = {.wr_id = (uint64_t)i, .sg_list = &sge, .num_sge = 1}, *bad;

		to_rts(s->qp[i], &s->theirs, theirs[i]);
		if (ibv_post_recv(s->qp[i], &wr, &bad))
			die("ibv_post_recv");
	}
	say(s->socket, "", 1); /* nobody sends before the other side can take it */
	hear(s->socket, mine, 1);
}

static void send_one(struct side *s, int i)
{
	struct ibv_sge sge = {(uintptr_t)s->memory + (size_t)i * SLOT, SLOT, s->mr->lkey};
	struct ibv_send_wr wr = {.wr_id = (uint64_t)i, .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND}, *bad;

	memset(s->memory + (size_t)i * SLOT, s->serves + 2 * i, SLOT);
	if (ibv_post_send(s->qp[i], &wr, &bad))
		die("ibv_post_send");
}

static void check_one(struct side *s, int i)
{
	const char *at = s->memory + (size_t)(s->qps + i) * SLOT;

	for (int k = 0; k < SLOT; k++)
		if (at[k] != (char)(!s->serves + 2 * i)) {
			errno = EBADMSG;
			die("what arrived is not what was sent");
		}
}

static void talk(struct side *s)
{
	time_t until = time(NULL) + PATIENCE_S;
	int sent = 0, heard = 0;
	struct ibv_wc wc;

	for (int i = 0; !s->serves && i < s->qps; i++)
		send_one(s, i);
	while (sent < s->qps || heard < s->qps) {
		if (ibv_poll_cq(s->cq, 1, &wc) == 0) {
			if (time(NULL) > until)
				errno = ETIMEDOUT, die("messages");
			continue;
		}
		if (wc.status != IBV_WC_SUCCESS)
			fprintf(stderr, "connected: QP %u: %s\n", wc.qp_num, ibv_wc_status_str(wc.status)), exit(1);
		if (wc.opcode != IBV_WC_RECV) {
			sent++;
			continue;
		}
		heard++;
		check_one(s, (int)wc.wr_id);
		if (s->serves)
			send_one(s, (int)wc.wr_id);
	}
}

static void member(int serves, int qps, int socket, int ready)
{
	static struct side s;

	s = (struct side){.socket = socket, .qps = qps, .serves = serves};
	open_side(&s);
	connect_all(&s);
	talk(&s);
	if (write(ready, "", 1) != 1)
		die("write");
	for (;;)
		pause();
}

static int open_port(int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (void *)&at, sizeof at) || listen(fd, 1))
		die("listen");
	return fd;
}

static int reach(const char *address, int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1 || connect(fd, (void *)&to, sizeof to))
		die("connect");
	return fd;
}

int main(int argc, char **argv)
{
	int serves = argc == 5 && !strcmp(argv[1], "serve"), connects = argc == 6 && !strcmp(argv[1], "connect");
	int port = argc > 2 ? atoi(argv[2]) : 0, members = argc > 3 ? atoi(argv[3]) : 0, qps = argc > 4 ? atoi(argv[4]) : 0;
	int ready[2], listener[64];
	char byte;

	if ((!serves && !connects) || members < 1 || members > 64 || qps < 1 || qps > QPS_MAX)
		return fprintf(stderr, "usage: connected serve PORT MEMBERS QPS | connect PORT MEMBERS QPS ADDRESS\n"), 2;
	if (pipe(ready))
		die("pipe");
	for (int i = 0; serves && i < members; i++)
		listener[i] = open_port(port + i);
	if (serves)
		printf("listening\n"), fflush(stdout);
	for (int i = 0; i < members; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(ready[0]);
			member(serves, qps, serves ? accept(listener[i], NULL, NULL) : reach(argv[5], port + i), ready[1]);
		}
	}
	close(ready[1]);
	for (int i = 0; i < members; i++)
		if (read(ready[0], &byte, 1) != 1)
			return fprintf(stderr, "connected: only %d of %d members are done\n", i, members), 1;
	printf("ready\n");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
