/* What memory*.pyx share among themselves, and the one ioctl that old kernel headers lack. */
#ifndef FFL_MEMORY_TYPES_H
#define FFL_MEMORY_TYPES_H

#include <assert.h>
#include <stdint.h>
#include <sys/ioctl.h>

enum { FF_REGION_READ = 1, FF_REGION_WRITE = 2, FF_REGION_EXEC = 4, FF_REGION_SHARED = 8 };

/* A mapping, as /proc/self/maps has it. */
struct ff_region {
	uint64_t start, end;
	uint64_t offset; /* into its file */
	uint64_t inode;	 /* 0: anonymous */
	uint32_t major, minor;
	uint32_t flags;	    /* FF_REGION_* */
	uint32_t page_size; /* bytes; 0: not known */
	char name[128];	    /* cut off when longer */
};

/* The session's memory segment. */
struct ff_segment {
	int fd;
	uint64_t size;
	uint64_t inode; /* tells it from whatever else the application may put under its descriptor or addresses */
	uint32_t major, minor;
};

/* PROCMAP_QUERY of Linux 6.11 and later, on a descriptor of /proc/self/maps. The flags' first four are FF_REGION_*. */
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
