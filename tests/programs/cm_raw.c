/* librdmacm's system calls, for tests that write commands of their own: its SONAME begins as librdmacm's does, so the library
 * answers what it calls. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int raw_open(int flags) { return open("/dev/infiniband/rdma_cm", O_RDWR | flags); }
int raw_is_device(int fd)
{
	struct stat found;

	return fstat(fd, &found) == 0 && S_ISCHR(found.st_mode);
}
long raw_write(int fd, const void *data, unsigned long size) { return write(fd, data, size); }
