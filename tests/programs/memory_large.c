/* One registration of as many MiB as the argument says: in chunks, so that other threads are held up only briefly. */
#include "memory_test.h"

static volatile int stop;
static uint64_t longest_gap_us;

static void *look_at_the_clock(void *unused)
{
	uint64_t last = now_us();
	while (!stop) {
		uint64_t now = now_us();
		longest_gap_us = now - last > longest_gap_us ? now - last : longest_gap_us;
		last = now;
	}
	return unused;
}

int main(int count, char **arguments)
{
	uint64_t length = (count > 1 ? strtoull(arguments[1], NULL, 10) : 4096) << 20, step = 1021 * PAGE + 8;
	pthread_t thread;
	start(2 * length);
	uint8_t *p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(p != MAP_FAILED);
	/* Half of it is touched before, and of the rest some pages only. */
	for (uint64_t i = 0; i < length / 2; i += PAGE)
		memcpy(p + i, &i, 8);
	for (uint64_t i = length / 2; i < length - 8; i += step)
		memcpy(p + i, &i, 8);
	pthread_create(&thread, NULL, look_at_the_clock, NULL);
	uint64_t began = now_us();
	uint64_t offset = pin(p, length), pinned = now_us();
	CHECK(pin(p, length) == offset);
	uint64_t again = now_us();
	unpin(p, length);
	CHECK(segment_pages() == length / PAGE);
	for (uint64_t i = 0; i < length / 2; i += PAGE)
		CHECK(memcmp(p + i, &i, 8) == 0);
	for (uint64_t i = length / 2, there; i < length - 8; i += step)
		CHECK(memcmp(p + i, &i, 8) == 0 && pread(memfd, &there, 8, (off_t)(offset + i)) == 8 && there == i);
	uint64_t unpinning = now_us();
	unpin(p, length);
	uint64_t ended = now_us();
	stop = 1;
	pthread_join(thread, NULL);
	for (uint64_t i = 0; i < length / 2; i += PAGE)
		CHECK(memcmp(p + i, &i, 8) == 0);
	for (uint64_t i = length / 2; i < length - 8; i += step)
		CHECK(memcmp(p + i, &i, 8) == 0);
	CHECK(segment_pages() == 0);
	printf("%lu MiB: pin %lu ms, again %lu us, unpin %lu ms; longest stop %lu us, longest gap of a thread %lu us\n",
	       length >> 20, (pinned - began) / 1000, again - pinned, (ended - unpinning) / 1000,
	       ff_world_longest_ns(0) / 1000, longest_gap_us);
	CHECK(ff_world_longest_ns(0) < 4000000000); /* a few milliseconds where there are CPUs for all; it gives up after 5 s */
	return done();
}
