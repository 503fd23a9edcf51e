/* Threads that block all signals. A userfaultfd and a tracer do not mind; with a signal it is bounded, with an errno, and a
 * reason that names the thread. */
#include "memory_test.h"

#include <sys/prctl.h>

static volatile int stop;

static void *deaf(void *unused)
{
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "deaf-thread");
	while (!stop)
		usleep(1000);
	return unused;
}

/* The first thread may end before the others: it stays in the list of threads, and never answers. */
static void *after_the_first(void *first)
{
	uint8_t *p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_join(*(pthread_t *)first, NULL);
	uint64_t began = now_us();
	pin(p, 8 * PAGE);
	unpin(p, 8 * PAGE);
	CHECK(now_us() - began < 900000); /* not the 1 s that a deaf thread is given */
	_exit(done());
}

int main(void)
{
	struct ff_extent extent;
	uint32_t n;
	static pthread_t first;
	pthread_t thread;
	start(1ull << 30);
	uint8_t *p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_create(&thread, NULL, deaf, NULL);
	usleep(50000);
	uint64_t began = now_us();
	int result = ff_memory_pin((uint64_t)p, 8 * PAGE, &extent, 1, &n);
	uint64_t took = now_us() - began;
	if (getenv("FFMEM_SIGNALS") == NULL) {
		CHECK(result == 0 && took < 500000);
		unpin(p, 8 * PAGE);
	} else {
		CHECK(result == EAGAIN && took > 500000 && took < 4500000 /* 1 s; threads that do answer, but late, are given 5 */);
		if (!strstr(ff_memory_reason(), "deaf-thread"))
			FAIL("\"%s\" does not name the thread", ff_memory_reason());
	}
	CHECK(is_shared(p) == 0 && segment_pages() == 0);
	stop = 1;
	pthread_join(thread, NULL);
	pin(p, 8 * PAGE);
	unpin(p, 8 * PAGE);

	/* A signal of ours that is taken by the program: another is used. */
	for (int number = SIGRTMAX; number > SIGRTMAX - 5; number--)
		signal(number, SIG_IGN);
	stop = 0;
	first = pthread_self();
	pthread_create(&thread, NULL, after_the_first, &first);
	pthread_exit(NULL);
}
