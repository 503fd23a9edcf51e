/* A program's pointers may lead nowhere. The kernel finds that out without a fault: it is asked to copy. */
#define _GNU_SOURCE
#include "ffl/cm/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int by_vm(long call, void *mine, void *theirs, size_t size)
{
	struct iovec local = {.iov_base = mine, .iov_len = size}, remote = {.iov_base = theirs, .iov_len = size};
	ssize_t done = syscall(call, getpid(), &local, 1, &remote, 1, 0);

	return done == (ssize_t)size ? 0 : done >= 0 ? EFAULT : errno;
}

/* Where the call is forbidden (seccomp): through a pipe, which holds a page. */
static int by_pipe(void *to, const void *from, size_t size)
{
	int ends[2], error = 0;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return errno;
	if (write(ends[1], from, size) != (ssize_t)size || read(ends[0], to, size) != (ssize_t)size)
		error = EFAULT;
	close(ends[0]);
	close(ends[1]);
	return error;
}

static int copy(long call, void *mine, void *theirs, void *to, const void *from, size_t size)
{
	int before = errno, error = size ? by_vm(call, mine, theirs, size) : 0;

	if (error && error != EFAULT)
		error = by_pipe(to, from, size);
	errno = before;
	return error;
}

int ff_cm_copy_in(void *to, const void *from, size_t size)
{
	return copy(SYS_process_vm_readv, to, (void *)from, to, from, size);
}

int ff_cm_copy_out(void *to, const void *from, size_t size)
{
	return copy(SYS_process_vm_writev, (void *)from, to, to, from, size);
}
