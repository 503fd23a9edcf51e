/* Names that are looked at: what a file is, whether it may be opened, where a link leads. */
#include "ffl/files/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

/* libc's and the kernel's struct stat are one on 64 bits. */
static int look(int at, const char *name, void *found, int flags)
{
	char room[PATH_MAX];

	return syscall(SYS_newfstatat, at, ffp_place(at, name, room), found, flags);
}

int stat(const char *name, struct stat *found) { return look(AT_FDCWD, name, found, 0); }
int stat64(const char *name, struct stat64 *found) { return look(AT_FDCWD, name, found, 0); }
int lstat(const char *name, struct stat *found) { return look(AT_FDCWD, name, found, AT_SYMLINK_NOFOLLOW); }
int lstat64(const char *name, struct stat64 *found) { return look(AT_FDCWD, name, found, AT_SYMLINK_NOFOLLOW); }
int fstatat(int at, const char *name, struct stat *found, int flags) { return look(at, name, found, flags); }
int fstatat64(int at, const char *name, struct stat64 *found, int flags) { return look(at, name, found, flags); }

/* Programs built with glibc before 2.33 call these. */
#define OLDER(function, ...) __attribute__((visibility("default"))) int function(int version, __VA_ARGS__)

OLDER(__xstat, const char *name, struct stat *found) { (void)version; return look(AT_FDCWD, name, found, 0); }
OLDER(__xstat64, const char *name, struct stat64 *found) { (void)version; return look(AT_FDCWD, name, found, 0); }
OLDER(__lxstat, const char *name, struct stat *found)
{
	(void)version;
	return look(AT_FDCWD, name, found, AT_SYMLINK_NOFOLLOW);
}
OLDER(__lxstat64, const char *name, struct stat64 *found)
{
	(void)version;
	return look(AT_FDCWD, name, found, AT_SYMLINK_NOFOLLOW);
}
OLDER(__fxstatat, int at, const char *name, struct stat *found, int flags)
{
	(void)version;
	return look(at, name, found, flags);
}
OLDER(__fxstatat64, int at, const char *name, struct stat64 *found, int flags)
{
	(void)version;
	return look(at, name, found, flags);
}

int statx(int at, const char *name, int flags, unsigned mask, struct statx *found)
{
	char room[PATH_MAX];

	return syscall(SYS_statx, at, ffp_place(at, name, room), flags, mask, found);
}

int access(const char *name, int mode)
{
	char room[PATH_MAX];

	return syscall(SYS_faccessat, AT_FDCWD, ffp_place(AT_FDCWD, name, room), mode);
}

int faccessat(int at, const char *name, int mode, int flags)
{
	char room[PATH_MAX];
	const char *place = ffp_place(at, name, room);

	if (!flags)
		return syscall(SYS_faccessat, at, place, mode);
	return syscall(SYS_faccessat2, at, place, mode, flags);
}

/* For whom the program acts, which is what may be opened. */
int euidaccess(const char *name, int mode) { return faccessat(AT_FDCWD, name, mode, AT_EACCESS); }
int eaccess(const char *name, int mode) { return faccessat(AT_FDCWD, name, mode, AT_EACCESS); }

ssize_t readlink(const char *name, char *to, size_t size)
{
	char room[PATH_MAX];

	return syscall(SYS_readlinkat, AT_FDCWD, ffp_place(AT_FDCWD, name, room), to, size);
}

ssize_t readlinkat(int at, const char *name, char *to, size_t size)
{
	char room[PATH_MAX];

	return syscall(SYS_readlinkat, at, ffp_place(at, name, room), to, size);
}

/* `ls -l` asks for these, and takes no for an answer only of a file that is there. */
ssize_t getxattr(const char *name, const char *attribute, void *value, size_t size)
{
	char room[PATH_MAX];

	return syscall(SYS_getxattr, ffp_place(AT_FDCWD, name, room), attribute, value, size);
}

ssize_t lgetxattr(const char *name, const char *attribute, void *value, size_t size)
{
	char room[PATH_MAX];

	return syscall(SYS_lgetxattr, ffp_place(AT_FDCWD, name, room), attribute, value, size);
}

ssize_t listxattr(const char *name, char *list, size_t size)
{
	char room[PATH_MAX];

	return syscall(SYS_listxattr, ffp_place(AT_FDCWD, name, room), list, size);
}

ssize_t llistxattr(const char *name, char *list, size_t size)
{
	char room[PATH_MAX];

	return syscall(SYS_llistxattr, ffp_place(AT_FDCWD, name, room), list, size);
}

extern char *canonicalize_file_name(const char *name) __attribute__((weak)); /* glibc's */

/* The tree's own names come out: what follows from them stays inside. */
char *realpath(const char *name, char *resolved)
{
	char room[PATH_MAX];
	const char *place = ffp_place(AT_FDCWD, name, room);
	char *found;

	if (!canonicalize_file_name)
		return ((char *(*)(const char *, char *))ffp_musl("realpath"))(place, resolved);
	found = canonicalize_file_name(place);
	if (!found || !resolved)
		return found;
	strcpy(resolved, found); /* at most PATH_MAX, which the caller has (realpath(3)) */
	free(found);
	return resolved;
}

char *__realpath_chk(const char *name, char *resolved, size_t size);
char *__realpath_chk(const char *name, char *resolved, size_t size)
{
	if (resolved && size < PATH_MAX)
		abort(); /* as libc's own does */
	return realpath(name, resolved);
}
