/* RC: the state machine. Which attributes each step needs and allows (IBTA 11.2.5.2), and what query_qp gives back. */
#include "qp_steps.h"

/* ---- steps ------------------------------------------------------------------------------------------------------ */

static const struct wish usual = {0};

static const struct step reset_to_init = {&usual, IBV_QPS_RESET, IBV_QPS_INIT,
					  IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS, 0};
static const struct step init_to_init = {&usual, IBV_QPS_INIT, IBV_QPS_INIT, 0,
					 IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS};
static const struct step init_to_rtr = {&usual, IBV_QPS_INIT, IBV_QPS_RTR,
					IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
						IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER,
					IBV_QP_PKEY_INDEX | IBV_QP_ACCESS_FLAGS};
static const struct step rtr_to_rts = {&usual, IBV_QPS_RTR, IBV_QPS_RTS,
				       IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
					       IBV_QP_MAX_QP_RD_ATOMIC,
				       IBV_QP_CUR_STATE | IBV_QP_ACCESS_FLAGS | IBV_QP_MIN_RNR_TIMER};
static const struct step rts_to_rts = {&usual, IBV_QPS_RTS, IBV_QPS_RTS, 0,
				       IBV_QP_CUR_STATE | IBV_QP_ACCESS_FLAGS | IBV_QP_MIN_RNR_TIMER};

