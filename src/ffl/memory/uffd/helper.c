/* The thread that changes mappings: made for one run, with a stack and a table of descriptors of its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>

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

/*
 * Neither CLONE_FILES (see uffd.h) nor CLONE_SETTLS. Inside: body(room) on the new stack, and exit. The kernel stores 0
 * to `alive` and wakes whoever waits for it when the thread touches this memory no more.
 */
static long clone_helper(struct ff_room *room, long (*body)(struct ff_room *))
{
	long flags = CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;
	char *top = room->stack + sizeof room->stack;
#if defined(__x86_64__)
	long result;
	register ff_a32 *alive __asm__("r10") = &room->alive;
	register long tls __asm__("r8") = 0;
	register struct ff_room *argument __asm__("r12") = room;
	register long (*function)(struct ff_room *) __asm__("r13") = body;
	__asm__ volatile("syscall\n\t"
			 "testq %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xorl %%ebp, %%ebp\n\t"
			 "movq %%r12, %%rdi\n\t"
			 "callq *%%r13\n\t"
			 "xorl %%edi, %%edi\n\t"
			 "movl %[exit], %%eax\n\t"
			 "syscall\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(result)
			 : "0"((long)SYS_clone), "D"(flags), "S"(top), "d"(0L), "r"(alive), "r"(tls), "r"(argument),
			   "r"(function), [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = SYS_clone;
	register long x0 __asm__("x0") = flags;
	register char *x1 __asm__("x1") = top;
	register long x2 __asm__("x2") = 0;
	register long x3 __asm__("x3") = 0;
	register ff_a32 *x4 __asm__("x4") = &room->alive;
	register struct ff_room *x19 __asm__("x19") = room;
	register long (*x20)(struct ff_room *) __asm__("x20") = body;
	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t"
			 "mov x30, xzr\n\t"
			 "mov x0, x19\n\t"
			 "blr x20\n\t"
			 "mov x0, xzr\n\t"
			 "mov x8, %[exit]\n\t"
			 "svc #0\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x8), "r"(x19), "r"(x20), [exit] "i"(SYS_exit)
			 : "memory");
	return x0;
#endif
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
	long tid = clone_helper(room, body);
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
