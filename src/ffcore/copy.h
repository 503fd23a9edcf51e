/* One copy into registered memory: programs poll on the last byte of a message, so it must be visible last. */
#ifndef FFCORE_COPY_H
#define FFCORE_COPY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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
