/* The lock, the gate, stop and resume, and the handler in which the other threads wait. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ffl/rawcall.h"
#include "ffl/memory/world/tracer.h"
#include "ffl/memory/world/world.h"

enum {
	DEAF_MS_MAX = 1000, /* a thread that blocks our signal must not hang a registration */
	STOP_MS_MAX = 5000, /* one that does not, but is in the disk's hands, or gets no CPU */
	LOCK_MS_MAX = 20000, /* longer than the longest registration that another thread may be at */
	FORK_MS_MAX = 50,    /* most forks are over by then; others may wait for us */
	SLICE_NS = 1000000,
	LOOKS_MAX = 5,
};

static ff_a32 lock;	 /* 0 free, 1 held, 2 held and awaited */
static ff_a32 forks;	 /* the lock is held for a fork */
static ff_a32 owner;	 /* tid of the thread that holds it; 0: none */
static ff_a32 gate;	 /* the generation that waits; 0: everybody runs. The futex that they wait on */
static ff_a32 waiting;	 /* counts arrivals, without end. The futex that the stopper waits on */
static ff_a32 expected;	 /* the arrival that the stopper wants to be woken at */
static ff_a32 forking;	 /* tid of a thread in fork(), while the others may let themselves go */
static uint32_t generation;
static int alone; /* at the last stop */
static int signal_number;
static uint64_t kept_mask, longest_ns;
static uint64_t stopped_at_ns, gathered_at_ns, resumed_at_ns; /* of the last stop */
static const struct timespec slice = { 0, SLICE_NS };
static const struct timespec *patience; /* how long a waiting thread sleeps before it looks at `forking` */
static char reason[160];

const char *ff_world_reason(void) { return reason; }

int ff_world_signal(void) { return signal_number; }

uint64_t ff_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void futex_wait(ff_a32 *word, uint32_t value, const struct timespec *timeout)
{
	ff_raw4(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout);
}

static void futex_wake(ff_a32 *word, int count) { ff_raw3(SYS_futex, word, FUTEX_WAKE_PRIVATE, count); }

/* ---- the lock ----------------------------------------------------------------------------------------------- */

static uint64_t bit(int number) { return 1ull << (number - 1); }

static uint64_t set_mask(uint64_t mask)
{
	uint64_t old = 0;
	ff_raw4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &old, 8);
	return old;
}

/*
 * While a thread holds the lock, no handler of the application's runs on it: one that forks or registers memory would
 * wait for itself. While it only waits for the lock, it can still be stopped by whoever holds it.
 */
static int enter(int briefly)
{
	uint64_t ours = signal_number ? bit(signal_number) : 0;
	uint64_t faults = bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGTRAP);
	uint64_t old = set_mask(~(ours | faults));
	uint64_t start = 0;
	if (ff_load32(&owner) == (uint32_t)ff_raw1(SYS_gettid, 0)) { /* relaxed: its own store */
		set_mask(old);
		snprintf(reason, sizeof reason, "this thread is in fork(): its handlers cannot register memory before that is over");
		return EAGAIN;
	}
	if (!ff_cas32(&lock, 0, 1)) {
		while (ff_exchange32(&lock, 2) != 0) {
			uint64_t now = ff_now_ns();
			start = start ? start : now;
			int limit_ms = briefly && ff_load32(&forks) ? FORK_MS_MAX : LOCK_MS_MAX; /* relaxed: a hint */
			if (now - start > limit_ms * 1000000ull) {
				set_mask(old);
				snprintf(reason, sizeof reason, "another thread is registering memory since %d s",
					 LOCK_MS_MAX / 1000);
				return EAGAIN;
			}
			futex_wait(&lock, 2, &slice);
		}
	}
	ff_store32(&owner, (uint32_t)ff_raw1(SYS_gettid, 0)); /* relaxed, as in exit: for the thread itself */
	kept_mask = old;
	return 0;
}

int ff_world_enter(void) { return enter(0); }

int ff_world_enter_briefly(void) { return enter(1); }

void ff_world_forks(int does) { ff_store32(&forks, (uint32_t)does); } /* relaxed: see enter */

void ff_world_exit(void)
{
	uint64_t mask = kept_mask;
	ff_store32(&owner, 0);
	if (ff_exchange32(&lock, 0) == 2)
		futex_wake(&lock, 1);
	set_mask(mask);
}

void ff_world_child(void)
{
	uint64_t mask = kept_mask;
	ff_store32(&lock, 0); /* relaxed, like the rest here: a child starts with one thread */
	ff_tracer_child();
	ff_store32(&owner, 0);
	ff_store32(&forks, 0);
	ff_store32(&gate, 0);
	ff_store32(&forking, 0);
	alone = 0;
	ff_threads_clear();
	set_mask(mask);
}

