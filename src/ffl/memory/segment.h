/* Which file a descriptor is, without fstat: its symbol is newer than GLIBC_2.28. */
#ifndef FFL_SEGMENT_H
#define FFL_SEGMENT_H

#include <errno.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "ffl/memory/types.h"
#include "ffl/rawcall.h"

static inline int ff_segment_identify(int fd, struct ff_segment *segment)
{
	struct stat st;
	long result = ff_raw2(SYS_fstat, fd, &st);
	if (result != 0)
		return (int)-result;
	segment->inode = st.st_ino;
	segment->major = major(st.st_dev);
	segment->minor = minor(st.st_dev);
	return 0;
}

#endif
