/* Shared receive queues: who gets which receive, what happens when one is missing or bad, and how a QP leaves. */
#include "verbs_test.h"

enum { QPS = 8, LENGTH = 64, RECV_ID = 100 };

/* Several connections between two ends, whose receiving side has one SRQ. */
struct hub {
	struct end from[QPS], to[QPS]; /* from[n].qp is connected to to[n].qp; all else of a side is shared */
};

static void open_hub(struct hub *hub, const struct wish *wish, int qps)
{
	struct wish sender = *wish, receiver = *wish;
	struct address a, b;

	sender.srq_wr = 0;
	open_end(&hub->from[0], &sender);
	open_end(&hub->to[0], &receiver);
	for (int n = 0; n < qps; n++) {
		if (n) {
			hub->from[n] = hub->from[0];
			hub->from[n].qp = make_qp(&hub->from[n], &sender);
			hub->to[n] = hub->to[0];
			hub->to[n].qp = make_qp(&hub->to[n], &receiver);
		}
		a = address_of(&hub->from[n]);
		b = address_of(&hub->to[n]);
		connect_to(&hub->from[n], &b, &sender);
		connect_to(&hub->to[n], &a, &receiver);
	}
}

/* Every message takes the next receive, whichever QP it is for, and is told with that QP's number. */
static void in_order(const void *row)
{
	const struct wish wish = {.type = *(const int *)row, .srq_wr = 64};
	struct hub hub;
	struct ibv_wc wc;

	open_hub(&hub, &wish, QPS);
	for (int n = 0; n < 64; n++)
		post_recv(&hub.to[0], (uint64_t)(RECV_ID + n), (size_t)n * LENGTH, LENGTH);
	for (int n = 0; n < 64; n++) {
		struct end *from = &hub.from[n * 5 % QPS], *to = &hub.to[n * 5 % QPS];

		fill(from->buffer, LENGTH, (unsigned)n);
		post_simple(from, (uint64_t)n, IBV_WR_SEND, 0, (uint32_t)n, NULL, 0);
		expect(from->send_cq, (uint64_t)n, IBV_WC_SUCCESS);
		wc = expect(to->recv_cq, (uint64_t)(RECV_ID + n), IBV_WC_SUCCESS);
		CHECK_EQ(wc.qp_num, to->qp->qp_num);
		CHECK_EQ(wc.byte_len, n);
		check_filled(to->buffer + n * LENGTH, (size_t)n, (unsigned)n, "a message");
	}
}

/* Datagrams find the SRQ too; each has its 40 bytes before it. */
static void datagrams(const void *row)
{
	const struct wish wish = {.type = IBV_QPT_UD, .srq_wr = 16};
	struct hub hub;
	struct ibv_ah *ah;

	(void)row;
	open_hub(&hub, &wish, 2);
	ah = handle_to(&hub.from[0], &hub.to[0].gid);
	for (int n = 0; n < 4; n++) {
		struct ibv_sge sge = part(&hub.from[n % 2], 0, LENGTH);
		struct ibv_send_wr wr = request(1, IBV_WR_SEND, &sge, 1, NULL, 0);

		post_recv(&hub.to[0], (uint64_t)(RECV_ID + n), 0, LENGTH + 40);
		fill(hub.from[0].buffer, LENGTH, (unsigned)n);
		post_to(&hub.from[n % 2], &wr, ah, hub.to[n % 2].qp->qp_num);
		expect(hub.from[0].send_cq, 1, IBV_WC_SUCCESS);
		CHECK_EQ(expect(hub.to[0].recv_cq, (uint64_t)(RECV_ID + n), IBV_WC_SUCCESS).qp_num, hub.to[n % 2].qp->qp_num);
		check_filled(hub.to[0].buffer + 40, LENGTH, (unsigned)n, "a datagram");
	}
}

static int index_of(const struct hub *hub, uint32_t qpn)
{
	for (int n = 0; n < QPS; n++)
		if (hub->to[n].qp->qp_num == qpn)
			return n;
	fail("a completion of QP %#x", qpn);
}

/* Long messages of several QPs are under way at the same time, with short ones between: each keeps the receive that it
 * began with, and no two have the same. */
