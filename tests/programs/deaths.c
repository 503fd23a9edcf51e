/* Programs that are killed, and those that see their peer or their router die. For tests/integration/test_deaths.py. */
#include "verbs_test.h"

#include <sched.h>
#include <sys/prctl.h>

enum { ROUNDS = 30, GRACE_MS = 5000 };

static const struct wish quick = {.timeout = 8, .retry_cnt = 1, .rnr_timer = 1, .channel = 1}; /* 1 ms, twice */

static unsigned drawn; /* what the rounds draw from */

static unsigned draw(unsigned below)
{
	drawn = drawn * 1103515245 + 12345;
	return (drawn >> 16) % below;
}

/* ---- a peer that is killed ----------------------------------------------------------------------------------------- */

static void churn(struct end *end)
{
	struct ibv_mr *mr = register_memory(end, 65536, 0);
	void *memory = mr->addr;
	struct end more = *end;
	struct ibv_qp *qp = make_qp(&more, &quick);

	CHECK_EQ(ibv_destroy_qp(qp), 0);
	CHECK_EQ(ibv_dereg_mr(mr), 0);
	memset(memory, 1, 65536);
}

static int is_an_end(enum ibv_wc_status status)
{
	return status == IBV_WC_RETRY_EXC_ERR || status == IBV_WC_WR_FLUSH_ERR;
}

/* Every kind of request towards a peer that does the same, until that one is gone. */
static void talks(int socket, const void *row)
{
	static const int opcodes[] = {IBV_WR_SEND, IBV_WR_RDMA_WRITE, IBV_WR_RDMA_READ, IBV_WR_ATOMIC_FETCH_AND_ADD};
	struct end end, other = {0};
	struct address mine, peer;
	struct ibv_mr theirs;
	struct ibv_wc wc;
	char ready = 1;

	open_end(&end, &quick);
	mine = address_of(&end);
	if (send(socket, &mine, sizeof mine, MSG_NOSIGNAL) < 0 ||
	    recv(socket, &peer, sizeof peer, MSG_WAITALL) != sizeof peer)
		return; /* killed before it could say where it is */
	connect_to(&end, &peer, &quick);
	if (send(socket, &ready, 1, MSG_NOSIGNAL) < 0 || recv(socket, &ready, 1, 0) != 1)
		return;
	theirs.rkey = peer.rkey;
	other.buffer = (char *)(uintptr_t)peer.addr;
	other.mr = &theirs;
	post_recv(&end, 0, 0, 4096);
	for (unsigned n = 0;; n++) {
		int opcode = opcodes[n % COUNT(opcodes)];
		post_simple(&end, 1, opcode, 8192, opcode == IBV_WR_ATOMIC_FETCH_AND_ADD ? 8 : 4096, &other, 16384);
		wc = next_wc(end.send_cq); /* bounded */
		if (is_an_end(wc.status))
			return;
		CHECK(wc.status == IBV_WC_SUCCESS, "'%s'", ibv_wc_status_str(wc.status));
		while (ibv_poll_cq(end.recv_cq, 1, &wc) > 0 && wc.status == IBV_WC_SUCCESS)
			post_recv(&end, 0, 0, 4096);
		if (row && n % 8 == 0)
			churn(&end);
	}
}

