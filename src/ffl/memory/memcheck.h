/*
 * What valgrind's memcheck is told: pages are moved with whatever is in them, also where the program has never written, and that is no
 * mistake of the program's. A request is a sequence of instructions that does nothing where valgrind does not look.
 */
#ifndef FFL_MEMCHECK_H
#define FFL_MEMCHECK_H

#include <stdint.h>

enum { FF_MEMCHECK_QUIET = 0x1801 }; /* VG_USERREQ__CHANGE_ERR_DISABLEMENT */

/* more: 1 begins, -1 ends a time in which this thread's errors are not told. */
static inline void ff_memcheck_quiet(int64_t more)
{
	volatile uint64_t request[6] = {FF_MEMCHECK_QUIET, (uint64_t)more};
#if defined(__x86_64__)
	uint64_t answer = 0;

	__asm__ volatile("rolq $3, %%rdi; rolq $13, %%rdi\n rolq $61, %%rdi; rolq $51, %%rdi\n xchgq %%rbx, %%rbx"
			 : "+d"(answer) : "a"(request) : "cc", "memory");
#elif defined(__aarch64__)
	register uint64_t answer __asm__("x3") = 0;
	register volatile uint64_t *asked __asm__("x4") = request;

	__asm__ volatile("ror x12, x12, #3; ror x12, x12, #13\n ror x12, x12, #51; ror x12, x12, #61\n orr x10, x10, x10"
			 : "+r"(answer) : "r"(asked) : "cc", "memory", "x12");
#endif
}

#endif
