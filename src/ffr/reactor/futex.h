#ifndef FFR_FUTEX_H
#define FFR_FUTEX_H

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FFR_WAKE_MAX = 64 }; /* a container may have thousands of threads wait; FFL's sleep in slices, and look again */

/* Wakes who waits on a word of shared memory. Never blocks, whatever the container does with the word. */
static inline void ffr_futex_wake(void *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, FFR_WAKE_MAX, (void *)0, (void *)0, 0);
}

#endif
