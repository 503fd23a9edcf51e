/* XRC: every operation, the SRQs that requests choose, what is refused, and the state machine (IBTA annex A14). */
#include "qp_steps.h"

enum { RECV_ID = 100, LENGTH = 64 };

static const struct wish sends = {.type = IBV_QPT_XRC_SEND}, receives = {.type = IBV_QPT_XRC_RECV};

/* a sends to b, whose SRQ is b->srq. */
static void open_xrc(struct end *a, struct end *b, const struct wish *receiver)
{
	struct wish sender = *receiver;
	struct address of_a, of_b;

	sender.type = IBV_QPT_XRC_SEND;
	sender.srq_wr = 0;
	open_end(a, &sender);
	open_end(b, receiver);
	of_a = address_of(a);
	of_b = address_of(b);
	connect_to(a, &of_b, &sender);
	connect_to(b, &of_a, receiver);
}

static void post_xrc(struct end *a, int opcode, uint32_t length, const struct end *b, uint32_t srqn)
{
	struct ibv_sge sge = part(a, 0, length);
	struct ibv_send_wr wr = request(1, opcode, &sge, 1, b, 1024);

	wr.qp_type.xrc.remote_srqn = srqn;
	if (opcode == IBV_WR_ATOMIC_FETCH_AND_ADD || opcode == IBV_WR_ATOMIC_CMP_AND_SWP) {
		wr.wr.atomic.compare_add = 5;
		wr.wr.atomic.swap = 0x1122334455667788;
	}
	post(a, &wr);
}

/* ---- every operation --------------------------------------------------------------------------------------------------- */

static void operations(const void *row)
{
	struct end a, b;
	struct ibv_wc wc;
	uint64_t *word;
	uint32_t srqn;

	(void)row;
	open_xrc(&a, &b, &receives);
	word = (uint64_t *)(b.buffer + 1024);
	srqn = srq_number(b.srq);
	fill(a.buffer, LENGTH, 1);
	post_recv(&b, RECV_ID, 0, LENGTH);
	post_xrc(&a, IBV_WR_SEND_WITH_IMM, LENGTH, NULL, srqn);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	wc = expect(b.recv_cq, RECV_ID, IBV_WC_SUCCESS);
	CHECK(wc.qp_num == b.qp->qp_num && wc.wc_flags == IBV_WC_WITH_IMM && wc.imm_data == htobe32(0x01020304), "its completion");
	check_filled(b.buffer, LENGTH, 1, "SEND");
	post_xrc(&a, IBV_WR_RDMA_WRITE, LENGTH, &b, srqn);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	check_filled(b.buffer + 1024, LENGTH, 1, "WRITE");
	post_recv(&b, RECV_ID, 0, 0);
	post_xrc(&a, IBV_WR_RDMA_WRITE_WITH_IMM, LENGTH, &b, srqn);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	CHECK_EQ(expect(b.recv_cq, RECV_ID, IBV_WC_SUCCESS).opcode, IBV_WC_RECV_RDMA_WITH_IMM);
	fill(b.buffer + 1024, LENGTH, 2);
	post_xrc(&a, IBV_WR_RDMA_READ, LENGTH, &b, srqn);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	check_filled(a.buffer, LENGTH, 2, "READ");
	*word = 5;
	post_xrc(&a, IBV_WR_ATOMIC_FETCH_AND_ADD, 8, &b, srqn);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	CHECK_EQ(*word, 10);
	*word = 5;
	post_xrc(&a, IBV_WR_ATOMIC_CMP_AND_SWP, 8, &b, srqn);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	CHECK(*word == 0x1122334455667788 && *(uint64_t *)a.buffer == 5, "CMP_SWP: %#" PRIx64, *word);
}

/* Requests of one connection go to whichever SRQ they name; each SRQ has a CQ and a PD of its own. */
static void chooses_the_srq(const void *row)
{
	struct ibv_mr *mr;
	struct end a, b, c;

	(void)row;
	open_xrc(&a, &b, &receives);
	c = b;
	c.pd = ibv_alloc_pd(c.context);
	c.recv_cq = ibv_create_cq(c.context, 16, NULL, NULL, 0);
	CHECK(c.pd && c.recv_cq, "%s", strerror(errno));
	c.srq = make_srq(&c, &receives);
	mr = register_memory(&c, 65536, 0);
	c.mr = mr;
	c.buffer = mr->addr;
	for (int n = 0; n < 32; n++) {
		struct end *to = n % 3 ? &b : &c;

		fill(a.buffer, LENGTH, (unsigned)n);
		post_recv(to, (uint64_t)n, 0, LENGTH);
		post_xrc(&a, IBV_WR_SEND, LENGTH, NULL, srq_number(to->srq));
		expect(a.send_cq, 1, IBV_WC_SUCCESS);
		expect(to->recv_cq, (uint64_t)n, IBV_WC_SUCCESS);
		check_filled(to->buffer, LENGTH, (unsigned)n, "SEND");
		post_xrc(&a, IBV_WR_RDMA_WRITE, LENGTH, to, srq_number(to->srq));
		expect(a.send_cq, 1, IBV_WC_SUCCESS);
	}
	post_xrc(&a, IBV_WR_RDMA_WRITE, LENGTH, &b, srq_number(c.srq)); /* b's memory is not of c's PD */
	expect(a.send_cq, 1, IBV_WC_REM_ACCESS_ERR);
}

