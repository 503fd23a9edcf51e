/*
 * SIGBUS and SIGSEGV as return values. A container may punch holes into its own memory at any moment; the router's mappings are
 * registered with userfaultfd's SIGBUS feature, so touching a hole raises SIGBUS in the thread that touches it. SIGSEGV is
 * what writing to a mapping that only reads would raise: keys forbid it, and this is the wall behind them.
 */
#include "ffr/mem/guard.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

static __thread void *landing[5]; /* what __builtin_setjmp keeps; saving no signal mask makes it a few ns */
static __thread volatile int armed;

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	if (armed) {
		armed = 0;
		__builtin_longjmp(landing, 1); /* SA_NODEFER: nothing to unblock */
	}
	signal(signal_number, SIG_DFL); /* a fault of the router's own: die by it */
}

int ffr_guard_install(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = on_fault;
	action.sa_flags = SA_SIGINFO | SA_NODEFER;
	return sigaction(SIGBUS, &action, NULL) || sigaction(SIGSEGV, &action, NULL) ? errno : 0;
}

__attribute__((noinline)) int ffr_guarded_call(int (*body)(void *), void *context)
{
	int result;

	if (__builtin_setjmp(landing)) /* body keeps no state that a jump could leave half-made */
		return FFR_FAULT;
	armed = 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	result = body(context);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	armed = 0;
	return result;
}
