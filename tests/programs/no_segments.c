/*
 * Preloaded into a router: a kernel that cannot cut up large sends (UDP_SEGMENT), as those before 6.11 cannot where the
 * interface sums no packets up. They say EIO. For tests/integration/test_offloads.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>

enum { UDP_LEVEL = 17, SEGMENT = 103 }; /* linux/udp.h */

static int has_segments(struct msghdr *message)
{
	struct cmsghdr *c = message->msg_control ? CMSG_FIRSTHDR(message) : NULL;

	return c && c->cmsg_level == UDP_LEVEL && c->cmsg_type == SEGMENT;
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
	static int (*real)(int, struct mmsghdr *, unsigned int, int);
	unsigned int plain = 0;

	if (!real)
		real = (int (*)(int, struct mmsghdr *, unsigned int, int))dlsym(RTLD_NEXT, "sendmmsg");
	while (plain < count && !has_segments(&messages[plain].msg_hdr))
		plain++;
	if (plain)
		return real(fd, messages, plain, flags);
	errno = EIO;
	return -1;
}
