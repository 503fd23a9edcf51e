/*
 * UC: what goes wrong. What a responder does not accept is dropped, and the requester, who cannot know, sees success
 * (IBTA 9.8.2, 9.9.3 class D). Errors at home are told: they stop the send queue, and only that (SQE, 10.3.1.6).
 */
#include "verbs_test.h"

enum { RECV_ID = 100, SEND_ID = 1, AFTER_ID = 2, LENGTH = 64 };

#define BEND(name) static void name(struct end *a, struct end *b, struct ibv_send_wr *wr, struct ibv_sge *sge)
#define UNUSED (void)a, (void)b, (void)wr, (void)sge

BEND(nothing) { UNUSED; }
BEND(bad_rkey) { UNUSED; wr->wr.rdma.rkey ^= 0x5a5; }
BEND(remote_end) { UNUSED; wr->wr.rdma.remote_addr = (uintptr_t)b->buffer + b->size - LENGTH + 1; }
BEND(short_recv) { UNUSED; post_recv(b, RECV_ID, 0, LENGTH - 1); }
BEND(empty_recv) { UNUSED; post_recv(b, RECV_ID, 0, 0); }
BEND(peer_in_error) { UNUSED; CHECK_EQ(set_state(b->qp, IBV_QPS_ERR), 0); }
BEND(peer_gone) { UNUSED; CHECK_EQ(ibv_destroy_qp(b->qp), 0); b->qp = NULL; }

struct drop {
	int opcode;
	void (*bend)(struct end *a, struct end *b, struct ibv_send_wr *wr, struct ibv_sge *sge);
	int qp_access;
	int next; /* wr_id of the receive that the next good SEND finds */
};

static void dropped(const void *row)
{
	const struct drop *d = row;
	const struct wish wish = {.type = IBV_QPT_UC, .qp_access = d->qp_access};
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct end a, b;

	open_pair(&a, &b, &wish);
	fill(a.buffer, LENGTH, 1);
	memset(b.buffer, 0x77, b.size);
	sge = part(&a, 0, LENGTH);
	wr = request(SEND_ID, d->opcode, &sge, 1, &b, 1024);
	d->bend(&a, &b, &wr, &sge);
	post(&a, &wr);
	expect(a.send_cq, SEND_ID, IBV_WC_SUCCESS);
	CHECK_EQ(state_of(a.qp), IBV_QPS_RTS);
	expect_nothing(b.recv_cq, 5);
	check_bytes(b.buffer, b.size, 0x77, "the responder's memory");
	if (!b.qp || state_of(b.qp) == IBV_QPS_ERR)
		return;
	CHECK_EQ(state_of(b.qp), IBV_QPS_RTS);
	post_recv(&b, RECV_ID + 1, 0, LENGTH);
	post_simple(&a, AFTER_ID, IBV_WR_SEND, 0, d->next == RECV_ID ? 0 : LENGTH, NULL, 0);
	expect(b.recv_cq, (uint64_t)d->next, IBV_WC_SUCCESS);
	expect(a.send_cq, AFTER_ID, IBV_WC_SUCCESS);
}

static const struct drop send_no_recv = {IBV_WR_SEND, nothing, 0, RECV_ID + 1},
			 write_imm_no_recv = {IBV_WR_RDMA_WRITE_WITH_IMM, nothing, 0, RECV_ID + 1},
			 send_recv_too_short = {IBV_WR_SEND, short_recv, 0, RECV_ID},
			 send_recv_empty = {IBV_WR_SEND, empty_recv, 0, RECV_ID},
			 write_bad_rkey = {IBV_WR_RDMA_WRITE, bad_rkey, 0, RECV_ID + 1},
			 write_remote_end = {IBV_WR_RDMA_WRITE, remote_end, 0, RECV_ID + 1},
			 write_imm_bad_rkey = {IBV_WR_RDMA_WRITE_WITH_IMM, bad_rkey, 0, RECV_ID + 1},
			 write_qp_forbids = {IBV_WR_RDMA_WRITE, nothing, NO_ACCESS, RECV_ID + 1},
			 to_a_qp_in_error = {IBV_WR_SEND, peer_in_error, 0, 0},
			 to_a_qp_that_is_gone = {IBV_WR_RDMA_WRITE, peer_gone, 0, 0};

/* The responder's own mistake is told to it: its receive names memory that it does not have (class A). */
static void bad_receive(const void *row)
{
	const struct wish wish = {.type = IBV_QPT_UC};
	struct ibv_recv_wr recv, *bad;
	struct ibv_sge sge;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	sge = part(&b, 0, LENGTH);
	sge.lkey ^= 0x5a5;
	recv = (struct ibv_recv_wr){.wr_id = RECV_ID, .sg_list = &sge, .num_sge = 1};
	CHECK_EQ(ibv_post_recv(b.qp, &recv, &bad), 0);
	post_simple(&a, SEND_ID, IBV_WR_SEND, 0, LENGTH, NULL, 0);
	expect(a.send_cq, SEND_ID, IBV_WC_SUCCESS);
	expect(b.recv_cq, RECV_ID, IBV_WC_LOC_PROT_ERR);
	CHECK_EQ(state_of(b.qp), IBV_QPS_ERR);
	CHECK_EQ(state_of(a.qp), IBV_QPS_RTS);
}

