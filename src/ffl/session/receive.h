/* recvmsg with descriptors: its CMSG macros are C's. */
#ifndef FFL_RECEIVE_H
#define FFL_RECEIVE_H

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FF_RECEIVE_FDS = 4 };

/* Stores up to max descriptors (CLOEXEC) in fds and their number in *got; never waits. */
static inline ssize_t ff_receive(int fd, void *data, size_t length, int *fds, int max, int *got)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(FF_RECEIVE_FDS * sizeof(int))];
	} control;
	struct iovec part = { .iov_base = data, .iov_len = length };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = CMSG_SPACE(max * sizeof(int)) };
	ssize_t received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *part_of = received >= 0 ? CMSG_FIRSTHDR(&message) : NULL;

	*got = 0;
	if (part_of && part_of->cmsg_level == SOL_SOCKET && part_of->cmsg_type == SCM_RIGHTS) {
		*got = (part_of->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(part_of), *got * sizeof(int));
	}
	return received;
}

#endif
