/*
 * A system call that our signal interrupted goes on as if nothing had happened.
 *
 * SA_RESTART makes the kernel repeat read(), accept(), a futex without timeout and others by itself. The rest come
 * back with EINTR, which the application must not see, since it sent no signal. So the handler changes what it
 * returns to:
 *
 *   calls whose remaining time the kernel keeps (poll, nanosleep, a futex with timeout): continued by
 *	restart_syscall, entered without rt_sigreturn, which would throw the remaining time away;
 *   all others: begun anew, by returning to the instruction that makes the call.
 *
 * Which call it was is found out in memory/world/number.c.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ucontext.h>
#include <time.h>
#include <ucontext.h>

#include "ffl/rawcall.h"
#include "ffl/memory/world/world.h"

enum { BACK_NS_MAX = 20000 }; /* from the handler back into the call, if the thread keeps its CPU */

enum way { LEAVE_ALONE, BEGIN_ANEW, CONTINUE };

/* Calls that change nothing when they end with EINTR, and only those: a close() repeated closes somebody else's file. */
static enum way way_of(int64_t number, uint64_t second)
{
	switch (number) {
	case SYS_clock_nanosleep:
		return second & TIMER_ABSTIME ? BEGIN_ANEW : CONTINUE;
	case SYS_nanosleep:
	case SYS_futex:
	case SYS_restart_syscall: /* one of these, continued before */
#ifdef SYS_poll
	case SYS_poll:
#endif
		return CONTINUE;
	case SYS_epoll_pwait:
	case SYS_pselect6:
	case SYS_ppoll:
	case SYS_rt_sigsuspend:
	case SYS_rt_sigtimedwait:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_msgrcv:
	case SYS_msgsnd:
	case SYS_mq_timedsend:
	case SYS_mq_timedreceive:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_read:
	case SYS_readv:
	case SYS_write:
	case SYS_writev:
	case SYS_io_getevents:
	case SYS_wait4:
	case SYS_waitid:
	case SYS_flock:
	case SYS_fcntl:
	case SYS_openat:
	case SYS_getrandom:
#ifdef SYS_epoll_wait
	case SYS_epoll_wait:
	case SYS_select:
	case SYS_pause:
	case SYS_open:
#endif
	case 426: /* io_uring_enter; these have the same numbers everywhere, and old headers lack them */
	case 441: /* epoll_pwait2 */
	case 449: /* futex_waitv */
		return BEGIN_ANEW;
	}
	return LEAVE_ALONE;
}

int ff_call_begins_anew(int64_t number, uint64_t second) { return way_of(number, second) == BEGIN_ANEW; }

/* Of the call that this thread has just been in, since its arguments are looked at. */
static uint32_t is_for_signals(const struct ff_call *call)
{
	switch (call->number) {
	case SYS_rt_sigsuspend:
		return 1;
	case SYS_ppoll:
		return call->arg[3] != 0;
	case SYS_epoll_pwait:
	case 441: /* epoll_pwait2 */
		return call->arg[4] != 0;
	case SYS_pselect6: /* the mask's address and size */
		return call->arg[5] != 0 && *(const uint64_t *)call->arg[5] != 0;
	}
	return 0;
}

/*
 * Whether signals of the application's came while we waited that will be handled when we return. To the application
 * they interrupt the call; with `restarting`, those that ask for SA_RESTART do not. Signals that are ignored, by default
 * or not, are pending too, because we block them.
 */
static int application_interrupts(uint64_t mask, int restarting)
{
	uint64_t pending = 0;
	if (ff_raw2(SYS_rt_sigpending, &pending, 8) != 0)
		return 0;
	pending &= ~mask & ~(1ull << (ff_world_signal() - 1)); /* the next stop's is ours again */
	for (; pending; pending &= pending - 1) {
		struct {
			void (*handler)(int);
			unsigned long flags, restorer, mask;
		} action;
		int number = __builtin_ctzll(pending) + 1;
		if (ff_raw4(SYS_rt_sigaction, number, NULL, &action, 8) == 0 && action.handler != SIG_DFL &&
		    action.handler != SIG_IGN && !(restarting && (action.flags & SA_RESTART)))
			return 1;
	}
	return 0;
}

static uint64_t mask_of(const ucontext_t *context)
{
	uint64_t mask;
	memcpy(&mask, &context->uc_sigmask, 8);
	return mask;
}

