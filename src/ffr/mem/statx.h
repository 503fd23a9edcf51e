/* Which file a descriptor is, without a question to whoever serves its file system: a FUSE file's never answers if its
 * server does not want to. */
#ifndef FFR_STATX_H
#define FFR_STATX_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>

static inline int ffr_identify(int fd, uint32_t *major, uint32_t *minor, uint64_t *inode)
{
	struct statx found;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &found))
		return errno;
	*major = found.stx_dev_major;
	*minor = found.stx_dev_minor;
	*inode = found.stx_ino;
	return 0;
}

#endif
