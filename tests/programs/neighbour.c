/* A pair of programs that know nothing of any attack and notice nothing of it. For tests/integration/test_hostile.py. */
#include "verbs_test.h"

enum { STALL_MS = 3000 }; /* 20 to 200 ms are usual; a machine that is busy with other things takes longer */
enum { BLOCK = 300000 }; /* more than a turn of the router's */

static struct ibv_wc within(struct ibv_cq *cq, double limit_ms)
{
	struct ibv_wc wc;
	double start = now_ms();

	while (ibv_poll_cq(cq, 1, &wc) == 0)
		CHECK(now_ms() - start < limit_ms, "stalled for %.0f ms", limit_ms);
	CHECK(wc.status == IBV_WC_SUCCESS, "'%s'", ibv_wc_status_str(wc.status));
	return wc;
}

static void neighbour_serves(int socket, const void *row)
{
	const struct wish *wish = row;
	struct address peer;
	struct end end;

	open_end(&end, wish);
	meet(socket, &end, &peer, wish);
	post_recv(&end, 0, BLOCK, 4);
	for (uint32_t seed; within(end.recv_cq, 60000).byte_len == 4;) { /* the seed of what was written before it */
		memcpy(&seed, end.buffer + BLOCK, 4);
		check_filled(end.buffer, BLOCK, seed, "written");
		post_recv(&end, 0, BLOCK, 4);
		post_simple(&end, 0, IBV_WR_SEND, BLOCK, 4, NULL, 0);
		within(end.send_cq, STALL_MS);
	}
}

/* Writes, reads back, counts and sends, and looks at every byte; one that knows nothing of any attack. */
static void neighbour(const void *row)
{
	const char *limit = getenv("HOSTILE_MS");
	const struct wish wish = {.size = 2 * BLOCK + 65536, .timeout = 20};
	double end, start, worst = 0;
	struct address peer;
	struct end me, other = {0};
	uint64_t turns = 0, counted;
	struct ibv_mr theirs;
	int socket;
	pid_t child;

	(void)row;
	child = split(neighbour_serves, &wish, &socket);
	open_end(&me, &wish);
	meet(socket, &me, &peer, &wish);
	theirs = (struct ibv_mr){.rkey = peer.rkey};
	other.buffer = (char *)(uintptr_t)peer.addr;
	other.mr = &theirs;
	printf("%x %x %" PRIx64 "\n", peer.qpn, peer.rkey, peer.addr);
	fflush(stdout);
	for (end = now_ms() + (limit ? atof(limit) : 2000); now_ms() < end; turns++) {
		uint32_t seed = (uint32_t)turns;
		start = now_ms();
		fill(me.buffer, BLOCK, seed);
		memcpy(me.buffer + BLOCK, &seed, 4);
		post_recv(&me, 0, BLOCK + 64, 4);
		post_simple(&me, 1, IBV_WR_RDMA_WRITE, 0, BLOCK, &other, 0);
		post_simple(&me, 2, IBV_WR_SEND, BLOCK, 4, NULL, 0);
		within(me.send_cq, STALL_MS);
		within(me.send_cq, STALL_MS);
		within(me.recv_cq, STALL_MS);
		post_simple(&me, 3, IBV_WR_RDMA_READ, BLOCK + 4096, BLOCK, &other, 0);
		post_simple(&me, 4, IBV_WR_ATOMIC_FETCH_AND_ADD, BLOCK + 128, 8, &other, BLOCK + 4096);
		within(me.send_cq, STALL_MS);
		within(me.send_cq, STALL_MS);
		check_filled(me.buffer + BLOCK + 4096, BLOCK, seed, "read");
		memcpy(&counted, me.buffer + BLOCK + 128, 8);
		CHECK(counted == 0, "a stranger's bytes: %#" PRIx64, counted);
		worst = now_ms() - start > worst ? now_ms() - start : worst;
	}
	post_simple(&me, 5, IBV_WR_SEND, BLOCK, 0, NULL, 0);
	within(me.send_cq, STALL_MS);
	join(child);
	fprintf(stderr, "%" PRIu64 " turns, the longest %.0f ms\n", turns, worst);
}

static const struct test tests[] = {{"neighbour", neighbour, NULL}};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