/* Code shares its page with what was just executed, mostly; if not, the kernel may look, and says EFAULT if it cannot. */
int ff_readable(const void *p, uint64_t n)
{
	for (uint64_t at = (uint64_t)p; at < (uint64_t)p + n + 7; at += 8)
		if (ff_raw4(SYS_rt_sigprocmask, -1, at, NULL, 8) == -EFAULT) /* EINVAL: it was read, and means nothing */
			return 0;
	return 1;
}

#if defined(__x86_64__)

static_assert(offsetof(ucontext_t, uc_mcontext.gregs) == 40 && offsetof(ucontext_t, uc_mcontext.fpregs) == 224 &&
	      offsetof(ucontext_t, uc_sigmask) == 296 && REG_R8 == 0 && REG_RDI == 8 && REG_RAX == 13 && REG_RIP == 16,
	      "the offsets in leave()");

/*
 * leave(ucontext): goes on where the signal came, as rt_sigreturn would, but keeps the restart block. Only for a
 * return to a system call instruction, which destroys rcx and r11 itself, so that we may.
 *
 * Our own signal may come again in here. Then `interrupted_leave` finds the context that was being restored: in rbx
 * up to the first label, in rcx up to the second, and in the registers themselves at the last instruction.
 */
__asm__(".text\n"
	".type leave, @function\n"
	"leave:\n\t"
	"movq %rdi, %rbx\n"
	"leave_begin:\n\t"
	"movl $14, %eax\n\t" /* rt_sigprocmask(SIG_SETMASK, &uc_sigmask, NULL, 8) */
	"movl $2, %edi\n\t"
	"leaq 296(%rbx), %rsi\n\t"
	"xorl %edx, %edx\n\t"
	"movl $8, %r10d\n\t"
	"syscall\n\t"
	"movq 224(%rbx), %rcx\n\t"
	"testq %rcx, %rcx\n\t"
	"jz 2f\n\t"
	"cmpl $0x46505853, 464(%rcx)\n\t" /* the frame says which extended states it holds */
	"jne 1f\n\t"
	"movl 472(%rcx), %eax\n\t"
	"movl 476(%rcx), %edx\n\t"
	"xrstor64 (%rcx)\n\t"
	"jmp 2f\n"
	"1:\tfxrstor64 (%rcx)\n"
	"2:\tmovq %rbx, %rcx\n"
	"leave_load:\n\t"
	"movq 40(%rcx), %r8\n\t"
	"movq 48(%rcx), %r9\n\t"
	"movq 56(%rcx), %r10\n\t"
	"movq 72(%rcx), %r12\n\t"
	"movq 80(%rcx), %r13\n\t"
	"movq 88(%rcx), %r14\n\t"
	"movq 96(%rcx), %r15\n\t"
	"movq 104(%rcx), %rdi\n\t"
	"movq 112(%rcx), %rsi\n\t"
	"movq 120(%rcx), %rbp\n\t"
	"movq 128(%rcx), %rbx\n\t"
	"movq 136(%rcx), %rdx\n\t"
	"movq 144(%rcx), %rax\n\t"
	"movq 168(%rcx), %r11\n\t"
	"movq 160(%rcx), %rsp\n"
	"leave_jump:\n\t"
	"jmp *%r11\n\t"
	".size leave, .-leave\n");
void leave(void *context) __attribute__((visibility("hidden"), noreturn));
extern const char leave_begin[] __attribute__((visibility("hidden")));
extern const char leave_load[] __attribute__((visibility("hidden")));
extern const char leave_jump[] __attribute__((visibility("hidden")));

/* Leave() restores neither a shadow stack nor an alternate stack that disarms itself; and it lets signals in while it still
 * uses the handler's stack, which a small alternate one has no room for. */
static int can_leave(const ucontext_t *context)
{
	uint64_t shadow = 0;
	uint64_t depth = (uint64_t)__builtin_frame_address(0) - (uint64_t)context->uc_stack.ss_sp;
	if (depth < context->uc_stack.ss_size)
		return 0;
	__asm__ volatile("rdsspq %0" : "+r"(shadow)); /* a no-op where there is none */
	return shadow == 0 && !((unsigned)context->uc_stack.ss_flags & 0x80000000u /* SS_AUTODISARM */);
}

static int is_syscall(uint64_t p) { return ff_readable((void *)p, 2) && memcmp((void *)p, "\x0f\x05", 2) == 0; }

static struct ff_call registers_of(const greg_t *reg, uint64_t past)
{
	return (struct ff_call){ .number = -1,
				 .arg = { (uint64_t)reg[REG_RDI], (uint64_t)reg[REG_RSI], (uint64_t)reg[REG_RDX],
					  (uint64_t)reg[REG_R10], (uint64_t)reg[REG_R8], (uint64_t)reg[REG_R9] },
				 .sp = (uint64_t)reg[REG_RSP],
				 .pc = past };
}