/* ---- the handler --------------------------------------------------------------------------------------------- */

/*
 * Says that this thread waits, and waits. From the first store on nothing of this thread's memory may be written, its
 * stack least of all: the stopper may be copying it. So it is one piece of assembly, and all signals are blocked.
 * Returns when the gate has moved on, or, if there is a timeout, when it has passed and `forking` is set.
 *
 * Order: what this thread stored before comes before acked; the stopper reads acked with acquire. The count and
 * `expected` are a Dekker pair: we count, fence, read expected; it stores expected, fences, reads the count.
 */
static void wait_at_gate(ff_a32 *acked, uint32_t mine, const struct timespec *timeout)
{
#if defined(__x86_64__)
	long result = SYS_futex;
	register ff_a32 *count __asm__("r12") = &waiting;
	register ff_a32 *gate_word __asm__("r13") = &gate;
	register const struct timespec *timespec __asm__("r10") = timeout;
	register ff_a32 *fork_word __asm__("r14") = &forking;
	register ff_a32 *expect __asm__("r15") = &expected;
	long word = 0, op = 0;
	uint64_t value = mine;
	__asm__ volatile("movl %%edx, (%[acked])\n\t" /* x86 keeps stores in order: a release */
			 "movl $1, %%eax\n\t"
			 "lock xaddl %%eax, (%[count])\n\t"
			 "incl %%eax\n\t"
			 "cmpl %%eax, (%[expect])\n\t"
			 "jne 1f\n\t"
			 "movl %%edx, %%r8d\n\t"
			 "movq %[count], %%rdi\n\t"
			 "movl %[wake], %%esi\n\t"
			 "movl $1, %%edx\n\t"
			 "movl %[futex], %%eax\n\t"
			 "syscall\n\t"
			 "movl %%r8d, %%edx\n\t"
			 "1:\n\t"
			 "cmpl %%edx, (%[gate])\n\t"
			 "jne 2f\n\t"
			 "movq %[gate], %%rdi\n\t"
			 "movl %[wait], %%esi\n\t"
			 "movl %[futex], %%eax\n\t"
			 "syscall\n\t"
			 "cmpq %[timed_out], %%rax\n\t"
			 "jne 1b\n\t"
			 "cmpl $0, (%[forking])\n\t"
			 "je 1b\n\t"
			 "2:"
			 : "+a"(result), "+D"(word), "+S"(op), "+d"(value)
			 : [acked] "b"(acked), [count] "r"(count), [gate] "r"(gate_word), "r"(timespec),
			   [forking] "r"(fork_word), [expect] "r"(expect), [futex] "i"(SYS_futex),
			   [wait] "i"(FUTEX_WAIT_PRIVATE), [wake] "i"(FUTEX_WAKE_PRIVATE), [timed_out] "i"(-ETIMEDOUT)
			 : "rcx", "r8", "r11", "cc", "memory");
#elif defined(__aarch64__)
	register long x0 __asm__("x0");
	register long x1 __asm__("x1");
	register long x2 __asm__("x2");
	register const struct timespec *x3 __asm__("x3") = timeout;
	register long x8 __asm__("x8") = SYS_futex;
	__asm__ volatile("stlr %w[mine], [%[acked]]\n\t"
			 "1: ldaxr w1, [%[count]]\n\t"
			 "add w1, w1, #1\n\t"
			 "stlxr w2, w1, [%[count]]\n\t"
			 "cbnz w2, 1b\n\t"
			 "dmb ish\n\t"
			 "ldr w2, [%[expect]]\n\t"
			 "cmp w1, w2\n\t"
			 "b.ne 2f\n\t"
			 "mov x0, %[count]\n\t"
			 "mov x1, %[wake]\n\t"
			 "mov x2, #1\n\t"
			 "svc #0\n\t"
			 "2: ldar w1, [%[gate]]\n\t"
			 "cmp w1, %w[mine]\n\t"
			 "b.ne 3f\n\t"
			 "mov x0, %[gate]\n\t"
			 "mov x1, %[wait]\n\t"
			 "mov w2, %w[mine]\n\t"
			 "svc #0\n\t"
			 "cmn x0, %[timed_out]\n\t"
			 "b.ne 2b\n\t"
			 "ldr w1, [%[forking]]\n\t"
			 "cbz w1, 2b\n\t"
			 "3:"
			 : "=&r"(x0), "=&r"(x1), "=&r"(x2)
			 : [acked] "r"(acked), [mine] "r"(mine), [count] "r"(&waiting), [gate] "r"(&gate),
			   [forking] "r"(&forking), [expect] "r"(&expected), "r"(x3), "r"(x8),
			   [wait] "i"(FUTEX_WAIT_PRIVATE), [wake] "i"(FUTEX_WAKE_PRIVATE), [timed_out] "i"(ETIMEDOUT)
			 : "cc", "memory");
#endif
}

