/*
 * What a program does to memory that it has registered, and what it and the router see afterwards: as with a NIC that
 * pinned the pages (docs/design-memory.md has the table; a function here for each row).
 */
#include "memory_test.h"

#include <sys/uio.h>

enum { LENGTH = 8 * PAGE };

int ff_memory_madvise(void *addr, size_t length, int advice);
void *ff_memory_mremap(void *old, size_t length, size_t wanted, int flags, void *place);

static uint64_t offset;

static uint8_t *fresh(void)
{
	uint8_t *p = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	memset(p, 5, LENGTH);
	offset = pin(p, LENGTH);
	return p;
}

/* The MR keeps its pages, whatever became of the addresses. */
static void router_has(uint8_t byte)
{
	for (int i = 0; i < LENGTH; i += PAGE)
		CHECK(router_reads(offset + i) == byte);
}

static void ends(uint8_t *p)
{
	unpin(p, LENGTH);
	CHECK(segment_pages() == 0);
	munmap(p, LENGTH);
}

static void dontneed(int advice)
{
	uint8_t *p = fresh();
	CHECK(ff_memory_madvise(p + PAGE, 3 * PAGE - 100, advice) == 0); /* its length is rounded up */
	for (int i = 0; i < LENGTH; i++)
		CHECK(p[i] == (i >= PAGE && i < 4 * PAGE ? 0 : 5));
	router_has(5);
	p[PAGE] = 6; /* nobody else's business */
	CHECK(router_reads(offset + PAGE) == 5);
	pin(p + PAGE, PAGE); /* registered again, it is what is there now */
	CHECK(router_reads(offset + PAGE) == 6);
	unpin(p + PAGE, PAGE);
	ends(p);
}

