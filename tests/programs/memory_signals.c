/*
 * The application's own signals still interrupt its calls, while registrations stop its threads all the time: a signal
 * without SA_RESTART gives an EINTR, and one with SA_RESTART gives none where the kernel would restart.
 *
 * A signal that comes in the microsecond between our handler's look at the pending signals and the repeated call is as
 * good as one that came just before the call: it does not interrupt it. Without that look most would be lost so; on a machine
 * that is busy some come before the call indeed. And in calls with a signal mask, which programs make to be interrupted, a
 * stop may do so (see memory_blocked.c).
 */
#include "memory_test.h"

#include <poll.h>
#include <sys/epoll.h>

enum { LENGTH = 64 * 1024, ROUNDS = 100, PERIOD_US = 3000, LOST_MAX = ROUNDS / 3, SUSPENDED_MAX = ROUNDS / 3 };

static volatile int stop;
static volatile int handled;
static char *buffer;

static void *register_on(void *unused)
{
	while (!stop) {
		pin(buffer, LENGTH);
		unpin(buffer, LENGTH);
	}
	return unused;
}

static void on_signal(int number)
{
	(void)number;
	handled++;
}

static int pipe_ends[2];

static int in_read(void) { char c; return (int)read(pipe_ends[0], &c, 1); }
static int in_poll(void)
{
	struct pollfd p = { pipe_ends[0], POLLIN, 0 };
	return poll(&p, 1, 10000);
}
static int in_nanosleep(void)
{
	struct timespec t = { 10, 0 };
	return nanosleep(&t, NULL);
}
static int in_epoll(void)
{
	static int fd = -1;
	struct epoll_event event = { .events = EPOLLIN };
	if (fd < 0) {
		fd = epoll_create1(0);
		epoll_ctl(fd, EPOLL_CTL_ADD, pipe_ends[0], &event);
	}
	return epoll_wait(fd, &event, 1, 10000);
}
static int in_sigsuspend(void)
{
	sigset_t mask;
	sigemptyset(&mask);
	return sigsuspend(&mask);
}

/* The signal comes from a timer of the kernel's, aimed at this thread, at a moment that drifts over all phases. */
static void each_is_interrupted(const char *name, int (*call)(void), int flags)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	timer_t timer;
	event._sigev_un._tid = gettid();
	sigaction(SIGUSR1, &action, NULL);
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	int lost = 0, spurious = 0;
	for (int i = 0; i < ROUNDS; i++) {
		struct itimerspec again = { { 0, 20000000 }, { 0, (PERIOD_US + i * 97) * 1000 } };
		struct itimerspec never = { { 0, 0 }, { 0, 0 } };
		handled = 0;
		CHECK(timer_settime(timer, 0, &again, NULL) == 0);
		int result = call(), error = errno;
		timer_settime(timer, 0, &never, NULL);
		if (result != -1 || error != EINTR)
			FAIL("%s gave %d (%s)", name, result, strerror(error));
		lost += handled > 1;
		spurious += handled == 0;
	}
	timer_delete(timer);
	if (lost > LOST_MAX)
		FAIL("%s was not interrupted by %d signals of %d", name, lost, ROUNDS);
	if (spurious > (call == in_sigsuspend ? SUSPENDED_MAX : 0))
		FAIL("%s was interrupted %d times without a signal", name, spurious);
	printf("%s: of %d signals %d were lost; %d interruptions without one\n", name, ROUNDS, lost, spurious);
}

/* A byte comes 20 ms after the signal: read() returns it, not EINTR. */
static void *write_later(void *unused)
{
	for (int i = 0; i < ROUNDS; i++) {
		while (!handled)
			usleep(1000);
		handled = 0;
		usleep(3000);
		CHECK(write(pipe_ends[1], "x", 1) == 1);
	}
	return unused;
}

static void read_restarts(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	timer_t timer;
	pthread_t writer;
	event._sigev_un._tid = gettid();
	sigaction(SIGUSR1, &action, NULL);
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	handled = 0;
	pthread_create(&writer, NULL, write_later, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		struct itimerspec once = { .it_value = { 0, 3000000 } };
		timer_settime(timer, 0, &once, NULL);
		if (in_read() != 1)
			FAIL("read with SA_RESTART: %s", strerror(errno));
	}
	pthread_join(writer, NULL);
	timer_delete(timer);
}

int main(void)
{
	pthread_t registrar;
	sigset_t set;
	start(1ull << 30);
	buffer = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(pipe(pipe_ends) == 0);
	pthread_create(&registrar, NULL, register_on, NULL);
	each_is_interrupted("read", in_read, 0);
	each_is_interrupted("poll", in_poll, 0);
	each_is_interrupted("poll with SA_RESTART", in_poll, SA_RESTART);
	each_is_interrupted("nanosleep", in_nanosleep, 0);
	each_is_interrupted("epoll_wait", in_epoll, SA_RESTART);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	each_is_interrupted("sigsuspend", in_sigsuspend, 0);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	read_restarts();
	stop = 1;
	pthread_join(registrar, NULL);
	return done();
}
