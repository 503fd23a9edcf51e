/* See qp_steps.h. */
#include "qp_steps.h"

/* Every attribute that a step may know; what a step neither needs nor allows, it must refuse. */
static const int all_bits[] = {
	IBV_QP_ACCESS_FLAGS, IBV_QP_PKEY_INDEX, IBV_QP_PORT, IBV_QP_QKEY, IBV_QP_AV, IBV_QP_PATH_MTU, IBV_QP_TIMEOUT,
	IBV_QP_RETRY_CNT, IBV_QP_RNR_RETRY, IBV_QP_RQ_PSN, IBV_QP_MAX_QP_RD_ATOMIC, IBV_QP_MIN_RNR_TIMER, IBV_QP_SQ_PSN,
	IBV_QP_MAX_DEST_RD_ATOMIC, IBV_QP_DEST_QPN,
};

/* SQE is where a send error brings UC and UD. */
static void spoil_send(struct end *end, const struct wish *wish)
{
	struct ibv_sge sge = {.addr = (uintptr_t)end->buffer, .length = 8, .lkey = end->mr->lkey ^ 0x5a5};
	struct ibv_send_wr wr = request(1, IBV_WR_SEND, &sge, 1, NULL, 0);

	if (wish->type == IBV_QPT_UD)
		post_to(end, &wr, handle_to(end, &end->gid), end->qp->qp_num);
	else
		post(end, &wr);
	expect(end->send_cq, 1, IBV_WC_LOC_PROT_ERR);
}

void bring_to(struct end *end, const struct wish *wish, int state)
{
	struct address mine = address_of(end);

	if (state_of(end->qp) != IBV_QPS_RESET)
		CHECK_EQ(set_state(end->qp, IBV_QPS_RESET), 0);
	if (state == IBV_QPS_RESET)
		return;
	to_init(end, wish);
	if (state >= IBV_QPS_RTR && state != IBV_QPS_ERR)
		to_rtr(end, &mine, wish);
	if (state >= IBV_QPS_RTS && state != IBV_QPS_ERR)
		to_rts(end, wish);
	if (state == IBV_QPS_SQE)
		spoil_send(end, wish);
	else if (state > IBV_QPS_RTS)
		CHECK_EQ(set_state(end->qp, state), 0);
	CHECK_EQ(state_of(end->qp), state);
}

struct ibv_qp_attr everything(const struct end *end, const struct wish *wish, int to, int from)
{
	struct address mine = address_of(end);
	struct ibv_qp_attr attr, rts;

	rtr_attr(&attr, end, &mine, wish);
	rts_attr(&rts, wish);
	attr.timeout = rts.timeout;
	attr.retry_cnt = rts.retry_cnt;
	attr.rnr_retry = rts.rnr_retry;
	attr.max_rd_atomic = rts.max_rd_atomic;
	attr.sq_psn = rts.sq_psn;
	attr.port_num = 1;
	attr.qkey = QKEY;
	attr.qp_access_flags = ALL_ACCESS;
	attr.cur_qp_state = (enum ibv_qp_state)from;
	attr.qp_state = (enum ibv_qp_state)to;
	return attr;
}

static void try(struct end *end, const struct step *step, int mask, int expected, const char *what, int bit)
{
	struct ibv_qp_attr attr = everything(end, step->wish, step->to, step->from);
	int error;

	bring_to(end, step->wish, step->from);
	error = ibv_modify_qp(end->qp, &attr, IBV_QP_STATE | mask);
	CHECK(error == expected, "%s attribute %#x: %s", what, bit, strerror(error));
	CHECK_EQ(state_of(end->qp), expected ? step->from : step->to);
}

void required_and_optional(const void *row)
{
	const struct step *step = row;
	struct end end;

	open_end(&end, step->wish);
	try(&end, step, step->required, 0, "only the required", 0);
	try(&end, step, step->required | step->optional, 0, "all the optional", 0);
	for (size_t i = 0; i < COUNT(all_bits); i++) {
		int bit = all_bits[i];

		if (step->required & bit)
			try(&end, step, step->required & ~bit, EINVAL, "without the required", bit);
		else if (step->optional & bit)
			try(&end, step, step->required | bit, 0, "with the optional", bit);
		else
			try(&end, step, step->required | bit, EINVAL, "with the forbidden", bit);
	}
}