/* Two that talk, and a third that kills one of them some milliseconds after both are connected, or before. */
static void kill_one(const void *row)
{
	int pair[2], status, victim = (int)draw(2);
	pid_t peers[2];
	double limit;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	for (int i = 0; i < 2; i++) {
		peers[i] = fork();
		if (peers[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(pair[!i]);
			talks(pair[i], row);
			_exit(0);
		}
	}
	close(pair[0]);
	close(pair[1]);
	usleep(draw(40000));
	kill(peers[victim], SIGKILL);
	waitpid(peers[victim], &status, 0);
	for (limit = now_ms() + GRACE_MS; waitpid(peers[!victim], &status, WNOHANG) == 0; usleep(500))
		CHECK(now_ms() < limit, "the other still waits after %d ms", GRACE_MS);
	CHECK(WIFEXITED(status), "the other ended with status %#x", status);
	CHECK(WEXITSTATUS(status) == 0, "the other failed");
}

static void peers_die(const void *row)
{
	const char *seed = getenv("DEATHS_SEED");

	drawn = seed ? (unsigned)strtoull(seed, NULL, 0) : 1;
	for (int i = 0; i < ROUNDS; i++)
		kill_one(row);
}

/* ---- a router that is killed ----------------------------------------------------------------------------------------- */

static void ready(void)
{
	printf("ready\n");
	fflush(stdout);
}

static void polls(const void *row)
{
	double limit = now_ms() + 20000;
	struct ibv_wc wc;
	struct end a;

	(void)row;
	open_end(&a, &quick);
	ready();
	while (ibv_poll_cq(a.recv_cq, 1, &wc) == 0)
		CHECK(now_ms() < limit, "polled on and on");
}

static void waits_for_a_completion(const void *row)
{
	struct ibv_cq *cq;
	struct end a;
	void *context;

	(void)row;
	open_end(&a, &quick);
	CHECK_EQ(ibv_req_notify_cq(a.recv_cq, 0), 0);
	ready();
	CHECK(ibv_get_cq_event(a.channel, &cq, &context) != 0, "an event from nowhere");
}

static void waits_for_an_event(const void *row)
{
	struct ibv_async_event event;
	struct end a;

	(void)row;
	open_end(&a, &quick);
	ready();
	CHECK_EQ(ibv_get_async_event(a.context, &event), 0);
	CHECK_EQ(event.event_type, IBV_EVENT_DEVICE_FATAL);
}

static void registers(const void *row)
{
	struct ibv_mr *mr;
	struct end a;
	char *memory;

	(void)row;
	open_end(&a, &quick);
	memory = aligned_alloc(4096, 65536);
	ready();
	while ((mr = ibv_reg_mr(a.pd, memory, 65536, ALL_ACCESS)))
		ibv_dereg_mr(mr);
	CHECK(errno == EIO, "%s", strerror(errno));
	memset(memory, 1, 65536); /* it is ours, whoever dies */
}

static void makes_qps(const void *row)
{
	struct ibv_qp_init_attr attr = {.qp_type = IBV_QPT_RC, .cap = {4, 4, 1, 1, 0}};
	struct ibv_qp *qp;
	struct end a;

	(void)row;
	open_end(&a, &quick);
	attr.send_cq = attr.recv_cq = a.send_cq;
	ready();
	while ((qp = ibv_create_qp(a.pd, &attr)))
		ibv_destroy_qp(qp);
	CHECK(errno == EIO, "%s", strerror(errno));
}

/* Posting and polling, and nothing else: one of the two says so. */
static void transfers(const void *row)
{
	double limit = now_ms() + 20000;
	struct ibv_wc wc = {0};
	struct end a, b;
	int n = 0;

	(void)row;
	open_pair(&a, &b, &quick);
	ready();
	while (n >= 0 && wc.status == IBV_WC_SUCCESS) {
		struct ibv_sge sge = part(&a, 0, 4096);
		struct ibv_send_wr wr = request(1, IBV_WR_RDMA_WRITE, &sge, 1, &b, 0), *bad;
		if (ibv_post_send(a.qp, &wr, &bad))
			return;
		while ((n = ibv_poll_cq(a.send_cq, 1, &wc)) == 0)
			CHECK(now_ms() < limit, "polled on and on");
	}
}

/* ---- stopped ------------------------------------------------------------------------------------------------------ */

/* Holds something of everything, in the middle of traffic, until it is stopped; the test goes on without it. */
static void holds(const void *row)
{
	double limit = now_ms() + 20000;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &quick);
	ready();
	while (now_ms() < limit) {
		post_simple(&a, 1, IBV_WR_RDMA_WRITE, 0, 65536, &b, 0);
		expect(a.send_cq, 1, IBV_WC_SUCCESS);
	}
}

static const struct test tests[] = {
	{"peers_die", peers_die, NULL},
	{"peers_die_while_they_register", peers_die, &quick},
	{"polls", polls, NULL},
	{"waits_for_a_completion", waits_for_a_completion, NULL},
	{"waits_for_an_event", waits_for_an_event, NULL},
	{"registers", registers, NULL},
	{"makes_qps", makes_qps, NULL},
	{"transfers", transfers, NULL},
	{"holds", holds, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