/* Every pair of states that is not a step of the machine is refused, and changes nothing. */
static void no_other_steps(const void *row)
{
	static const int states[] = {IBV_QPS_RESET, IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS, IBV_QPS_ERR};
	static const char allowed[COUNT(states)][COUNT(states)] = {
		/* to:      RESET INIT RTR RTS ERR; from RESET to ERR the standard allows and Linux refuses */
		/* RESET */ {1, 1, 0, 0, 0},
		/* INIT  */ {1, 1, 1, 0, 1},
		/* RTR   */ {1, 0, 0, 1, 1},
		/* RTS   */ {1, 0, 0, 1, 1},
		/* ERR   */ {1, 0, 0, 0, 1},
	};
	static const int needs[COUNT(states)] = {
		0, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS,
		IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER,
		IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC, 0};
	struct end end;

	(void)row;
	open_end(&end, &usual);
	for (size_t from = 0; from < COUNT(states); from++)
		for (size_t to = 0; to < COUNT(states); to++) {
			struct ibv_qp_attr attr = everything(&end, &usual, states[to], states[from]);
			int error, stays = states[from] == states[to] && states[from] == IBV_QPS_RTS;

			bring_to(&end, &usual, states[from]);
			error = ibv_modify_qp(end.qp, &attr, IBV_QP_STATE | (stays ? 0 : needs[to]));
			CHECK((error == 0) == allowed[from][to], "state %d to %d: %s", states[from], states[to], strerror(error));
			CHECK_EQ(state_of(end.qp), states[error ? from : to]);
		}
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

struct bad_value {
	const struct step *step;
	void (*spoil)(struct ibv_qp_attr *attr);
};

#define SPOIL(name, change) static void name(struct ibv_qp_attr *attr) { change; }
SPOIL(port_0, attr->port_num = 0)
SPOIL(port_2, attr->port_num = 2)
SPOIL(pkey_9999, attr->pkey_index = 9999)
SPOIL(access_unknown, attr->qp_access_flags = 1u << 30)
SPOIL(mtu_0, attr->path_mtu = (enum ibv_mtu)0)
SPOIL(mtu_6, attr->path_mtu = (enum ibv_mtu)6)
SPOIL(sgid_200, attr->ah_attr.grh.sgid_index = 200)
SPOIL(no_grh, attr->ah_attr.is_global = 0)
SPOIL(ah_port_3, attr->ah_attr.port_num = 3)
SPOIL(dest_rd_255, attr->max_dest_rd_atomic = 255)
SPOIL(rnr_timer_32, attr->min_rnr_timer = 32)
SPOIL(timeout_32, attr->timeout = 32)
SPOIL(retry_8, attr->retry_cnt = 8)
SPOIL(rnr_retry_8, attr->rnr_retry = 8)
SPOIL(rd_255, attr->max_rd_atomic = 255)

static const struct bad_value bad_values[] = {
	{&reset_to_init, port_0}, {&reset_to_init, port_2},    {&reset_to_init, pkey_9999}, {&reset_to_init, access_unknown},
	{&init_to_rtr, mtu_0},	  {&init_to_rtr, mtu_6},       {&init_to_rtr, sgid_200},    {&init_to_rtr, no_grh},
	{&init_to_rtr, ah_port_3}, {&init_to_rtr, dest_rd_255}, {&init_to_rtr, rnr_timer_32}, {&rtr_to_rts, timeout_32},
	{&rtr_to_rts, retry_8},	  {&rtr_to_rts, rnr_retry_8},  {&rtr_to_rts, rd_255},
};

static void values_are_checked(const void *row)
{
	struct end end;

	(void)row;
	open_end(&end, &usual);
	for (size_t i = 0; i < COUNT(bad_values); i++) {
		const struct step *step = bad_values[i].step;
		struct ibv_qp_attr attr = everything(&end, &usual, step->to, step->from);
		int error;

		bad_values[i].spoil(&attr);
		bring_to(&end, &usual, step->from);
		error = ibv_modify_qp(end.qp, &attr, IBV_QP_STATE | step->required);
		CHECK(error == EINVAL, "row %zu: %s", i, strerror(error));
		CHECK_EQ(state_of(end.qp), step->from);
	}
}

/* IBV_QP_CUR_STATE is what the program believes; when it is wrong, nothing happens. */
static void current_state_is_checked(const void *row)
{
	struct ibv_qp_attr attr;
	struct end end;
	int mask;

	(void)row;
	open_end(&end, &usual);
	bring_to(&end, &usual, IBV_QPS_RTR);
	mask = rts_attr(&attr, &usual);
	attr.cur_qp_state = IBV_QPS_RTS;
	CHECK(ibv_modify_qp(end.qp, &attr, mask | IBV_QP_CUR_STATE) == EINVAL, "a wrong current state went through");
	CHECK_EQ(state_of(end.qp), IBV_QPS_RTR);
}

/* ---- query_qp ---------------------------------------------------------------------------------------------------- */

static void query_gives_back(const void *row)
{
	const struct wish wish = {.send_wr = 10, .recv_wr = 20, .sge = 3, .inline_bytes = 100, .timeout = 15, .retry_cnt = 5,
				  .rnr_retry = 4, .rnr_timer = 17, .rd_atomic = 3,
				  .qp_access = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_LOCAL_WRITE};
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;
	struct address of_b;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	of_b = address_of(&b);
	memset(&attr, 0x5a, sizeof attr);
	memset(&init, 0x5a, sizeof init);
	CHECK_EQ(ibv_query_qp(a.qp, &attr, 0x1fffff, &init), 0);
	CHECK_EQ(attr.qp_state, IBV_QPS_RTS);
	CHECK_EQ(attr.cur_qp_state, IBV_QPS_RTS);
	CHECK_EQ(attr.path_mtu, IBV_MTU_1024);
	CHECK_EQ(attr.dest_qp_num, of_b.qpn);
	CHECK_EQ(attr.rq_psn, 0x1234);
	CHECK_EQ(attr.sq_psn, 0x1234);
	CHECK_EQ(attr.qp_access_flags, wish.qp_access);
	CHECK_EQ(attr.port_num, 1);
	CHECK_EQ(attr.pkey_index, 0);
	CHECK_EQ(attr.timeout, 15);
	CHECK_EQ(attr.retry_cnt, 5);
	CHECK_EQ(attr.rnr_retry, 4);
	CHECK_EQ(attr.min_rnr_timer, 17);
	CHECK_EQ(attr.max_rd_atomic, 3);
	CHECK_EQ(attr.max_dest_rd_atomic, 3);
	CHECK_EQ(attr.ah_attr.is_global, 1);
	CHECK_EQ(attr.ah_attr.port_num, 1);
	CHECK_EQ(attr.ah_attr.grh.sgid_index, a.gid_index);
	CHECK_EQ(attr.ah_attr.grh.hop_limit, 64);
	CHECK(memcmp(&attr.ah_attr.grh.dgid, &b.gid, 16) == 0, "dgid differs");
	CHECK(attr.cap.max_send_wr >= 10 && attr.cap.max_recv_wr >= 20 && attr.cap.max_send_sge >= 3 &&
		      attr.cap.max_recv_sge >= 3 && attr.cap.max_inline_data >= 100, "caps smaller than asked for");
	CHECK(memcmp(&attr.cap, &init.cap, sizeof attr.cap) == 0, "attr and init_attr disagree on the caps");
	CHECK_EQ(init.qp_type, IBV_QPT_RC);
	CHECK_EQ(init.sq_sig_all, 0);
	CHECK(init.send_cq == a.send_cq && init.recv_cq == a.recv_cq && init.srq == NULL && init.qp_context == NULL,
	      "init_attr names other objects");
}

static void changes_in_rts_take_effect(const void *row)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RTS, .qp_access_flags = IBV_ACCESS_LOCAL_WRITE, .min_rnr_timer = 3};
	struct ibv_qp_init_attr init;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &usual);
	CHECK_EQ(ibv_modify_qp(b.qp, &attr, IBV_QP_STATE | IBV_QP_ACCESS_FLAGS | IBV_QP_MIN_RNR_TIMER), 0);
	CHECK_EQ(ibv_query_qp(b.qp, &attr, IBV_QP_ACCESS_FLAGS | IBV_QP_MIN_RNR_TIMER, &init), 0);
	CHECK_EQ(attr.min_rnr_timer, 3);
	CHECK_EQ(attr.qp_access_flags, IBV_ACCESS_LOCAL_WRITE);
	post_simple(&a, 1, IBV_WR_RDMA_WRITE, 0, 64, &b, 0);
	CHECK(next_wc(a.send_cq).status != IBV_WC_SUCCESS, "a WRITE that the QP forbids since its last modify");
}

