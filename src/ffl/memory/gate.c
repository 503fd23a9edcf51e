/* The gate that messages pass, closed while a process forks. */
#include <limits.h>
#include <linux/futex.h>
#include <time.h>

#include "ffl/memory/gate.h"
#include "ffl/rawcall.h"

enum { SLICE_NS = 10000000, SLICES_MAX = 200 }; /* a program's own handlers may keep fork() from ending */

ff_a32 ff_gate;

void ff_gate_close(void)
{
	ff_store32(&ff_gate, (uint32_t)ff_raw1(SYS_gettid, 0)); /* relaxed: the fence */
	ff_fence();
}

void ff_gate_open(void)
{
	ff_store32_release(&ff_gate, 0); /* pairs with the acquire of whoever passes */
	ff_raw3(SYS_futex, &ff_gate, FUTEX_WAKE_PRIVATE, INT_MAX);
}

void ff_gate_wait(void)
{
	const struct timespec slice = { 0, SLICE_NS };
	uint32_t self = (uint32_t)ff_raw1(SYS_gettid, 0);
	for (int i = 0; i < SLICES_MAX; i++) {
		uint32_t who = ff_load32_acquire(&ff_gate); /* with the release of ff_gate_open */
		if (who == 0 || who == self)
			return;
		ff_raw4(SYS_futex, &ff_gate, FUTEX_WAIT_PRIVATE, who, &slice);
	}
}
