/* PROCMAP_QUERY of Linux 6.11 and later, on a descriptor of /proc/PID/maps: old kernel headers lack it. */
#ifndef FFCORE_PROCMAP_H
#define FFCORE_PROCMAP_H

#include <assert.h>
#include <stdint.h>
#include <sys/ioctl.h>

enum { FF_REGION_READ = 1, FF_REGION_WRITE = 2, FF_REGION_EXEC = 4, FF_REGION_SHARED = 8 };

/* The flags' first four are FF_REGION_*. */
struct ff_procmap {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t start, end;
	uint64_t flags;
	uint64_t page_size;
	uint64_t offset;
	uint64_t inode;
	uint32_t major, minor;
	uint32_t name_size;
	uint32_t build_id_size;
	uint64_t name_addr;
	uint64_t build_id_addr;
};
static_assert(sizeof(struct ff_procmap) == 104, "as the kernel has it");

#define FF_PROCMAP_QUERY _IOWR('f', 17, struct ff_procmap)
enum { FF_PROCMAP_COVERING_OR_NEXT = 0x10, FF_PROCMAP_FILE_BACKED = 0x20 };

#endif
