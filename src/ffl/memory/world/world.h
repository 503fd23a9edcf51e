/*
 * Stopping the world: every other thread of the process waits, by ptrace or in a signal handler, while pages change their mapping.
 * docs/design-memory.md says why it is done this way. Split into:
 *
 *   world.c          the lock, the gate, stop and resume, the handler
 *   memory/world/tracer.c   stopping them without a signal, where that can be done
 *   memory/world/threads.c  which threads there are, and what each was doing
 *   memory/world/repair.c   a system call that our signal interrupted goes on as if nothing had happened
 *   memory/world/number.c   which call that was
 *   memory/world/swap.c     the copy and the new mapping, run on a stack of its own
 */
#ifndef FFL_WORLD_H
#define FFL_WORLD_H

#include <stdint.h>
#include <signal.h>

#include "ffcore/atomics.h"
#include "ffl/memory/swap.h"

/* ---- for memory*.pyx and fork.pyx ---- */

/* Takes the lock that serialises all changes of mappings, and blocks this thread's signals until ff_world_exit().
 * 0, or EAGAIN after a bounded wait. */
int ff_world_enter(void);
void ff_world_exit(void);

/* Between enter and exit. 0 when every other thread waits, or an errno, and ff_world_reason() says which thread did
 * not. With for_fork the threads may be let go once ff_world_fork_window() was called: see there. */
int ff_world_stop(int for_fork);
void ff_world_resume(void);
int ff_world_is_stopped(void);

/* fork() takes locks that a waiting thread may hold. From this call to the next stop or resume, the waiting threads
 * look, each millisecond, whether this thread sleeps (in fork it can only be on a lock), and if so let themselves go. */
void ff_world_fork_window(void);

/* The lock's holder is going to fork, or has done. Who may hold what a fork waits for, a lock of the heap's, calls the second
 * in place of ff_world_enter(): EAGAIN while somebody forks, after a moment. */
void ff_world_forks(int forks);
int ff_world_enter_briefly(void);

/* In a child after fork: there are no other threads, and nobody holds the lock. */
void ff_world_child(void);

const char *ff_world_reason(void);

/* Whether the last stop spent more time on gathering the threads than it then stood still. */
int ff_world_gathered_longer(void);

/* How long the last stops took, for tests and benchmarks: nanoseconds from the first signal to the resume. */
uint64_t ff_world_longest_ns(int reset);

/* While the world is stopped. 0 or an errno, and then this run is as it was. */
int ff_world_swap(const struct ff_swap *swap);

/* ---- between world*.c ---- */

/* A system call that a thread was blocked in, as /proc/self/task/TID/syscall has it. */
struct ff_call {
	int64_t number; /* -1: none that is known */
	uint64_t arg[6];
	uint64_t sp, pc; /* pc is past the instruction */
	/* In a note of the handler's: */
	uint32_t ends;	      /* it ends with EINTR, SA_RESTART or not */
	uint32_t for_signals; /* it lets signals through only while it lasts: the program waits for them there */
	uint64_t left_ns;     /* when the handler was left */
};

struct ff_thread {
	ff_a32 tid;	    /* 0: free. Written by the stopper before it sends the signal */
	ff_a32 acked;	    /* the generation for which it waits; futex-like: stored last before waiting */
	uint32_t signalled; /* the generation for which it was sent the signal */
	uint32_t pad;
	struct ff_call call;	 /* when the signal was sent. Written by the stopper */
	struct ff_call repaired; /* by the handler, last: the thread may be in it again. Written by the thread */
};

int ff_world_signal(void); /* its number */

int ff_threads_init(void);
void ff_threads_clear(void);
struct ff_thread *ff_threads_find(uint32_t tid);
int ff_threads_alone(void);
/* Calls visit for each thread but self. A negative result of visit ends the walk. 0 or a negated errno. */
int ff_threads_each(int (*visit)(uint32_t tid, void *context), void *context);
struct ff_thread *ff_threads_add(uint32_t tid);
void ff_threads_record_call(struct ff_thread *thread);
char ff_threads_state(uint32_t tid); /* R S D T t Z X as in /proc; 0: no such thread */
int ff_threads_blocks(uint32_t tid, int number); /* whether it blocks that signal */
int ff_threads_is_worker(uint32_t tid); /* io_uring's own: the kernel's, though it is listed */
void ff_threads_name(uint32_t tid, char *name, uint32_t size);

/* In the handler, when the world moves again. seen: what the thread was in when the signal was sent. repaired: the
 * thread's own note, read and written here. May not return. */
void ff_repair(void *ucontext, const struct ff_call *seen, struct ff_call *repaired);

/* The number of the call that has just ended with now's registers, or -1. */
int64_t ff_call_number(const struct ff_call *now, const struct ff_call *seen, const struct ff_call *repaired);

/* Whether call is the one that a thread with now's registers is in. */
int ff_call_fits(const struct ff_call *call, const struct ff_call *now);

/* Whether a call with that second argument, ended by EINTR that nobody sent, may be made again. */
int ff_call_begins_anew(int64_t number, uint64_t second);

uint64_t ff_now_ns(void);

/* Whether n bytes of the program's code can be read, at most a page of them. */
int ff_readable(const void *p, uint64_t n);

#endif
