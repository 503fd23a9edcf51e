/* UD: the state machine (IBTA 11.2.5.2, 10.3.1.6 for SQE). */
#include "qp_steps.h"

static const struct wish ud = {.type = IBV_QPT_UD};

enum { OPEN = IBV_QP_CUR_STATE | IBV_QP_QKEY };

static const struct step reset_to_init = {&ud, IBV_QPS_RESET, IBV_QPS_INIT, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY,
					  0};
static const struct step init_to_init = {&ud, IBV_QPS_INIT, IBV_QPS_INIT, 0,
					 IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY};
static const struct step init_to_rtr = {&ud, IBV_QPS_INIT, IBV_QPS_RTR, 0, IBV_QP_PKEY_INDEX | IBV_QP_QKEY};
static const struct step rtr_to_rts = {&ud, IBV_QPS_RTR, IBV_QPS_RTS, IBV_QP_SQ_PSN, OPEN};
static const struct step rts_to_rts = {&ud, IBV_QPS_RTS, IBV_QPS_RTS, 0, OPEN};
static const struct step sqd_to_rts = {&ud, IBV_QPS_SQD, IBV_QPS_RTS, 0, OPEN};
static const struct step sqd_to_sqd = {&ud, IBV_QPS_SQD, IBV_QPS_SQD, 0, IBV_QP_PKEY_INDEX | IBV_QP_QKEY};
static const struct step sqe_to_rts = {&ud, IBV_QPS_SQE, IBV_QPS_RTS, 0, OPEN};

static void query_gives_back(const void *row)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RTS, .qkey = 0x22222222};
	struct ibv_qp_init_attr init;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &ud);
	CHECK_EQ(ibv_modify_qp(a.qp, &attr, IBV_QP_QKEY), 0);
	CHECK_EQ(ibv_query_qp(a.qp, &attr, 0x1fffff, &init), 0);
	CHECK_EQ(init.qp_type, IBV_QPT_UD);
	CHECK_EQ(attr.qp_state, IBV_QPS_RTS);
	CHECK_EQ(attr.qkey, 0x22222222);
	CHECK_EQ(attr.sq_psn, 0x1234);
	CHECK_EQ(attr.port_num, 1);
	CHECK_EQ(attr.pkey_index, 0);
	CHECK_EQ(attr.dest_qp_num, 0);
	CHECK_EQ(attr.ah_attr.is_global, 0);
	CHECK(attr.cap.max_send_wr >= 16 && attr.cap.max_recv_wr >= 16, "caps smaller than asked for");
}

static const struct test tests[] = {
	UNRELIABLE_STEPS,
	{"query_gives_back", query_gives_back, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
