/*
 * While a process forks, edge pages of its registrations are private for a moment (fork.pyx), and threads run on: what they
 * store there the router sees afterwards, and they see what it has stored. So a message is posted, and a completion is handed
 * out, only outside that moment.
 */
#ifndef FFL_GATE_H
#define FFL_GATE_H

#include "ffcore/atomics.h"

extern ff_a32 ff_gate __attribute__((visibility("hidden"))); /* 0: open; else the thread that forks, which passes */

void ff_gate_close(void);
void ff_gate_open(void);
void ff_gate_wait(void); /* until it is open, two seconds at most */

/* Before a WQE is published, and after a CQE was read: what was closed before the other side's step is seen. */
static inline void ff_gate_pass(void)
{
	if (__builtin_expect(ff_load32_acquire(&ff_gate) != 0, 0))
		ff_gate_wait();
}

#endif
