/*
 * Many idle programs: --sessions processes, each with an opened device, a registered page and its share of --qps QPs
 * connected to themselves. Prints "ready" when all are in RTS, and stays until its stdin ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <infiniband/verbs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void to_rts(struct ibv_qp *qp, union ibv_gid gid)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = 1};

	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS))
		die("INIT");
	attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_1024, .dest_qp_num = qp->qp_num,
				    .min_rnr_timer = 12, .max_dest_rd_atomic = 1,
				    .ah_attr = {.is_global = 1, .port_num = 1, .grh = {.dgid = gid, .hop_limit = 1}}};
	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
				     IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER))
		die("RTR");
	attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = 1};
	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
				     IBV_QP_MAX_QP_RD_ATOMIC))
		die("RTS");
}

/* One program of the crowd: opens everything, says so with a byte, and sleeps. */
static void member(int qps, int ready)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *context = list && list[0] ? ibv_open_device(list[0]) : NULL;
	struct ibv_pd *pd = context ? ibv_alloc_pd(context) : NULL;
	struct ibv_cq *cq = context ? ibv_create_cq(context, 64, NULL, NULL, 0) : NULL;
	char *page = aligned_alloc(4096, 4096);
	union ibv_gid gid;

	if (!pd || !cq || !page || ibv_query_gid(context, 1, 0, &gid) || !ibv_reg_mr(pd, page, 4096, IBV_ACCESS_LOCAL_WRITE))
		die("device, PD, CQ or MR");
	for (int i = 0; i < qps; i++) {
		struct ibv_qp_init_attr init = {.send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC,
						.cap = {.max_send_wr = 16, .max_recv_wr = 16, .max_send_sge = 1,
							.max_recv_sge = 1}};
		struct ibv_qp *qp = ibv_create_qp(pd, &init);

		if (!qp)
			die("ibv_create_qp");
		to_rts(qp, gid);
	}
	if (write(ready, "", 1) != 1)
		die("write");
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	int sessions = argc > 2 ? atoi(argv[2]) : 100, qps = argc > 4 ? atoi(argv[4]) : 10 * sessions, ready[2];
	char byte;

	if (argc != 5 || strcmp(argv[1], "--sessions") || strcmp(argv[3], "--qps") || sessions < 1 || qps < sessions)
		return fprintf(stderr, "usage: crowd --sessions N --qps M\n"), 2;
	if (pipe(ready))
		die("pipe");
	for (int i = 0; i < sessions; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(ready[0]);
			member(qps / sessions, ready[1]);
		}
	}
	close(ready[1]); /* so that a member that failed ends the wait below */
	for (int i = 0; i < sessions; i++)
		if (read(ready[0], &byte, 1) != 1)
			return fprintf(stderr, "crowd: only %d of %d sessions came up\n", i, sessions), 1;
	printf("ready\n");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
