/* One copy into registered memory: programs poll on the last byte of a message, so it must be visible last. */
#ifndef FFCORE_COPY_H
#define FFCORE_COPY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * These bytes will be read soon, or written: their lines are fetched side by side meanwhile. Memory that is in no cache
 * comes one line after the other otherwise, each 100 ns behind the last. Any address will do.
 */
static inline void ff_soon_read(const uint8_t *at, size_t length)
{
	for (size_t i = 0; i < length; i += 64)
		__builtin_prefetch(at + i);
}

static inline void ff_soon_written(uint8_t *at, size_t length)
{
	for (size_t i = 0; i < length; i += 64)
#if defined(__x86_64__)
		__asm__ volatile("prefetchw %0" : : "m"(at[i])); /* gcc's own is for reading unless -mprfchw is given */
#else
		__builtin_prefetch(at + i, 1);
#endif
}

/* memcpy in which the last byte is stored after every other one. A plain memcpy publishes it early now and then. */
static inline void ff_copy_publish(uint8_t *to, const uint8_t *from, size_t length)
{
	uint8_t *tail = to + length - 8;

	if (length >= 8 && ((uintptr_t)tail & 7) == 0) {
		uint64_t last;
		memcpy(&last, from + length - 8, 8);
		memcpy(to, from, length - 8);
		__atomic_store_n((uint64_t *)tail, last, __ATOMIC_RELEASE); /* pairs with the program's look at it */
	} else if (length) {
		memcpy(to, from, length - 1);
		__atomic_store_n(to + length - 1, from[length - 1], __ATOMIC_RELEASE);
	}
}

#endif
