/* RC: peers that are not ready, or not there. RNR timers and counts, retry counts, peers that vanish. */
#include "verbs_test.h"

#include <stdbool.h>

/* ---- receiver not ready ------------------------------------------------------------------------------------------ */

/* IBTA table 46: what min_rnr_timer stands for, ms. */
static double rnr_timer_ms(int code)
{
	static const double ms[32] = {655.36, 0.01,  0.02,  0.03,  0.04,  0.06,	  0.08,	  0.12,	  0.16,	 0.24,	0.32,
				      0.48,   0.64,  0.96,  1.28,  1.92,  2.56,	  3.84,	  5.12,	  7.68,	 10.24, 15.36,
				      20.48,  30.72, 40.96, 61.44, 81.92, 122.88, 163.84, 245.76, 327.68, 491.52};
	return ms[code];
}

struct rnr {
	int timer, retries; /* retries: 0 to 6 */
};
static const struct rnr rnr_rows[] = {{12, 0}, {12, 6}, {20, 1}, {20, 5}, {24, 2}, {26, 1}, {28, 1}};

/* Every retry waits at least the responder's timer; then the request fails, and the responder is none the worse. */
static void rnr_count_and_timer(const void *row)
{
	const struct rnr *r = row;
	const struct wish wish = {.rnr_timer = r->timer, .rnr_retry = r->retries ? r->retries : NO_RETRY};
	double least = r->retries * rnr_timer_ms(r->timer), began, took;
	struct end a, b;

	open_pair(&a, &b, &wish);
	began = now_ms();
	post_simple(&a, 1, IBV_WR_SEND, 0, 64, NULL, 0);
	expect(a.send_cq, 1, IBV_WC_RNR_RETRY_EXC_ERR);
	took = now_ms() - began;
	CHECK(took >= least, "failed after %.2f ms, before %d retries of %.2f ms", took, r->retries, rnr_timer_ms(r->timer));
	CHECK(took <= 3 * least + 200, "failed only after %.2f ms, %d retries of %.2f ms", took, r->retries,
	      rnr_timer_ms(r->timer));
	CHECK_EQ(state_of(a.qp), IBV_QPS_ERR);
	CHECK_EQ(state_of(b.qp), IBV_QPS_RTS);
}

/* 7 means for ever. The receive comes late, and everything behind the first message still comes in order. */
static void rnr_for_ever(const void *row)
{
	enum { MESSAGES = 8 };
	const struct wish wish = {.rnr_timer = 10, .rnr_retry = 7};
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	for (unsigned n = 0; n < MESSAGES; n++) {
		fill(a.buffer + n * 64, 64, n);
		post_simple(&a, n, IBV_WR_SEND, n * 64, 64, NULL, 0);
	}
	expect_nothing(a.send_cq, 300);
	for (unsigned n = 0; n < MESSAGES; n++)
		post_recv(&b, n, n * 64, 64);
	for (unsigned n = 0; n < MESSAGES; n++) {
		expect(b.recv_cq, n, IBV_WC_SUCCESS);
		expect(a.send_cq, n, IBV_WC_SUCCESS);
		check_filled(b.buffer + n * 64, 64, n, "message after the wait");
	}
}

/* Progress resets the count: many waits, each shorter than the whole patience. */
static void rnr_count_starts_anew(const void *row)
{
	const struct wish wish = {.rnr_timer = 28, .rnr_retry = 3}; /* 3 x 164 ms for each message */
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	for (unsigned n = 0; n < 4; n++) {
		post_simple(&a, n, IBV_WR_SEND, 0, 64, NULL, 0);
		expect_nothing(a.send_cq, 200); /* two of the three; a busy machine has as long again */
		post_recv(&b, n, 0, 64);
		expect(b.recv_cq, n, IBV_WC_SUCCESS);
		expect(a.send_cq, n, IBV_WC_SUCCESS);
	}
}

/* While one QP waits for its peer's receive, another of the same program is served. */
static void rnr_delays_nobody_else(const void *row)
{
	const struct wish wish = {.rnr_timer = 31, .rnr_retry = 7}; /* 0.49 s */
	struct end a, b, c, d;
	double began;

	(void)row;
	open_pair(&a, &b, &wish);
	open_pair(&c, &d, &wish);
	post_simple(&a, 1, IBV_WR_SEND, 0, 64, NULL, 0);
	expect_nothing(a.send_cq, 20);
	began = now_ms();
	for (unsigned n = 0; n < 100; n++) {
		post_simple(&c, n, IBV_WR_RDMA_WRITE, 0, 64, &d, 0);
		expect(c.send_cq, n, IBV_WC_SUCCESS);
	}
	CHECK(now_ms() - began < 300, "100 WRITEs of another QP took %.1f ms", now_ms() - began);
}

