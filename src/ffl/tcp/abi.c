/* libc's names. Bodies stand in the .pyx beside; here are the ones with variable arguments, and the aliases. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ffl/tcp/sock.h"

#include <stdarg.h>

#define FFS_EXPORT __attribute__((visibility("default")))

FFS_EXPORT int socket(int domain, int type, int protocol) { return ffs_socket(domain, type, protocol); }
FFS_EXPORT int socketpair(int domain, int type, int protocol, int ends[2])
{
	return ffs_socketpair(domain, type, protocol, ends);
}
FFS_EXPORT int listen(int fd, int backlog) { return ffs_listen(fd, backlog); }
FFS_EXPORT int connect(int fd, const struct sockaddr *to, socklen_t length) { return ffs_connect(fd, to, length); }

FFS_EXPORT int accept(int fd, struct sockaddr *from, socklen_t *length) { return ffs_accept4(fd, from, length, 0); }
FFS_EXPORT int accept4(int fd, struct sockaddr *from, socklen_t *length, int flags)
{
	return ffs_accept4(fd, from, length, flags);
}

FFS_EXPORT int getsockname(int fd, struct sockaddr *name, socklen_t *length)
{
	return ffs_getsockname(fd, name, length);
}
FFS_EXPORT int getpeername(int fd, struct sockaddr *name, socklen_t *length)
{
	return ffs_getpeername(fd, name, length);
}

FFS_EXPORT int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
	return ffs_getsockopt(fd, level, option, value, length);
}
FFS_EXPORT int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
	return ffs_setsockopt(fd, level, option, value, length);
}

FFS_EXPORT int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
	return ffs_epoll_ctl(epoll, op, fd, event);
}

static int duplicated(int from, int to)
{
	if (to >= 0)
		ffs_duplicated(from, to);
	return to;
}

FFS_EXPORT int dup(int fd) { return duplicated(fd, raw_dup(fd)); }
FFS_EXPORT int dup2(int from, int to) { return from == to ? raw_dup2(from, to) : duplicated(from, raw_dup2(from, to)); }
FFS_EXPORT int dup3(int from, int to, int flags) { return duplicated(from, raw_dup3(from, to, flags)); }

FFS_EXPORT int fcntl(int fd, int command, ...)
{
	va_list rest;
	long argument;

	va_start(rest, command);
	argument = va_arg(rest, long); /* one word, whatever the command makes of it; libc does the same */
	va_end(rest);
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		return duplicated(fd, raw_fcntl(fd, command, argument));
	return raw_fcntl_cancellable(fd, command, argument);
}
/* What a program asks of its interfaces by way of any socket is its own network's, not that which a link lies in. */
FFS_EXPORT int ioctl(int fd, unsigned long request, ...)
{
	va_list rest;
	void *argument;

	va_start(rest, request);
	argument = va_arg(rest, void *);
	va_end(rest);
	return ffs_about_networks(request) ? ffs_ioctl(fd, request, argument) : raw_ioctl(fd, request, argument);
}
FFS_EXPORT int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));
