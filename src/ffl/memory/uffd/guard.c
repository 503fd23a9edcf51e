/*
 * While a process forks (fork.pyx). Edge pages become private, so that the kernel copies them at that very instant; all
 * other registered pages are write-protected until the child has its copies, so that it gets them as they were, too. In
 * the parent only who stores to these waits.
 *
 * fork() takes locks, and one may be held by a thread that waits at a protected page. So the helper looks each millisecond
 * whether the forking thread sleeps, which it does on nothing else, and if so protects no longer. The edge pages are right
 * in any case.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <time.h>

#include "ffl/memory/uffd/guard.h"
#include "ffl/memory/uffd/kernel.h"
#include "ffl/memory/uffd/uffd.h"

enum { LOOK_NS = 1000000, DEEP_LOOKS_MAX = 50 };

static void protect(int fd, const struct ff_swap *run, int on)
{
	struct uffdio_writeprotect range = { .range = { run->addr, run->length },
					     .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0 };
	ff_raw3(SYS_ioctl, fd, UFFDIO_WRITEPROTECT, &range); /* without: wakes */
}

/* Private memory with the snapshot's bytes, in place of the protected mapping. */
static long replace(struct ff_room *room, const struct ff_swap *edge)
{
	if (ff_uffd_waiter(room, edge->addr, edge->length))
		return -EDEADLK;
	long scratch = ff_raw6(SYS_mmap, 0, (long)edge->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ff_raw_failed(scratch))
		return scratch;
	volatile uint64_t *to = (uint64_t *)scratch;
	const volatile uint64_t *from = (const uint64_t *)edge->snapshot;
	for (uint64_t i = 0; i < edge->length / 8; i++)
		to[i] = from[i];
	if (edge->prot != (PROT_READ | PROT_WRITE))
		ff_raw3(SYS_mprotect, scratch, edge->length, edge->prot);
	long result = ff_raw5(SYS_mremap, scratch, edge->length, edge->length, MREMAP_MAYMOVE | MREMAP_FIXED, edge->addr);
	if (ff_raw_failed(result))
		ff_raw2(SYS_munmap, scratch, edge->length);
	return ff_raw_failed(result) ? result : 0;
}

/* An edge that cannot be taken stays shared: the child copies it like other pages. */
static void take(int fd, struct ff_room *room, struct ff_swap *edge)
{
	long result = ff_uffd_register(fd, edge->addr, edge->length, UFFDIO_REGISTER_MODE_WP);
	if (result == 0) {
		protect(fd, edge, 1);
		result = ff_swap_copy(SYS_pread64, edge->fd, edge->snapshot, edge->length, edge->offset);
	}
	if (result == 0)
		result = replace(room, edge);
	edge->kind = result == 0 ? FF_SWAP_GIVE : FF_SWAP_LEAVE;
	ff_uffd_let_go(fd, edge->addr, edge->length);
}

static void let_go(int fd, const struct ff_guard *guard)
{
	for (uint64_t i = 0; i < guard->count; i++)
		if (guard->runs[i].kind == FF_SWAP_LEAVE)
			ff_uffd_let_go(fd, guard->runs[i].addr, guard->runs[i].length);
}

/* Until fork() is over. The protection may end before. */
static int stand_guard(int fd, struct ff_room *room, const struct ff_guard *guard)
{
	int deep = 0, guarding = 1;
	uint32_t pid = (uint32_t)ff_raw1(SYS_getpid, 0);
	uint64_t flags;
	while (ff_load32_acquire(&room->answer) != FF_STEP_FINISH) { /* with the maker's release */
		const struct timespec look = { 0, LOOK_NS };
		ff_raw4(SYS_futex, &room->answer, 0 /* FUTEX_WAIT */, FF_STEP_NONE, &look);
		char state = guarding && ff_load32(&room->answer) == FF_STEP_NONE ? ff_tasks_state(pid, room->maker, &flags) : 'R';
		deep = state == 'D' ? deep + 1 : 0; /* memory that has to be found, or a system call that stores there */
		if (state == 'S' || deep > DEEP_LOOKS_MAX) {
			let_go(fd, guard);
			guarding = 0;
		}
	}
	return guarding;
}

static long guard_body(struct ff_room *room)
{
	struct ff_guard *guard = room->guard;
	uint64_t has;
	ff_raw1(SYS_close, guard->childs_end); /* or this copy would keep it open */
	long fd = ff_uffd_open(room->device, UFFD_FEATURE_PAGEFAULT_FLAG_WP | FF_UFFD_WP_SHMEM, &has);
	for (uint64_t i = 0; fd >= 0 && i < guard->count; i++) {
		struct ff_swap *run = &guard->runs[i];
		if (run->kind == FF_SWAP_TAKE)
			take((int)fd, room, run);
		else if (ff_uffd_register((int)fd, run->addr, run->length, UFFDIO_REGISTER_MODE_WP) == 0)
			protect((int)fd, run, 1);
	}
	ff_room_say(&room->step, fd < 0 ? FF_STEP_FAILED : FF_STEP_READY);
	if (fd < 0)
		return room->result = fd;
	int guarding = stand_guard((int)fd, room, guard);
	for (uint64_t i = 0; i < guard->count; i++) {
		if (guard->runs[i].kind != FF_SWAP_GIVE)
			continue;
		room->swap = guard->runs[i];
		if (ff_uffd_share(room) == 0)
			guard->runs[i].kind = FF_SWAP_LEAVE;
	}
	if (guarding) {
		struct pollfd child = { guard->parents_end, POLLIN, 0 };
		struct timespec limit = { guard->child_ms / 1000, guard->child_ms % 1000 * 1000000 };
		if (guard->parents_end >= 0)
			ff_raw5(SYS_ppoll, &child, 1, &limit, NULL, 8);
		let_go((int)fd, guard);
	}
	return room->result = 0;
}

int ff_guard_begin(struct ff_guard *guard)
{
	const struct timespec look = { 0, LOOK_NS };
	struct ff_room *room = ff_room();
	if (room == NULL || !ff_uffd_lend(room))
		return EOPNOTSUPP;
	room->guard = guard;
	int error = ff_helper_start(room, guard_body);
	if (error)
		return error;
	while (ff_load32_acquire(&room->step) == FF_STEP_NONE) /* with the helper's release */
		ff_raw4(SYS_futex, &room->step, 0 /* FUTEX_WAIT */, FF_STEP_NONE, &look);
	return ff_load32(&room->step) == FF_STEP_READY ? 0 : (int)-ff_helper_join(room); /* relaxed: read before */
}

void ff_guard_end(void)
{
	struct ff_room *room = ff_room();
	ff_room_say(&room->answer, FF_STEP_FINISH);
	ff_helper_join(room);
}
