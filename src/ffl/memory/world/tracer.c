/*
 * Stopping the other threads by ptrace. No mask keeps it out, no stack is used, nothing becomes pending, and the kernel
 * repeats the calls that it interrupts. A tracer must be another process, so one is cloned for each stop, in the same
 * memory: it seizes the threads, waits until each has stopped, and at the end lets go of them and exits. If it dies, the
 * kernel lets them go.
 *
 * Where a debugger has the process already, or the host forbids it, it is EPERM, and a signal has to do (world.c).
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

#include "ffcore/atomics.h"
#include "ffl/memory/clone.h"
#include "ffl/memory/tasks.h"
#include "ffl/memory/world/tracer.h"
#include "ffl/memory/world/world.h"

enum {
	THREADS = 1 << 14,
	STOP_MS_MAX = 5000, /* for a thread in the disk's hands, or that gets no CPU */
	YIELDS = 20,
	POLL_NS = 50000,
	LOOK_NS = 1000000,
	SEIZE = 0x4206, INTERRUPT = 0x4207, DETACH = 17, GETREGSET = 0x4204, SETREGSET = 0x4205,
	EVENT_STOP = 128,
};

enum { STEP_NONE, STEP_STOPPED, STEP_FAILED, STEP_LET_GO };
enum { ANSWER_NONE, ANSWER_GO, ANSWER_FORKS, ANSWER_FINISH };
enum { SEIZED, STOPPED, BELOW, GONE }; /* BELOW: in vfork, and stops before it is back in the program */

struct traced {
	uint32_t tid;
	uint8_t state;
	uint8_t signal; /* that it was about to take */
	uint8_t repeats; /* stands where we interrupted it, maybe in a call */
	uint8_t pad;
	int64_t number; /* of the call it was in; -1: none */
	uint64_t first;	/* its first argument */
};

struct room {
	ff_a32 alive, step, answer;
	uint32_t pid, maker;
	int32_t error;
	uint32_t culprit; /* a thread that did not stop */
	uint32_t count;
	struct traced thread[THREADS];
	char listing[FF_TASKS_LISTING];
	_Alignas(64) char stack[32 << 10];
};

static struct room *room;
static long tracer;

static long trace(long request, uint32_t tid, uint64_t addr, uint64_t data)
{
	return ff_raw4(SYS_ptrace, request, tid, addr, data);
}

static void nap(long ns)
{
	const struct timespec moment = { 0, ns };
	ff_raw2(SYS_nanosleep, &moment, NULL);
}

