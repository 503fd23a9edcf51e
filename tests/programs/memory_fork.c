/*
 * fork with registered pages. Parent and child each see memory as it was at the fork, and their own writes from then
 * on; heap and stack stay whole on both sides; the child has no registrations.
 */
#include "memory_test.h"

#include <spawn.h>
#include <stdatomic.h>
#include <sys/time.h>

enum { BUFFERS = 40, ROUNDS = 60 };
enum { LONGEST_FORK_US = 10000000 }; /* other threads are given 5 s to stop, the child 1 s for its copies; milliseconds are usual */

static void end_of_child(pid_t child, const char *what)
{
	int status;
	CHECK(waitpid(child, &status, 0) == child);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		FAIL("%s: the child ended with status %#x", what, status);
}

/* malloc and free as a program does, with a check of every byte. */
static void churn(unsigned *seed, int rounds)
{
	enum { SLOTS = 200 };
	static __thread uint8_t *slot[SLOTS];
	static __thread uint32_t size[SLOTS];
	for (int i = 0; i < rounds; i++) {
		unsigned at = (unsigned)rand_r(seed) % SLOTS;
		if (slot[at]) {
			for (uint32_t j = 0; j < size[at]; j++)
				if (slot[at][j] != (uint8_t)at)
					FAIL("heap block %u is broken", at);
			free(slot[at]);
			slot[at] = NULL;
		} else {
			size[at] = (uint32_t)rand_r(seed) % 3000 + 1;
			slot[at] = malloc(size[at]);
			memset(slot[at], (int)at, size[at]);
		}
	}
}

/* Small blocks in the heap, so that nearly all of the heap's pages are edge pages of some registration. */
static uint8_t *buffer[BUFFERS];
static uint64_t offset[BUFFERS];
static uint32_t length[BUFFERS];

static void pin_buffers(void)
{
	for (int i = 0; i < BUFFERS; i++) {
		length[i] = i % 4 == 0 ? 5 * PAGE : 200;
		buffer[i] = malloc(length[i]);
		memset(buffer[i], i, length[i]);
		offset[i] = pin(buffer[i], length[i]);
	}
}

static void unpin_buffers(void)
{
	for (int i = 0; i < BUFFERS; i++) {
		unpin(buffer[i], length[i]);
		free(buffer[i]);
	}
}

static void child_owns_its_memory(void)
{
	int go[2], gone[2];
	char c = 0;
	CHECK(pipe(go) == 0 && pipe(gone) == 0);
	pin_buffers();
	pid_t child = fork();
	if (child == 0) {
		struct ff_extent extent;
		uint32_t n;
		CHECK(read(go[0], &c, 1) == 1); /* the parent has written to its memory by now, and the router too */
		for (int i = 0; i < BUFFERS; i++)
			for (uint32_t j = 0; j < length[i]; j++)
				if (buffer[i][j] != i)
					FAIL("buffer %d byte %u is %u in the child", i, j, buffer[i][j]);
		for (int i = 0; i < BUFFERS; i++)
			memset(buffer[i], 111, length[i]);
		CHECK(is_shared(buffer[0]) == 0 && is_shared(buffer[1]) == 0);
		CHECK(ff_memory_pin((uint64_t)buffer[0], 1, &extent, 1, &n) == EINVAL);
		CHECK(ff_memory_unpin((uint64_t)buffer[0], length[0]) == EINVAL);
		/* A session of its own, on memory that its parent had registered. */
		start(memfd_size);
		uint64_t at = pin(buffer[0], length[0]);
		router_writes(at, 112);
		CHECK(buffer[0][0] == 112);
		/* And a child of its own. */
		pid_t grandchild = fork();
		if (grandchild == 0) {
			CHECK(buffer[0][0] == 112 && buffer[3][0] == 111 && is_shared(buffer[0]) == 0);
			buffer[0][0] = 113;
			_exit(0);
		}
		end_of_child(grandchild, "grandchild");
		CHECK(buffer[0][0] == 112);
		unpin(buffer[0], length[0]);
		CHECK(write(gone[1], &c, 1) == 1);
		_exit(0);
	}
	for (int i = 0; i < BUFFERS; i++) {
		memset(buffer[i], 100 + i, length[i]);
		CHECK(router_reads(offset[i]) == 100 + i && router_reads(offset[i] + length[i] - 1) == 100 + i);
		router_writes(offset[i], 7);
		CHECK(buffer[i][0] == 7);
	}
	CHECK(write(go[1], &c, 1) == 1 && read(gone[0], &c, 1) == 1);
	for (int i = 0; i < BUFFERS; i++) {
		CHECK(buffer[i][0] == 7 && buffer[i][1] == 100 + i && router_reads(offset[i] + 1) == 100 + i);
		router_writes(offset[i] + 1, 8);
		CHECK(buffer[i][1] == 8);
	}
	end_of_child(child, "child");
	unpin_buffers();
	CHECK(segment_pages() == 0);
}

