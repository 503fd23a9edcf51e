/*
 * Private memory to the segment: the pages are taken away, so that whoever touches them waits; copied; the segment is
 * mapped there; and whoever waits goes on.
 *
 * Taken away by UFFDIO_MOVE where the kernel has it (6.8), for it refuses pages that a device is to write to (O_DIRECT,
 * io_uring): what comes for the old page would be lost. Elsewhere, and where it cannot be used (memory that cannot be
 * written to), by mremap with MREMAP_DONTUNMAP, which leaves an empty mapping behind.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>

#include "ffl/memory/uffd/kernel.h"
#include "ffl/memory/uffd/uffd.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

enum {
	AGAIN_MAX = 10000, /* times that the kernel was at the same page just then */
	PART = 2 << 20,	   /* a store waits half a millisecond for it */
};

/* Bytes moved; *error: 0 or a negated errno that ended it. */
static uint64_t move(int fd, uint64_t to, uint64_t from, uint64_t length, long *error)
{
	uint64_t done = 0;
	int tries = 0;
	*error = 0;
	while (done < length) {
		struct ff_uffd_move part = { to + done, from + done, length - done, FF_UFFD_MOVE_HOLES, 0 };
		long result = ff_raw3(SYS_ioctl, fd, FF_UFFDIO_MOVE, &part);
		if (part.moved > 0) {
			done += (uint64_t)part.moved;
			tries = 0;
		} else if (result != -EAGAIN || ++tries > AGAIN_MAX) {
			*error = result ? result : -EAGAIN;
			return done;
		}
	}
	return done;
}

static long move_away(int fd, struct ff_room *room)
{
	const struct ff_swap *swap = &room->swap;
	long error, back;
	if (ff_uffd_register(fd, room->scratch, swap->length, UFFDIO_REGISTER_MODE_MISSING) < 0)
		return -EINVAL;
	uint64_t done = move(fd, room->scratch, swap->addr, swap->length, &error);
	if (error && done > 0 && move(fd, swap->addr, room->scratch, done, &back) != done)
		error = -EFAULT; /* its pages were swapped, or shared, and no others are: it cannot be */
	room->fault = swap->addr + done;
	ff_uffd_let_go(fd, room->scratch, swap->length); /* or the copy would wait at a hole */
	return error;
}

static long take_away(int fd, struct ff_room *room, int *moved)
{
	const struct ff_swap *swap = &room->swap;
	*moved = 0;
	if (room->features & FF_UFFD_MOVE && swap->kind == FF_SWAP_SHARE && swap->prot & PROT_WRITE) {
		long result = move_away(fd, room);
		*moved = result == 0;
		if (result == 0 || result == -EBUSY || result == -EAGAIN || result == -EFAULT)
			return result;
	}
	long result = ff_raw5(SYS_mremap, swap->addr, swap->length, swap->length,
			      MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, room->scratch);
	if (result == -EINVAL)
		return -EOPNOTSUPP; /* huge pages */
	return ff_raw_failed(result) ? result : 0;
}

/* Nothing was stored there in the meantime: everybody waited. */
static void put_back(int fd, const struct ff_room *room, int moved)
{
	const struct ff_swap *swap = &room->swap;
	long error;
	if (!moved || move(fd, swap->addr, room->scratch, swap->length, &error) != swap->length)
		ff_raw5(SYS_mremap, room->scratch, swap->length, swap->length, MREMAP_MAYMOVE | MREMAP_FIXED, swap->addr);
}

static long exchange(int fd, struct ff_room *room)
{
	const struct ff_swap *swap = &room->swap;
	int moved;
	long result = take_away(fd, room, &moved);
	if (result < 0)
		return result;
	room->waiter = ff_uffd_waiter(room, swap->addr, swap->length);
	if (room->waiter)
		result = -EDEADLK;
	else if (swap->kind == FF_SWAP_GIVE)
		result = ff_swap_write_changes(swap, room->scratch);
	else
		result = ff_swap_copy(SYS_pwrite64, swap->fd, room->scratch, swap->length, swap->offset);
	if (result == 0)
		result = ff_swap_map_shared(swap);
	if (result < 0)
		put_back(fd, room, moved);
	return result;
}

long ff_uffd_scratch(struct ff_room *room)
{
	long scratch = ff_raw6(SYS_mmap, 0, (long)room->swap.length, room->swap.prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ff_raw_failed(scratch))
		return scratch;
	room->scratch = (uint64_t)scratch;
	if (ff_swap_is_locked(room->scratch, room->swap.length)) { /* mlockall(MCL_FUTURE): it comes locked and filled */
		ff_raw2(SYS_munlock, scratch, room->swap.length);
		ff_raw3(SYS_madvise, scratch, room->swap.length, MADV_DONTNEED);
	}
	return 0;
}

long ff_uffd_share(struct ff_room *room)
{
	const struct ff_swap *swap = &room->swap;
	uint64_t has;
	long fd = ff_uffd_open(room->device, room->features & FF_UFFD_MOVE, &has);
	if (fd < 0)
		return room->result = fd;
	long result = ff_uffd_scratch(room);
	if (result < 0)
		return room->result = result;
	int locked = ff_swap_is_locked(swap->addr, swap->length);
	if (locked) /* locked pages move to locked memory only */
		ff_raw2(SYS_munlock, swap->addr, swap->length);
	result = ff_uffd_register((int)fd, swap->addr, swap->length, UFFDIO_REGISTER_MODE_MISSING);
	if (result == 0)
		result = exchange((int)fd, room);
	else if (result == -EINVAL || result == -EBUSY)
		result = -EOPNOTSUPP; /* a file's, or the program's own userfaultfd has it */
	ff_uffd_let_go((int)fd, swap->addr, swap->length);
	ff_raw2(SYS_munmap, room->scratch, swap->length);
	if (locked)
		ff_raw2(SYS_mlock, swap->addr, swap->length);
	ff_raw1(SYS_close, fd);
	return room->result = result;
}

long ff_uffd_share_all(struct ff_room *room)
{
	long result = 0;
	while (result == 0 && ff_room_next(room, PART)) {
		result = ff_uffd_share(room);
		if (result == 0)
			ff_room_done(room);
	}
	return result;
}
