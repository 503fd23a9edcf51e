/*
 * A futex that is not private is known to the kernel by what is mapped there: anonymous memory by address, the segment by
 * its file. A thread that sleeps on one while its page changes from one to the other is never woken again. None can go to
 * sleep there while the pages are away; who sleeps already is found here. (pthread_join sleeps so, on a word in the
 * other thread's control block, which lies at the top of its stack.)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>

#include "ffl/memory/tasks.h"
#include "ffl/memory/uffd/uffd.h"

/* "number arg0 … arg5 sp pc" of a thread that sleeps in a call. A wait that was interrupted goes on as restart_syscall,
 * with its arguments where they were. */
static int sleeps_there(const char *text, uint64_t addr, uint64_t length)
{
	uint64_t number, word, operation;
	if (*text < '0' || *text > '9') /* "running" */
		return 0;
	ff_tasks_field(ff_tasks_field(ff_tasks_field(text, &number), &word), &operation);
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

uint32_t ff_uffd_waiter(struct ff_room *room, uint64_t addr, uint64_t length)
{
	uint32_t tid, found = 0, pid = (uint32_t)ff_raw1(SYS_getpid, 0);
	long at = 0, got = 0, fd = ff_tasks_open(pid);
	if (fd < 0)
		return 0;
	while (!found && (tid = ff_tasks_next(fd, room->listing, &at, &got)) != 0) {
		char text[256]; /* not to be read: it ended, or the process is not dumpable */
		if (tid != room->maker && ff_tasks_read(pid, tid, "syscall", text, sizeof text) > 0 &&
		    sleeps_there(text, addr, length))
			found = tid;
	}
	ff_raw1(SYS_close, fd);
	return found;
}
