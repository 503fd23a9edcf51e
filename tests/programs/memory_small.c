/*
 * Threads with a small alternate signal stack (Rust's: 8 KiB, Go's: 32 KiB), which sleep in timed calls while another
 * registers memory. With the argument's KiB; none of them dies, and no sleep ends early.
 */
#include "memory_test.h"

#include <poll.h>

enum { THREADS = 4, LENGTH = 16 << 20, ROUNDS = 20 };

static size_t bytes;
static volatile int stop;

static void *sleeper(void *argument)
{
	stack_t stack = { .ss_sp = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), .ss_size = bytes };
	CHECK(sigaltstack(&stack, NULL) == 0);
	while (!stop) {
		struct timespec moment = { 0, 20000000 };
		uint64_t began = now_us();
		if (argument)
			CHECK(nanosleep(&moment, NULL) == 0);
		else
			CHECK(poll(NULL, 0, 20) == 0);
		CHECK(now_us() - began >= 19000);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	bytes = (size_t)atoi(argc > 1 ? argv[1] : "8") << 10;
	start(1ull << 30);
	for (long i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, sleeper, (void *)(i % 2));
	usleep(20000);
	uint8_t *p = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(p, 1, LENGTH);
	for (int i = 0; i < ROUNDS; i++) {
		pin(p, LENGTH);
		unpin(p, LENGTH);
	}
	for (int i = 0; i < 500; i++) {
		pin(p, PAGE);
		unpin(p, PAGE);
	}
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return done();
}
