/* RC: what ibv_post_send and ibv_post_recv refuse, and which request they name. */
#include "verbs_test.h"

static const struct wish usual = {0};

/* ---- states ------------------------------------------------------------------------------------------------------ */

static void by_state(const void *row)
{
	static const int states[] = {IBV_QPS_RESET, IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS};
	struct ibv_send_wr *bad_send, send;
	struct ibv_recv_wr *bad_recv, recv;
	struct address mine;
	struct ibv_sge sge;
	struct end end;

	(void)row;
	open_end(&end, &usual);
	mine = address_of(&end);
	sge = part(&end, 0, 8);
	send = request(1, IBV_WR_RDMA_WRITE, &sge, 1, &end, 64);
	recv = (struct ibv_recv_wr){.wr_id = 2, .sg_list = &sge, .num_sge = 1};
	for (size_t i = 0; i < COUNT(states); i++) {
		if (states[i] == IBV_QPS_INIT)
			to_init(&end, &usual);
		if (states[i] == IBV_QPS_RTR)
			to_rtr(&end, &mine, &usual);
		if (states[i] == IBV_QPS_RTS)
			to_rts(&end, &usual);
		bad_send = NULL;
		bad_recv = NULL;
		CHECK_EQ(ibv_post_send(end.qp, &send, &bad_send), states[i] == IBV_QPS_RTS ? 0 : EINVAL);
		CHECK(states[i] == IBV_QPS_RTS || bad_send == &send, "bad_wr of post_send in state %d", states[i]);
		CHECK_EQ(ibv_post_recv(end.qp, &recv, &bad_recv), states[i] == IBV_QPS_RESET ? EINVAL : 0);
		CHECK(states[i] != IBV_QPS_RESET || bad_recv == &recv, "bad_wr of post_recv in RESET");
	}
	expect(end.send_cq, 1, IBV_WC_SUCCESS);
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

/* What is before the bad one is executed, it and what follows is not. */
static void bad_one_in_a_list(const void *row)
{
	enum { GOOD = 3, ALL = 6 };
	struct ibv_send_wr wr[ALL], *bad = NULL;
	struct ibv_sge sge, many[32];
	struct end a, b;
	int error;

	(void)row;
	open_pair(&a, &b, &usual);
	sge = part(&a, 0, 64);
	for (size_t n = 0; n < COUNT(many); n++)
		many[n] = sge;
	for (uint64_t n = 0; n < ALL; n++) {
		wr[n] = request(n, IBV_WR_RDMA_WRITE, &sge, 1, &b, n * 64);
		wr[n].next = n + 1 < ALL ? &wr[n + 1] : NULL;
	}
	fill(a.buffer, 64, 1);
	wr[GOOD].sg_list = many;
	wr[GOOD].num_sge = COUNT(many); /* four were asked for, and rings are rounded up at most to eight */
	error = ibv_post_send(a.qp, wr, &bad);
	CHECK(error == EINVAL || error == ENOMEM, "%s", strerror(error));
	CHECK(bad == &wr[GOOD], "bad_wr is request %td", bad - wr);
	for (uint64_t n = 0; n < GOOD; n++)
		expect(a.send_cq, n, IBV_WC_SUCCESS);
	expect_nothing(a.send_cq, 20);
	check_filled(b.buffer + (GOOD - 1) * 64, 64, 1, "the last good one");
	check_bytes(b.buffer + GOOD * 64, (ALL - GOOD) * 64, 0, "the bad one and those behind it");
	post_simple(&a, 9, IBV_WR_RDMA_WRITE, 0, 64, &b, 0); /* no gap is left in the ring */
	expect(a.send_cq, 9, IBV_WC_SUCCESS);
}

static void bad_one_in_a_list_of_receives(const void *row)
{
	struct ibv_recv_wr wr[3], *bad = NULL;
	struct ibv_sge sge, many[32];
	struct end a, b;
	int error;

	(void)row;
	open_pair(&a, &b, &usual);
	sge = part(&b, 0, 64);
	for (size_t n = 0; n < COUNT(many); n++)
		many[n] = sge;
	for (uint64_t n = 0; n < 3; n++)
		wr[n] = (struct ibv_recv_wr){.wr_id = n, .sg_list = n == 1 ? many : &sge, .num_sge = n == 1 ? 32 : 1,
					     .next = n < 2 ? &wr[n + 1] : NULL};
	error = ibv_post_recv(b.qp, wr, &bad);
	CHECK(error == EINVAL || error == ENOMEM, "%s", strerror(error));
	CHECK(bad == &wr[1], "bad_wr is request %td", bad - wr);
	post_recv(&b, 7, 0, 64);
	for (uint64_t n = 0; n < 2; n++)
		post_simple(&a, n, IBV_WR_SEND, 0, 8, NULL, 0);
	expect(b.recv_cq, 0, IBV_WC_SUCCESS);
	expect(b.recv_cq, 7, IBV_WC_SUCCESS);
}

/* ---- full queues ------------------------------------------------------------------------------------------------- */

/* The queue holds at least what was asked for. When it is full: ENOMEM, and bad_wr is the first without a place. */
static void send_queue_full(const void *row)
{
	enum { DEPTH = 8, MORE = 200 };
	const struct wish wish = {.send_wr = DEPTH, .cqe = MORE, .rnr_timer = 25};
	struct ibv_send_wr wr[MORE], *bad = NULL;
	struct ibv_sge sge;
	struct end a, b;
	uint64_t posted, n;

	(void)row;
	open_pair(&a, &b, &wish);
	sge = part(&a, 0, 64);
	for (n = 0; n < MORE; n++) {
		wr[n] = request(n, IBV_WR_SEND, &sge, 1, NULL, 0);
		wr[n].next = n + 1 < MORE ? &wr[n + 1] : NULL;
	}
	CHECK_EQ(ibv_post_send(a.qp, wr, &bad), ENOMEM); /* nobody receives, so nothing completes */
	posted = (uint64_t)(bad - wr);
	CHECK(posted >= DEPTH && posted < MORE, "%" PRIu64 " went in", posted);
	bad = NULL;
	CHECK_EQ(ibv_post_send(a.qp, &wr[MORE - 1], &bad), ENOMEM);
	CHECK(bad == &wr[MORE - 1], "bad_wr of a single request");
	for (n = 0; n < posted; n++) {
		post_recv(&b, n, 0, 64);
		expect(a.send_cq, n, IBV_WC_SUCCESS);
	}
	wr[0].next = NULL;
	CHECK_EQ(ibv_post_send(a.qp, &wr[0], &bad), 0);
	post_recv(&b, 0, 0, 64);
	expect(a.send_cq, 0, IBV_WC_SUCCESS);
}

static void receive_queue_full(const void *row)
{
	enum { DEPTH = 8, MORE = 200 };
	const struct wish wish = {.recv_wr = DEPTH, .cqe = MORE};
	struct ibv_recv_wr wr[MORE], *bad = NULL;
	struct ibv_sge sge;
	struct end a, b;
	uint64_t posted, n;

	(void)row;
	open_pair(&a, &b, &wish);
	sge = part(&b, 0, 64);
	for (n = 0; n < MORE; n++)
		wr[n] = (struct ibv_recv_wr){.wr_id = n, .sg_list = &sge, .num_sge = 1,
					     .next = n + 1 < MORE ? &wr[n + 1] : NULL};
	CHECK_EQ(ibv_post_recv(b.qp, wr, &bad), ENOMEM);
	posted = (uint64_t)(bad - wr);
	CHECK(posted >= DEPTH && posted < MORE, "%" PRIu64 " went in", posted);
	for (n = 0; n < posted; n++) {
		post_simple(&a, n, IBV_WR_SEND, 0, 8, NULL, 0);
		expect(a.send_cq, n, IBV_WC_SUCCESS);
		expect(b.recv_cq, n, IBV_WC_SUCCESS);
	}
	post_recv(&b, n, 0, 64);
}

/* ---- one request ------------------------------------------------------------------------------------------------- */

static void too_much_inline(const void *row)
{
	const struct wish wish = {.inline_bytes = 64};
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;
	struct ibv_send_wr wr, *bad = NULL;
	struct ibv_sge sge;
	struct end a, b;
	int error;

	(void)row;
	open_pair(&a, &b, &wish);
	CHECK_EQ(ibv_query_qp(a.qp, &attr, IBV_QP_CAP, &init), 0);
	sge = part(&a, 0, attr.cap.max_inline_data + 1);
	wr = request(1, IBV_WR_RDMA_WRITE, &sge, 1, &b, 0);
	wr.send_flags |= IBV_SEND_INLINE;
	error = ibv_post_send(a.qp, &wr, &bad);
	CHECK((error == EINVAL || error == ENOMEM) && bad == &wr, "%u inline bytes: %s", sge.length, strerror(error));
	sge.length--;
	post(&a, &wr);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
}

static void unknown_opcode(const void *row)
{
	struct ibv_send_wr wr, *bad = NULL;
	struct ibv_sge sge;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &usual);
	sge = part(&a, 0, 64);
	wr = request(1, 77, &sge, 1, &b, 0);
	CHECK_EQ(ibv_post_send(a.qp, &wr, &bad), EINVAL);
	CHECK(bad == &wr, "bad_wr");
	post_simple(&a, 2, IBV_WR_RDMA_WRITE, 0, 64, &b, 0);
	expect(a.send_cq, 2, IBV_WC_SUCCESS);
}