/* In fork() a thread sleeps on nothing but a lock, and one of us must have it. */
static void let_go_if_it_sleeps(uint32_t mine)
{
	uint32_t tid = ff_load32(&forking); /* relaxed: a hint, looked at again in a millisecond */
	if (tid && ff_threads_state(tid) == 'S' && ff_cas32(&gate, mine, 0))
		futex_wake(&gate, INT_MAX);
}

static void handler(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info;
	struct ff_thread *thread = ff_threads_find((uint32_t)ff_raw1(SYS_gettid, 0));
	uint32_t mine = ff_load32_acquire(&gate); /* pairs with the stopper's release of the table's entry */
	/* Taken before we say that we wait: the next stop overwrites it, maybe before we run again. */
	struct ff_call call = { .number = -1 }, none = { .number = -1 };
	if (thread && mine) {
		call = thread->call;
		for (;;) {
			wait_at_gate(&thread->acked, mine, patience);
			if (ff_load32_acquire(&gate) != mine) /* pairs with the release of resume */
				break;
			let_go_if_it_sleeps(mine);
		}
	}
	ff_repair(context, &call, thread ? &thread->repaired : &none);
}

/* ---- the signal ----------------------------------------------------------------------------------------------- */

static int is_ours(int number)
{
	struct sigaction now;
	return sigaction(number, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) && now.sa_sigaction == handler;
}

/*
 * Among pending signals the kernel delivers lower numbers first, so the handler of a high one lies on top, and the
 * application's handler below it has already been given its EINTR. The highest that nobody uses, then; and it is
 * looked at again at every stop, since the application may have taken it in the meantime.
 */
static int install(void)
{
	if (signal_number && is_ours(signal_number))
		return 0;
	for (int number = SIGRTMAX - 2; number >= SIGRTMIN; number--) {
		struct sigaction now;
		if (sigaction(number, NULL, &now) != 0 || now.sa_handler != SIG_DFL || (now.sa_flags & SA_SIGINFO))
			continue;
		struct sigaction action = { .sa_sigaction = handler,
					    .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK };
		memset(&action.sa_mask, 0xff, sizeof action.sa_mask); /* glibc's own two, too: they write the stack */
		if (sigaction(number, &action, NULL) != 0)
			continue;
		signal_number = number;
		/* The thread that holds the lock blocks it from now on; the mask it goes back to is its own. */
		return 0;
	}
	snprintf(reason, sizeof reason, "the program handles all real-time signals itself");
	return EAGAIN;
}

/* ---- stop and resume ------------------------------------------------------------------------------------------ */

struct scan {
	int patient;	  /* threads that are about to be back in a call get time to */
	uint32_t fresh;	  /* signalled by this scan */
	uint32_t missing; /* signalled and not yet waiting */
};

/* Blocked, it would become pending, and be seen by sigwait, signalfd, or the next program; who waits for it takes it. */
static int is_deaf(const struct ff_thread *thread, uint32_t tid)
{
	return thread->call.number == SYS_rt_sigtimedwait || ff_threads_blocks(tid, signal_number);
}

static int signal_one(uint32_t tid, void *context)
{
	struct scan *scan = context;
	struct ff_thread *thread = ff_threads_add(tid);
	if (thread == NULL)
		return -ENOMEM;
	if (thread->signalled != generation) {
		ff_threads_record_call(thread);
		if (scan->patient && thread->call.number < 0 && thread->repaired.for_signals) { /* a hint */
			scan->fresh++;
			scan->missing++;
			return 0;
		}
		if (ff_threads_is_worker(tid)) {
			ff_store32(&thread->acked, generation); /* relaxed: nobody else will */
			return 0;
		}
		if (is_deaf(thread, tid)) {
			scan->missing++;
			return 0;
		}
		thread->signalled = generation;
		if (ff_raw3(SYS_tgkill, ff_raw1(SYS_getpid, 0), tid, signal_number) == 0)
			scan->fresh++;
		else
			ff_store32(&thread->acked, generation); /* relaxed: it is gone */
	}
	if (ff_load32_acquire(&thread->acked) != generation) /* pairs with the store in wait_at_gate */
		scan->missing++;
	return 0;
}

/* A thread that ended with our signal pending. The first thread stays in the list, as a zombie, after pthread_exit. */
static int excuse_the_dead(uint32_t tid, void *context)
{
	uint32_t *who = context;
	struct ff_thread *thread = ff_threads_find(tid);
	if (thread == NULL || ff_load32_acquire(&thread->acked) == generation)
		return 0;
	char state = ff_threads_state(tid);
	if (state == 'Z' || state == 'X')
		ff_store32(&thread->acked, generation); /* relaxed: nobody else will */
	else if (state != 0)
		*who = tid;
	return 0;
}

