/*
 * Changing mappings with a userfaultfd. Whoever touches a page that is on its way waits in the kernel until it is there:
 * no signal, no stack, no interrupted call. Split into:
 *
 *   memory/uffd/uffd.c     what the other rooms call; trying again
 *   memory/uffd/helper.c   the thread that does it
 *   memory/uffd/share.c    private memory to the segment
 *   memory/uffd/unshare.c  and back
 *   memory/uffd/waiters.c  who sleeps on a word of these pages, and would never be woken
 *   memory/uffd/guard.c    while a process forks
 *
 * **The helper.** What is swapped may be anybody's stack or thread control block, so none of the program's threads can do
 * it: a helper is cloned for each run, with a stack of its own. It has no thread-local storage of its own (that it would
 * share its maker's), so its code calls nothing of libc and is compiled without stack protectors. Its table of descriptors
 * is a copy, so that a program that closes all of them in the meantime closes none of the helper's, and the program
 * never sees its userfaultfd.
 */
#ifndef FFL_UFFD_H
#define FFL_UFFD_H

#include <stdint.h>

#include "ffcore/atomics.h"
#include "ffl/memory/swap.h"
#include "ffl/memory/tasks.h"

/* ---- for memory/way.c and fork.pyx ---- */

/* device: a descriptor of /dev/userfaultfd, which stays open. Whether this way can be gone. */
int ff_uffd_init(int device);
/* Whether the descriptor is still what it was. */
int ff_uffd_is_there(void);
/* 0 or an errno: EOPNOTSUPP where this way cannot be gone (a private mapping of a file, say). Then *swap is what is left to
 * do: all before it has been swapped. */
int ff_uffd_swap(struct ff_swap *swap);
const char *ff_uffd_reason(void);
/* In a child: no helper lives there. */
void ff_uffd_child(void);
/* [addr, addr + length) belongs to the helper, and cannot be swapped by it. */
int ff_uffd_is_own(uint64_t addr, uint64_t length);

struct ff_room;
/* Gives the room its means. 0: they are gone, or there never were any. */
int ff_uffd_lend(struct ff_room *room);

/* For tests: as on kernels that lack these features. */
void ff_uffd_without(uint64_t features);

/* ---- between memory/uffd/ *.c ---- */

enum { FF_STEP_NONE, FF_STEP_READY, FF_STEP_FAILED, FF_STEP_FINISH };

enum { FF_STACK = 64 << 10 };

/* Where maker and helper meet: memory of its own, which is never swapped. */
struct ff_room {
	ff_a32 alive;  /* 0 once the helper is gone: the kernel stores and wakes it */
	ff_a32 step;   /* the helper's progress, a futex */
	ff_a32 answer; /* the maker's, a futex */
	int32_t device;
	uint64_t features; /* that this kernel has */
	long result;	   /* 0 or a negated errno */
	uint64_t fault;	   /* where it failed */
	uint32_t waiter;   /* a thread that sleeps on a word of these pages */
	uint32_t maker;	   /* tid */
	struct ff_swap rest; /* what is still to be done */
	struct ff_swap swap; /* the part of it that is being done */
	uint64_t scratch; /* address of swap.length bytes */
	struct ff_guard *guard; /* of guard.c */
	char listing[FF_TASKS_LISTING];
	_Alignas(64) char stack[FF_STACK];
};

struct ff_room *ff_room(void); /* NULL: no memory */

/* Runs body(room) in a helper. 0 or an errno. */
int ff_helper_start(struct ff_room *room, long (*body)(struct ff_room *));
/* Until it is gone; its result. */
long ff_helper_join(struct ff_room *room);

static inline void ff_room_say(ff_a32 *word, uint32_t value)
{
	ff_store32_release(word, value); /* pairs with the acquire of whoever waits */
	ff_raw3(SYS_futex, word, 1 /* FUTEX_WAKE */, 64);
}

/* The next part of the rest, of at most so many bytes, up to a multiple of it: huge pages stay whole. 0: there is none. */
static inline int ff_room_next(struct ff_room *room, uint64_t bytes)
{
	uint64_t left = room->rest.length, up = bytes - room->rest.addr % bytes;
	room->swap = room->rest;
	room->swap.length = left < up ? left : up;
	return left != 0;
}

static inline void ff_room_done(struct ff_room *room)
{
	room->rest.addr += room->swap.length;
	room->rest.offset += room->swap.length;
	room->rest.length -= room->swap.length;
}

/* An empty private mapping as long as the run. 0 or a negated errno. */
long ff_uffd_scratch(struct ff_room *room);

long ff_uffd_share_all(struct ff_room *room); /* rest, part by part */
long ff_uffd_share(struct ff_room *room);     /* SHARE and GIVE: one part */
long ff_uffd_unshare_all(struct ff_room *room); /* UNSHARE: rest; the maker: ff_uffd_put() */
long ff_uffd_put(struct ff_room *room);

/* A thread of this process that sleeps on a futex in [addr, addr + length) whose key is about to change; 0: none. */
uint32_t ff_uffd_waiter(struct ff_room *room, uint64_t addr, uint64_t length);

#endif
