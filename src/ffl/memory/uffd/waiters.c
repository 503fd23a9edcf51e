/*
 * A futex that is not private is known to the kernel by what is mapped there: anonymous memory by address, the segment by
 * its file. A thread that sleeps on one while its page changes from one to the other is never woken again. None can go to
 * sleep there while the pages are away; who sleeps already is found here. (pthread_join sleeps so, on a word in the
 * other thread's control block, which lies at the top of its stack.)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stddef.h>

#include "ffl/memory/uffd/uffd.h"

struct entry { /* what getdents64 writes */
	uint64_t inode;
	int64_t next;
	uint16_t size;
	uint8_t type;
	char name[];
};

static char *append(char *at, const char *text)
{
	while (*text)
		*at++ = *text++;
	return at;
}

/* "0x1f " or "202 "; the position after it. */
static const char *field(const char *p, uint64_t *value)
{
	int hex = p[0] == '0' && p[1] == 'x';
	uint64_t v = 0;
	for (p += hex ? 2 : 0; *p > ' '; p++)
		v = hex ? v << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10) : v * 10 + (uint64_t)(*p - '0');
	*value = v;
	return *p == ' ' ? p + 1 : p;
}

/* "number arg0 … arg5 sp pc" of a thread that sleeps in a call. A wait that was interrupted goes on as restart_syscall,
 * with its arguments where they were. */
static int sleeps_there(const char *text, uint64_t addr, uint64_t length)
{
	uint64_t number, word, operation;
	if (*text < '0' || *text > '9') /* "running" */
		return 0;
	field(field(field(text, &number), &word), &operation);
	if ((number != SYS_futex && number != SYS_restart_syscall) || word - addr >= length)
		return 0;
	switch (operation & ~(uint64_t)FUTEX_CLOCK_REALTIME) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
	case FUTEX_LOCK_PI:
	case FUTEX_WAIT_REQUEUE_PI:
	case 13: /* FUTEX_LOCK_PI2, 5.14 */
		return 1;
	}
	return 0;
}

static int is_waiter(const char *name, uint64_t addr, uint64_t length)
{
	char path[64], text[256];
	*append(append(append(path, "/proc/self/task/"), name), "/syscall") = 0;
	long fd = ff_raw4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0) /* it ended, or the process is not dumpable */
		return 0;
	long got = ff_raw3(SYS_read, fd, text, sizeof text - 1);
	ff_raw1(SYS_close, fd);
	text[got > 0 ? got : 0] = 0;
	return sleeps_there(text, addr, length);
}

uint32_t ff_uffd_waiter(struct ff_room *room, uint64_t addr, uint64_t length)
{
	uint32_t found = 0;
	long fd = ff_raw4(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	for (long got; !found && (got = ff_raw3(SYS_getdents64, fd, room->listing, FF_LISTING)) > 0;) {
		for (long at = 0; at < got && !found; at += ((struct entry *)(room->listing + at))->size) {
			const char *name = ((struct entry *)(room->listing + at))->name;
			uint64_t tid;
			field(name, &tid);
			if (name[0] >= '1' && name[0] <= '9' && tid != room->maker && is_waiter(name, addr, length))
				found = (uint32_t)tid;
		}
	}
	ff_raw1(SYS_close, fd);
	return found;
}