static void long_ones_at_once(const void *row)
{
	enum { LONG = 2 << 20, RECVS = 16, SHORT = QPS - 1 };
	const struct wish wish = {.type = *(const int *)row, .srq_wr = RECVS, .size = (size_t)RECVS * LONG};
	int used[RECVS] = {0}, got[QPS] = {0};
	struct hub hub;

	open_hub(&hub, &wish, QPS);
	for (int n = 0; n < RECVS; n++)
		post_recv(&hub.to[0], (uint64_t)n, (size_t)n * LONG, LONG);
	for (int n = 0; n < QPS; n++)
		fill(hub.from[0].buffer + (size_t)n * LONG, LONG, (unsigned)n);
	for (int n = 0; n < SHORT; n++)
		post_simple(&hub.from[n], (uint64_t)n, IBV_WR_SEND, (size_t)n * LONG, LONG, NULL, 0);
	for (int n = SHORT; n < RECVS; n++)
		post_simple(&hub.from[SHORT], (uint64_t)n, IBV_WR_SEND, (size_t)SHORT * LONG, LENGTH, NULL, 0);
	for (int n = 0; n < RECVS; n++) {
		struct ibv_wc wc = next_wc(hub.to[0].recv_cq);
		int of = index_of(&hub, wc.qp_num);

		CHECK(wc.status == IBV_WC_SUCCESS && wc.wr_id < RECVS && !used[wc.wr_id]++, "receive %" PRIu64 ": '%s'", wc.wr_id,
		      ibv_wc_status_str(wc.status));
		got[of]++;
		CHECK_EQ(wc.byte_len, of == SHORT ? (int)LENGTH : (int)LONG);
		check_filled(hub.to[0].buffer + wc.wr_id * (size_t)LONG, wc.byte_len, (unsigned)of, "a message");
	}
	for (int n = 0; n < SHORT; n++)
		CHECK_EQ(got[n], 1);
}

/* ---- no receive ---------------------------------------------------------------------------------------------------- */

static void waits_for_one(const void *row)
{
	const struct wish wish = {.srq_wr = 16};
	struct hub hub;

	(void)row;
	open_hub(&hub, &wish, 2);
	post_simple(&hub.from[0], 1, IBV_WR_SEND, 0, LENGTH, NULL, 0);
	post_simple(&hub.from[1], 2, IBV_WR_RDMA_WRITE_WITH_IMM, 0, LENGTH, &hub.to[1], 0);
	expect_nothing(hub.from[0].send_cq, 20);
	post_recv(&hub.to[0], RECV_ID, 0, LENGTH);
	next_wc(hub.from[0].send_cq);
	expect_nothing(hub.from[0].send_cq, 5);
	post_recv(&hub.to[0], RECV_ID + 1, 0, LENGTH);
	CHECK_EQ(next_wc(hub.from[0].send_cq).status, IBV_WC_SUCCESS);
	expect(hub.to[0].recv_cq, RECV_ID, IBV_WC_SUCCESS);
	expect(hub.to[0].recv_cq, RECV_ID + 1, IBV_WC_SUCCESS);
}

static void gives_up(const void *row)
{
	const struct wish wish = {.srq_wr = 16, .rnr_retry = 1, .rnr_timer = 1};
	struct hub hub;

	(void)row;
	open_hub(&hub, &wish, 1);
	post_simple(&hub.from[0], 1, IBV_WR_SEND, 0, LENGTH, NULL, 0);
	expect(hub.from[0].send_cq, 1, IBV_WC_RNR_RETRY_EXC_ERR);
}

/* ---- bad receives ---------------------------------------------------------------------------------------------------- */

/* A receive that cannot take its message hurts the QP that took it; the others go on. */
static void a_bad_one(const void *row)
{
	const struct wish wish = {.srq_wr = 16};
	int too_short = *(const int *)row;
	struct hub hub;
	struct ibv_sge sge;
	struct ibv_recv_wr wr = {.wr_id = RECV_ID, .sg_list = &sge, .num_sge = 1}, *bad;

	open_hub(&hub, &wish, 2);
	sge = part(&hub.to[0], 0, too_short ? LENGTH - 1 : LENGTH);
	if (!too_short)
		sge.lkey ^= 0x5a5;
	CHECK_EQ(ibv_post_srq_recv(hub.to[0].srq, &wr, &bad), 0);
	post_recv(&hub.to[0], RECV_ID + 1, 0, LENGTH);
	post_simple(&hub.from[0], 1, IBV_WR_SEND, 0, LENGTH, NULL, 0);
	expect(hub.from[0].send_cq, 1, too_short ? IBV_WC_REM_INV_REQ_ERR : IBV_WC_REM_OP_ERR);
	CHECK_EQ(expect(hub.to[0].recv_cq, RECV_ID, too_short ? IBV_WC_LOC_LEN_ERR : IBV_WC_LOC_PROT_ERR).qp_num,
		 hub.to[0].qp->qp_num);
	CHECK_EQ(state_of(hub.to[0].qp), IBV_QPS_ERR);
	CHECK_EQ(expect_async(hub.to[0].context, 1000), IBV_EVENT_QP_LAST_WQE_REACHED);
	post_simple(&hub.from[1], 2, IBV_WR_SEND, 0, LENGTH, NULL, 0);
	expect(hub.from[1].send_cq, 2, IBV_WC_SUCCESS);
	expect(hub.to[1].recv_cq, RECV_ID + 1, IBV_WC_SUCCESS);
}

