/*
 * The relay floor: what a message costs at least when a third process hands it on.
 *
 * Three processes pass one cache line A -> router -> B, and B answers the same way. No queue, no check, no copy but
 * the payload's. One way is half of A's round trip, as ib_send_lat counts.
 *
 *   relay [--iterations N] [--payload BYTES] [--spin LOOKS] [--pure-spin] [--hogs N]
 *
 * --payload   the router also copies that many bytes from A's buffer to B's, as it would for a SEND
 * --spin      empty looks before each yield (0: a yield after every one)
 * --pure-spin never yield: the floor of a machine with a core for each party
 * --hogs      that many processes burn CPU beside it
 */
#include "floors.h"

struct line {
	_Alignas(64) a64 seq;
};

static struct shared {
	struct line from_a, to_b, from_b, to_a;
} *lines;
static char *buffer_a, *buffer_b;
static size_t payload;
static long spin;

/* Acquire pairs with the release store of whoever sent `expected`. */
static void await(const a64 *seq, uint64_t expected)
{
	for (long looks = 0; atomic_load_explicit(seq, memory_order_acquire) != expected; looks++) {
		if (spin < 0)
			continue;
		if (looks >= spin) {
			sched_yield();
			looks = -1;
		}
	}
}

static void pass(a64 *seq, uint64_t value)
{
	atomic_store_explicit(seq, value, memory_order_release);
}

/* One poller over both directions, as a router is: it yields only when neither has anything. */
static void router(void *unused)
{
	uint64_t a = 1, b = 1;
	long looks = 0;

	(void)unused;
	for (;;) {
		int worked = 0;

		if (atomic_load_explicit(&lines->from_a.seq, memory_order_acquire) == a) {
			memcpy(buffer_b, buffer_a, payload);
			pass(&lines->to_b.seq, a++);
			worked = 1;
		}
		if (atomic_load_explicit(&lines->from_b.seq, memory_order_acquire) == b) {
			memcpy(buffer_a + payload, buffer_b + payload, payload);
			pass(&lines->to_a.seq, b++);
			worked = 1;
		}
		if (!worked && spin >= 0 && looks++ >= spin) {
			sched_yield();
			looks = 0;
		}
	}
}

static void responder(void *unused)
{
	(void)unused;
	for (uint64_t n = 1;; n++) {
		await(&lines->to_b.seq, n);
		pass(&lines->from_b.seq, n);
	}
}

int main(int argc, char **argv)
{
	size_t n = (size_t)option(argc, argv, "--iterations", 20000), warm_up = n / 10;
	long hogs = option(argc, argv, "--hogs", 0);
	double *us = calloc(n, sizeof *us);
	pid_t others[2], burners[64];

	if (n < 10 || hogs > 64 || !us)
		return fprintf(stderr, "relay: --iterations from 10, --hogs up to 64\n"), 2;
	payload = (size_t)option(argc, argv, "--payload", 0);
	spin = option(argc, argv, "--pure-spin", 0) ? -1 : option(argc, argv, "--spin", 0);
	lines = shared_memory(sizeof *lines);
	buffer_a = shared_memory(2 * payload + 1);
	buffer_b = shared_memory(2 * payload + 1);
	for (long h = 0; h < hogs; h++)
		burners[h] = start(hog, NULL);
	others[0] = start(router, NULL);
	others[1] = start(responder, NULL);
	for (size_t i = 0; i < n + warm_up; i++) {
		uint64_t begin = now_ns();

		pass(&lines->from_a.seq, i + 1);
		await(&lines->to_a.seq, i + 1);
		if (i >= warm_up)
			us[i - warm_up] = (double)(now_ns() - begin) / 2000.0;
	}
	stop(others[0]);
	stop(others[1]);
	for (long h = 0; h < hogs; h++)
		stop(burners[h]);
	qsort(us, n, sizeof *us, by_value);
	printf("{\"median_us\": %.3f, \"p99_us\": %.3f, \"iterations\": %zu, \"payload\": %zu, \"spin\": %ld, \"hogs\": %ld}\n",
	       percentile(us, n, 0.5), percentile(us, n, 0.99), n, payload, spin, hogs);
	return 0;
}
