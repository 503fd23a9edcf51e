/* userfaultfd in the one way the router uses it: a hole in registered memory raises SIGBUS instead of being filled. */
#ifndef FFR_UFFD_H
#define FFR_UFFD_H

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

/* A descriptor, or -errno. */
static inline int ffr_uffd_open(void)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MISSING_SHMEM |
						   UFFD_FEATURE_MISSING_HUGETLBFS};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) /* the unprivileged kind is enough: the router touches this memory itself, never through a call */
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, UFFDIO_API, &api)) {
		int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

static inline int ffr_uffd_guard(int fd, void *at, uint64_t length)
{
	struct uffdio_register range = {
	    .range = {.start = (uintptr_t)at, .len = length}, .mode = UFFDIO_REGISTER_MODE_MISSING};
	return ioctl(fd, UFFDIO_REGISTER, &range) ? errno : 0;
}

#endif
