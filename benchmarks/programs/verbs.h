/* What the verbs programs share: an opened device, and a QP that goes to RTS. */
#ifndef PROGRAMS_VERBS_H
#define PROGRAMS_VERBS_H

#define _GNU_SOURCE
#include <errno.h>
#include <infiniband/verbs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct device {
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	union ibv_gid gid; /* 0: of the container's first address */
};

static _Noreturn inline void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

static inline void open_device(struct device *device, int cqes)
{
	struct ibv_device **list = ibv_get_device_list(NULL);

	if (!list || !list[0] || !(device->context = ibv_open_device(list[0])))
		die("no RDMA device");
	device->pd = ibv_alloc_pd(device->context);
	device->cq = ibv_create_cq(device->context, cqes, NULL, NULL, 0);
	if (!device->pd || !device->cq || ibv_query_gid(device->context, 1, 0, &device->gid))
		die("PD, CQ or GID");
}

/* An RC QP for that many messages each way, in RESET. */
static inline struct ibv_qp *make_qp(const struct device *device, uint32_t messages, int signal_all)
{
	struct ibv_qp_init_attr init = {.send_cq = device->cq, .recv_cq = device->cq, .qp_type = IBV_QPT_RC,
					.sq_sig_all = signal_all,
					.cap = {.max_send_wr = messages, .max_recv_wr = messages, .max_send_sge = 1,
						.max_recv_sge = 1}};
	struct ibv_qp *qp = ibv_create_qp(device->pd, &init);

	if (!qp)
		die("ibv_create_qp");
	return qp;
}

/* timeout: of an acknowledgement, 4.096 us * 2^timeout. */
static inline void to_rts(struct ibv_qp *qp, const union ibv_gid *gid, uint32_t peer, uint8_t timeout)
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
	attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS, .timeout = timeout, .retry_cnt = 7, .rnr_retry = 7,
				    .max_rd_atomic = 1};
	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
				     IBV_QP_MAX_QP_RD_ATOMIC))
		die("RTS");
}

#endif
