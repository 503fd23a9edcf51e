/*
 * librdmacm's way to the kernel. It opens /dev/infiniband/rdma_cm, asks fstat whether that is a device, and writes commands to
 * it; those calls of its own come here. Nobody else's do, and of other files they go on to the C library.
 */
#define _GNU_SOURCE
#include "ffl/cm/cm.h"
#include "ffl/interpose/interpose.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ffcore/cm.h"

#define LIBRARY "librdmacm.so"
enum { MISC_MAJOR = 10, ANY_MINOR = 255, NLE_FAILURE = 1 };

static int is_ours(const char *path)
{
	return path && strcmp(path, "/dev/infiniband/rdma_cm") == 0;
}

static int open_file(const char *path, int flags, ...)
{
	va_list rest;
	mode_t mode = 0;

	if (is_ours(path))
		return ff_cm_open(flags);
	va_start(rest, flags);
	if (flags & O_CREAT)
		mode = va_arg(rest, mode_t);
	va_end(rest);
	return open(path, flags, mode);
}

static int open_checked(const char *path, int flags) /* what _FORTIFY_SOURCE makes of it */
{
	return is_ours(path) ? ff_cm_open(flags) : open(path, flags);
}

static int open_at(int directory, const char *path, int flags, ...)
{
	va_list rest;
	mode_t mode = 0;

	if (is_ours(path))
		return ff_cm_open(flags);
	va_start(rest, flags);
	if (flags & O_CREAT)
		mode = va_arg(rest, mode_t);
	va_end(rest);
	return openat(directory, path, flags, mode);
}

static int stat_file(int fd, struct stat *found)
{
	struct ff_cm_name name;
	int result = (int)syscall(SYS_fstat, fd, found); /* glibc's struct is the kernel's */

	if (result == 0 && S_ISSOCK(found->st_mode) && ff_cm_name_get(fd, &name) == 0) {
		found->st_mode = S_IFCHR | 0666;
		found->st_rdev = makedev(MISC_MAJOR, ANY_MINOR);
	}
	return result;
}

static int stat_versioned(int version, int fd, struct stat *found) /* before glibc 2.33 */
{
	(void)version;
	return stat_file(fd, found);
}

static ssize_t write_file(int fd, const void *data, size_t size)
{
	int ours;
	ssize_t written = ff_cm_write(fd, data, size, &ours);

	return ours ? written : write(fd, data, size);
}

/* Netlink would tell the number of the host's device, if it has one. librdmacm then goes without. */
static int no_netlink(void *socket, int protocol)
{
	(void)socket;
	(void)protocol;
	return -NLE_FAILURE;
}

__attribute__((constructor)) static void start(void)
{
	ff_interpose(LIBRARY, "open", open_file, NULL);
	ff_interpose(LIBRARY, "open64", open_file, NULL);
	ff_interpose(LIBRARY, "__open_2", open_checked, NULL);
	ff_interpose(LIBRARY, "__open64_2", open_checked, NULL);
	ff_interpose(LIBRARY, "openat", open_at, NULL);
	ff_interpose(LIBRARY, "openat64", open_at, NULL);
	ff_interpose(LIBRARY, "fstat", stat_file, NULL);
	ff_interpose(LIBRARY, "fstat64", stat_file, NULL);
	ff_interpose(LIBRARY, "__fxstat", stat_versioned, NULL);
	ff_interpose(LIBRARY, "__fxstat64", stat_versioned, NULL);
	ff_interpose(LIBRARY, "write", write_file, NULL);
	ff_interpose(LIBRARY, "nl_connect", no_netlink, NULL);
}