/* Everything the caps promise fits at once: all SGEs, all slots, many times around the ring. */
static void caps_are_kept(const void *row)
{
	const struct wish wish = {.send_wr = 31, .recv_wr = 33, .sge = 16, .cqe = 128};
	struct ibv_sge sge[16];
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned n = 0; n < 31; n++) {
			struct ibv_recv_wr recv = {.wr_id = n, .sg_list = sge, .num_sge = 16}, *bad;

			for (unsigned i = 0; i < 16; i++)
				sge[i] = part(&b, n * 1024 + i * 64, 64);
			CHECK_EQ(ibv_post_recv(b.qp, &recv, &bad), 0);
		}
		fill(a.buffer, 1024, round);
		for (unsigned n = 0; n < 31; n++) {
			struct ibv_send_wr wr;

			for (unsigned i = 0; i < 16; i++)
				sge[i] = part(&a, i * 64, 64);
			wr = request(n, IBV_WR_SEND, sge, 16, NULL, 0);
			post(&a, &wr);
		}
		for (unsigned n = 0; n < 31; n++) {
			expect(b.recv_cq, n, IBV_WC_SUCCESS);
			expect(a.send_cq, n, IBV_WC_SUCCESS);
			check_filled(b.buffer + n * 1024, 1024, round, "16 SGEs");
		}
	}
}

