/* What converting memory costs without a router: pin, pin again and unpin of one size. Prints one JSON object. */
#include "memory_test.h"

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *wait_for_ever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

/* Bytes, rounds, and how many other threads the program has. */
int main(int count, char **arguments)
{
	CHECK(count == 4);
	uint64_t length = strtoull(arguments[1], NULL, 10);
	int rounds = atoi(arguments[2]), threads = atoi(arguments[3]);
	double *first = calloc(rounds, sizeof *first), *again = calloc(rounds, sizeof *again),
	       *back = calloc(rounds, sizeof *back);
	start(8ull << 30);
	for (int i = 0; i < threads; i++) {
		pthread_t thread;
		CHECK(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
	}
	for (int i = 0; i < rounds; i++) {
		uint8_t *p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memset(p, i, length);
		double t0 = now_ns();
		pin(p, length);
		double t1 = now_ns();
		pin(p, length);
		double t2 = now_ns();
		unpin(p, length);
		double t3 = now_ns();
		unpin(p, length);
		double t4 = now_ns();
		CHECK(p[0] == (uint8_t)i && p[length - 1] == (uint8_t)i);
		first[i] = t1 - t0;
		again[i] = t2 - t1;
		back[i] = t4 - t3;
		munmap(p, length);
	}
	qsort(first, rounds, sizeof *first, ascending);
	qsort(again, rounds, sizeof *again, ascending);
	qsort(back, rounds, sizeof *back, ascending);
	printf("{\"pin_us\": %.1f, \"again_us\": %.1f, \"unpin_us\": %.1f, \"longest_stop_us\": %.1f}\n",
	       first[rounds / 2] / 1e3, again[rounds / 2] / 1e3, back[rounds / 2] / 1e3,
	       (double)ff_world_longest_ns(0) / 1e3);
	return 0;
}
