/* Memory of each kind that a program may register, made and told apart. */
#ifndef MEMORY_KINDS_H
#define MEMORY_KINDS_H

#include "verbs_test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>

enum { HUGE_PAGE = 2 << 20, KIND_SIZE = 2 * HUGE_PAGE };

static inline char *map_file(int fd, int protection, int flags)
{
	char *at = mmap(NULL, KIND_SIZE, protection, flags, fd, 0);

	CHECK(at != MAP_FAILED, "mmap: %s", strerror(errno));
	return at;
}

static inline int sized(int fd)
{
	CHECK(fd >= 0, "no file: %s", strerror(errno));
	CHECK_EQ(ftruncate(fd, KIND_SIZE), 0);
	return fd;
}

static inline int posix_file(void)
{
	char name[64];
	int fd;

	snprintf(name, sizeof name, "/ff-kinds-%d", getpid());
	fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
	shm_unlink(name);
	return sized(fd);
}

static inline char *sysv(int flags)
{
	int id = shmget(IPC_PRIVATE, KIND_SIZE, IPC_CREAT | 0600 | flags);
	char *at;

	CHECK(id >= 0, "shmget: %s", strerror(errno));
	at = shmat(id, NULL, 0);
	CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
	CHECK(at != (char *)-1, "shmat: %s", strerror(errno));
	return at;
}

static inline int disk_file(void)
{
	char name[] = "/var/tmp/ff-kinds-XXXXXX";
	int fd = mkstemp(name);

	unlink(name);
	return sized(fd);
}

enum kind {
	ANONYMOUS, SHARED_ANONYMOUS, MEMFD, MEMFD_COPY, POSIX, SYSV, HUGE_PRIVATE, HUGE_SHARED, HUGE_MEMFD, HUGE_SYSV, FILE_COPY,
	MIXED, KINDS
};
static const char *const kind_names[KINDS] = {
	"anonymous", "shared_anonymous", "memfd", "private_memfd", "posix", "sysv", "huge_private", "huge_shared", "huge_memfd",
	"huge_sysv", "private_file", "mixed",
};

static inline int is_shared_kind(enum kind kind)
{
	return kind != ANONYMOUS && kind != MEMFD_COPY && kind != HUGE_PRIVATE && kind != FILE_COPY;
}

/* A quarter private, a quarter shared, and the rest private huge pages. */
static inline char *mixed(void)
{
	const int fixed = MAP_FIXED | MAP_ANONYMOUS;
	char *at = mmap(NULL, 5 * HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(at != MAP_FAILED, "mmap: %s", strerror(errno));
	at += HUGE_PAGE - (uintptr_t)at % HUGE_PAGE;
	CHECK(mmap(at + KIND_SIZE / 4, KIND_SIZE / 4, PROT_READ | PROT_WRITE, MAP_SHARED | fixed, -1, 0) != MAP_FAILED, "%s",
	      strerror(errno));
	CHECK(mmap(at + KIND_SIZE / 2, KIND_SIZE / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_HUGETLB | fixed, -1, 0) != MAP_FAILED,
	      "%s", strerror(errno));
	return at;
}

/* KIND_SIZE bytes, zeroed. */
static inline char *make_kind(enum kind kind)
{
	const int rw = PROT_READ | PROT_WRITE;

	switch (kind) {
	case ANONYMOUS: return map_file(-1, rw, MAP_PRIVATE | MAP_ANONYMOUS);
	case SHARED_ANONYMOUS: return map_file(-1, rw, MAP_SHARED | MAP_ANONYMOUS);
	case MEMFD: return map_file(sized(memfd_create("kind", 0)), rw, MAP_SHARED);
	case MEMFD_COPY: return map_file(sized(memfd_create("kind", 0)), rw, MAP_PRIVATE);
	case POSIX: return map_file(posix_file(), rw, MAP_SHARED);
	case SYSV: return sysv(0);
	case HUGE_PRIVATE: return map_file(-1, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
	case HUGE_SHARED: return map_file(-1, rw, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB);
	case HUGE_MEMFD: return map_file(sized(memfd_create("kind", MFD_HUGETLB)), rw, MAP_SHARED);
	case HUGE_SYSV: return sysv(SHM_HUGETLB);
	case FILE_COPY: return map_file(disk_file(), rw, MAP_PRIVATE);
	default: return mixed();
	}
}

#endif
