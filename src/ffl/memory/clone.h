/* A thread or a process in this memory, without libc. */
#ifndef FFL_CLONE_H
#define FFL_CLONE_H

#include "ffcore/atomics.h"
#include "ffl/rawcall.h"

/*
 * clone with flags (CLONE_VM and CLONE_CHILD_CLEARTID among them), which runs body(argument) on the stack below top, and
 * exits. The kernel stores 0 to `alive` and wakes whoever waits for it when this memory is no longer used. Its id, or a
 * negated errno. Body has no thread-local storage of its own, so it calls nothing of libc.
 */
static inline long ff_raw_clone(long flags, char *top, ff_a32 *alive_word, long (*body)(void *), void *context)
{
#if defined(__x86_64__)
	long result;
	register ff_a32 *alive __asm__("r10") = alive_word;
	register long tls __asm__("r8") = 0;
	register void *argument __asm__("r12") = context;
	register long (*function)(void *) __asm__("r13") = body;
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
	register ff_a32 *x4 __asm__("x4") = alive_word;
	register void *x19 __asm__("x19") = context;
	register long (*x20)(void *) __asm__("x20") = body;
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

#endif