/* ---- nobody there ------------------------------------------------------------------------------------------------ */

/* What a's requests should meet: a QP that does not answer them. */
static void peer_never_was(struct end *a, struct end *b, const struct wish *wish)
{
	struct address nowhere = address_of(b);

	nowhere.qpn ^= 0x5a5a;
	connect_to(a, &nowhere, wish);
}

static void peer_in_init(struct end *a, struct end *b, const struct wish *wish)
{
	struct address of_b = address_of(b);

	to_init(b, wish);
	connect_to(a, &of_b, wish);
}

static void peer_in_error(struct end *a, struct end *b, const struct wish *wish)
{
	struct address of_a = address_of(a), of_b = address_of(b);

	connect_to(b, &of_a, wish);
	connect_to(a, &of_b, wish);
	CHECK_EQ(set_state(b->qp, IBV_QPS_ERR), 0);
}

static void peer_destroyed(struct end *a, struct end *b, const struct wish *wish)
{
	struct address of_a = address_of(a), of_b = address_of(b);

	connect_to(b, &of_a, wish);
	connect_to(a, &of_b, wish);
	CHECK_EQ(ibv_destroy_qp(b->qp), 0);
	b->qp = NULL;
}

/* A responder takes requests only from the QP that it is connected to. */
static void peer_of_another(struct end *a, struct end *b, const struct wish *wish)
{
	struct address of_a = address_of(a), of_b = address_of(b);

	of_a.qpn ^= 0x1;
	connect_to(b, &of_a, wish);
	connect_to(a, &of_b, wish);
}

struct absence {
	void (*arrange)(struct end *, struct end *, const struct wish *);
	int opcode;
	int retries;
};
static const struct absence absences[] = {
	{peer_never_was, IBV_WR_SEND, 2},	{peer_never_was, IBV_WR_RDMA_WRITE, NO_RETRY},
	{peer_never_was, IBV_WR_RDMA_READ, 7},	{peer_in_init, IBV_WR_SEND, 2},
	{peer_in_error, IBV_WR_RDMA_WRITE, 2},	{peer_destroyed, IBV_WR_SEND, 2},
	{peer_destroyed, IBV_WR_RDMA_WRITE, 2}, {peer_destroyed, IBV_WR_ATOMIC_FETCH_AND_ADD, 2},
	{peer_of_another, IBV_WR_RDMA_WRITE, 2},
};

static void nobody_there(const void *row)
{
	enum { TIMEOUT = 13 }; /* 4.096 us * 2^13 = 34 ms */
	const struct absence *n = row;
	const struct wish wish = {.timeout = TIMEOUT, .retry_cnt = n->retries};
	double most = 4 * 34 * (1 + (n->retries == NO_RETRY ? 0 : n->retries)) + 500, began, took;
	struct end a, b;

	open_end(&a, &wish);
	open_end(&b, &wish);
	memset(b.buffer, 0x77, 4096);
	n->arrange(&a, &b, &wish);
	began = now_ms();
	post_simple(&a, 1, n->opcode, 0, 8, &b, 0);
	post_simple(&a, 2, IBV_WR_SEND, 0, 8, NULL, 0);
	expect(a.send_cq, 1, IBV_WC_RETRY_EXC_ERR);
	expect(a.send_cq, 2, IBV_WC_WR_FLUSH_ERR);
	took = now_ms() - began;
	CHECK(took <= most, "failed only after %.1f ms", took);
	check_bytes(b.buffer, 4096, 0x77, "memory behind the wrong QP");
}

/* The peer joins before the retries are used up: nothing was lost. */
static void peer_comes_late(const void *row)
{
	const struct wish wish = {.timeout = 14, .retry_cnt = 7}; /* about 0.5 s */
	struct address of_a, of_b;
	struct end a, b;

	(void)row;
	open_end(&a, &wish);
	open_end(&b, &wish);
	of_a = address_of(&a);
	of_b = address_of(&b);
	connect_to(&a, &of_b, &wish);
	fill(a.buffer, 64, 1);
	post_simple(&a, 1, IBV_WR_RDMA_WRITE, 0, 64, &b, 0);
	expect_nothing(a.send_cq, 100);
	connect_to(&b, &of_a, &wish);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	check_filled(b.buffer, 64, 1, "written late");
}

