/* The socket: made in place of NETLINK_RDMA's where the kernel has none, and answered when something is sent by it. */
#include "ffl/interpose/interpose.h"
#include "ffl/netlink/netlink.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef NETLINK_RDMA
#define NETLINK_RDMA 20
#endif

/* Who asks: iproute2's rdma by libmnl, UCX by itself, others by libnl. */
static const char *const objects[] = {"libmnl.so", "libnl-3.so", "libuct_ib", "libucs.so"};

enum { OURS_MAX = 64 };

static int (*real_socket)(int, int, int);
static ssize_t (*real_send)(int, const void *, size_t, int);
static ssize_t (*real_sendto)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ino_t ours[OURS_MAX]; /* sockets by their inode: a number that was closed may be another file's by now */
static unsigned next;	     /* in a circle; the oldest is forgotten */

static ino_t inode_of(int fd)
{
	struct stat file;

	return syscall(SYS_fstat, fd, &file) ? 0 : file.st_ino; /* libc's fstat is younger than some of its readers */
}

static int is_ours(int fd)
{
	ino_t inode = next ? inode_of(fd) : 0;
	int found = 0;

	pthread_mutex_lock(&lock);
	for (int i = 0; inode && i < OURS_MAX; i++)
		found |= ours[i] == inode;
	pthread_mutex_unlock(&lock);
	return found;
}

static int our_socket(int domain, int type, int protocol)
{
	int fd = real_socket(domain, type, protocol);

	if (fd >= 0 || domain != AF_NETLINK || protocol != NETLINK_RDMA || errno != EPROTONOSUPPORT)
		return fd;
	fd = real_socket(AF_NETLINK, type, NETLINK_USERSOCK);
	if (fd < 0) {
		errno = EPROTONOSUPPORT;
		return -1;
	}
	pthread_mutex_lock(&lock);
	ours[next++ % OURS_MAX] = inode_of(fd);
	pthread_mutex_unlock(&lock);
	return fd;
}

/* What was sent is answered into the socket itself, from another one: nobody else is to read or to wait. */
static ssize_t answer(int fd, const char *data, size_t size)
{
	struct sockaddr_nl asker = {0};
	socklen_t length = sizeof(asker);
	char out[FF_ANSWERS] __attribute__((aligned(8)));
	const struct nlmsghdr *request = (const struct nlmsghdr *)data;
	size_t said;
	int from, sent;

	if (size < sizeof(*request) || request->nlmsg_len < sizeof(*request) || request->nlmsg_len > size) {
		errno = EINVAL;
		return -1;
	}
	if (getsockname(fd, (struct sockaddr *)&asker, &length))
		return -1;
	if (!asker.nl_pid) { /* the kernel names a socket at its first send */
		asker.nl_family = AF_NETLINK;
		length = sizeof(asker);
		if (bind(fd, (struct sockaddr *)&asker, sizeof(asker)) || getsockname(fd, (struct sockaddr *)&asker, &length))
			return -1;
	}
	said = ff_netlink_answer(request, asker.nl_pid, out);
	from = real_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);
	if (from < 0)
		return -1;
	sent = real_sendto(from, out, said, MSG_DONTWAIT, (struct sockaddr *)&asker, sizeof(asker)) == (ssize_t)said;
	close(from);
	return sent ? (ssize_t)size : -1;
}

static ssize_t our_send(int fd, const void *data, size_t size, int flags)
{
	return is_ours(fd) ? answer(fd, data, size) : real_send(fd, data, size, flags);
}

static ssize_t our_sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
	return is_ours(fd) ? answer(fd, data, size) : real_sendto(fd, data, size, flags, to, length);
}

static ssize_t our_sendmsg(int fd, const struct msghdr *message, int flags)
{
	char data[4096] __attribute__((aligned(8)));
	size_t size = 0;

	if (!is_ours(fd))
		return real_sendmsg(fd, message, flags);
	for (size_t i = 0; i < message->msg_iovlen; i++) {
		if (message->msg_iov[i].iov_len > sizeof(data) - size) {
			errno = EMSGSIZE;
			return -1;
		}
		memcpy(data + size, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
		size += message->msg_iov[i].iov_len;
	}
	return answer(fd, data, size);
}

__attribute__((constructor)) static void start(void)
{
	real_socket = socket;
	real_send = send;
	real_sendto = sendto;
	real_sendmsg = sendmsg;
	for (size_t i = 0; i < sizeof(objects) / sizeof(*objects); i++) {
		ff_interpose(objects[i], "socket", (void *)our_socket, NULL);
		ff_interpose(objects[i], "send", (void *)our_send, NULL);
		ff_interpose(objects[i], "sendto", (void *)our_sendto, NULL);
		ff_interpose(objects[i], "sendmsg", (void *)our_sendmsg, NULL);
	}
	ff_interpose_look();
}
