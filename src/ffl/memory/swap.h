/* One run of pages that gets another mapping, as both ways of doing it take it, and the raw calls that both make. */
#ifndef FFL_SWAP_H
#define FFL_SWAP_H

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#include "ffl/rawcall.h"

enum ff_swap_kind {
	FF_SWAP_SHARE,	/* copy the pages at addr to offset of fd, and map that there, shared */
	FF_SWAP_UNSHARE, /* fresh private memory at addr, with the bytes that are at offset of fd */
	FF_SWAP_TAKE,	/* as UNSHARE, and the bytes are kept in snapshot */
	FF_SWAP_GIVE,	/* what differs from snapshot by now is copied to offset of fd, and that is mapped, shared */
	FF_SWAP_LEAVE	/* nothing: it is the segment's, and stays it */
};

/* Lives in static memory: what is on the stack may be what is being swapped. */
struct ff_swap {
	uint32_t kind;
	int32_t fd;
	int32_t prot; /* PROT_*, of the new mapping */
	int32_t pad;
	uint64_t addr, length, offset; /* bytes, whole pages */
	uint64_t snapshot;	       /* address of length bytes */
};

/* Between length bytes at `at` and offset of fd, by pread or pwrite: all of them, or a negated errno. A short result
 * comes before an error, or at memory that cannot be read. */
static inline long ff_swap_copy(long number, int fd, uint64_t at, uint64_t length, uint64_t offset)
{
	for (uint64_t done = 0; done < length;) {
		long got = ff_raw4(number, fd, at + done, length - done, offset + done);
		if (got <= 0)
			return got == 0 ? -EIO : got;
		done += (uint64_t)got;
	}
	return 0;
}

/* What differs between the bytes at `now` and the snapshot goes to the segment, byte by byte: beside it in the page
 * lies registered memory, into which the router may have written in the meantime. */
static inline long ff_swap_write_changes(const struct ff_swap *swap, uint64_t bytes)
{
	const volatile uint8_t *now = (const uint8_t *)bytes, *then = (const uint8_t *)swap->snapshot;
	for (uint64_t at = 0, from; at < swap->length;) {
		if (now[at] == then[at]) {
			at++;
			continue;
		}
		for (from = at; at < swap->length && now[at] != then[at]; at++)
			;
		long result = ff_swap_copy(SYS_pwrite64, swap->fd, bytes + from, at - from, swap->offset + from);
		if (result < 0)
			return result;
	}
	return 0;
}

static inline long ff_swap_map_shared(const struct ff_swap *swap)
{
	long result = ff_raw6(SYS_mmap, (long)swap->addr, (long)swap->length, swap->prot, MAP_SHARED | MAP_FIXED,
			      swap->fd, (long)swap->offset);
	return ff_raw_failed(result) ? result : 0;
}

/* Locked in memory? There is no question for it, but this call, which changes nothing here, refuses locked pages. */
static inline int ff_swap_is_locked(uint64_t addr, uint64_t length)
{
	return ff_raw3(SYS_msync, addr, length, MS_ASYNC | MS_INVALIDATE) == -EBUSY;
}

#endif