/* What the router writes while fork() is under way is not lost: beside it in the page, the parent's own writes are. */
static atomic_int router_stop;
static void *router_writes_on(void *argument)
{
	uint64_t *last = argument;
	for (uint64_t i = 1; !router_stop; i++) {
		CHECK(pwrite(memfd, &i, 8, (off_t)offset[1]) == 8);
		*last = i;
	}
	return NULL;
}

static void router_goes_on(void)
{
	pid_t router;
	uint64_t *last = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int stop_router[2];
	pin_buffers();
	CHECK(pipe(stop_router) == 0);
	router = fork(); /* another process, which nobody stops */
	if (router == 0) {
		close(stop_router[1]);
		pthread_t thread;
		char c;
		pthread_create(&thread, NULL, router_writes_on, last);
		(void)!read(stop_router[0], &c, 1);
		router_stop = 1;
		pthread_join(thread, NULL);
		_exit(0);
	}
	for (int i = 0; i < ROUNDS; i++) {
		pid_t child = fork();
		if (child == 0)
			_exit(0);
		end_of_child(child, "idle child");
	}
	close(stop_router[1]);
	end_of_child(router, "router");
	uint64_t there;
	memcpy(&there, buffer[1], 8);
	CHECK(*last > 1000 && there == *last);
	unpin_buffers();
	munmap(last, PAGE);
}

/* ---- threads: all churn the heap, one registers, one forks ---- */

static atomic_int stop;
static atomic_long churns;

static void *churn_on(void *argument)
{
	unsigned seed = (unsigned)(uintptr_t)argument;
	while (!stop) {
		churn(&seed, 500);
		churns++;
	}
	return NULL;
}

static void *register_on(void *unused)
{
	while (!stop) {
		uint8_t *p = malloc(3000), *big = malloc(20 * PAGE);
		memset(p, 1, 3000);
		memset(big, 2, 20 * PAGE);
		pin(p, 3000);
		pin(big, 20 * PAGE);
		CHECK(p[2999] == 1 && big[20 * PAGE - 1] == 2);
		unpin(p, 3000);
		unpin(big, 20 * PAGE);
		free(p);
		free(big);
		usleep(500);
	}
	return unused;
}

static void fork_among_threads(void)
{
	pthread_t threads[4];
	unsigned seed = 5;
	uint64_t longest = 0;
	pin_buffers();
	for (uint64_t i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, churn_on, (void *)(i + 1));
	pthread_create(&threads[3], NULL, register_on, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t began = now_us();
		pid_t child = fork();
		if (child == 0) {
			churn(&seed, 3000);
			for (int b = 0; b < BUFFERS; b++)
				CHECK(buffer[b][length[b] - 1] == b);
			_exit(0);
		}
		longest = now_us() - began > longest ? now_us() - began : longest;
		churn(&seed, 3000);
		end_of_child(child, "churning child");
		for (int b = 0; b < BUFFERS; b++) {
			CHECK(buffer[b][0] == b && router_reads(offset[b] + length[b] - 1) == b);
			router_writes(offset[b], (uint8_t)b);
		}
	}
	stop = 1;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	printf("longest fork: %lu us, churns: %ld\n", longest, churns);
	CHECK(longest < LONGEST_FORK_US);
	unpin_buffers();
	CHECK(segment_pages() == 0);
}

/* ---- */

