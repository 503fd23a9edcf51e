/* The thread that changes mappings: made for one run, with a stack and a table of descriptors of its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>

#include "ffl/memory/clone.h"
#include "ffl/memory/uffd/uffd.h"

static struct ff_room *room_of_process;

struct ff_room *ff_room(void)
{
	if (room_of_process == NULL) {
		long memory = ff_raw6(SYS_mmap, 0, sizeof(struct ff_room), PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (ff_raw_failed(memory))
			return NULL;
		room_of_process = (struct ff_room *)memory;
	}
	return room_of_process;
}

static int overlaps(uint64_t addr, uint64_t length, const void *low, const void *high)
{
	return addr < (uint64_t)high && (uint64_t)low < addr + length;
}

/* The linker's: where this library lies. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

int ff_uffd_is_own(uint64_t addr, uint64_t length)
{
	return overlaps(addr, length, room_of_process, room_of_process + 1) || overlaps(addr, length, __ehdr_start, _end);
}

int ff_helper_start(struct ff_room *room, long (*body)(struct ff_room *))
{
	uint64_t all = ~0ull, old = 0;
	ff_store32(&room->alive, 1); /* relaxed, like the rest: clone orders it */
	ff_store32(&room->step, FF_STEP_NONE);
	ff_store32(&room->answer, FF_STEP_NONE);
	room->result = 0;
	room->fault = 0;
	room->waiter = 0;
	room->scratch = 0;
	room->maker = (uint32_t)ff_raw1(SYS_gettid, 0);
	/* The helper takes no signal, neither the program's nor ours. */
	ff_raw4(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, &all, &old, 8);
	/* Neither CLONE_FILES (see uffd.h) nor CLONE_SETTLS. */
	long tid = ff_raw_clone(CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID,
				room->stack + sizeof room->stack, &room->alive, (long (*)(void *))body, room);
	ff_raw4(SYS_rt_sigprocmask, 2, &old, NULL, 8);
	if (tid < 0)
		ff_store32(&room->alive, 0);
	return tid < 0 ? (int)-tid : 0;
}

long ff_helper_join(struct ff_room *room)
{
	/* Not a private futex: the kernel's wake-up is not private. acquire: pairs with the end of the helper */
	while (ff_load32_acquire(&room->alive) != 0)
		ff_raw4(SYS_futex, &room->alive, FUTEX_WAIT, 1, NULL);
	return room->result;
}

void ff_uffd_child(void)
{
	if (room_of_process)
		ff_store32(&room_of_process->alive, 0); /* relaxed: a child starts with one thread */
}
