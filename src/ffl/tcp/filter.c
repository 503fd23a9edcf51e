/*
 * Programs that forbid themselves system calls (seccomp) as they know their own: socket, connect, accept. What changes a
 * connection over are others, and a program may die of one. So before such a filter stands, the broker is told that
 * this process will claim nothing any more, and from then on each call does what libc's does, and no more.
 *
 * A filter that was there when the program started (a container run-time's, a service manager's) allows what ordinary
 * programs do, and is not looked at.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ffl/tcp/sock.h"

#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>

#define FFS_EXPORT __attribute__((visibility("default")))

/* io_uring_register(2), linux/io_uring.h; the kernel's IORING_MAX_FIXED_FILES is a million. */
enum { REGISTER_FILES = 2, REGISTER_FILES_UPDATE = 6, MOST_FILES = 1 << 20 };

static atomic_int alone;

int ffs_alone(void) { return atomic_load_explicit(&alone, memory_order_relaxed); /* set by who calls next */ }

static void ffs_filter_comes(void)
{
	int saved = errno;

	if (!atomic_load(&alone)) {
		ffs_leave_listeners();
		atomic_store(&alone, 1);
	}
	errno = saved;
}

FFS_EXPORT int prctl(int option, ...)
{
	va_list rest;
	unsigned long words[4];

	va_start(rest, option);
	for (int i = 0; i < 4; i++)
		words[i] = va_arg(rest, unsigned long);
	va_end(rest);
	if (option == PR_SET_SECCOMP)
		ffs_filter_comes();
	return syscall(SYS_prctl, option, words[0], words[1], words[2], words[3]);
}

/*
 * Files that are given to an io_uring: it holds the socket as a second descriptor would, so neither can change over alone.
 * (liburing makes its calls itself. Programs that use it are not seen here.)
 */
static void ffs_files_registered(const int *files, unsigned long count)
{
	struct ffs_entry *entry;

	for (unsigned long i = 0; i < count && i < MOST_FILES; i++)
		if ((entry = ffs_entry_at(files[i])) && entry->kind == FFS_STREAM)
			entry->flags |= FFS_SHARED;
}

static __attribute__((used)) void ffs_call_comes(long number, long first, long operation, void *argument, unsigned long count)
{
	if (number == SYS_seccomp)
		ffs_filter_comes();
	else if (operation == REGISTER_FILES && argument)
		ffs_files_registered(argument, count);
	else if (operation == REGISTER_FILES_UPDATE && argument)
		ffs_files_registered(*(const int **)((char *)argument + 8), count); /* struct io_uring_files_update */
}

/*
 * libc's syscall, which seccomp(2) is called by. In the processor's own words, because it may be what vfork or clone is
 * called by: nothing of it lies on the stack while the kernel is at it.
 */
__attribute__((used)) static long ffs_failed(long error)
{
	errno = -error;
	return -1;
}

#if defined(__x86_64__)
__asm__(".pushsection .text.syscall,\"ax\",@progbits\n"
	".globl syscall\n.type syscall,@function\nsyscall:\n"
	"	cmpq $317, %rdi\n" /* SYS_seccomp */
	"	je 2f\n"
	"	cmpq $427, %rdi\n" /* SYS_io_uring_register */
	"	je 2f\n"
	"1:	movq %rdi, %rax\n"
	"	movq %rsi, %rdi\n"
	"	movq %rdx, %rsi\n"
	"	movq %rcx, %rdx\n"
	"	movq %r8, %r10\n"
	"	movq %r9, %r8\n"
	"	movq 8(%rsp), %r9\n"
	"	syscall\n"
	"	cmpq $-4095, %rax\n"
	"	jae 3f\n"
	"	ret\n"
	"2:	pushq %rdi; pushq %rsi; pushq %rdx; pushq %rcx; pushq %r8; pushq %r9; subq $8, %rsp\n"
	"	call ffs_call_comes\n" /* its arguments are where a function's are */
	"	addq $8, %rsp; popq %r9; popq %r8; popq %rcx; popq %rdx; popq %rsi; popq %rdi\n"
	"	jmp 1b\n"
	"3:	movq %rax, %rdi\n"
	"	jmp ffs_failed\n"
	".size syscall,.-syscall\n.popsection\n");
_Static_assert(SYS_seccomp == 317 && SYS_io_uring_register == 427, "the numbers above");
#elif defined(__aarch64__)
__asm__(".pushsection .text.syscall,\"ax\",%progbits\n"
	".globl syscall\n.type syscall,%function\nsyscall:\n"
	"	cmp x0, #277\n" /* SYS_seccomp */
	"	b.eq 2f\n"
	"	cmp x0, #427\n" /* SYS_io_uring_register */
	"	b.eq 2f\n"
	"1:	mov x8, x0\n"
	"	mov x0, x1\n"
	"	mov x1, x2\n"
	"	mov x2, x3\n"
	"	mov x3, x4\n"
	"	mov x4, x5\n"
	"	mov x5, x6\n"
	"	svc #0\n"
	"	cmn x0, #4095\n"
	"	b.cs ffs_failed\n"
	"	ret\n"
	"2:	stp x29, x30, [sp, #-80]!\n"
	"	stp x0, x1, [sp, #16]\n"
	"	stp x2, x3, [sp, #32]\n"
	"	stp x4, x5, [sp, #48]\n"
	"	str x6, [sp, #64]\n"
	"	bl ffs_call_comes\n"
	"	ldr x6, [sp, #64]\n"
	"	ldp x4, x5, [sp, #48]\n"
	"	ldp x2, x3, [sp, #32]\n"
	"	ldp x0, x1, [sp, #16]\n"
	"	ldp x29, x30, [sp], #80\n"
	"	b 1b\n"
	".size syscall,.-syscall\n.popsection\n");
_Static_assert(SYS_seccomp == 277 && SYS_io_uring_register == 427, "the numbers above");
#endif