static void dontneed_of_more_than_is_registered(void)
{
	uint8_t *p = mmap(NULL, 4 * LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(p, 5, 4 * LENGTH);
	offset = pin(p + LENGTH, LENGTH);
	munmap(p + 3 * LENGTH, PAGE);
	CHECK(ff_memory_madvise(p, 4 * LENGTH, MADV_DONTNEED) == -1 && errno == ENOMEM); /* as the kernel's, past a hole */
	for (int i = 0; i < 3 * LENGTH; i++)
		CHECK(p[i] == 0);
	CHECK(p[3 * LENGTH + PAGE] == 0);
	router_has(5);
	unpin(p + LENGTH, LENGTH);
	munmap(p, 4 * LENGTH);
	CHECK(segment_pages() == 0);
}

static void lazily_free(void)
{
	uint8_t *p = fresh();
	CHECK(ff_memory_madvise(p, LENGTH, MADV_FREE) == 0);
	CHECK(p[5000] == 5);
	router_has(5);
	ends(p);
}

static void remove_is_refused(void)
{
	uint8_t *p = fresh();
	CHECK(ff_memory_madvise(p, LENGTH, MADV_REMOVE) == -1 && errno == EINVAL);
	CHECK(p[5000] == 5);
	router_has(5);
	ends(p);
}

static void wipe_on_fork_is_told(void)
{
	uint8_t *p = fresh();
	CHECK(ff_memory_madvise(p, LENGTH, MADV_WIPEONFORK) == -1 && errno == EINVAL);
	ends(p);
}

static void advice_that_changes_nothing(void)
{
	uint8_t *p = fresh();
	int advices[] = { MADV_NORMAL, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTDUMP, MADV_HUGEPAGE, 20 /* COLD */, 21 /* PAGEOUT */ };
	for (unsigned i = 0; i < sizeof advices / sizeof *advices; i++)
		CHECK(ff_memory_madvise(p, LENGTH, advices[i]) == 0 || errno == EINVAL);
	CHECK(p[5000] == 5 && p[LENGTH - 1] == 5);
	router_has(5);
	ends(p);
}

static void protected(int prot)
{
	uint8_t *p = fresh();
	CHECK(mprotect(p, 2 * PAGE, prot) == 0);
	router_has(5);
	router_writes(offset, 8);
	unpin(p, LENGTH); /* and the protection stays */
	CHECK(segment_pages() == 0);
	CHECK(process_vm_writev(getpid(), &(struct iovec){ (void *)"x", 1 }, 1, &(struct iovec){ p, 1 }, 1, 0) == -1);
	CHECK(mprotect(p, 2 * PAGE, PROT_READ) == 0 && p[0] == 8 && p[1] == 5);
	munmap(p, LENGTH);
}

static void other_memory_in_its_place(void)
{
	uint8_t *p = fresh();
	CHECK(mmap(p, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	CHECK(p[0] == 0 && p[2 * PAGE] == 5);
	router_has(5);
	p[0] = 9;
	CHECK(router_reads(offset) == 5);
	ends(p);
}

static void unmapped(void)
{
	uint8_t *p = fresh();
	munmap(p, LENGTH);
	router_has(5);
	unpin(p, LENGTH);
	CHECK(segment_pages() == 0);
}

/* Registered pages go on where they went, and what is added is private: not the segment's next pages. */
static void grown(int flags)
{
	uint8_t *p = fresh(), *next = mmap(p + LENGTH, LENGTH, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (next == p + LENGTH)
		memset(next, 7, LENGTH);
	uint8_t *place = flags & MREMAP_FIXED ? mmap(NULL, 3 * LENGTH, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : NULL;
	uint8_t *to = ff_memory_mremap(p, LENGTH, 3 * LENGTH, flags, place);
	CHECK(to != MAP_FAILED && (!place || to == place));
	for (int i = 0; i < 3 * LENGTH; i++)
		CHECK(to[i] == (i < LENGTH ? 5 : 0));
	to[0] = 6;
	CHECK(router_reads(offset) == 6);
	to[LENGTH] = 9; /* would be the next registration's */
	unpin(p, LENGTH);
	CHECK(segment_pages() == 0 && to[0] == 6 && to[1] == 5 && to[LENGTH] == 9);
	CHECK(next == MAP_FAILED || next[0] == 7);
	munmap(to, 3 * LENGTH);
	if (next != MAP_FAILED)
		munmap(next, LENGTH);
}

static void cannot_grow_in_place(void)
{
	uint8_t *p = mmap(NULL, 2 * LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(p, 5, LENGTH);
	offset = pin(p, LENGTH);
	CHECK(ff_memory_mremap(p, LENGTH, 2 * LENGTH, 0, NULL) == MAP_FAILED && errno == ENOMEM);
	CHECK(p[0] == 5 && p[LENGTH] == 0);
	munmap(p + LENGTH, LENGTH);
	ends(p);
}

static void shrunk(void)
{
	uint8_t *p = fresh();
	CHECK(ff_memory_mremap(p, LENGTH, 2 * PAGE, 0, NULL) == p && p[2 * PAGE - 1] == 5);
	router_has(5);
	unpin(p, LENGTH);
	CHECK(segment_pages() == 0 && p[0] == 5 && is_shared(p) == 0);
	munmap(p, 2 * PAGE);
}

/* One that nobody sees (glibc's own): the kernel refuses it, and realloc copies. */
static void realloc_of_registered_memory(void)
{
	uint32_t *p = malloc(1 << 20);
	for (int i = 0; i < 1 << 18; i++)
		p[i] = (uint32_t)i;
	pin(p, 1 << 20);
	uint64_t neighbour = pin(p, 100); /* keeps the pages of the segment */
	CHECK(syscall(SYS_mremap, (uint64_t)p & -4096ull, (1 << 20) + PAGE, 8 << 20, MREMAP_MAYMOVE) == -1);
	uint32_t *q = realloc(p, 8 << 20);
	for (int i = 0; i < 1 << 18; i++)
		CHECK(q[i] == (uint32_t)i);
	memset(q + (1 << 18), 1, 7 << 20); /* none of it is the segment's: it would have no pages there */
	CHECK(neighbour && segment_pages() <= 258);
	ff_memory_unpin((uint64_t)p, 100);
	ff_memory_unpin((uint64_t)p, 1 << 20);
	CHECK(segment_pages() == 0);
	free(q);
}

/* What a heap gives back at its end, it gets back as zeros. */
static void brk_trims(void)
{
	uint8_t *p = sbrk(0);
	p = sbrk((intptr_t)(-(uint64_t)p % PAGE + LENGTH)) + -(uint64_t)p % PAGE;
	memset(p, 5, LENGTH);
	offset = pin(p, LENGTH);
	CHECK(brk(p) == 0);
	router_has(5);
	CHECK(brk(p + LENGTH) == 0 && p[0] == 0 && p[LENGTH - 1] == 0);
	router_has(5);
	unpin(p, LENGTH);
	CHECK(segment_pages() == 0);
}

static void stays_locked(void)
{
	uint8_t *p = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mlock(p, LENGTH) == 0);
	memset(p, 5, LENGTH);
	offset = pin(p, LENGTH);
	CHECK(msync(p, LENGTH, MS_ASYNC | MS_INVALIDATE) == -1 && errno == EBUSY);
	router_has(5);
	unpin(p, LENGTH);
	CHECK(msync(p, LENGTH, MS_ASYNC | MS_INVALIDATE) == -1 && errno == EBUSY && p[LENGTH - 1] == 5);
	munmap(p, LENGTH);
}

int main(void)
{
	start(1ull << 30);
	dontneed(MADV_DONTNEED);
	dontneed_of_more_than_is_registered();
	lazily_free();
	remove_is_refused();
	wipe_on_fork_is_told();
	advice_that_changes_nothing();
	protected(PROT_READ);
	protected(PROT_NONE);
	other_memory_in_its_place();
	unmapped();
	grown(MREMAP_MAYMOVE);
	grown(MREMAP_MAYMOVE | MREMAP_FIXED);
	cannot_grow_in_place();
	shrunk();
	realloc_of_registered_memory();
	brk_trims();
	stays_locked();
	return done();
}
