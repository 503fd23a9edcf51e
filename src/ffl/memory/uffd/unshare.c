/*
 * The segment's pages back to private memory. An empty private mapping that makes whoever touches it wait is moved over
 * the shared one, in one system call; from then on nobody stores to the segment, so its bytes can be copied; and whoever
 * waits goes on.
 *
 * It is moved there empty, and the pages beside it are made to wait, too, for a moment: so the kernel merges it with its
 * neighbours, and a heap that is registered and deregistered for days does not end as 65 530 mappings.
 *
 * Such a move is told to whoever reads the userfaultfd, and does not return before that. So the maker moves, the helper
 * reads.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <time.h>

#include "ffl/memory/uffd/kernel.h"
#include "ffl/memory/uffd/uffd.h"

enum {
	PAGE = 4096,
	LOOK_NS = 10000000,
	AGAIN_MAX = 100000,
	PART = 16 << 20, /* a store waits some milliseconds for it; each takes two changes of threads */
};

/* By the maker. Its stack may be part of what it moves. */
long ff_uffd_put(struct ff_room *room)
{
	const struct timespec look = { 0, LOOK_NS };
	for (;;) {
		while (ff_load32_acquire(&room->step) == FF_STEP_NONE && ff_load32_acquire(&room->alive)) /* with ff_room_say */
			ff_raw4(SYS_futex, &room->step, 0 /* FUTEX_WAIT */, FF_STEP_NONE, &look);
		if (ff_load32(&room->step) != FF_STEP_READY) /* relaxed: read before */
			break;
		ff_store32(&room->step, FF_STEP_NONE); /* relaxed: the helper says more only once it has seen the move */
		long result = ff_raw5(SYS_mremap, room->scratch, room->swap.length, room->swap.length,
				      MREMAP_MAYMOVE | MREMAP_FIXED, room->swap.addr);
		if (ff_raw_failed(result))
			ff_room_say(&room->answer, FF_STEP_FAILED);
	}
	return ff_helper_join(room);
}

/* 0 once the mapping has moved. */
static long await_move(int fd, struct ff_room *room)
{
	struct pollfd event = { fd, POLLIN, 0 };
	struct uffd_msg message;
	for (;;) {
		struct timespec limit = { 0, LOOK_NS }; /* the kernel writes back what is left */
		ff_raw5(SYS_ppoll, &event, 1, &limit, NULL, 8);
		if (ff_raw3(SYS_read, fd, &message, sizeof message) == sizeof message && message.event == UFFD_EVENT_REMAP)
			return 0;
		if (ff_load32_acquire(&room->answer) == FF_STEP_FAILED) /* with the maker's release */
			return -ENOMEM;
	}
}

static long fill(int fd, const struct ff_swap *swap, uint64_t from)
{
	uint64_t done = 0;
	int tries = 0;
	while (done < swap->length) {
		struct uffdio_copy part = { .dst = swap->addr + done, .src = from + done, .len = swap->length - done,
					    .mode = UFFDIO_COPY_MODE_DONTWAKE };
		long result = ff_raw3(SYS_ioctl, fd, UFFDIO_COPY, &part);
		if (part.copy > 0)
			done += (uint64_t)part.copy;
		else if (result != -EAGAIN || ++tries > AGAIN_MAX)
			return result ? result : -EAGAIN;
	}
	return 0;
}

static long copy_back(int fd, struct ff_room *room)
{
	const struct ff_swap *swap = &room->swap;
	room->waiter = ff_uffd_waiter(room, swap->addr, swap->length);
	if (room->waiter)
		return -EDEADLK;
	long from = ff_raw6(SYS_mmap, 0, (long)swap->length, PROT_READ, MAP_SHARED, swap->fd, (long)swap->offset);
	if (ff_raw_failed(from))
		return from;
	long result = fill(fd, swap, (uint64_t)from);
	ff_raw2(SYS_munmap, from, swap->length);
	return result;
}

/* The pages beside [*low, *high), too, wait: then the new mapping is like them, and the kernel merges it. */
static void widen(int fd, uint64_t *low, uint64_t *high)
{
	if (ff_uffd_register(fd, *low - PAGE, PAGE, UFFDIO_REGISTER_MODE_MISSING) == 0)
		*low -= PAGE;
	if (ff_uffd_register(fd, *high, PAGE, UFFDIO_REGISTER_MODE_MISSING) == 0)
		*high += PAGE;
}

static long unshare(struct ff_room *room)
{
	const struct ff_swap *swap = &room->swap;
	uint64_t has, low = swap->addr, high = swap->addr + swap->length;
	int locked = ff_swap_is_locked(swap->addr, swap->length);
	long fd = ff_uffd_open(room->device, UFFD_FEATURE_EVENT_REMAP, &has), result = fd < 0 ? fd : ff_uffd_scratch(room);
	if (result == 0)
		result = ff_uffd_register((int)fd, room->scratch, swap->length, UFFDIO_REGISTER_MODE_MISSING);
	if (result < 0) {
		if (room->scratch)
			ff_raw2(SYS_munmap, room->scratch, swap->length);
		ff_room_say(&room->step, FF_STEP_FAILED);
		return room->result = result;
	}
	widen((int)fd, &low, &high);
	ff_room_say(&room->step, FF_STEP_READY);
	result = await_move((int)fd, room);
	if (result == 0) {
		result = copy_back((int)fd, room);
		if (result < 0)
			ff_swap_map_shared(swap);
	} else {
		ff_raw2(SYS_munmap, room->scratch, swap->length);
	}
	ff_uffd_let_go((int)fd, low, high - low);
	ff_uffd_let_go((int)fd, swap->addr, swap->length); /* where that spanned what cannot be let go together */
	if (locked && result == 0)
		ff_raw2(SYS_mlock, swap->addr, swap->length);
	ff_raw1(SYS_close, fd);
	return room->result = result;
}

long ff_uffd_unshare_all(struct ff_room *room)
{
	long result = 0;
	while (result == 0 && ff_room_next(room, PART)) {
		room->scratch = 0;
		result = unshare(room);
		if (result == 0)
			ff_room_done(room);
	}
	ff_room_say(&room->step, FF_STEP_FINISH);
	return result;
}
