/* For the programs that test_memory*.py compiles and runs: the interface under test, and a way to fail. */
#ifndef MEMORY_TEST_H
#define MEMORY_TEST_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ffcore/control.h"

enum { PAGE = 4096 };

int ff_memory_init(int memfd, uint64_t size, int userfaultfd);
int ff_memory_pin(uint64_t addr, uint64_t length, struct ff_extent *out, uint32_t max, uint32_t *n);
int ff_memory_unpin(uint64_t addr, uint64_t length);
const char *ff_memory_reason(void);
void ff_memory_drop(void);
void ff_maps_without_query(int without);
uint64_t ff_world_longest_ns(int reset);
int ff_way_is_quiet(void); /* by a userfaultfd; FREEFLOW_USERFAULTFD=off: by stopping threads */
void ff_tracer_forbid(int forbid); /* FFMEM_SIGNALS=1: threads are stopped by a signal */
void ff_uffd_without(uint64_t features);

#define FAIL(...)                                                               \
	do {                                                                    \
		fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                 \
		fprintf(stderr, __VA_ARGS__);                                   \
		fprintf(stderr, "\n");                                          \
		_exit(1);                                                       \
	} while (0)
#define CHECK(condition)                                                        \
	do {                                                                    \
		if (!(condition))                                               \
			FAIL("%s (errno %d)", #condition, errno);               \
	} while (0)

static int memfd;
static uint64_t memfd_size;

/* The router's side: a sealed sparse file. FFMEM_TEXT makes the library read /proc/self/maps as on old kernels. */
static inline void start(uint64_t size)
{
	memfd = memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	memfd_size = size;
	CHECK(memfd >= 0 && ftruncate(memfd, (off_t)size) == 0);
	CHECK(fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
	ff_maps_without_query(getenv("FFMEM_TEXT") != NULL);
	ff_tracer_forbid(getenv("FFMEM_SIGNALS") != NULL);
	if (getenv("FFMEM_NO_MOVE")) /* Linux before 6.8 */
		ff_uffd_without(1 << 16);
	CHECK(ff_memory_init(memfd, size, open("/dev/userfaultfd", O_RDWR | O_CLOEXEC)) == 0);
	CHECK(ff_way_is_quiet() == (getenv("FREEFLOW_USERFAULTFD") == NULL));
}

/* Pins where it must work, in one extent; returns where the byte at p is in the segment. */
static inline uint64_t pin(const volatile void *p, uint64_t length)
{
	struct ff_extent extent[64];
	uint32_t n = 0;
	int result = ff_memory_pin((uint64_t)p, length, extent, 64, &n);
	if (result != 0)
		FAIL("pin of %p, %lu bytes: %s (%s)", p, length, strerror(result), ff_memory_reason());
	if (n != 1)
		FAIL("pin of %p, %lu bytes: %u extents", p, length, n);
	CHECK(extent[0].length == (((uint64_t)p % PAGE + length + PAGE - 1) & -(uint64_t)PAGE));
	return extent[0].offset + (uint64_t)p % PAGE;
}

static inline void unpin(const volatile void *p, uint64_t length)
{
	int result = ff_memory_unpin((uint64_t)p, length);
	if (result != 0)
		FAIL("unpin of %p, %lu bytes: %s (%s)", p, length, strerror(result), ff_memory_reason());
}

/* What the router sees and does. */
static inline uint8_t router_reads(uint64_t offset)
{
	uint8_t byte;
	CHECK(pread(memfd, &byte, 1, (off_t)offset) == 1);
	return byte;
}

static inline void router_writes(uint64_t offset, uint8_t byte)
{
	CHECK(pwrite(memfd, &byte, 1, (off_t)offset) == 1);
}

static inline uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Pages of the segment that exist. */
static inline uint64_t segment_pages(void)
{
	uint64_t pages = 0;
	off_t data = 0, hole;
	while ((data = lseek(memfd, data, SEEK_DATA)) >= 0) {
		hole = lseek(memfd, data, SEEK_HOLE);
		pages += (uint64_t)(hole - data) / PAGE;
		data = hole;
	}
	return pages;
}

/* Whether p is mapped shared, by the kernel's own account. */
static inline int is_shared(const volatile void *p)
{
	char line[8192];
	uint64_t low, high;
	char flags[8];
	FILE *maps = fopen("/proc/self/maps", "r");
	int shared = -1;
	while (fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx %7s", &low, &high, flags) == 3 && low <= (uint64_t)p && (uint64_t)p < high)
			shared = flags[3] == 's';
	fclose(maps);
	return shared;
}

static inline int done(void)
{
	printf("ok\n");
	fflush(stdout);
	return 0;
}

#endif
