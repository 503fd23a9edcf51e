/*
 * How pages get another mapping without losing what other threads store meanwhile: one interface, two ways.
 *
 *   memory/uffd/	a userfaultfd: who touches a page that is on its way waits for it in the kernel. Nobody is stopped
 *   memory/world/	every other thread of the process waits in a signal handler
 *
 * The first where the router hands out its means, the second elsewhere, and for what the first cannot do (private
 * mappings of files). Everything with the lock of ff_world_enter() held.
 */
#ifndef FFL_WAY_H
#define FFL_WAY_H

#include <stdint.h>

#include "ffl/memory/swap.h"

/* At the start of a session: device is a descriptor of /dev/userfaultfd, or -1. It stays the caller's. */
void ff_way_choose(int device);
/* Whether it is the first way, which needs no signal. */
int ff_way_is_quiet(void);

/* Before and after the look at a mapping that is to be swapped. 0 or an errno. */
int ff_way_begin(void);
void ff_way_end(void);
/* One run, at once for whoever looks. 0 or an errno, and then it is as it was: ENOTRECOVERABLE never, EBUSY where a
 * device writes to these pages, EAGAIN where threads stand in the way; ff_way_reason() says more. */
int ff_way_swap(const struct ff_swap *swap);
const char *ff_way_reason(void);

/* How many bytes to swap at once. */
uint64_t ff_way_chunk(void);

#endif
