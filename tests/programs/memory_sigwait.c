/*
 * Programs that block all signals and ask for them: in sigwait, signalfd, sigtimedwait, ppoll; what another thread registers
 * meanwhile shows them none. And a program that is started by exec afterwards is not killed by one that was left pending.
 */
#include "memory_test.h"

#include <poll.h>
#include <sys/signalfd.h>

enum { LENGTH = 1 << 20, ROUNDS = 50 };

static volatile int finished;

static void *registrar(void *unused)
{
	uint8_t *p = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	usleep(20000);
	for (int i = 0; i < ROUNDS; i++) {
		memset(p, i, LENGTH);
		uint64_t began = now_us();
		uint64_t at = pin(p, LENGTH);
		CHECK(router_reads(at + LENGTH - 1) == (uint8_t)i);
		unpin(p, LENGTH);
		CHECK(now_us() - began < 1000000);
	}
	finished = 1;
	kill(getpid(), SIGTERM);
	return unused;
}

/* The next signal, or 0 when none came. */
static int next(const char *how, const sigset_t *all)
{
	static int fd = -1;
	struct timespec second = { 1, 0 };
	struct signalfd_siginfo info;
	sigset_t none;
	int number = 0;
	if (strcmp(how, "sigwait") == 0)
		return sigwait(all, &number) == 0 ? number : 0;
	if (strcmp(how, "sigtimedwait") == 0) {
		number = sigtimedwait(all, NULL, &second);
		CHECK(number > 0 || errno == EAGAIN);
		return number > 0 ? number : 0;
	}
	if (strcmp(how, "signalfd") == 0) {
		fd = fd < 0 ? signalfd(-1, all, 0) : fd;
		CHECK(read(fd, &info, sizeof info) == sizeof info);
		return (int)info.ssi_signo;
	}
	sigemptyset(&none);
	signal(SIGTERM, SIG_IGN);
	CHECK(ppoll(NULL, 0, &(struct timespec){ 0, 300000000 }, &none) == 0); /* all are let through, and none comes */
	return finished ? SIGTERM : 0;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "sigwait";
	pthread_t thread;
	sigset_t all, pending;
	int number;
	start(1ull << 30);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	pthread_create(&thread, NULL, registrar, NULL);
	if (strcmp(how, "exec") != 0) {
		while ((number = next(how, &all)) != SIGTERM || !finished)
			if (number != 0 && number != SIGTERM)
				FAIL("%s got signal %d", how, number);
		pthread_join(thread, NULL);
		return done();
	}
	pthread_join(thread, NULL);
	sigpending(&pending);
	for (number = 1; number < 65; number++)
		if (number != SIGTERM && sigismember(&pending, number) == 1)
			FAIL("signal %d is pending before exec", number);
	signal(SIGTERM, SIG_IGN);
	execl("/bin/sh", "sh", "-c", "echo ok", NULL);
	return 1;
}
