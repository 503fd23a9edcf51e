#ifndef FFR_FUTEX_H
#define FFR_FUTEX_H

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Wakes whoever waits on a word of shared memory. Never blocks, whatever the container does with the word. */
static inline void ffr_futex_wake(void *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, (void *)0, (void *)0, 0);
}

#endif
