/*
 * The copy and the new mapping. What is swapped may be the stack that this thread runs on, or the page of its thread
 * control block: in between nothing may be written there. So it runs on a stack of its own and uses raw calls.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <time.h>

#include "ffl/rawcall.h"
#include "ffl/memory/world/world.h"

static char own_stack[16384] __attribute__((aligned(64))); /* of the stopper alone: guarded by the world's lock */

static long share(const struct ff_swap *swap)
{
	int locked = ff_swap_is_locked(swap->addr, swap->length);
	long result = ff_swap_copy(SYS_pwrite64, swap->fd, swap->addr, swap->length, swap->offset);
	if (result < 0)
		return result;
	/* Everything that can refuse it (limits, the number of mappings) is checked before the old pages go. */
	result = ff_swap_map_shared(swap);
	if (result == 0 && locked)
		ff_raw2(SYS_mlock, swap->addr, swap->length);
	return result;
}

/*
 * Mapped in place rather than moved there, so that the kernel can merge it with its neighbours: a heap that is
 * registered and deregistered for days must not end as 65 530 mappings.
 */
static long unshare(const struct ff_swap *swap)
{
	int locked = ff_swap_is_locked(swap->addr, swap->length);
	long result = ff_raw6(SYS_mmap, (long)swap->addr, (long)swap->length, swap->prot | PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (ff_raw_failed(result))
		return result;
	result = ff_swap_copy(SYS_pread64, swap->fd, swap->addr, swap->length, swap->offset);
	if (result < 0) {
		ff_swap_map_shared(swap);
		return result;
	}
	if (locked)
		ff_raw2(SYS_mlock, swap->addr, swap->length);
	if ((swap->prot & (PROT_READ | PROT_WRITE)) != (PROT_READ | PROT_WRITE))
		ff_raw3(SYS_mprotect, swap->addr, swap->length, swap->prot);
	return 0;
}

/*
 * For fork: as unshare, and keeps the bytes in snapshot. What differs from them afterwards is what this process wrote.
 */
static long take(const struct ff_swap *swap)
{
	long result = ff_swap_copy(SYS_pread64, swap->fd, swap->snapshot, swap->length, swap->offset);
	if (result < 0)
		return result;
	result = ff_raw6(SYS_mmap, (long)swap->addr, (long)swap->length, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (ff_raw_failed(result))
		return result;
	volatile uint64_t *to = (uint64_t *)swap->addr, *from = (uint64_t *)swap->snapshot;
	for (uint64_t i = 0; i < swap->length / 8; i++)
		to[i] = from[i];
	if (swap->prot != (PROT_READ | PROT_WRITE))
		ff_raw3(SYS_mprotect, swap->addr, swap->length, swap->prot);
	return 0;
}

/* The undoing of take. */
static long give(const struct ff_swap *swap)
{
	long result = ff_swap_write_changes(swap, swap->addr);
	return result < 0 ? result : ff_swap_map_shared(swap);
}

static long body(const struct ff_swap *swap)
{
	switch (swap->kind) {
	case FF_SWAP_SHARE:
		return share(swap);
	case FF_SWAP_UNSHARE:
		return unshare(swap);
	case FF_SWAP_TAKE:
		return take(swap);
	case FF_SWAP_GIVE:
		return give(swap);
	}
	return -EINVAL;
}

static __attribute__((noinline)) long on_own_stack(const struct ff_swap *swap)
{
	char *top = own_stack + sizeof own_stack;
#if defined(__x86_64__)
	long result;
	__asm__ volatile("mov %%rsp, %%rbx\n\t"
			 "mov %[top], %%rsp\n\t"
			 "call *%[body]\n\t"
			 "mov %%rbx, %%rsp"
			 : "=a"(result), "+D"(swap)
			 : [top] "r"(top), [body] "r"(body)
			 : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3",
			   "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
			   "xmm14", "xmm15", "cc", "memory");
	return result;
#elif defined(__aarch64__)
	register long x0 __asm__("x0") = (long)swap;
	__asm__ volatile("mov x19, sp\n\t"
			 "mov sp, %[top]\n\t"
			 "blr %[body]\n\t"
			 "mov sp, x19"
			 : "+r"(x0)
			 : [top] "r"(top), [body] "r"(body)
			 : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
			   "x15", "x16", "x17", "x19", "x30", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16",
			   "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29",
			   "v30", "v31", "cc", "memory");
	return x0;
#endif
}

int ff_world_swap(const struct ff_swap *swap)
{
	long result = on_own_stack(swap);
	uint64_t block = (uint64_t)__builtin_thread_pointer();
	if (block + 8192 >= swap->addr && block < swap->addr + swap->length + 8192) {
		/* The kernel keeps the CPU's number in the thread control block (rseq), and may have written it to the
		 * old page just after the copy. It writes it again whenever a thread has slept. */
		static uint32_t never;
		static const struct timespec moment = { 0, 1 };
		ff_raw4(SYS_futex, &never, FUTEX_WAIT_PRIVATE, 0, &moment);
	}
	return (int)-result;
}
