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
 * The call's number is no longer in the registers on x86-64. It comes from what the stopper read in /proc just before,
 * if that fits, and else from the instruction that loads it.
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
#include "ffl/world.h"

enum way { LEAVE_ALONE, BEGIN_ANEW, CONTINUE };

/* Calls that change nothing when they end with EINTR, and only those: a close() repeated closes somebody else's file. */
static enum way way_of(int64_t number, uint64_t second)
{
	switch (number) {
	case SYS_clock_nanosleep:
		return second & TIMER_ABSTIME ? BEGIN_ANEW : CONTINUE;
	case SYS_nanosleep:
	case SYS_futex:
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

/*
 * Signals of the application's that came while we waited and will be delivered when the handler returns. To the
 * application they interrupt the call. `restarting` leaves out those that ask for SA_RESTART.
 */
static int application_interrupts(uint64_t mask, int restarting)
{
	uint64_t pending = 0;
	if (ff_raw2(SYS_rt_sigpending, &pending, 8) != 0)
		return 0;
	pending &= ~mask;
	if (!restarting)
		return pending != 0;
	for (; pending; pending &= pending - 1) {
		struct {
			void *handler;
			unsigned long flags, restorer, mask;
		} action;
		int number = __builtin_ctzll(pending) + 1;
		if (ff_raw4(SYS_rt_sigaction, number, NULL, &action, 8) == 0 && !(action.flags & SA_RESTART))
			return 1;
	}
	return 0;
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

/* leave() restores neither a shadow stack nor an alternate stack that disarms itself. */
static int can_leave(const ucontext_t *context)
{
	uint64_t shadow = 0;
	__asm__ volatile("rdsspq %0" : "+r"(shadow)); /* a no-op where there is none */
	return shadow == 0 && !((unsigned)context->uc_stack.ss_flags & 0x80000000u /* SS_AUTODISARM */);
}

/* Whether n bytes before p can be read: they share a page with p, which was executed, or the kernel can read them. */
static int readable_before(uint64_t p, uint64_t n)
{
	if ((p & 4095) >= n)
		return 1;
	return ff_raw4(SYS_rt_sigprocmask, -1, p - n, NULL, 8) != -EFAULT; /* EINVAL: it was read, and means nothing */
}

static int is_syscall(uint64_t p) { return memcmp((void *)p, "\x0f\x05", 2) == 0; }

static int fits(const struct ff_call *call, const greg_t *reg, uint64_t past)
{
	return call->number >= 0 && call->pc == past && call->sp == (uint64_t)reg[REG_RSP] &&
	       call->arg[0] == (uint64_t)reg[REG_RDI] && call->arg[1] == (uint64_t)reg[REG_RSI] &&
	       call->arg[2] == (uint64_t)reg[REG_RDX] && call->arg[3] == (uint64_t)reg[REG_R10] &&
	       call->arg[4] == (uint64_t)reg[REG_R8] && call->arg[5] == (uint64_t)reg[REG_R9];
}

/* The call that ended at `past`, or -1. `mov $n, %eax` or `xor %eax, %eax` before it tells, if no REX prefix makes
 * another register of it. */
static int64_t number_of_call(const struct ff_thread *thread, const greg_t *reg, uint64_t past)
{
	const uint8_t *code = (const uint8_t *)past - 2;
	if (thread && fits(&thread->call, reg, past))
		return thread->call.number;
	if (!readable_before(past, 8))
		return -1;
	if (code[-5] == 0xb8 && (code[-6] & 0xf0) != 0x40) {
		uint32_t number;
		memcpy(&number, code - 4, 4);
		return number;
	}
	if ((code[-2] == 0x31 || code[-2] == 0x33) && code[-1] == 0xc0 && (code[-3] & 0xf0) != 0x40)
		return SYS_read;
	return -1;
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

static void ended_by_us(ucontext_t *context, const struct ff_thread *thread)
{
	greg_t *reg = context->uc_mcontext.gregs;
	uint64_t mask;
	memcpy(&mask, &context->uc_sigmask, 8);
	int64_t number = number_of_call(thread, reg, (uint64_t)reg[REG_RIP]);
	enum way way = way_of(number, (uint64_t)reg[REG_RSI]);
	if (way == LEAVE_ALONE || (way == BEGIN_ANEW && application_interrupts(mask, 0)))
		return;
	reg[REG_RIP] -= 2;
	if (way == CONTINUE && can_leave(context)) {
		/* A signal of the application's that is delivered on the way voids the restart block: EINTR, as due. */
		reg[REG_RAX] = SYS_restart_syscall;
		leave(context);
	}
	reg[REG_RAX] = number;
}

void ff_repair(void *ucontext, const struct ff_thread *thread)
{
	ucontext_t *context = ucontext;
	greg_t *reg = context->uc_mcontext.gregs;
	uint64_t at = (uint64_t)reg[REG_RIP];
	interrupted_leave(context);
	if (reg[REG_RAX] == -EINTR) {
		if (readable_before(at, 2) && is_syscall(at - 2))
			ended_by_us(context, thread);
	} else if (reg[REG_RAX] >= 0 && reg[REG_RAX] < 1024 && readable_before(at + 2, 2) && is_syscall(at)) {
		uint64_t mask;
		memcpy(&mask, &context->uc_sigmask, 8);
		if (reg[REG_RAX] == SYS_restart_syscall && can_leave(context))
			leave(context); /* on the way to restart_syscall: rt_sigreturn would void it */
		else if (thread && thread->call.number == reg[REG_RAX] && fits(&thread->call, reg, at + 2) &&
			 way_of(reg[REG_RAX], (uint64_t)reg[REG_RSI]) != LEAVE_ALONE &&
			 application_interrupts(mask, 1)) {
			/* The kernel repeats the call because of our SA_RESTART, but the application's signal says not. */
			reg[REG_RIP] += 2;
			reg[REG_RAX] = -EINTR;
		}
	}
}

#elif defined(__aarch64__)

/*
 * Here x8 still has the call's number. All calls begin anew: a return that keeps the restart block would have to
 * destroy a register that the application may be using. So their timeouts begin anew, too.
 */
void ff_repair(void *ucontext, const struct ff_thread *thread)
{
	ucontext_t *context = ucontext;
	mcontext_t *m = &context->uc_mcontext;
	uint64_t mask;
	(void)thread;
	memcpy(&mask, &context->uc_sigmask, 8);
	if ((int64_t)m->regs[0] != -EINTR || *(uint32_t *)(m->pc - 4) != 0xd4000001u /* svc #0 */)
		return;
	/* x0 held the first argument; the record has it. */
	if (thread == NULL || thread->call.number != (int64_t)m->regs[8] || thread->call.pc != m->pc ||
	    thread->call.sp != m->sp)
		return;
	if (way_of((int64_t)m->regs[8], m->regs[1]) == LEAVE_ALONE || application_interrupts(mask, 0))
		return;
	m->regs[0] = thread->call.arg[0];
	m->pc -= 4;
}

#endif