static void interrupted_leave(ucontext_t *context)
{
	greg_t *reg = context->uc_mcontext.gregs;
	const char *at = (const char *)reg[REG_RIP];
	if (at < leave_begin || at > leave_jump)
		return;
	if (at < leave_load)
		leave((void *)reg[REG_RBX]);
	if (at < leave_jump)
		leave((void *)reg[REG_RCX]);
	reg[REG_RIP] = reg[REG_R11];
	leave(context);
}

/* The call at rip - 2 has ended with EINTR. */
static void ended(ucontext_t *context, const struct ff_call *seen, struct ff_call *repaired)
{
	greg_t *reg = context->uc_mcontext.gregs;
	struct ff_call now = registers_of(reg, (uint64_t)reg[REG_RIP]);
	now.number = ff_call_number(&now, seen, repaired);
	enum way way = way_of(now.number, now.arg[1]);
	if (way == LEAVE_ALONE || (way == BEGIN_ANEW && application_interrupts(mask_of(context), 0)))
		return;
	/* Not seen in the call when we were sent: either it went back into it just then, or a handler of the application's
	 * has just returned to it, and the EINTR is its own. The call must not go on waiting for what has happened. */
	now.for_signals = is_for_signals(&now);
	if (now.for_signals && !ff_call_fits(seen, &now) && ff_now_ns() - repaired->left_ns > BACK_NS_MAX)
		return;
	now.ends = 1;
	now.left_ns = ff_now_ns();
	*repaired = now;
	reg[REG_RIP] -= 2;
	if (way == CONTINUE && can_leave(context)) {
		/* A signal of the application's that is delivered on the way voids the restart block: EINTR, as due. */
		reg[REG_RAX] = SYS_restart_syscall;
		leave(context);
	}
	reg[REG_RAX] = now.number;
}

/* A call is about to be repeated, by the kernel or by us, when the application's signal may want it to end. */
static void repeats(ucontext_t *context, const struct ff_call *seen, struct ff_call *repaired)
{
	greg_t *reg = context->uc_mcontext.gregs;
	struct ff_call now = registers_of(reg, (uint64_t)reg[REG_RIP] + 2);
	now.number = reg[REG_RAX];
	int noted = repaired->number == now.number && ff_call_fits(repaired, &now);
	if (!noted && !(seen->number == now.number && ff_call_fits(seen, &now)))
		return; /* it has not begun yet */
	if (way_of(now.number, now.arg[1]) == LEAVE_ALONE)
		return;
	if (!noted)
		*repaired = now;
	repaired->left_ns = ff_now_ns();
	if (application_interrupts(mask_of(context), !repaired->ends)) {
		reg[REG_RIP] += 2;
		reg[REG_RAX] = -EINTR;
	}
}

void ff_repair(void *ucontext, const struct ff_call *seen, struct ff_call *repaired)
{
	ucontext_t *context = ucontext;
	greg_t *reg = context->uc_mcontext.gregs;
	interrupted_leave(context);
	if (reg[REG_RAX] == -EINTR && is_syscall((uint64_t)reg[REG_RIP] - 2)) {
		ended(context, seen, repaired);
	} else if (reg[REG_RAX] >= 0 && reg[REG_RAX] < 1024 && is_syscall((uint64_t)reg[REG_RIP])) {
		if (reg[REG_RAX] == SYS_restart_syscall && can_leave(context))
			leave(context); /* on the way to restart_syscall: rt_sigreturn would void it */
		repeats(context, seen, repaired);
	}
}

#elif defined(__aarch64__)

/*
 * Here x8 still has the call's number. All calls begin anew: a return that keeps the restart block would have to
 * destroy a register that the application may be using. So their timeouts begin anew, too.
 */
void ff_repair(void *ucontext, const struct ff_call *call, struct ff_call *repaired)
{
	ucontext_t *context = ucontext;
	mcontext_t *m = &context->uc_mcontext;
	(void)repaired;
	if ((int64_t)m->regs[0] != -EINTR || *(uint32_t *)(m->pc - 4) != 0xd4000001u /* svc #0 */)
		return;
	/* x0 held the first argument; the record has it. */
	if (call->number != (int64_t)m->regs[8] || call->pc != m->pc || call->sp != m->sp)
		return;
	if (way_of((int64_t)m->regs[8], m->regs[1]) == LEAVE_ALONE || application_interrupts(mask_of(context), 0))
		return;
	m->regs[0] = call->arg[0];
	m->pc -= 4;
}

#endif
