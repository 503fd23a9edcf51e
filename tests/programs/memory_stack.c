/* Buffers on stacks: the one that registers runs on, those of others, and the lowest page of a stack that must grow. */
#include "memory_test.h"

#include <sys/resource.h>

enum { SIZE = 5000 };

static void round_trip(uint8_t *buffer, uint64_t length)
{
	volatile uint64_t canary[64];
	for (uint64_t i = 0; i < 64; i++)
		canary[i] = i * 77;
	for (uint64_t i = 0; i < length; i++)
		buffer[i] = (uint8_t)i;
	uint64_t offset = pin(buffer, length);
	CHECK(router_reads(offset + length - 1) == (uint8_t)(length - 1));
	router_writes(offset, 99);
	CHECK(*(volatile uint8_t *)buffer == 99);
	buffer[1] = 98;
	CHECK(router_reads(offset + 1) == 98);
	unpin(buffer, length);
	for (uint64_t i = 2; i < length; i++)
		CHECK(buffer[i] == (uint8_t)i);
	CHECK(buffer[0] == 99 && buffer[1] == 98);
	for (uint64_t i = 0; i < 64; i++)
		CHECK(canary[i] == i * 77);
}

static __attribute__((noinline)) void deeper(int depth)
{
	uint8_t buffer[SIZE];
	round_trip(buffer + depth % 64, SIZE - 64);
	if (depth > 0)
		deeper(depth - 1);
	round_trip(buffer, 16);
}

static volatile int stop;
static uint8_t *others; /* a buffer in the frame of a thread that goes on using it */
static volatile uint64_t rounds;

static __attribute__((noinline)) uint64_t work(volatile uint64_t *frame, int n)
{
	for (int i = 0; i < 32; i++) {
		if (frame[i] != rounds)
			FAIL("word %d of a thread's frame is %lu in round %lu", i, frame[i], rounds);
		frame[i] = rounds + 1;
	}
	return n == 0 ? 0 : work(frame + 32, n - 1) + 1;
}

static void *use_frame(void *unused)
{
	volatile uint64_t frame[32 * 8] = { 0 };
	uint8_t buffer[64] = { 0 };
	uint8_t *p = buffer;
	__asm__("" : "+r"(p)); /* it does outlive its use: main stops using it before it stops this thread */
	others = p;
	while (!stop) {
		CHECK(work(frame, 7) == 7);
		rounds++;
	}
	(void)buffer[0];
	return unused;
}

static void *stack_of_a_thread(void *unused)
{
	deeper(20);
	return unused;
}

/* The stack's lowest page is registered; afterwards the stack grows below it. */
static __attribute__((noinline)) uint64_t grow(int pages)
{
	volatile uint8_t frame[PAGE];
	frame[0] = (uint8_t)pages;
	return pages == 0 ? 0 : grow(pages - 1) + frame[0];
}

static void lowest_page(void)
{
	char line[8192];
	uint64_t first, end, before = 0, bottom = 0, low = 0; /* the stack is several mappings by now */
	FILE *maps = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, maps) && sscanf(line, "%lx-%lx", &first, &end) == 2) {
		bottom = first == before ? bottom : first;
		before = end;
		if (first <= (uint64_t)line && (uint64_t)line < end)
			low = bottom;
	}
	fclose(maps);
	CHECK(low != 0);
	uint64_t offset = pin((void *)low, 3 * PAGE);
	router_writes(offset, 55);
	CHECK(*(uint8_t *)low == 55);
	grow(400);
	unpin((void *)low, 3 * PAGE);
	grow(800);
}

int main(void)
{
	pthread_t thread;
	start(1ull << 30);
	deeper(40);
	lowest_page();
	pthread_create(&thread, NULL, stack_of_a_thread, NULL);
	pthread_join(thread, NULL);
	pthread_create(&thread, NULL, use_frame, NULL);
	while (!others || rounds < 10)
		usleep(1000);
	for (int i = 0; i < 500; i++) {
		pin(others, 64);
		unpin(others, 64);
	}
	deeper(5);
	stop = 1;
	pthread_join(thread, NULL);
	CHECK(segment_pages() == 0);
	return done();
}
