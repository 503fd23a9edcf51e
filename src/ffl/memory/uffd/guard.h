/* For fork.pyx: registered pages while the process forks. */
#ifndef FFL_GUARD_H
#define FFL_GUARD_H

#include <stdint.h>

#include "ffl/memory/swap.h"

/* In memory of its own, which is not swapped. */
struct ff_guard {
	struct ff_swap *runs; /* TAKE: made private, and shared again afterwards (then LEAVE; GIVE where that failed). LEAVE:
			       * write-protected meanwhile */
	uint64_t count;
	int32_t parents_end, childs_end; /* of a pipe: the child closes its end when it has its copies */
	uint32_t child_ms;		 /* to wait for that */
};

/* Before the fork. 0 or an errno, and nothing was done. */
int ff_guard_begin(struct ff_guard *guard);
/* After it, in the parent. Returns when the child has its copies. */
void ff_guard_end(void);

#endif
