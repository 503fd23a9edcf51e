/* What stands for /dev/infiniband/rdma_cm in this process. */
#ifndef FFL_CM_CM_H
#define FFL_CM_CM_H

#include <stddef.h>
#include <sys/types.h>

/* Bytes from and to wherever a program says: 0, or EFAULT. At most a page. */
int ff_cm_copy_in(void *to, const void *from, size_t size);
int ff_cm_copy_out(void *to, const void *from, size_t size);

/* A new event channel with open's flags: a descriptor, or -1 and errno. (descriptor.pyx) */
int ff_cm_open(int flags);
/* As write: -1 and errno, or size. 0 in *ours: the descriptor is none of these. (descriptor.pyx) */
ssize_t ff_cm_write(int fd, const void *data, size_t size, int *ours);

#endif