/* A long message keeps its receive while other connections use the same SRQ. */
static void long_messages(const void *row)
{
	enum { LONG = 8 << 20 };
	const struct wish wish = {.type = IBV_QPT_XRC_RECV, .size = 2 * LONG};
	struct address of_a2, of_b2;
	struct end a, b, a2, b2;

	(void)row;
	open_xrc(&a, &b, &wish);
	a2 = a, b2 = b;
	a2.qp = make_qp(&a2, &sends);
	b2.qp = make_qp(&b2, &receives);
	of_a2 = address_of(&a2), of_b2 = address_of(&b2);
	connect_to(&a2, &of_b2, &sends);
	connect_to(&b2, &of_a2, &receives);
	fill(a.buffer, LONG, 1);
	post_recv(&b, 0, 0, LONG);
	post_recv(&b, 1, LONG, LONG);
	post_xrc(&a, IBV_WR_SEND, LONG, NULL, srq_number(b.srq));
	post_xrc(&a2, IBV_WR_SEND, LONG, NULL, srq_number(b.srq));
	for (int n = 0; n < 2; n++) {
		struct ibv_wc wc = next_wc(b.recv_cq);

		CHECK(wc.status == IBV_WC_SUCCESS && wc.byte_len == LONG, "'%s'", ibv_wc_status_str(wc.status));
		check_filled(b.buffer + wc.wr_id * LONG, LONG, 1, "a long message");
	}
}

/* ---- refused ------------------------------------------------------------------------------------------------------------ */

enum wrong_srq { UNKNOWN, OF_ANOTHER_DOMAIN, NOT_XRC, DESTROYED };

static void wrong_srq(const void *row)
{
	enum wrong_srq wrong = *(const enum wrong_srq *)row;
	const struct wish plain = {.srq_wr = 16};
	struct end a, b, c;
	uint32_t srqn = 0xabcdef;

	open_xrc(&a, &b, &receives);
	if (wrong == OF_ANOTHER_DOMAIN || wrong == NOT_XRC) {
		open_end(&c, wrong == NOT_XRC ? &plain : &receives);
		post_recv(&c, RECV_ID, 0, LENGTH);
		srqn = srq_number(c.srq);
	} else if (wrong == DESTROYED) {
		srqn = srq_number(b.srq);
		CHECK_EQ(ibv_destroy_srq(b.srq), 0);
	}
	post_xrc(&a, IBV_WR_SEND, LENGTH, NULL, srqn);
	expect(a.send_cq, 1, IBV_WC_REM_INV_REQ_ERR);
	CHECK_EQ(state_of(b.qp), IBV_QPS_ERR);
	CHECK_EQ(expect_async(b.context, 1000), IBV_EVENT_QP_REQ_ERR);
	CHECK_EQ(state_of(a.qp), IBV_QPS_ERR);
}

/* The SRQ goes while a long message moves into it, and with it the receive and whom to tell. */
static void destroyed_midway(const void *row)
{
	enum { LONG = 32 << 20 };
	const struct wish wish = {.type = IBV_QPT_XRC_RECV, .size = LONG};
	struct ibv_wc wc;
	struct end a, b;

	(void)row;
	open_xrc(&a, &b, &wish);
	post_recv(&b, RECV_ID, 0, LONG);
	post_xrc(&a, IBV_WR_SEND, LONG, NULL, srq_number(b.srq));
	usleep(500);
	CHECK_EQ(ibv_destroy_srq(b.srq), 0);
	wc = next_wc(a.send_cq);
	CHECK(wc.status == IBV_WC_REM_INV_REQ_ERR || wc.status == IBV_WC_SUCCESS, "'%s'", ibv_wc_status_str(wc.status));
}

/* A receive that is taken belongs to an SRQ that is gone, and numbers come again: whoever has that SRQ's number and its CQ's
 * place by now is told nothing. */
static void another_has_its_number(const void *row)
{
	enum { LONG = 32 << 20, NUMBERS = 512 };
	const struct wish wish = {.type = IBV_QPT_XRC_RECV, .size = LONG};
	uint32_t srqn, again = 0;
	struct end a, b;

	(void)row;
	open_xrc(&a, &b, &wish);
	srqn = srq_number(b.srq);
	post_recv(&b, RECV_ID, 0, LONG);
	post_xrc(&a, IBV_WR_SEND, LONG, NULL, srqn);
	usleep(1000);
	CHECK_EQ(set_state(a.qp, IBV_QPS_ERR), 0);
	for (int n = 0; n < NUMBERS && again != srqn; n++) {
		CHECK_EQ(ibv_destroy_srq(b.srq), 0);
		b.srq = make_srq(&b, &wish);
		again = srq_number(b.srq);
	}
	CHECK_EQ(again, srqn);
	CHECK_EQ(set_state(b.qp, IBV_QPS_ERR), 0);
	expect_nothing(b.recv_cq, 20);
}

