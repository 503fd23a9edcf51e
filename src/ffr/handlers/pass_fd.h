/* Descriptors to a session: SCM_RIGHTS wants CMSG macros, so it is C. */
#ifndef FFR_PASS_FD_H
#define FFR_PASS_FD_H

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

static inline int ffr_channel_pair(int *mine, int *theirs)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return errno;
	/* Nothing comes in. A message would sit there with the descriptors it brought, and closing some blocks: a TCP
	 * socket with SO_LINGER does for as long as its owner says. */
	shutdown(pair[0], SHUT_RD);
	*mine = pair[0]; /* the router sends with MSG_DONTWAIT; the application's end blocks, until it says otherwise */
	*theirs = pair[1];
	return 0;
}

static inline int ffr_pass_fd(int sock, const void *note, size_t length, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = (void *)note, .iov_len = length};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	memset(&control, 0, sizeof(control));
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	return sendmsg(sock, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

#endif
