/* The threads of a process, from /proc/PID/task, by raw calls alone: no libc, no memory but the caller's. */
#ifndef FFL_TASKS_H
#define FFL_TASKS_H

#include <fcntl.h>
#include <stdint.h>

#include "ffl/rawcall.h"

enum {
	FF_TASKS_PATH = 64,
	FF_TASKS_LISTING = 32 << 10,
	FF_TASKS_WORKER = 0x10 | 0x4000, /* PF_IO_WORKER, PF_USER_WORKER: io_uring's own threads */
};

struct ff_task_entry { /* what getdents64 writes */
	uint64_t inode;
	int64_t next;
	uint16_t size;
	uint8_t type;
	char name[];
};

static inline char *ff_tasks_append(char *at, const char *text)
{
	while (*text)
		*at++ = *text++;
	*at = 0;
	return at;
}

static inline char *ff_tasks_append_number(char *at, uint32_t value)
{
	char digits[12];
	int n = 0;
	do
		digits[n++] = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	while (n > 0)
		*at++ = digits[--n];
	*at = 0;
	return at;
}

/* "0x1f " or "202 "; the position after it. */
static inline const char *ff_tasks_field(const char *p, uint64_t *value)
{
	int hex = p[0] == '0' && p[1] == 'x';
	uint64_t v = 0;
	for (p += hex ? 2 : 0; *p > ' '; p++)
		v = hex ? v << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10) : v * 10 + (uint64_t)(*p - '0');
	*value = v;
	return *p == ' ' ? p + 1 : p;
}

/* A descriptor of /proc/PID/task, or a negated errno. */
static inline long ff_tasks_open(uint32_t pid)
{
	char path[FF_TASKS_PATH];
	ff_tasks_append(ff_tasks_append_number(ff_tasks_append(path, "/proc/"), pid), "/task");
	return ff_raw4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

/* The next thread's tid; 0 at the end. *at and *got begin as 0; listing: FF_TASKS_LISTING bytes. */
static inline uint32_t ff_tasks_next(long fd, char *listing, long *at, long *got)
{
	for (;;) {
		if (*at >= *got) {
			*got = ff_raw3(SYS_getdents64, fd, listing, FF_TASKS_LISTING);
			*at = 0;
			if (*got <= 0)
				return 0;
		}
		const struct ff_task_entry *entry = (const struct ff_task_entry *)(listing + *at);
		uint64_t tid;
		*at += entry->size;
		ff_tasks_field(entry->name, &tid);
		if (entry->name[0] >= '1' && entry->name[0] <= '9')
			return (uint32_t)tid;
	}
}

/* A file of a thread's, NUL-terminated. Bytes read, or a negated errno. */
static inline long ff_tasks_read(uint32_t pid, uint32_t tid, const char *leaf, char *text, long size)
{
	char path[FF_TASKS_PATH];
	char *at = ff_tasks_append(ff_tasks_append_number(ff_tasks_append(path, "/proc/"), pid), "/task/");
	ff_tasks_append(ff_tasks_append(ff_tasks_append_number(at, tid), "/"), leaf);
	long fd = ff_raw4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	long got = ff_raw3(SYS_read, fd, text, size - 1);
	ff_raw1(SYS_close, fd);
	text[got > 0 ? got : 0] = 0;
	return got;
}

/* R S D … as in stat, or 0: no such thread. *flags: the kernel's PF_*. */
static inline char ff_tasks_state(uint32_t pid, uint32_t tid, uint64_t *flags)
{
	char text[256];
	const char *p = text;
	long got = ff_tasks_read(pid, tid, "stat", text, sizeof text);
	uint64_t ignored;
	char state;
	*flags = 0;
	for (long i = 0; i + 1 < got; i++) /* a name may hold anything, brackets too; numbers follow it */
		if (text[i] == ')' && text[i + 1] == ' ')
			p = text + i + 2;
	if (got <= 0 || p == text)
		return 0;
	state = *p;
	p += 2;
	for (int i = 0; i < 5; i++) /* ppid pgrp session tty tpgid, which may be -1: its digits mean nothing here */
		p = ff_tasks_field(p, &ignored);
	ff_tasks_field(p, flags);
	return state;
}

#endif