static void nothing_to_post_to(const void *row)
{
	struct ibv_recv_wr recv = {.wr_id = RECV_ID}, *bad_recv;
	struct ibv_sge sge;
	struct ibv_send_wr wr, *bad;
	struct end a, b;

	(void)row;
	open_xrc(&a, &b, &receives);
	sge = part(&b, 0, LENGTH);
	wr = request(1, IBV_WR_SEND, &sge, 1, NULL, 0);
	CHECK(ibv_post_send(b.qp, &wr, &bad) == EINVAL && bad == &wr, "a receiving half that sends");
	CHECK(ibv_post_recv(a.qp, &recv, &bad_recv) != 0 && bad_recv == &recv, "a sending half that receives");
	CHECK(ibv_post_recv(b.qp, &recv, &bad_recv) != 0 && bad_recv == &recv, "a receive for no SRQ");
	CHECK_EQ(set_state(b.qp, IBV_QPS_RESET), 0);
	CHECK_EQ(state_of(b.qp), IBV_QPS_RESET);
}

static void waits_for_a_receive(const void *row)
{
	struct end a, b;

	(void)row;
	open_xrc(&a, &b, &receives);
	post_xrc(&a, IBV_WR_SEND, LENGTH, NULL, srq_number(b.srq));
	expect_nothing(a.send_cq, 20);
	post_recv(&b, RECV_ID, 0, LENGTH);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	expect(b.recv_cq, RECV_ID, IBV_WC_SUCCESS);
}

/* ---- states: each half needs its own part of RC's attributes, and looks at nothing of the other's -------------------- */

enum { PATH = IBV_QP_CUR_STATE | IBV_QP_ACCESS_FLAGS, INIT = IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS,
       CONNECT = IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN,
       NOT_SEND = IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER,
       NOT_RECV = IBV_QP_MAX_QP_RD_ATOMIC | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY };

static const struct step steps[] = {
	{&sends, IBV_QPS_RESET, IBV_QPS_INIT, INIT, NOT_SEND},
	{&sends, IBV_QPS_INIT, IBV_QPS_INIT, 0, INIT | NOT_SEND},
	{&sends, IBV_QPS_INIT, IBV_QPS_RTR, CONNECT, IBV_QP_ACCESS_FLAGS | IBV_QP_PKEY_INDEX | NOT_SEND},
	{&sends, IBV_QPS_RTR, IBV_QPS_RTS, IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | NOT_RECV, PATH | NOT_SEND},
	{&sends, IBV_QPS_RTS, IBV_QPS_RTS, 0, PATH | NOT_SEND},
	{&receives, IBV_QPS_RESET, IBV_QPS_INIT, INIT, NOT_RECV},
	{&receives, IBV_QPS_INIT, IBV_QPS_INIT, 0, INIT | NOT_RECV},
	{&receives, IBV_QPS_INIT, IBV_QPS_RTR, CONNECT | NOT_SEND, IBV_QP_ACCESS_FLAGS | IBV_QP_PKEY_INDEX | NOT_RECV},
	{&receives, IBV_QPS_RTR, IBV_QPS_RTS, IBV_QP_SQ_PSN | IBV_QP_TIMEOUT, PATH | IBV_QP_MIN_RNR_TIMER | NOT_RECV},
	{&receives, IBV_QPS_RTS, IBV_QPS_RTS, 0, PATH | IBV_QP_MIN_RNR_TIMER | NOT_RECV},
};

static const enum wrong_srq unknown = UNKNOWN, another = OF_ANOTHER_DOMAIN, not_xrc = NOT_XRC, gone = DESTROYED;

static const struct test tests[] = {
	{"operations", operations, NULL},
	{"chooses_the_srq", chooses_the_srq, NULL},
	{"long_messages", long_messages, NULL},
	{"an_unknown_srq", wrong_srq, &unknown},
	{"an_srq_of_another_domain", wrong_srq, &another},
	{"an_srq_that_is_not_for_xrc", wrong_srq, &not_xrc},
	{"an_srq_that_is_destroyed", wrong_srq, &gone},
	{"destroyed_midway", destroyed_midway, NULL},
	{"another_has_its_number", another_has_its_number, NULL},
	{"nothing_to_post_to", nothing_to_post_to, NULL},
	{"waits_for_a_receive", waits_for_a_receive, NULL},
	{"send_reset_to_init", required_and_optional, &steps[0]},
	{"send_init_to_init", required_and_optional, &steps[1]},
	{"send_init_to_rtr", required_and_optional, &steps[2]},
	{"send_rtr_to_rts", required_and_optional, &steps[3]},
	{"send_rts_to_rts", required_and_optional, &steps[4]},
	{"recv_reset_to_init", required_and_optional, &steps[5]},
	{"recv_init_to_init", required_and_optional, &steps[6]},
	{"recv_init_to_rtr", required_and_optional, &steps[7]},
	{"recv_rtr_to_rts", required_and_optional, &steps[8]},
	{"recv_rts_to_rts", required_and_optional, &steps[9]},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
