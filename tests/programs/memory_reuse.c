/* What the application does to its address space while memory is registered: the address may be somebody else's. */
#include "memory_test.h"

enum { BIG = 64 << 20, SMALL = 16 * PAGE, WINDOW = 2 << 20 };

static uint8_t *map(uint64_t length, int fill)
{
	uint8_t *p;
	do { /* one window: across the border of two it may have two extents, rightly */
		p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(p != MAP_FAILED);
	} while ((uint64_t)p % WINDOW + length > WINDOW);
	memset(p, fill, length);
	return p;
}

static void all_are(const uint8_t *p, uint64_t length, uint8_t byte)
{
	for (uint64_t i = 0; i < length; i++)
		if (p[i] != byte)
			FAIL("byte %lu of %lu is %u, not %u", i, length, p[i], byte);
}

/* free and malloc of 64 MiB give the same address: what is there then is private memory, and stays what it is. */
static void freed_while_pinned(void)
{
	uint8_t *first = malloc(BIG);
	memset(first, 1, BIG);
	pin(first, BIG);
	free(first);
	uint8_t *second = malloc(BIG);
	CHECK(second == first);
	memset(second, 2, BIG);
	CHECK(!is_shared(second));
	unpin(first, BIG);
	all_are(second, BIG, 2);
	CHECK(segment_pages() == 0);
	free(second);
}

static void freed_and_pinned_again(void)
{
	uint8_t *first = malloc(BIG);
	memset(first, 3, BIG);
	pin(first, BIG);
	free(first);
	uint8_t *second = malloc(BIG);
	CHECK(second == first);
	memset(second, 4, BIG);
	uint64_t offset = pin(second, BIG);
	CHECK(router_reads(offset) == 4 && router_reads(offset + BIG - 1) == 4);
	router_writes(offset, 5);
	CHECK(second[0] == 5);
	unpin(first, BIG);
	CHECK(is_shared(second) == 1);
	unpin(second, BIG);
	CHECK(!is_shared(second) && second[0] == 5);
	all_are(second + 1, BIG - 1, 4);
	CHECK(segment_pages() == 0);
	free(second);
}

static void partly_unmapped(void)
{
	uint8_t *p = map(SMALL, 6);
	pin(p, SMALL);
	CHECK(munmap(p + 4 * PAGE, 4 * PAGE) == 0);
	unpin(p, SMALL);
	all_are(p, 4 * PAGE, 6);
	all_are(p + 8 * PAGE, SMALL - 8 * PAGE, 6);
	CHECK(!is_shared(p) && !is_shared(p + 8 * PAGE) && is_shared(p + 4 * PAGE) == -1);
	CHECK(segment_pages() == 0);
}

/* realloc moves a mapping: unpinning must not take the bytes away from where they went. */
static void moved(void)
{
	uint8_t *p = map(SMALL, 7);
	pin(p, SMALL);
	uint8_t *there = map(2 * SMALL, 0);
	uint8_t *q = mremap(p, SMALL, SMALL, MREMAP_MAYMOVE | MREMAP_FIXED, there);
	CHECK(q == there && is_shared(q) == 1);
	unpin(p, SMALL);
	CHECK(!is_shared(q));
	all_are(q, SMALL, 7);
	CHECK(segment_pages() == 0);
	/* And pinned where it went, while the old registration still stands. */
	p = map(SMALL, 8);
	pin(p, SMALL);
	q = mremap(p, SMALL, SMALL, MREMAP_MAYMOVE | MREMAP_FIXED, there);
	CHECK(q == there);
	uint64_t offset = pin(q, SMALL);
	CHECK(router_reads(offset + SMALL - 1) == 8);
	router_writes(offset, 9);
	CHECK(q[0] == 9);
	unpin(p, SMALL);
	CHECK(q[0] == 9 && is_shared(q) == 1);
	unpin(q, SMALL);
	CHECK(q[0] == 9 && !is_shared(q));
	all_are(q + 1, SMALL - 1, 8);
	CHECK(segment_pages() == 0);
}

static void protection_changes(void)
{
	uint8_t *p = map(SMALL, 10);
	pin(p, SMALL);
	mprotect(p, 4 * PAGE, PROT_READ);
	unpin(p, SMALL);
	all_are(p, SMALL, 10);
	p[4 * PAGE] = 1;
	pid_t child = fork();
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile uint8_t *)p = 1;
		_exit(0);
	}
	int status;
	waitpid(child, &status, 0);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void read_only(void)
{
	uint8_t *p = map(SMALL, 11);
	mprotect(p, SMALL, PROT_READ);
	uint64_t offset = pin(p, SMALL);
	CHECK(router_reads(offset) == 11);
	unpin(p, SMALL);
	all_are(p, SMALL, 11);
	mprotect(p, SMALL, PROT_READ | PROT_WRITE);
	p[0] = 1;
}

/* A hole in registered memory reads as zeros, and harms nobody. */
static void hole_is_punched(void)
{
	uint8_t *p = map(SMALL, 12);
	pin(p, SMALL);
	CHECK(madvise(p + 2 * PAGE, 2 * PAGE, MADV_REMOVE) == 0);
	unpin(p, SMALL);
	all_are(p, 2 * PAGE, 12);
	all_are(p + 2 * PAGE, 2 * PAGE, 0);
	all_are(p + 4 * PAGE, SMALL - 4 * PAGE, 12);
}

/* A program that closes everything, and opens something else: that is not written to. */
static void descriptor_is_closed(void)
{
	struct ff_extent extent;
	uint32_t n;
	uint8_t *p = map(SMALL, 13), *q = map(SMALL, 14);
	int copy = dup(memfd), other;
	pin(p, SMALL);
	close(memfd);
	other = memfd_create("other", 0);
	CHECK(other == memfd);
	CHECK(ff_memory_pin((uint64_t)q, SMALL, &extent, 1, &n) == EBADF);
	CHECK(ff_memory_unpin((uint64_t)p, SMALL) == EBADF);
	CHECK(lseek(other, 0, SEEK_END) == 0);
	dup2(copy, memfd);
	unpin(p, SMALL);
	all_are(p, SMALL, 13);
}

static void segment_is_dropped(void)
{
	uint8_t *p = map(SMALL, 15), *q = map(SMALL, 16);
	struct ff_extent extent;
	uint32_t n;
	pin(p + 5, 100);
	pin(q, SMALL);
	ff_memory_drop();
	close(memfd);
	CHECK(!is_shared(p) && !is_shared(q));
	all_are(p, SMALL, 15);
	all_are(q, SMALL, 16);
	CHECK(ff_memory_unpin((uint64_t)q, SMALL) == EINVAL);
	CHECK(ff_memory_pin((uint64_t)q, SMALL, &extent, 1, &n) == EINVAL);
	start(memfd_size);
	CHECK(router_reads(pin(q, SMALL)) == 16);
	unpin(q, SMALL);
}

int main(void)
{
	start(8ull << 30);
	freed_while_pinned();
	freed_and_pinned_again();
	partly_unmapped();
	moved();
	protection_changes();
	read_only();
	hole_is_punched();
	descriptor_is_closed();
	segment_is_dropped();
	return done();
}
