/*
 * System calls under the names that libfsocket takes from libc. They go straight to the kernel: looking the next
 * definition up needs dlsym, which C libraries before 2.34 keep in another file.
 */
#ifndef FFL_SOCK_RAW_H
#define FFL_SOCK_RAW_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

static inline int raw_socket(int domain, int type, int protocol) { return syscall(SYS_socket, domain, type, protocol); }
static inline int raw_socketpair(int domain, int type, int protocol, int ends[2])
{
	return syscall(SYS_socketpair, domain, type, protocol, ends);
}
static inline int raw_connect(int fd, const void *to, unsigned length) { return syscall(SYS_connect, fd, to, length); }
static inline int raw_bind(int fd, const void *to, unsigned length) { return syscall(SYS_bind, fd, to, length); }
static inline int raw_listen(int fd, int backlog) { return syscall(SYS_listen, fd, backlog); }
static inline int raw_open(const char *path, int flags) { return syscall(SYS_openat, AT_FDCWD, path, flags, 0); }
static inline long raw_read(int fd, void *data, size_t size) { return syscall(SYS_read, fd, data, size); }
static inline long raw_recv(int fd, void *data, size_t n) { return syscall(SYS_recvfrom, fd, data, n, 0, NULL, NULL); }
static inline int raw_dup(int fd) { return syscall(SYS_dup, fd); }
static inline int raw_dup3(int from, int to, int flags) { return syscall(SYS_dup3, from, to, flags); }
static inline int raw_close(int fd) { return syscall(SYS_close, fd); }
static inline int raw_fcntl(int fd, int command, long argument) { return syscall(SYS_fcntl, fd, command, argument); }
static inline int raw_ioctl(int fd, unsigned long request, void *argument)
{
	return syscall(SYS_ioctl, fd, request, argument);
}
static inline int raw_shutdown(int fd, int how) { return syscall(SYS_shutdown, fd, how); }
static inline long raw_sendmsg(int fd, const void *m, int flags) { return syscall(SYS_sendmsg, fd, m, flags); }
static inline long raw_recvmsg(int fd, void *m, int flags) { return syscall(SYS_recvmsg, fd, m, flags); }

static inline int raw_epoll_ctl(int epfd, int op, int fd, void *event)
{
	return syscall(SYS_epoll_ctl, epfd, op, fd, event);
}
static inline int raw_getsockname(int fd, void *name, unsigned *length)
{
	return syscall(SYS_getsockname, fd, name, length);
}
static inline int raw_getpeername(int fd, void *name, unsigned *length)
{
	return syscall(SYS_getpeername, fd, name, length);
}
static inline int raw_getsockopt(int fd, int level, int option, void *value, unsigned *length)
{
	return syscall(SYS_getsockopt, fd, level, option, value, length);
}
static inline int raw_setsockopt(int fd, int level, int option, const void *value, unsigned length)
{
	return syscall(SYS_setsockopt, fd, level, option, value, length);
}

/* Ready events of one descriptor within timeout_ms, 0 for none. Not a cancellation point. */
static inline int raw_poll_one(int fd, int events, int timeout_ms)
{
	struct pollfd one = {fd, events, 0};
	struct timespec limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};

	while (syscall(SYS_ppoll, &one, 1, &limit, NULL, 0) < 0)
		if (errno != EINTR)
			return 0;
	return one.revents;
}

/* Cancellation points: a thread that blocks in one can be cancelled, as in libc's. */
#define CANCELLABLE(call)                                               \
	({                                                              \
		int type, saved;                                        \
		long result;                                            \
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type); \
		result = (call);                                        \
		saved = errno;                                          \
		pthread_setcanceltype(type, NULL);                      \
		errno = saved;                                          \
		result;                                                 \
	})

/* accept where flags are 0, as libc's accept is: a filter of system calls may know no other. */
static inline int raw_accept4_cancellable(int fd, void *from, unsigned *length, int flags)
{
	if (!flags)
		return CANCELLABLE(syscall(SYS_accept, fd, from, length));
	return CANCELLABLE(syscall(SYS_accept4, fd, from, length, flags));
}
static inline int raw_connect_cancellable(int fd, const void *to, unsigned length)
{
	return CANCELLABLE(syscall(SYS_connect, fd, to, length));
}

/* What libc's fcntl does besides the call: a lock is waited for at a cancellation point, and a negative owner is no error. */
static inline int raw_fcntl_cancellable(int fd, int command, long argument)
{
	struct f_owner_ex owner;

	if (command == F_SETLKW || command == F_OFD_SETLKW)
		return CANCELLABLE(syscall(SYS_fcntl, fd, command, argument));
	if (command != F_GETOWN)
		return raw_fcntl(fd, command, argument);
	if (raw_fcntl(fd, F_GETOWN_EX, (long)&owner) < 0)
		return -1;
	return owner.type == F_OWNER_PGRP ? -owner.pid : owner.pid;
}

static inline int raw_dup2(int from, int to)
{
#ifdef SYS_dup2
	return syscall(SYS_dup2, from, to);
#else
	return from != to ? raw_dup3(from, to, 0) : raw_fcntl(from, F_GETFD, 0) < 0 ? -1 : to;
#endif
}
static inline void *raw_map_zeros(size_t size)
{
	return (void *)syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
}

static inline int get_errno(void) { return errno; }
static inline void set_errno(int value) { errno = value; }

static inline uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

#endif