/* ---- leaving --------------------------------------------------------------------------------------------------------- */

/* A QP in ERR completes nothing of the SRQ's, says that it takes nothing more, and leaves the receives to the others. */
static void last_wqe_reached(const void *row)
{
	const struct wish wish = {.srq_wr = 16};
	struct hub hub;

	(void)row;
	open_hub(&hub, &wish, 2);
	post_recv(&hub.to[0], RECV_ID, 0, LENGTH);
	CHECK_EQ(set_state(hub.to[0].qp, IBV_QPS_ERR), 0);
	CHECK_EQ(expect_async(hub.to[0].context, 1000), IBV_EVENT_QP_LAST_WQE_REACHED);
	expect_nothing(hub.to[0].recv_cq, 5);
	CHECK_EQ(set_state(hub.to[0].qp, IBV_QPS_ERR), 0);
	CHECK_EQ(expect_async(hub.to[0].context, 20), -1);
	post_simple(&hub.from[1], 1, IBV_WR_SEND, 0, LENGTH, NULL, 0);
	expect(hub.from[1].send_cq, 1, IBV_WC_SUCCESS);
	expect(hub.to[1].recv_cq, RECV_ID, IBV_WC_SUCCESS);
	CHECK_EQ(set_state(hub.from[0].qp, IBV_QPS_ERR), 0);
	CHECK_EQ(expect_async(hub.from[0].context, 20), -1); /* no SRQ */
}

/* What a QP does in the middle of a long message: it completes the receive that it had taken, or loses it. */
static void leaves_midway(const void *row)
{
	enum { LONG = 32 << 20 };
	const struct wish wish = {.srq_wr = 16, .size = LONG, .timeout = 8, .retry_cnt = 1};
	int how = *(const int *)row;
	struct hub hub;
	struct ibv_wc wc;

	open_hub(&hub, &wish, 2);
	post_recv(&hub.to[0], RECV_ID, 0, LONG);
	post_recv(&hub.to[0], RECV_ID + 1, 0, LENGTH);
	post_simple(&hub.from[0], 1, IBV_WR_SEND, 0, LONG, NULL, 0);
	usleep(1000);
	if (how == -1)
		CHECK_EQ(ibv_destroy_qp(hub.to[0].qp), 0);
	else
		CHECK_EQ(set_state(hub.to[0].qp, how), 0);
	if (how == IBV_QPS_ERR) {
		wc = next_wc(hub.to[0].recv_cq);
		CHECK(wc.wr_id == RECV_ID && (wc.status == IBV_WC_WR_FLUSH_ERR || wc.status == IBV_WC_SUCCESS), "'%s'",
		      ibv_wc_status_str(wc.status));
		CHECK_EQ(expect_async(hub.to[0].context, 1000), IBV_EVENT_QP_LAST_WQE_REACHED);
	}
	next_wc(hub.from[0].send_cq);
	post_simple(&hub.from[1], 2, IBV_WR_SEND, 0, LENGTH, NULL, 0);
	expect(hub.from[1].send_cq, 2, IBV_WC_SUCCESS);
	expect(hub.to[1].recv_cq, RECV_ID + 1, IBV_WC_SUCCESS);
}

static const int rc = IBV_QPT_RC, uc = IBV_QPT_UC, yes = 1, no = 0, gone = -1, to_error = IBV_QPS_ERR, to_reset = IBV_QPS_RESET;

static const struct test tests[] = {
	{"in_order", in_order, &rc},
	{"in_order_UC", in_order, &uc},
	{"datagrams", datagrams, NULL},
	{"long_ones_at_once", long_ones_at_once, &rc},
	{"long_ones_at_once_UC", long_ones_at_once, &uc},
	{"waits_for_one", waits_for_one, NULL},
	{"gives_up", gives_up, NULL},
	{"a_bad_one", a_bad_one, &no},
	{"one_too_short", a_bad_one, &yes},
	{"last_wqe_reached", last_wqe_reached, NULL},
	{"in_error_midway", leaves_midway, &to_error},
	{"reset_midway", leaves_midway, &to_reset},
	{"destroyed_midway", leaves_midway, &gone},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
