/*
 * A child handler that the program registered before it used any memory of ours, so that it runs before our own: it opens a
 * session and registers memory, what its parent has registered included. And handlers in the parent are told at once.
 */
#include "memory_test.h"

enum { LENGTH = 200000, ROUNDS = 8 };

static uint8_t *buffer;
static int in_child;

static void child_handler(void)
{
	uint64_t began = now_us();
	start(1ull << 28);
	for (int i = 0; i < LENGTH; i++)
		CHECK(buffer[i] == 7);
	CHECK(is_shared(buffer) == 0);
	uint64_t at = pin(buffer, LENGTH);
	router_writes(at + LENGTH - 1, 8);
	CHECK(buffer[LENGTH - 1] == 8);
	unpin(buffer, LENGTH);
	buffer[0] = 9;
	CHECK(now_us() - began < 5000000);
	in_child = 1;
}

static void parent_handler(void)
{
	struct ff_extent extent;
	uint32_t n;
	uint64_t began = now_us();
	if (buffer && ff_memory_pin((uint64_t)buffer, LENGTH, &extent, 1, &n) != EAGAIN)
		FAIL("memory was registered while the process forks");
	CHECK(now_us() - began < 1000000);
}

int main(void)
{
	int status;
	pthread_atfork(NULL, parent_handler, child_handler); /* runs before ours, in the parent and in the child */
	start(1ull << 30);
	buffer = malloc(LENGTH);
	memset(buffer, 7, LENGTH);
	uint64_t at = pin(buffer, LENGTH);
	for (int i = 0; i < ROUNDS; i++) {
		pid_t child = fork();
		if (child == 0) {
			CHECK(in_child && buffer[0] == 9);
			_exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child && status == 0);
		CHECK(buffer[0] == 7 && buffer[LENGTH - 1] == 7 && router_reads(at + LENGTH - 1) == 7);
		router_writes(at + 5000, 7);
	}
	unpin(buffer, LENGTH);
	CHECK(segment_pages() == 0);
	return done();
}
