/* Memory that cannot be converted: the errno, and a reason that names the address. Nothing is left behind. */
#include "memory_test.h"

#include <sys/auxv.h>

enum { LENGTH = 4 * PAGE };

static void refused(const char *what, const void *p, uint64_t length, int wanted, const char *word)
{
	struct ff_extent extent[16];
	uint32_t n;
	char address[32];
	int result = ff_memory_pin((uint64_t)p, length, extent, 16, &n);
	if (result != wanted)
		FAIL("%s: %s, not %s", what, strerror(result), strerror(wanted));
	snprintf(address, sizeof address, "0x%lx", (uint64_t)p & -(uint64_t)PAGE);
	if (!strstr(ff_memory_reason(), word) || (*word && !strstr(ff_memory_reason(), address)))
		FAIL("%s: \"%s\" does not say \"%s\" and %s", what, ff_memory_reason(), word, address);
	CHECK(segment_pages() == 0);
}

static char *map(int protection, int flags, int fd)
{
	char *p = mmap(NULL, LENGTH, protection, flags, fd, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static char initialised[3 * PAGE] = "data";
static char zeroed[3 * PAGE];

static void accepted(const char *what, char *p, uint64_t length)
{
	char before = p[0];
	uint64_t offset = pin(p, length);
	if (router_reads(offset) != (uint8_t)before)
		FAIL("%s: the segment has other bytes", what);
	router_writes(offset + length - 1, 77);
	CHECK(p[length - 1] == 77);
	unpin(p, length);
	CHECK(p[0] == before && p[length - 1] == 77 && segment_pages() == 0);
}

int main(void)
{
	start(1ull << 30);
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char path[] = "/tmp/ff-test-XXXXXX";
	int mine = mkstemp(path);
	unlink(path);
	CHECK(ftruncate(mine, LENGTH) == 0);
	int foreign = memfd_create("foreign", MFD_CLOEXEC);
	CHECK(ftruncate(foreign, LENGTH) == 0);

	char *hole = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1) + PAGE;
	munmap(hole, PAGE); /* too small for anything that the library maps for itself */
	refused("unmapped", hole, LENGTH, EFAULT, "is not mapped");
	refused("the last page", (void *)-(uint64_t)PAGE, 10 * PAGE, EFAULT, "");
	refused("PROT_NONE", map(PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1), LENGTH, EFAULT, "cannot be read");
	refused("shared", map(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1), LENGTH, EOPNOTSUPP, "is shared");
	refused("memfd", map(PROT_READ | PROT_WRITE, MAP_SHARED, foreign), LENGTH, EOPNOTSUPP, "is shared");
	refused("vdso", (void *)getauxval(AT_SYSINFO_EHDR), 10, EOPNOTSUPP, "is the kernel's");

	/* The good pages before a bad one are private again afterwards. */
	char *mixed = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	memset(mixed, 1, LENGTH);
	munmap(mixed + 2 * PAGE, PAGE);
	struct ff_extent extent;
	uint32_t n;
	CHECK(ff_memory_pin((uint64_t)mixed, LENGTH, &extent, 1, &n) == EFAULT);
	CHECK(!is_shared(mixed) && mixed[0] == 1 && segment_pages() == 0);
	/* And if they are somebody's already, they stay his. */
	uint64_t offset = pin(mixed, 100);
	CHECK(ff_memory_pin((uint64_t)mixed, LENGTH, &extent, 1, &n) == EFAULT);
	CHECK(is_shared(mixed) == 1 && router_reads(offset) == 1);
	unpin(mixed, 100);
	CHECK(ff_memory_unpin((uint64_t)mixed, 100) == EINVAL);

	char *past_the_end = mmap(NULL, 3 * LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE, mine, 0);
	CHECK(ff_memory_pin((uint64_t)past_the_end, 3 * LENGTH, &extent, 1, &n) == EFAULT);
	CHECK(segment_pages() == 0);

	accepted("anonymous", map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1), LENGTH);
	accepted("a private view of a file", past_the_end, LENGTH);
	accepted("a read-only private view of a file", map(PROT_READ, MAP_PRIVATE, file), LENGTH);
	accepted("initialised data", initialised + 100, 2 * PAGE);
	accepted("zeroed data", zeroed + 100, 2 * PAGE);
	accepted("the heap", malloc(100), 100);
	return done();
}
