/* Overlapping, repeated and scattered registrations, and a segment that is full. */
#include "memory_test.h"

static uint8_t *map(uint64_t length)
{
	uint8_t *p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static void shares_pages(void)
{
	uint8_t *p = map(64 * PAGE);
	uint64_t all = pin(p, 64 * PAGE), again = pin(p, 64 * PAGE), inner = pin(p + 10 * PAGE + 7, 5 * PAGE);
	CHECK(again == all && inner == all + 10 * PAGE + 7);
	uint64_t wider = pin(p + 1, 64 * PAGE - 1);
	CHECK(wider == all + 1);
	unpin(p, 64 * PAGE);
	unpin(p + 1, 64 * PAGE - 1);
	unpin(p, 64 * PAGE);
	CHECK(is_shared(p) == 0 && is_shared(p + 9 * PAGE) == 0 && is_shared(p + 16 * PAGE) == 0);
	CHECK(is_shared(p + 10 * PAGE) == 1 && is_shared(p + 15 * PAGE) == 1 && segment_pages() == 6);
	/* Grown again on both sides, it is still one extent, and where it was. */
	CHECK(pin(p, 64 * PAGE) == all);
	unpin(p + 10 * PAGE + 7, 5 * PAGE);
	CHECK(segment_pages() == 64);
	unpin(p, 64 * PAGE);
	CHECK(segment_pages() == 0);
	munmap(p, 64 * PAGE);
}

/* A registration of many windows is one extent, and so are two that meet in a window. */
static void spans_windows(void)
{
	uint64_t length = 300ull << 20;
	uint8_t *p = map(length);
	memset(p, 1, PAGE);
	memset(p + length - PAGE, 2, PAGE);
	uint64_t offset = pin(p + 5, length - 10);
	CHECK(router_reads(offset) == 1 && router_reads(offset + length - 11) == 2);
	unpin(p + 5, length - 10);
	CHECK(p[0] == 1 && p[length - 1] == 2 && segment_pages() == 0);
	munmap(p, length);
}

/*
 * More windows than there are runs: pages come from the pool, one by one. The buffers of each are a window apart, so
 * that each needs a window of its own.
 */
static void scattered(void)
{
	enum { BUFFERS = 100, SIZE = 3 * PAGE };
	uint64_t apart = 64ull << 20;
	uint8_t *p = map(BUFFERS * apart);
	struct ff_extent extent[4];
	uint32_t n, most = 0;
	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < BUFFERS; i++) {
			uint8_t *buffer = p + i * apart;
			memset(buffer, (int)i + 1, SIZE);
			int result = ff_memory_pin((uint64_t)buffer, SIZE, extent, 4, &n);
			if (result != 0)
				FAIL("buffer %lu: %s", i, ff_memory_reason());
			most = n > most ? n : most;
			for (uint32_t e = 0; e < n; e++)
				CHECK(router_reads(extent[e].offset) == i + 1);
			router_writes(extent[n - 1].offset + extent[n - 1].length - 1, 200);
			CHECK(buffer[SIZE - 1] == 200);
		}
		CHECK(segment_pages() == BUFFERS * SIZE / PAGE);
		for (uint64_t i = 0; i < BUFFERS; i++) {
			unpin(p + i * apart, SIZE);
			CHECK(p[i * apart] == i + 1 && p[i * apart + SIZE - 1] == 200);
		}
		CHECK(segment_pages() == 0);
	}
	munmap(p, BUFFERS * apart);
}

static void full(uint64_t size)
{
	uint8_t *p = map(2 * size);
	struct ff_extent extent[4];
	uint32_t n;
	CHECK(ff_memory_pin((uint64_t)p, 2 * size, extent, 4, &n) == ENOMEM && strstr(ff_memory_reason(), "full"));
	CHECK(!is_shared(p) && segment_pages() == 0);
	pin(p, size / 8);
	unpin(p, size / 8);
	munmap(p, 2 * size);
}

static void more_extents_than_allowed(void)
{
	enum { PAGES = 16 };
	uint8_t *p = map(64ull << 20);
	struct ff_extent extent[PAGES];
	uint32_t n;
	/* Odd pages first, so that in a scattered window neighbours in memory are none in the segment. */
	for (int i = 1; i < PAGES; i += 2)
		CHECK(ff_memory_pin((uint64_t)p + (uint64_t)i * PAGE, 1, extent, 1, &n) == 0 && n == 1);
	int result = ff_memory_pin((uint64_t)p, PAGES * PAGE, extent, PAGES, &n);
	CHECK(result == 0);
	if (n > 1) {
		unpin(p, PAGES * PAGE);
		CHECK(ff_memory_pin((uint64_t)p, PAGES * PAGE, extent, n - 1, &n) == ENOMEM);
		CHECK(strstr(ff_memory_reason(), "pieces"));
	} else {
		unpin(p, PAGES * PAGE);
	}
	for (int i = 1; i < PAGES; i += 2)
		unpin(p + i * PAGE, 1);
	CHECK(segment_pages() == 0);
}

int main(void)
{
	start(1ull << 30);
	shares_pages();
	spans_windows();
	full(1ull << 30);
	scattered();
	ff_memory_drop();
	start(8ull << 20);
	shares_pages();
	scattered();
	more_extents_than_allowed();
	full(8ull << 20);
	return done();
}
