/* System calls that libc has no function for, or that need a time-out in nanoseconds. */
#ifndef FFL_KERNEL_H
#define FFL_KERNEL_H

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* One function on 64 bits. Headers ask for this one, which musl and older glibc lack. */
__asm__(".symver fcntl64, fcntl@" FF_GLIBC_BASE);

/* Sleeps while *word == value, at most ns (for ever when negative); may return early. Shared between processes. */
static inline void ff_futex_wait(void *word, uint32_t value, int64_t ns)
{
	struct timespec limit = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
	syscall(SYS_futex, word, FUTEX_WAIT, value, ns < 0 ? NULL : &limit, NULL, 0);
}

static inline void ff_futex_wake(void *word, int count)
{
	syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

static inline uint64_t ff_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* What makes two descriptors the same file. 0, or -1 and errno. (libc's fstat is younger than some of its readers.) */
static inline int ff_file_identity(int fd, uint64_t *device, uint64_t *inode)
{
	struct stat file;

	if (syscall(SYS_fstat, fd, &file))
		return -1;
	*device = file.st_dev;
	*inode = file.st_ino;
	return 0;
}

/* Sets errno and returns its value: verbs that return a pointer do the one, the others mostly the other. */
static inline int ff_fail(int error)
{
	errno = error;
	return error;
}

#endif
