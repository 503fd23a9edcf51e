/* What the kernel's userfaultfd.h says; that of Debian 12 is older than the kernels that programs meet. */
#ifndef FFL_UFFD_KERNEL_H
#define FFL_UFFD_KERNEL_H

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "ffl/rawcall.h"

struct ff_uffd_move { /* struct uffdio_move, Linux 6.8 */
	uint64_t dst, src, len, mode;
	int64_t moved;
};

enum {
	FF_UFFD_WP_SHMEM = 1 << 12, /* UFFD_FEATURE_WP_HUGETLBFS_SHMEM, 5.19 */
	FF_UFFD_MOVE = 1 << 16,	    /* UFFD_FEATURE_MOVE */
	FF_UFFD_MOVE_HOLES = 2,	    /* UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES */
};
#define FF_UFFDIO_MOVE _IOWR(0xAA, 0x05, struct ff_uffd_move)
#define FF_UFFD_NEW _IO(0xAA, 0x00) /* USERFAULTFD_IOC_NEW */

/* A userfaultfd of this address space, from a descriptor of /dev/userfaultfd; or a negated errno. features: which the
 * kernel must have; 0 asks for none. *has: those that it has. */
static inline long ff_uffd_open(int device, uint64_t features, uint64_t *has)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	long fd = ff_raw3(SYS_ioctl, device, FF_UFFD_NEW, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return fd;
	long result = ff_raw3(SYS_ioctl, fd, UFFDIO_API, &api);
	if (result < 0) {
		ff_raw1(SYS_close, fd);
		return result;
	}
	*has = api.features;
	return fd;
}

static inline long ff_uffd_register(int fd, uint64_t addr, uint64_t length, uint64_t mode)
{
	struct uffdio_register range = { .range = { .start = addr, .len = length }, .mode = mode };
	return ff_raw3(SYS_ioctl, fd, UFFDIO_REGISTER, &range);
}

/* Nobody waits here any more. */
static inline void ff_uffd_let_go(int fd, uint64_t addr, uint64_t length)
{
	struct uffdio_range range = { .start = addr, .len = length };
	ff_raw3(SYS_ioctl, fd, UFFDIO_UNREGISTER, &range);
	ff_raw3(SYS_ioctl, fd, UFFDIO_WAKE, &range);
}

#endif
