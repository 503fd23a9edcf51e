/* What the files of this room share among themselves. */
#ifndef FFL_MEMORY_TYPES_H
#define FFL_MEMORY_TYPES_H

#include <stdint.h>

#include "ffcore/procmap.h"

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

#endif
