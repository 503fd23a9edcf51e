/*
 * System calls that touch nothing but registers: no errno (it lives in a page that may be moving), no stack.
 * A result in [-4095, -1] is a negated errno.
 */
#ifndef FFL_RAWCALL_H
#define FFL_RAWCALL_H

#include <stdint.h>
#include <sys/syscall.h>

static inline __attribute__((always_inline)) long
ff_raw6(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
#endif
}

#define ff_raw1(n, a) ff_raw6(n, (long)(a), 0, 0, 0, 0, 0)
#define ff_raw2(n, a, b) ff_raw6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define ff_raw3(n, a, b, c) ff_raw6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define ff_raw4(n, a, b, c, d) ff_raw6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define ff_raw5(n, a, b, c, d, e) ff_raw6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

static inline int ff_raw_failed(long result) { return result < 0 && result >= -4095; }

#endif
