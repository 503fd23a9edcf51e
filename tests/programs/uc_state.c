/* UC: the state machine (IBTA 11.2.5.2, 10.3.1.6 for SQE). */
#include "qp_steps.h"

static const struct wish uc = {.type = IBV_QPT_UC};

enum { PATH = IBV_QP_CUR_STATE | IBV_QP_ACCESS_FLAGS };

static const struct step reset_to_init = {&uc, IBV_QPS_RESET, IBV_QPS_INIT,
					  IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS, 0};
static const struct step init_to_init = {&uc, IBV_QPS_INIT, IBV_QPS_INIT, 0,
					 IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS};
static const struct step init_to_rtr = {&uc, IBV_QPS_INIT, IBV_QPS_RTR,
					IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN,
					IBV_QP_PKEY_INDEX | IBV_QP_ACCESS_FLAGS};
static const struct step rtr_to_rts = {&uc, IBV_QPS_RTR, IBV_QPS_RTS, IBV_QP_SQ_PSN, PATH};
static const struct step rts_to_rts = {&uc, IBV_QPS_RTS, IBV_QPS_RTS, 0, PATH};
static const struct step sqd_to_rts = {&uc, IBV_QPS_SQD, IBV_QPS_RTS, 0, PATH};
static const struct step sqd_to_sqd = {&uc, IBV_QPS_SQD, IBV_QPS_SQD, 0,
				       IBV_QP_AV | IBV_QP_ACCESS_FLAGS | IBV_QP_PKEY_INDEX};
static const struct step sqe_to_rts = {&uc, IBV_QPS_SQE, IBV_QPS_RTS, 0, PATH};

/* query_qp gives back what was set, and nothing that UC does not have. */
static void query_gives_back(const void *row)
{
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &uc);
	CHECK_EQ(ibv_query_qp(a.qp, &attr, 0x1fffff, &init), 0);
	CHECK_EQ(init.qp_type, IBV_QPT_UC);
	CHECK_EQ(attr.qp_state, IBV_QPS_RTS);
	CHECK_EQ(attr.path_mtu, IBV_MTU_1024);
	CHECK_EQ(attr.dest_qp_num, b.qp->qp_num);
	CHECK_EQ(attr.rq_psn, 0x1234);
	CHECK_EQ(attr.sq_psn, 0x1234);
	CHECK_EQ(attr.qp_access_flags, ALL_ACCESS);
	CHECK(memcmp(&attr.ah_attr.grh.dgid, &b.gid, 16) == 0, "dgid differs");
	CHECK_EQ(attr.timeout, 0);
	CHECK_EQ(attr.retry_cnt, 0);
	CHECK_EQ(attr.max_rd_atomic, 0);
}

static const struct test tests[] = {
	UNRELIABLE_STEPS,
	{"query_gives_back", query_gives_back, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