/* Rings are no larger than the caps ask for, and more than the device offers is refused. */
static void caps_have_limits(const void *row)
{
	struct ibv_device_attr device;
	struct end end;

	(void)row;
	open_end(&end, &usual);
	CHECK_EQ(ibv_query_device(end.context, &device), 0);
	for (int i = 0; i < 4; i++) {
		struct ibv_qp_init_attr attr = {.send_cq = end.send_cq, .recv_cq = end.recv_cq, .qp_type = IBV_QPT_RC,
						.cap = {1, 1, 1, 1, 0}};

		attr.cap.max_send_wr = i == 0 ? (uint32_t)device.max_qp_wr + 1 : 1;
		attr.cap.max_recv_wr = i == 1 ? (uint32_t)device.max_qp_wr + 1 : 1;
		attr.cap.max_send_sge = i == 2 ? (uint32_t)device.max_sge + 1 : 1;
		attr.cap.max_recv_sge = i == 3 ? (uint32_t)device.max_sge + 1 : 1;
		errno = 0;
		CHECK(ibv_create_qp(end.pd, &attr) == NULL, "row %d was granted", i);
		CHECK(errno == EINVAL || errno == ENOMEM, "row %d: %s", i, strerror(errno));
	}
}

static const struct test tests[] = {
	{"by_state", by_state, NULL},
	{"bad_one_in_a_list", bad_one_in_a_list, NULL},
	{"bad_one_in_a_list_of_receives", bad_one_in_a_list_of_receives, NULL},
	{"send_queue_full", send_queue_full, NULL},
	{"receive_queue_full", receive_queue_full, NULL},
	{"too_much_inline", too_much_inline, NULL},
	{"unknown_opcode", unknown_opcode, NULL},
	{"caps_are_kept", caps_are_kept, NULL},
	{"caps_have_limits", caps_have_limits, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
