/* The loop's system calls, with the structs that only C can spell. */
#ifndef FFR_LOOP_H
#define FFR_LOOP_H

#include <linux/futex.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FFR_EVENTS = 64 };
enum ffr_tag { FFR_TAG_SOCKET = 1, FFR_TAG_DOORBELL, FFR_TAG_WAKE, FFR_TAG_NIC, FFR_TAG_CM };

static inline uint64_t ffr_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A session's socket is watched for its end only, as an rdma_cm channel's; an eventfd edge by edge, and never read. */
static inline int ffr_epoll_add(int epoll, int fd, uint32_t tag, uint32_t session)
{
	struct epoll_event event;

	memset(&event, 0, sizeof(event));
	event.events = tag == FFR_TAG_SOCKET ? EPOLLRDHUP | EPOLLET : tag == FFR_TAG_CM ? EPOLLET : tag == FFR_TAG_DOORBELL ? EPOLLIN | EPOLLET : EPOLLIN;
	event.data.u64 = (uint64_t)tag << 32 | session;
	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static inline void ffr_epoll_remove(int epoll, int fd)
{
	epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
}

static inline int ffr_epoll_wait(int epoll, uint64_t timeout_ns, uint32_t *tags, uint32_t *sessions)
{
	struct epoll_event event[FFR_EVENTS];
	struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000u), .tv_nsec = (long)(timeout_ns % 1000000000u)};
	int n = (int)syscall(SYS_epoll_pwait2, epoll, event, FFR_EVENTS, &timeout, NULL, 8), i;

	for (i = 0; i < n; i++) {
		tags[i] = (uint32_t)(event[i].data.u64 >> 32);
		sessions[i] = (uint32_t)event[i].data.u64;
	}
	return n < 0 ? 0 : n; /* EINTR: as if nothing had come */
}

static inline void ffr_eventfd_add(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

static inline void ffr_eventfd_drain(int fd)
{
	uint64_t count;

	(void)!read(fd, &count, sizeof(count));
}

/* The calling thread to one core, or (cpu < 0) back to every core in *all. */
static inline void ffr_pin(int cpu, const cpu_set_t *all)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	if (cpu >= 0)
		CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), cpu >= 0 ? &one : all);
}

static inline int ffr_first_cpu(cpu_set_t *all)
{
	int cpu;

	sched_getaffinity(0, sizeof(*all), all);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, all))
			return cpu;
	return -1;
}

/*
 * Asks the kernel (6.12 and later; others ignore it) to run the calling thread in slices of that many ns, 100 us at
 * least. A thread that wakes with a shorter slice than the running one's overtakes it, so a message does not wait for
 * whoever burns the core. A policy or niceness that somebody gave the router stays.
 */
static inline void ffr_slice(uint64_t ns)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} wanted = {.size = sizeof(wanted), .policy = SCHED_OTHER, .runtime = ns};

	wanted.nice = getpriority(PRIO_PROCESS, 0);
	if (sched_getscheduler(0) == SCHED_OTHER)
		syscall(SYS_sched_setattr, 0, &wanted, 0);
}

/* Sleeps while *word == value, at most ns. */
static inline void ffr_futex_nap(void *word, uint32_t value, long ns)
{
	struct timespec limit = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &limit, NULL, 0);
}

static inline void ffr_futex_rouse(void *word, int count)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static inline int ffr_lowest_bit(uint64_t bits)
{
	return __builtin_ctzll(bits);
}

#endif
