/*
 * So many registrations of random parts of one buffer, beside threads of every kind: two that store and check what they stored,
 * one into whose buffer the kernel stores (read from a pipe, and io_uring where nobody is stopped), one that blocks all signals,
 * one with a small signal stack, one that forks; and the router, which stores, too. Nothing is lost, nobody dies.
 * Arguments: registrations, seed, and "text" to print how long they took.
 */
#include "memory_uring.h"

enum { PAGES = 96, LENGTH = PAGES * PAGE, WRITERS = 2, READ_AT = 32 * PAGE, READ_LENGTH = 16 * PAGE, ROUTER_AT = 64 * PAGE };

static volatile int stop;
static uint8_t *buffer; /* 0..31 writers, 32..47 the kernel's, 64 the router's, the rest nobody's */
static volatile uint64_t counts[5];

static void *write_on(void *argument)
{
	volatile uint64_t *words = (uint64_t *)buffer;
	uint64_t me = (uint64_t)argument, round = 0;
	for (; !stop; round++)
		for (uint64_t i = me; i < 32 * PAGE / 8; i += WRITERS) {
			if (words[i] != round)
				FAIL("word %lu is %lu in round %lu", i, words[i], round);
			words[i] = round + 1;
		}
	counts[0] += round;
	return NULL;
}

static void check_read(uint8_t with)
{
	for (int i = 0; i < READ_LENGTH; i++)
		if (buffer[READ_AT + i] != with)
			FAIL("byte %d of a read is %u, not %u", i, buffer[READ_AT + i], with);
}

static void *read_on(void *unused)
{
	static uint8_t block[READ_LENGTH];
	struct uring ring;
	char path[] = "/tmp/ff-test-XXXXXX";
	int ends[2], zero = mkstemp(path);
	CHECK(unlink(path) == 0 && ftruncate(zero, READ_LENGTH) == 0);
	CHECK(pipe(ends) == 0 && fcntl(ends[0], F_SETPIPE_SZ, READ_LENGTH) >= READ_LENGTH);
	uring_open(&ring, 0);
	for (uint8_t i = 1; !stop; i = (uint8_t)(i % 200 + 1)) {
		memset(block, i, sizeof block);
		CHECK(write(ends[1], block, sizeof block) == READ_LENGTH);
		for (int done = 0; done < READ_LENGTH;) {
			ssize_t got = read(ends[0], buffer + READ_AT + done, (size_t)(READ_LENGTH - done));
			CHECK(got > 0);
			done += (int)got;
		}
		check_read(i);
		if (ff_way_is_quiet()) {
			uring_submit(&ring, IORING_OP_READ, i % 2 ? IOSQE_ASYNC : 0, zero, buffer + READ_AT, READ_LENGTH);
			CHECK(uring_result(&ring) == READ_LENGTH);
			check_read(0);
		}
		counts[1]++;
	}
	return unused;
}

static void *deaf(void *unused)
{
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	for (; !stop; counts[2]++)
		usleep(500);
	return unused;
}

static void *on_a_small_stack(void *unused)
{
	stack_t stack = { .ss_sp = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), .ss_size = 8192 };
	CHECK(sigaltstack(&stack, NULL) == 0);
	for (; !stop; counts[3]++)
		nanosleep(&(struct timespec){ 0, 300000 }, NULL);
	return unused;
}

static void *fork_on(void *unused)
{
	int status;
	for (; !stop; counts[4]++) {
		pid_t child = fork();
		if (child == 0) {
			memset(buffer, 1, LENGTH); /* its own */
			_exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child && status == 0);
		usleep(20000);
	}
	return unused;
}

int main(int argc, char **argv)
{
	long registrations = argc > 1 ? atol(argv[1]) : 1000, busy = 0;
	unsigned seed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 1;
	void *(*bodies[])(void *) = { write_on, write_on, read_on, deaf, on_a_small_stack, fork_on };
	enum { THREADS = sizeof bodies / sizeof *bodies };
	pthread_t threads[THREADS];
	struct ff_extent extent;
	uint32_t n;
	start(1ull << 30);
	buffer = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(buffer, 0, LENGTH);
	for (uint64_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, bodies[i], (void *)(i % WRITERS));
	uint64_t began = now_us();
	for (long i = 0; i < registrations; i++) {
		uint64_t from = (uint64_t)(rand_r(&seed) % (LENGTH - 1)), length = 1 + (uint64_t)rand_r(&seed) % (LENGTH - from);
		int result = ff_memory_pin((uint64_t)buffer + from, length, &extent, 1, &n);
		if (result == EBUSY && ++busy < registrations / 4)
			continue;
		if (result != 0)
			FAIL("registration %ld: %s (%s)", i, strerror(result), ff_memory_reason());
		if (from <= ROUTER_AT && from + length > ROUTER_AT) {
			router_writes(extent.offset + ROUTER_AT - (from & -(uint64_t)PAGE), (uint8_t)i);
			/* At once, but for a fork (fork.pyx): then when it is over. Messages wait for that (gate.h). */
			for (uint64_t since = now_us(); *(volatile uint8_t *)(buffer + ROUTER_AT) != (uint8_t)i;)
				CHECK(now_us() - since < 5000000);
		}
		unpin(buffer + from, length);
	}
	uint64_t took = now_us() - began;
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK(segment_pages() == 0);
	printf("%ld registrations, %lu us each, %ld refused for a device's sake; writers %lu, reads %lu, deaf %lu, small %lu, forks %lu\n",
	       registrations, took / (uint64_t)registrations, busy, counts[0], counts[1], counts[2], counts[3], counts[4]);
	return done();
}
