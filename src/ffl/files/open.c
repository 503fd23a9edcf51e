/* Names that are opened: files, streams, directories. */
#include "ffl/files/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Other names of glibc's own for what is taken here. */
extern int __open64(const char *name, int flags, ...) __attribute__((weak));
extern FILE *_IO_fopen(const char *name, const char *mode) __attribute__((weak));
extern int scandirat(int at, const char *name, struct dirent ***found, int (*select)(const struct dirent *),
		     int (*compare)(const struct dirent **, const struct dirent **)) __attribute__((weak));

#define MODE(flags, mode) \
	do { \
		if ((flags) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) { \
			va_list rest; \
			va_start(rest, flags); \
			mode = va_arg(rest, mode_t); \
			va_end(rest); \
		} \
	} while (0)

static int open_at(int at, const char *name, int flags, mode_t mode)
{
	char room[PATH_MAX];
	const char *place = ffp_place(at, name, room);

	if (at == AT_FDCWD || place[0] == '/') /* the libc's, where a thread may be cancelled */
		return (__open64 ? __open64 : (int (*)(const char *, int, ...))ffp_musl("open"))(place, flags, mode);
	return syscall(SYS_openat, at, place, flags, mode);
}

int open(const char *name, int flags, ...)
{
	mode_t mode = 0;

	MODE(flags, mode);
	return open_at(AT_FDCWD, name, flags, mode);
}

int open64(const char *name, int flags, ...)
{
	mode_t mode = 0;

	MODE(flags, mode);
	return open_at(AT_FDCWD, name, flags, mode);
}

int openat(int at, const char *name, int flags, ...)
{
	mode_t mode = 0;

	MODE(flags, mode);
	return open_at(at, name, flags, mode);
}

int openat64(int at, const char *name, int flags, ...)
{
	mode_t mode = 0;

	MODE(flags, mode);
	return open_at(at, name, flags, mode);
}

/* _FORTIFY_SOURCE's, where no mode can be meant. */
int __open_2(const char *name, int flags) { return open_at(AT_FDCWD, name, flags, 0); }
int __open64_2(const char *name, int flags) { return open_at(AT_FDCWD, name, flags, 0); }
int __openat_2(int at, const char *name, int flags) { return open_at(at, name, flags, 0); }
int __openat64_2(int at, const char *name, int flags) { return open_at(at, name, flags, 0); }

FILE *fopen(const char *name, const char *mode)
{
	char room[PATH_MAX];

	return (_IO_fopen ? _IO_fopen : (FILE *(*)(const char *, const char *))ffp_musl("fopen"))(
		ffp_place(AT_FDCWD, name, room), mode);
}

FILE *fopen64(const char *name, const char *mode) { return fopen(name, mode); }

DIR *opendir(const char *name)
{
	int opened = open_at(AT_FDCWD, name, O_RDONLY | O_NONBLOCK | O_DIRECTORY | O_CLOEXEC, 0), error;
	DIR *listed = opened < 0 ? NULL : fdopendir(opened);

	if (opened >= 0 && !listed) {
		error = errno;
		syscall(SYS_close, opened);
		errno = error;
	}
	return listed;
}

int scandir(const char *name, struct dirent ***found, int (*select)(const struct dirent *),
	    int (*compare)(const struct dirent **, const struct dirent **))
{
	char room[PATH_MAX];
	const char *place = ffp_place(AT_FDCWD, name, room);

	if (scandirat)
		return scandirat(AT_FDCWD, place, found, select, compare);
	return ((int (*)(const char *, struct dirent ***, int (*)(const struct dirent *),
			 int (*)(const struct dirent **, const struct dirent **)))ffp_musl("scandir"))(place, found, select, compare);
}

int scandir64(const char *name, struct dirent64 ***found, int (*select)(const struct dirent64 *),
	      int (*compare)(const struct dirent64 **, const struct dirent64 **))
{
	return scandir(name, (struct dirent ***)found, (int (*)(const struct dirent *))select, /* one struct on 64 bits */
		       (int (*)(const struct dirent **, const struct dirent **))compare);
}