static uint64_t now_ms(void)
{
	struct timespec t;
	ff_raw2(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- in the tracer: no libc, whose errno would be the maker's ------------------------------------------------- */

static void note_call(struct room *r, struct traced *t)
{
	char text[256];
	uint64_t number;
	t->number = -1;
	if (ff_tasks_read(r->pid, t->tid, "syscall", text, sizeof text) <= 0 || text[0] < '0' || text[0] > '9')
		return;
	ff_tasks_field(ff_tasks_field(text, &number), &t->first);
	t->number = (int64_t)number;
}

/* 1: a new thread was seized; 0: none is there; or a negated errno. */
static int seize(struct room *r, uint32_t tid)
{
	uint64_t flags;
	for (uint32_t i = 0; i < r->count; i++)
		if (r->thread[i].tid == tid)
			return 0;
	if (r->count == THREADS)
		return -ENOMEM;
	struct traced *t = &r->thread[r->count];
	*t = (struct traced){ .tid = tid };
	note_call(r, t);
	long result = trace(SEIZE, tid, 0, 0);
	if (result < 0) {
		char state = ff_tasks_state(r->pid, tid, &flags);
		int nobody = state == 0 || state == 'Z' || state == 'X' || flags & FF_TASKS_WORKER; /* the first thread may end first */
		return result == -ESRCH || nobody ? 0 : (int)result;
	}
	r->count++;
	trace(INTERRUPT, tid, 0, 0);
	return 1;
}

/* Whether a signal of the program's is what ended the call. */
static int is_signalled(const struct room *r, uint32_t tid)
{
	char text[2048];
	uint64_t pending = 0, blocked = 0;
	long got = ff_tasks_read(r->pid, tid, "status", text, sizeof text);
	for (long i = 0; i + 9 < got; i++) {
		const char *p = text + i;
		uint64_t mask = 0;
		if (p[0] != '\n' || p[1] != 'S' || p[7] != ':') /* SigPnd ShdPnd SigBlk */
			continue;
		for (const char *d = p + 9; *d > ' '; d++)
			mask = mask << 4 | (uint64_t)(*d <= '9' ? *d - '0' : *d - 'a' + 10);
		if (p[4] == 'P')
			pending |= mask;
		else if (p[2] == 'i' && p[4] == 'B')
			blocked = mask;
	}
	return (pending & ~blocked) != 0;
}

/* The calls that the kernel does not repeat come back with EINTR, which nobody sent. */
static void repeat_call(const struct room *r, const struct traced *t)
{
	struct user_regs_struct regs;
	struct iovec part = { &regs, sizeof regs };
	if (trace(GETREGSET, t->tid, NT_PRSTATUS, (uint64_t)&part) < 0)
		return;
#if defined(__x86_64__)
	if ((int64_t)regs.rax != -EINTR || (int64_t)regs.orig_rax < 0 ||
	    !ff_call_begins_anew((int64_t)regs.orig_rax, regs.rsi) || is_signalled(r, t->tid))
		return;
	regs.rax = regs.orig_rax;
	regs.rip -= 2;
#elif defined(__aarch64__)
	if ((int64_t)regs.regs[0] != -EINTR || t->number < 0 || (int64_t)regs.regs[8] != t->number ||
	    !ff_call_begins_anew(t->number, regs.regs[1]) || is_signalled(r, t->tid))
		return;
	regs.regs[0] = t->first;
	regs.pc -= 4;
#endif
	trace(SETREGSET, t->tid, NT_PRSTATUS, (uint64_t)&part);
}

/* In vfork a thread waits for a program that is being started, for seconds maybe, and does nothing. */
static int is_below(const struct room *r, const struct traced *t)
{
	uint64_t flags;
	int vforks = t->number == SYS_clone || t->number == 435 /* clone3 */;
#ifdef SYS_vfork
	vforks = vforks || t->number == SYS_vfork;
#endif
	return vforks && ff_tasks_state(r->pid, t->tid, &flags) == 'D';
}

static void settle(const struct room *r, struct traced *t)
{
	int status = 0;
	long got = ff_raw4(SYS_wait4, t->tid, &status, WNOHANG | __WALL, 0);
	if (got == 0) {
		if (is_below(r, t))
			t->state = BELOW;
		return;
	}
	t->state = GONE;
	if (got < 0 || !WIFSTOPPED(status))
		return;
	t->state = STOPPED;
	if (status >> 16 == EVENT_STOP)
		t->repeats = 1;
	else
		t->signal = (uint8_t)WSTOPSIG(status); /* it is told when it is let go */
}

/* All threads that are listed stand, and a listing shows nobody new: who makes threads stands, too. */
static int gather(struct room *r)
{
	uint64_t began = now_ms();
	for (int fresh = 1; fresh;) {
		long at = 0, got = 0, fd = ff_tasks_open(r->pid);
		uint32_t tid;
		if (fd < 0)
			return (int)fd;
		for (fresh = 0; fresh >= 0 && (tid = ff_tasks_next(fd, r->listing, &at, &got)) != 0;) {
			int result = tid == r->maker ? 0 : seize(r, tid);
			fresh = result < 0 ? result : fresh + result;
		}
		ff_raw1(SYS_close, fd);
		if (fresh < 0)
			return fresh;
		for (uint32_t i = 0; i < r->count; i++) {
			for (int look = 0; r->thread[i].state == SEIZED; look++) {
				settle(r, &r->thread[i]);
				if (r->thread[i].state != SEIZED)
					break;
				r->culprit = r->thread[i].tid;
				if (now_ms() - began > STOP_MS_MAX)
					return -EAGAIN;
				if (look < YIELDS)
					ff_raw1(SYS_sched_yield, 0);
				else
					nap(POLL_NS);
			}
		}
	}
	return 0;
}

static void let_all_go(struct room *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		if (r->thread[i].state != STOPPED)
			continue;
		if (r->thread[i].repeats) /* not before: a signal that comes while it stands ends the call, too */
			repeat_call(r, &r->thread[i]);
		trace(DETACH, r->thread[i].tid, 0, r->thread[i].signal);
	}
	r->count = 0; /* those that have not stopped are let go by our exit */
}

static void say(ff_a32 *word, uint32_t value)
{
	ff_store32_release(word, value); /* pairs with the acquire of whoever waits */
	ff_raw3(SYS_futex, word, FUTEX_WAKE, 8);
}

/* A maker that was killed says nothing any more, and its threads cannot go while they are traced. */
static uint32_t await_answer(struct room *r, uint32_t not_this)
{
	const struct timespec look = { 0, LOOK_NS };
	ff_raw4(SYS_futex, &r->answer, FUTEX_WAIT, not_this, &look);
	if ((uint32_t)ff_raw1(SYS_getppid, 0) != r->pid)
		return ANSWER_FINISH;
	return ff_load32_acquire(&r->answer); /* with say */
}

static long body(struct room *r)
{
	uint32_t answer;
	uint64_t flags;
	while ((answer = await_answer(r, ANSWER_NONE)) == ANSWER_NONE)
		;
	if (answer == ANSWER_FINISH)
		return 0;
	r->error = -gather(r);
	if (r->error) {
		let_all_go(r);
		say(&r->step, STEP_FAILED);
		return 0;
	}
	say(&r->step, STEP_STOPPED);
	while ((answer = await_answer(r, answer)) != ANSWER_FINISH) {
		/* fork() sleeps on nothing but a lock, and one of those that stand must have it. */
		if (answer == ANSWER_FORKS && ff_tasks_state(r->pid, r->maker, &flags) == 'S')
			break;
	}
	let_all_go(r);
	say(&r->step, STEP_LET_GO);
	return 0;
}

/* ---- in the maker ---------------------------------------------------------------------------------------------- */

static int make_room(void)
{
	if (room)
		return 0;
	void *memory = mmap(NULL, sizeof *room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return errno;
	room = memory;
	return 0;
}

static void end(void)
{
	while (ff_load32_acquire(&room->alive)) /* the kernel's store at its exit, and its wake-up, which is not private */
		ff_raw4(SYS_futex, &room->alive, FUTEX_WAIT, 1, NULL);
	ff_raw4(SYS_wait4, tracer, NULL, __WALL, 0);
	tracer = 0;
}

static int await_step(void)
{
	const struct timespec look = { 0, LOOK_NS };
	while (ff_load32_acquire(&room->step) == STEP_NONE && ff_load32_acquire(&room->alive)) /* with say */
		ff_raw4(SYS_futex, &room->step, FUTEX_WAIT, STEP_NONE, &look);
	return ff_load32(&room->step) == STEP_STOPPED ? 0 : room->error ? room->error : ESRCH; /* relaxed: read before */
}

static int stop_once(int allow)
{
	uint64_t all = ~0ull, old = 0;
	ff_store32(&room->alive, 1); /* relaxed, like the rest: clone orders it */
	ff_store32(&room->step, STEP_NONE);
	ff_store32(&room->answer, ANSWER_NONE);
	room->pid = (uint32_t)ff_raw1(SYS_getpid, 0);
	room->maker = (uint32_t)ff_raw1(SYS_gettid, 0);
	room->error = 0;
	room->count = 0;
	ff_raw4(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, &all, &old, 8);
	tracer = ff_raw_clone(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_CHILD_CLEARTID, room->stack + sizeof room->stack,
			      &room->alive, (long (*)(void *))body, room);
	ff_raw4(SYS_rt_sigprocmask, 2, &old, NULL, 8);
	if (tracer < 0)
		return (int)-tracer;
	if (allow) /* where only a parent may trace (Yama), unless the child says otherwise */
		ff_raw5(SYS_prctl, PR_SET_PTRACER, tracer, 0, 0, 0);
	say(&room->answer, ANSWER_GO);
	int result = await_step();
	if (result)
		end();
	if (allow)
		ff_raw5(SYS_prctl, PR_SET_PTRACER, 0, 0, 0, 0);
	return result;
}

int ff_tracer_is_stopped(void)
{
	return tracer > 0 && ff_load32_acquire(&room->step) == STEP_STOPPED; /* with say */
}

void ff_tracer_fork_window(void)
{
	if (tracer > 0)
		say(&room->answer, ANSWER_FORKS);
}

void ff_tracer_resume(void)
{
	if (tracer > 0) {
		say(&room->answer, ANSWER_FINISH);
		end();
	}
}

static int forbidden;

void ff_tracer_forbid(int forbid) { forbidden = forbid; }

int ff_tracer_stop(char *reason, uint32_t size)
{
	ff_tracer_resume(); /* one that let go for a fork may be on its way out still: the kernel would clear `alive` under the next */
	int result = forbidden ? EACCES : make_room();
	if (result == 0)
		result = stop_once(0);
	if (result == EPERM)
		result = stop_once(1);
	if (result == EAGAIN) {
		char name[32] = "";
		ff_threads_name(room->culprit, name, sizeof name);
		snprintf(reason, size, "thread %u (%s) did not stop within %d ms", room->culprit, name, STOP_MS_MAX);
	}
	return result;
}

void ff_tracer_child(void) { tracer = 0; }