/* A send error stops the send queue: what is behind it flushes, receiving goes on, and RTS sets it going again. */
static void send_error_and_back(const void *row)
{
	const struct wish wish = {.type = IBV_QPT_UC};
	struct ibv_send_wr wr[3];
	struct ibv_sge sge[3];
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	for (int n = 0; n < 3; n++) {
		sge[n] = part(&a, 0, LENGTH);
		wr[n] = request((uint64_t)n, IBV_WR_RDMA_WRITE, &sge[n], 1, &b, 0);
		wr[n].next = n < 2 ? &wr[n + 1] : NULL;
	}
	sge[1].lkey ^= 0x5a5;
	post(&a, wr);
	expect(a.send_cq, 0, IBV_WC_SUCCESS);
	expect(a.send_cq, 1, IBV_WC_LOC_PROT_ERR);
	expect(a.send_cq, 2, IBV_WC_WR_FLUSH_ERR);
	CHECK_EQ(state_of(a.qp), IBV_QPS_SQE);
	post_simple(&a, 3, IBV_WR_RDMA_WRITE, 0, LENGTH, &b, 0);
	expect(a.send_cq, 3, IBV_WC_WR_FLUSH_ERR);
	post_recv(&a, RECV_ID, 0, LENGTH);
	expect_nothing(a.recv_cq, 5);
	post_simple(&b, 4, IBV_WR_SEND, 0, LENGTH, NULL, 0);
	expect(a.recv_cq, RECV_ID, IBV_WC_SUCCESS);
	CHECK_EQ(set_state(a.qp, IBV_QPS_RTS), 0);
	fill(a.buffer, LENGTH, 5);
	post_simple(&a, 5, IBV_WR_RDMA_WRITE, 0, LENGTH, &b, 128);
	expect(a.send_cq, 5, IBV_WC_SUCCESS);
	check_filled(b.buffer + 128, LENGTH, 5, "after SQE");
}

/* A message waits for a receiver that is late once, not each time: the router drops the rest at once. */
static void a_silent_receiver_holds_nobody_up(const void *row)
{
	enum { MESSAGES = 1000 };
	const struct wish wish = {.type = IBV_QPT_UC, .send_wr = MESSAGES, .cqe = MESSAGES};
	struct end a, b;
	double before;

	(void)row;
	open_pair(&a, &b, &wish);
	before = now_ms();
	for (uint64_t n = 0; n < MESSAGES; n++)
		post_simple(&a, n, IBV_WR_SEND, 0, 8, NULL, 0);
	for (uint64_t n = 0; n < MESSAGES; n++)
		expect(a.send_cq, n, IBV_WC_SUCCESS);
	CHECK(now_ms() - before < 2000, "%d messages to nobody took %.0f ms", MESSAGES, now_ms() - before);
	post_recv(&b, RECV_ID, 0, 64);
	expect_nothing(b.recv_cq, 30);
}

/* A receiver that is a little late loses nothing. */
static void a_late_receiver_is_waited_for(const void *row)
{
	const struct wish wish = {.type = IBV_QPT_UC};
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	for (uint64_t n = 0; n < 20; n++) {
		post_simple(&a, n, IBV_WR_SEND, 0, 8, NULL, 0);
		usleep(100);
		post_recv(&b, RECV_ID + n, 0, 64);
		expect(b.recv_cq, RECV_ID + n, IBV_WC_SUCCESS);
		expect(a.send_cq, n, IBV_WC_SUCCESS);
	}
}

static const struct test tests[] = {
	{"send_no_recv", dropped, &send_no_recv},
	{"write_imm_no_recv", dropped, &write_imm_no_recv},
	{"send_recv_too_short", dropped, &send_recv_too_short},
	{"send_recv_empty", dropped, &send_recv_empty},
	{"write_bad_rkey", dropped, &write_bad_rkey},
	{"write_remote_end", dropped, &write_remote_end},
	{"write_imm_bad_rkey", dropped, &write_imm_bad_rkey},
	{"write_qp_forbids", dropped, &write_qp_forbids},
	{"to_a_qp_in_error", dropped, &to_a_qp_in_error},
	{"to_a_qp_that_is_gone", dropped, &to_a_qp_that_is_gone},
	{"bad_receive", bad_receive, NULL},
	{"send_error_and_back", send_error_and_back, NULL},
	{"a_silent_receiver_holds_nobody_up", a_silent_receiver_holds_nobody_up, NULL},
	{"a_late_receiver_is_waited_for", a_late_receiver_is_waited_for, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
