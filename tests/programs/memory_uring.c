/*
 * io_uring beside registrations: its kernel threads (sqpoll, workers) are nobody to stop, reads into memory that is being
 * registered lose nothing, and buffers that it holds (IORING_REGISTER_BUFFERS) are refused with a reason, not silently parted
 * from it. The last two by a userfaultfd: where threads are stopped, the kernel's own write on (docs/design-memory.md).
 */
#include "memory_uring.h"

#include <sys/uio.h>

enum { LENGTH = 1 << 20, ROUNDS = 300 };

static uint8_t *content;
static int file;

static void beside_kernel_threads(uint32_t setup, uint8_t flags)
{
	struct uring ring;
	uint8_t *p = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uring_open(&ring, setup);
	uring_submit(&ring, IORING_OP_READ, flags, file, p, PAGE);
	CHECK(uring_result(&ring) == PAGE);
	uint64_t began = now_us();
	for (int i = 0; i < 10; i++) {
		pin(p, LENGTH);
		unpin(p, LENGTH);
	}
	CHECK(now_us() - began < 5000000);
	close(ring.fd);
}

static void reads_into_it(void)
{
	struct uring ring;
	struct ff_extent extent;
	uint32_t n;
	int registered = 0;
	uint8_t *p = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uring_open(&ring, 0);
	for (int i = 0; i < ROUNDS; i++) {
		memset(p, 0, LENGTH);
		uring_submit(&ring, IORING_OP_READ, i % 2 ? IOSQE_ASYNC : 0, file, p, LENGTH);
		int result = ff_memory_pin((uint64_t)p, LENGTH, &extent, 1, &n);
		CHECK(result == 0 || result == EBUSY);
		registered += result == 0;
		CHECK(uring_result(&ring) == LENGTH);
		if (memcmp(p, content, LENGTH) != 0)
			FAIL("round %d: a read lost bytes", i);
		if (result == 0)
			unpin(p, LENGTH);
	}
	CHECK(registered > ROUNDS / 2);
	close(ring.fd);
}

static void held_by_it(void)
{
	struct uring ring;
	struct ff_extent extent;
	uint32_t n;
	uint8_t *p = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec part = { p + 8 * PAGE, 8 * PAGE };
	memset(p, 1, LENGTH);
	uring_open(&ring, 0);
	CHECK(syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, &part, 1) == 0);
	CHECK(ff_memory_pin((uint64_t)p, LENGTH, &extent, 1, &n) == EBUSY);
	if (!strstr(ff_memory_reason(), "a device reads or writes the page"))
		FAIL("\"%s\" does not say why", ff_memory_reason());
	CHECK(is_shared(p) == 0 && p[9 * PAGE] == 1 && segment_pages() == 0);
	uring_submit(&ring, IORING_OP_READ_FIXED, 0, file, p + 8 * PAGE, PAGE);
	CHECK(uring_result(&ring) == PAGE && memcmp(p + 8 * PAGE, content, PAGE) == 0);
	CHECK(syscall(SYS_io_uring_register, ring.fd, IORING_UNREGISTER_BUFFERS, NULL, 0) == 0);
	close(ring.fd);
	pin(p, LENGTH);
	unpin(p, LENGTH);
}

int main(void)
{
	char path[] = "/tmp/ff-test-XXXXXX";
	start(1ull << 30);
	file = mkstemp(path);
	unlink(path);
	content = malloc(LENGTH);
	for (uint32_t i = 0; i < LENGTH; i++)
		content[i] = (uint8_t)(i * 2654435761u >> 24);
	CHECK(write(file, content, LENGTH) == LENGTH);
	beside_kernel_threads(IORING_SETUP_SQPOLL, 0);
	beside_kernel_threads(0, IOSQE_ASYNC);
	if (ff_way_is_quiet()) {
		reads_into_it();
		if (getenv("FFMEM_NO_MOVE") == NULL)
			held_by_it();
	}
	return done();
}