/* ---- a peer that dies -------------------------------------------------------------------------------------------- */

static const struct wish mortal = {.timeout = 14, .retry_cnt = 2, .rnr_retry = 7};

static void the_one_who_dies(int socket, const void *row)
{
	struct address peer;
	struct end end;
	char word;

	(void)row;
	open_end(&end, &mortal);
	meet(socket, &end, &peer, &mortal);
	hear(socket, &word, 1); /* never comes */
}

/* In the middle of a stream of WRITEs or SENDs its process is killed: the survivor's requests fail within seconds, and
 * its session goes on. */
static void killed_in_traffic(const void *row)
{
	int opcode = *(const int *)row, socket, status;
	pid_t child = split(the_one_who_dies, NULL, &socket);
	struct ibv_wc wc;
	struct address peer;
	struct end a, c, d;
	const struct wish usual = {0};
	double began = 0;
	bool killed = false;

	open_end(&a, &mortal);
	meet(socket, &a, &peer, &mortal);
	for (uint64_t n = 0;; n++) {
		struct ibv_sge sge = part(&a, 0, 4096);
		struct ibv_send_wr wr = request(n, opcode, &sge, 1, NULL, 0);

		wr.wr.rdma.remote_addr = peer.addr;
		wr.wr.rdma.rkey = peer.rkey;
		post(&a, &wr);
		if (n == (opcode == IBV_WR_SEND ? 0 : 100)) {
			kill(child, SIGKILL);
			waitpid(child, &status, 0);
			began = now_ms();
			killed = true;
		}
		wc = next_wc(a.send_cq);
		if (wc.status != IBV_WC_SUCCESS)
			break;
		CHECK(!killed || now_ms() - began < 5000, "WRITEs still succeed 5 s after the peer's death");
	}
	CHECK(wc.status == IBV_WC_RETRY_EXC_ERR, "the survivor sees '%s'", ibv_wc_status_str(wc.status));
	CHECK(now_ms() - began < 5000, "it took %.0f ms", now_ms() - began);
	open_pair(&c, &d, &usual);
	post_simple(&c, 1, IBV_WR_RDMA_WRITE, 0, 64, &d, 0);
	expect(c.send_cq, 1, IBV_WC_SUCCESS);
}

static const int by_write = IBV_WR_RDMA_WRITE, by_send = IBV_WR_SEND;

static const struct test tests[] = {
	{"rnr_no_retry", rnr_count_and_timer, &rnr_rows[0]},
	{"rnr_6_of_0.64ms", rnr_count_and_timer, &rnr_rows[1]},
	{"rnr_1_of_10ms", rnr_count_and_timer, &rnr_rows[2]},
	{"rnr_5_of_10ms", rnr_count_and_timer, &rnr_rows[3]},
	{"rnr_2_of_41ms", rnr_count_and_timer, &rnr_rows[4]},
	{"rnr_1_of_82ms", rnr_count_and_timer, &rnr_rows[5]},
	{"rnr_1_of_164ms", rnr_count_and_timer, &rnr_rows[6]},
	{"rnr_for_ever", rnr_for_ever, NULL},
	{"rnr_count_starts_anew", rnr_count_starts_anew, NULL},
	{"rnr_delays_nobody_else", rnr_delays_nobody_else, NULL},
	{"send_to_no_qp", nobody_there, &absences[0]},
	{"write_to_no_qp_without_retry", nobody_there, &absences[1]},
	{"read_from_no_qp_7_retries", nobody_there, &absences[2]},
	{"send_to_init", nobody_there, &absences[3]},
	{"write_to_error", nobody_there, &absences[4]},
	{"send_to_destroyed", nobody_there, &absences[5]},
	{"write_to_destroyed", nobody_there, &absences[6]},
	{"atomic_to_destroyed", nobody_there, &absences[7]},
	{"write_to_qp_of_another", nobody_there, &absences[8]},
	{"peer_comes_late", peer_comes_late, NULL},
	{"peer_killed_during_writes", killed_in_traffic, &by_write},
	{"peer_killed_during_send", killed_in_traffic, &by_send},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
