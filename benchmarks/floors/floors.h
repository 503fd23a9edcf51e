/* What the floor programs share: a clock, shared mappings, and the wait of a party that found nothing. */
#ifndef FLOORS_H
#define FLOORS_H

#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef _Atomic uint64_t a64;

static inline uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

/* A memfd mapped shared: the same kind of page that a session's segments and registered memory have. */
static inline void *shared_memory(size_t bytes)
{
	int fd = memfd_create("floor", MFD_CLOEXEC);
	void *p;

	if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0)
		die("memfd");
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		die("mmap");
	close(fd);
	memset(p, 0, bytes);
	return p;
}

/* A child that runs `body` and cannot outlive this process. */
static inline pid_t start(void (*body)(void *), void *argument)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			body(argument);
		_exit(0);
	}
	return pid;
}

static inline void hog(void *unused)
{
	(void)unused;
	for (volatile uint64_t n = 0;; n++)
		;
}

static inline void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static inline int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static inline double percentile(double *sorted, size_t n, double share)
{
	return sorted[(size_t)(share * (double)(n - 1))];
}

/* --name VALUE or --name; fallback when it is not there. A flag gives 1. */
static inline long option(int argc, char **argv, const char *name, long fallback)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return i + 1 < argc && argv[i + 1][0] != '-' ? strtol(argv[i + 1], NULL, 0) : 1;
	return fallback;
}

#endif
