/*
 * ISA-L's checksums leave the upper halves of the vector registers dirty, and the first SSE instruction after that costs
 * x86 CPUs over 100 ns (measured, Sapphire Rapids): as much as everything else that a packet of 1 KB costs.
 */
#ifndef FFCORE_VECTORS_H
#define FFCORE_VECTORS_H

#if defined(__x86_64__)
static inline int ff_has_upper_halves(void) { return __builtin_cpu_supports("avx"); }
static inline void ff_clean_upper_halves(void) { __asm__ volatile("vzeroupper" ::: "memory"); }
#else
static inline int ff_has_upper_halves(void) { return 0; }
static inline void ff_clean_upper_halves(void) {}
#endif

#endif