/* ---- SQD --------------------------------------------------------------------------------------------------------- */

/* A drained send queue executes nothing until the QP is back in RTS. Receiving goes on. */
static void drained_then_resumed(const void *row)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_SQD, .en_sqd_async_notify = 1};
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &usual);
	post_simple(&a, 1, IBV_WR_RDMA_WRITE, 0, 64, &b, 0);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	CHECK_EQ(ibv_modify_qp(a.qp, &attr, IBV_QP_STATE | IBV_QP_EN_SQD_ASYNC_NOTIFY), 0);
	CHECK_EQ(expect_async(a.context, 2000), IBV_EVENT_SQ_DRAINED);
	post_simple(&a, 2, IBV_WR_RDMA_WRITE, 0, 64, &b, 0);
	expect_nothing(a.send_cq, 50);
	post_recv(&a, 3, 0, 64);
	post_simple(&b, 4, IBV_WR_SEND, 0, 64, NULL, 0);
	expect(a.recv_cq, 3, IBV_WC_SUCCESS);
	CHECK_EQ(set_state(a.qp, IBV_QPS_RTS), 0);
	expect(a.send_cq, 2, IBV_WC_SUCCESS);
}

/* QPNs are never 0 or 1, never shared, and not reused at once. */
static void numbers_are_fresh(const void *row)
{
	uint32_t seen[200];
	struct end end;

	(void)row;
	open_end(&end, &usual);
	for (size_t i = 0; i < COUNT(seen); i++) {
		struct ibv_qp *qp = make_qp(&end, &usual);

		seen[i] = qp->qp_num;
		CHECK(seen[i] > 1 && seen[i] < 1u << 24, "QPN %#x", seen[i]);
		for (size_t k = 0; k < i; k++)
			CHECK(seen[k] != seen[i] || i - k > 64, "QPN %#x came back after %zu others", seen[i], i - k);
		CHECK_EQ(ibv_destroy_qp(qp), 0);
	}
}

static const struct test tests[] = {
	STEPS,
	{"no_other_steps", no_other_steps, NULL},
	{"values_are_checked", values_are_checked, NULL},
	{"current_state_is_checked", current_state_is_checked, NULL},
	{"query_gives_back", query_gives_back, NULL},
	{"changes_in_rts_take_effect", changes_in_rts_take_effect, NULL},
	{"drained_then_resumed", drained_then_resumed, NULL},
	{"numbers_are_fresh", numbers_are_fresh, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
