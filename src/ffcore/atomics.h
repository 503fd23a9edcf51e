/* Memory order between processes. C11 atomics only: nothing here leans on x86's habits. */
#ifndef FFCORE_ATOMICS_H
#define FFCORE_ATOMICS_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint32_t ff_a32;
typedef _Atomic uint64_t ff_a64;

/* Relaxed: the caller says beside the call why no order is needed. */
static inline uint32_t ff_load32(const ff_a32 *p) { return atomic_load_explicit(p, memory_order_relaxed); }
static inline uint64_t ff_load64(const ff_a64 *p) { return atomic_load_explicit(p, memory_order_relaxed); }
static inline void ff_store32(ff_a32 *p, uint32_t v) { atomic_store_explicit(p, v, memory_order_relaxed); }
static inline void ff_store64(ff_a64 *p, uint64_t v) { atomic_store_explicit(p, v, memory_order_relaxed); }

/* Acquire pairs with the release that the call's comment names. */
static inline uint32_t ff_load32_acquire(const ff_a32 *p) { return atomic_load_explicit(p, memory_order_acquire); }
static inline uint64_t ff_load64_acquire(const ff_a64 *p) { return atomic_load_explicit(p, memory_order_acquire); }
static inline void ff_store32_release(ff_a32 *p, uint32_t v) { atomic_store_explicit(p, v, memory_order_release); }
static inline void ff_store64_release(ff_a64 *p, uint64_t v) { atomic_store_explicit(p, v, memory_order_release); }

static inline uint32_t ff_exchange32(ff_a32 *p, uint32_t v) { return atomic_exchange(p, v); }
static inline uint64_t ff_exchange64(ff_a64 *p, uint64_t v) { return atomic_exchange(p, v); }
static inline uint64_t ff_or64(ff_a64 *p, uint64_t v) { return atomic_fetch_or(p, v); }
static inline uint64_t ff_and64(ff_a64 *p, uint64_t v) { return atomic_fetch_and(p, v); }
static inline uint32_t ff_add32(ff_a32 *p, uint32_t v) { return atomic_fetch_add(p, v); }
static inline int ff_cas32(ff_a32 *p, uint32_t expected, uint32_t desired)
{
	return atomic_compare_exchange_strong(p, &expected, desired);
}

/* Dekker's fence: "store mine, fence, load yours". Both sides of a doorbell use it. */
static inline void ff_fence(void) { atomic_thread_fence(memory_order_seq_cst); }

/* The guest atomics of RC: 8-byte aligned application memory, seen by every process that maps it. */
static inline uint64_t ff_guest_cmp_swp(void *p, uint64_t compare, uint64_t swap)
{
	__atomic_compare_exchange_n((uint64_t *)p, &compare, swap, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return compare; /* the value found, swapped or not */
}
static inline uint64_t ff_guest_fetch_add(void *p, uint64_t add)
{
	return __atomic_fetch_add((uint64_t *)p, add, __ATOMIC_SEQ_CST);
}

static inline void ff_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