/* The forking thread's own frames share pages with a registered buffer, above and below it. */
static __attribute__((noinline)) void from_a_registered_stack(int depth)
{
	volatile uint64_t frame[40];
	uint8_t registered[100];
	for (int i = 0; i < 40; i++)
		frame[i] = (uint64_t)(i + depth);
	memset(registered, depth, sizeof registered);
	uint64_t at = pin(registered, sizeof registered);
	if (depth > 0) {
		from_a_registered_stack(depth - 1);
	} else {
		for (int round = 0; round < 50; round++) {
			pid_t child = fork();
			if (child == 0)
				for (volatile int i = 0; i < 100; i++)
					frame[i % 40] = frame[(i + 7) % 40] + 1;
			else
				end_of_child(child, "child on a registered stack");
			if (child == 0)
				_exit(0);
		}
	}
	for (int i = 0; i < 40; i++)
		CHECK(frame[i] == (uint64_t)(i + depth));
	CHECK(registered[50] == depth && router_reads(at + 50) == depth);
	router_writes(at + 51, 9);
	CHECK(((volatile uint8_t *)registered)[51] == 9);
	unpin(registered, sizeof registered);
}

static void alarm_soon(void)
{
	struct itimerval once = { { 0, 0 }, { 0, 700 } };
	setitimer(ITIMER_REAL, &once, NULL);
}

static void in_a_handler(int number)
{
	(void)number;
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	end_of_child(child, "child of a handler");
	alarm_soon();
}

static void from_a_signal_handler(void)
{
	struct sigaction action = { .sa_handler = in_a_handler, .sa_flags = SA_RESTART };
	struct itimerval never = { { 0, 0 }, { 0, 0 } };
	uint8_t *p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaction(SIGALRM, &action, NULL);
	alarm_soon();
	for (int i = 0; i < 300; i++) {
		memset(p, i, 64 * PAGE);
		pin(p + 5, 64 * PAGE - 10);
		CHECK(p[64 * PAGE - 6] == (uint8_t)i);
		unpin(p + 5, 64 * PAGE - 10);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	munmap(p, 64 * PAGE);
}

static void dontfork_is_honoured(void)
{
	uint8_t *p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(p, 1, 8 * PAGE);
	uint64_t at = pin(p, 8 * PAGE);
	madvise(p, 4 * PAGE, MADV_DONTFORK);
	pid_t child = fork();
	if (child == 0) {
		CHECK(is_shared(p) == -1 && is_shared(p + 4 * PAGE) == 0 && p[4 * PAGE] == 1);
		_exit(0);
	}
	end_of_child(child, "child with a gap");
	p[0] = 2;
	CHECK(router_reads(at) == 2);
	unpin(p, 8 * PAGE);
	munmap(p, 8 * PAGE);
}

/* Neither runs handlers; the child borrows the parent's memory until it is another program. */
static void vfork_and_spawn(void)
{
	char *arguments[] = { "true", NULL };
	pid_t child;
	pin_buffers();
	child = vfork();
	if (child == 0) {
		execvp("true", arguments);
		_exit(1);
	}
	end_of_child(child, "vfork");
	CHECK(posix_spawnp(&child, "true", NULL, NULL, arguments, environ) == 0);
	end_of_child(child, "posix_spawn");
	CHECK(system("true") == 0);
	for (int i = 0; i < BUFFERS; i++)
		CHECK(router_reads(offset[i]) == i);
	unpin_buffers();
}

/* A fork that fails leaves the parent as it was, and does not wait for anybody. */
static void a_fork_that_fails(void)
{
	pid_t child = fork();
	if (child != 0) {
		end_of_child(child, "child without children");
		return;
	}
	start(memfd_size);
	pin_buffers();
	struct { uint64_t current, max; } none = { 0, 0 };
	CHECK(setuid(65534) == 0 || getuid() != 0);
	syscall(SYS_prlimit64, 0, 6 /* RLIMIT_NPROC */, &none, NULL);
	uint64_t began = now_us();
	CHECK(fork() == -1 && errno == EAGAIN);
	CHECK(now_us() - began < 900000); /* it would wait for a child's copies for 1 s */
	for (int i = 0; i < BUFFERS; i++) {
		router_writes(offset[i], 42);
		CHECK(buffer[i][0] == 42);
	}
	_exit(0);
}

int main(void)
{
	start(1ull << 30);
	child_owns_its_memory();
	router_goes_on();
	fork_among_threads();
	from_a_registered_stack(6);
	from_a_signal_handler();
	dontfork_is_honoured();
	vfork_and_spawn();
	a_fork_that_fails();
	CHECK(segment_pages() == 0);
	return done();
}