/* Whether to go on waiting for that thread. */
static int worth_waiting(uint32_t tid)
{
	uint64_t waited_ms = (ff_now_ns() - stopped_at_ns) / 1000000;
	struct ff_thread *thread = ff_threads_find(tid);
	int deaf = thread && thread->signalled != generation;
	if (waited_ms < (deaf ? DEAF_MS_MAX : STOP_MS_MAX))
		return 1;
	char name[32] = "", state = ff_threads_state(tid);
	ff_threads_name(tid, name, sizeof name);
	if (deaf)
		snprintf(reason, sizeof reason, "thread %u (%s) blocks or awaits signal %d", tid, name, signal_number);
	else
		snprintf(reason, sizeof reason, "thread %u (%s) did not stop within %lu ms (state %c)", tid, name,
			 waited_ms, state);
	return 0;
}

/*
 * When stops follow one another, a thread may be on its way back into the call that the last stop interrupted. If the
 * application waits for signals in that call, the thread is signalled only in a later scan: what is seen blocked is
 * known not to have run a handler of the application's since (memory/world/repair.c: ended).
 *
 * A thread that appears between two scans was made by one that did not wait yet. So: signal whom we see, wait for
 * them, and look again, until a scan finds nobody new and nobody missing.
 */
static int gather(void)
{
	int patience_left = LOOKS_MAX;
	for (;;) {
		uint32_t seen = ff_load32(&waiting); /* relaxed: re-read by the futex call */
		struct scan scan = { .patient = patience_left-- > 0 };
		int result = ff_threads_each(signal_one, &scan);
		if (result < 0) {
			snprintf(reason, sizeof reason, "/proc/self/task cannot be listed: %s", strerror(-result));
			return -result;
		}
		if (scan.missing == 0 && scan.fresh == 0)
			return 0;
		uint32_t arrived = ff_load32(&waiting); /* relaxed: the fence below orders it */
		ff_store32(&expected, seen + scan.missing);
		ff_fence(); /* with the locked add in wait_at_gate */
		if (scan.patient)
			ff_raw1(SYS_sched_yield, 0);
		else if (arrived == ff_load32(&waiting) && arrived - seen < scan.missing)
			futex_wait(&waiting, arrived, &slice);
		if (ff_now_ns() - stopped_at_ns < 2 * SLICE_NS)
			continue;
		uint32_t who = 0;
		ff_threads_each(excuse_the_dead, &who);
		if (who && !worth_waiting(who))
			return EAGAIN;
	}
}

int ff_world_stop(int for_fork)
{
	stopped_at_ns = ff_now_ns();
	gathered_at_ns = stopped_at_ns;
	alone = ff_threads_alone();
	if (alone)
		return 0;
	int result = ff_tracer_stop(reason, sizeof reason);
	if (result == 0 || result == EAGAIN) {
		gathered_at_ns = ff_now_ns();
		return result;
	}
	result = ff_threads_init();
	if (result == 0)
		result = install();
	if (result != 0)
		return result;
	patience = for_fork ? &slice : NULL;
	if (++generation == 0)
		generation = 1;
	ff_store32_release(&gate, generation);
	result = gather();
	gathered_at_ns = ff_now_ns();
	if (result != 0)
		ff_world_resume();
	return result;
}

void ff_world_resume(void)
{
	ff_store32(&forking, 0); /* relaxed: a hint */
	alone = 0;
	ff_tracer_resume();
	if (ff_exchange32(&gate, 0) != 0)
		futex_wake(&gate, INT_MAX);
	resumed_at_ns = ff_now_ns();
	if (resumed_at_ns - stopped_at_ns > longest_ns)
		longest_ns = resumed_at_ns - stopped_at_ns;
}

int ff_world_is_stopped(void) { return alone || ff_tracer_is_stopped() || ff_load32(&gate) != 0; } /* relaxed: the lock's holder asks */

void ff_world_fork_window(void)
{
	ff_tracer_fork_window();
	ff_store32(&forking, (uint32_t)ff_raw1(SYS_gettid, 0)); /* relaxed: a hint */
}

int ff_world_gathered_longer(void)
{
	return gathered_at_ns - stopped_at_ns > resumed_at_ns - gathered_at_ns;
}

uint64_t ff_world_longest_ns(int reset)
{
	uint64_t longest = longest_ns;
	if (reset)
		longest_ns = 0;
	return longest;
}

/* The session's own definition takes the place of this one; tests of memory alone have no session. */
__attribute__((weak)) void ff_session_child(void) {}
