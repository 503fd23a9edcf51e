/* A buffer at every alignment, with neighbours that live on while it is pinned and unpinned. */
#include "memory_test.h"

enum { BLOCK = 4 * PAGE };

static volatile int stop;
struct neighbour {
	volatile uint8_t *byte;
	uint64_t stored;
};

/* Counts up in a byte beside the buffer: a store that is lost makes the byte differ from the count. */
static void *live(void *argument)
{
	struct neighbour *me = argument;
	while (!stop) {
		uint8_t next = (uint8_t)(me->stored + 1);
		if (*me->byte != (uint8_t)me->stored)
			FAIL("a neighbour's store was lost: %u after %lu stores", *me->byte, me->stored);
		*me->byte = next;
		me->stored++;
	}
	return NULL;
}

static void round_trip(volatile uint8_t *block, uint64_t at, uint64_t length)
{
	for (uint64_t i = 0; i < BLOCK; i++)
		if (i != 0 && i != BLOCK - 1)
			block[i] = (uint8_t)(i * 7 + at);
	uint64_t offset = pin(block + at, length);
	CHECK(router_reads(offset) == (uint8_t)(at * 7 + at));
	CHECK(router_reads(offset + length - 1) == (uint8_t)((at + length - 1) * 7 + at));
	router_writes(offset, 1);
	CHECK(block[at] == 1);
	router_writes(offset + length - 1, 2);
	CHECK(block[at + length - 1] == 2);
	unpin(block + at, length);
	CHECK(block[at + length - 1] == 2 && (length == 1 || block[at] == 1));
	for (uint64_t i = 1; i < BLOCK - 1; i++)
		if (i != at && i != at + length - 1 && block[i] != (uint8_t)(i * 7 + at))
			FAIL("byte %lu changed by a buffer of %lu at %lu", i, length, at);
}

int main(void)
{
	static const uint64_t lengths[] = { 1, 2, 63, 64, 4095, 4096, 4097, 8192 };
	start(1ull << 30);
	/* What lies at the edges of the block is in its first and last page, which every buffer's pages may include. */
	uint8_t *block = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct neighbour below = { block, 0 }, above = { block + BLOCK - 1, 0 };
	pthread_t threads[2];
	pthread_create(&threads[0], NULL, live, &below);
	pthread_create(&threads[1], NULL, live, &above);
	for (uint64_t at = 1; at <= PAGE; at += at < 16 || at > PAGE - 16 ? 1 : 61)
		for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++)
			if (at + lengths[i] < BLOCK)
				round_trip(block, at, lengths[i]);
	stop = 1;
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	CHECK(below.stored > 1000 && above.stored > 1000);
	CHECK(segment_pages() == 0 && is_shared(block) == 0);
	return done();
}
