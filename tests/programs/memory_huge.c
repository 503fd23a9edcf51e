/* Private huge pages are converted whole, as one as well as many, and keep their bytes there and back. */
#include "memory_test.h"

enum { HUGE_PAGE = 2 << 20, PAGES = 3, WINDOW = 16 << 20 };

/* At the start of a window of the segment (windows.pyx), so that all of it is one extent. */
static char *map(void)
{
	char *room = mmap(NULL, 2 * WINDOW, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = (char *)(((uint64_t)room + WINDOW - 1) & -(uint64_t)WINDOW);
	CHECK(mmap(at, PAGES * HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED, -1, 0) == at);
	for (uint64_t i = 0; i < PAGES * HUGE_PAGE; i += PAGE)
		at[i] = (char)(i / PAGE % 251 + 1);
	return at;
}

static void intact(const char *at)
{
	for (uint64_t i = 0; i < PAGES * HUGE_PAGE; i += PAGE)
		CHECK(at[i] == (char)(i / PAGE % 251 + 1));
}

int main(void)
{
	start(1ull << 30);
	char *at = map();
	uint64_t middle = pin(at + HUGE_PAGE, HUGE_PAGE);
	intact(at);
	CHECK(!is_shared(at) && is_shared(at + HUGE_PAGE) && !is_shared(at + 2 * HUGE_PAGE));
	CHECK(router_reads(middle + 5 * PAGE) == (uint8_t)at[HUGE_PAGE + 5 * PAGE]);
	uint64_t all = pin(at, PAGES * HUGE_PAGE);
	CHECK(all + HUGE_PAGE == middle);
	intact(at);
	unpin(at + HUGE_PAGE, HUGE_PAGE);
	router_writes(all + 1, 9);
	CHECK(at[1] == 9);
	unpin(at, PAGES * HUGE_PAGE);
	CHECK(!is_shared(at) && at[1] == 9 && segment_pages() == 0);
	intact(at);
	CHECK(munmap(at, PAGES * HUGE_PAGE) == 0);
	return done();
}
