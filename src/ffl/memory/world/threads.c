/* Which threads there are, and what each was doing. Everything comes from /proc/self/task, by raw calls: no malloc. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "ffl/memory/tasks.h"
#include "ffl/rawcall.h"
#include "ffl/memory/world/world.h"

enum {
	TABLE = 1 << 15, /* a hash table with linear probing, emptied when it is half full */
	LISTING = 32768
};

static struct ff_thread *table;
static uint32_t used;
static char listing[LISTING]; /* of the stopper alone: guarded by the world's lock */

int ff_threads_init(void)
{
	if (table)
		return 0;
	void *memory = mmap(NULL, TABLE * sizeof *table, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return errno;
	table = memory;
	return 0;
}

/* Only with the world running and the lock held: a handler that comes late finds nothing, and does nothing. */
void ff_threads_clear(void)
{
	if (table)
		madvise(table, TABLE * sizeof *table, MADV_DONTNEED);
	used = 0;
}

struct ff_thread *ff_threads_find(uint32_t tid)
{
	if (!table)
		return NULL;
	for (uint32_t at = tid & (TABLE - 1);; at = (at + 1) & (TABLE - 1)) {
		uint32_t there = ff_load32(&table[at].tid); /* relaxed: our own entry was stored before our signal */
		if (there == tid)
			return &table[at];
		if (there == 0)
			return NULL;
	}
}

struct ff_thread *ff_threads_add(uint32_t tid)
{
	struct ff_thread *thread = ff_threads_find(tid);
	if (thread)
		return thread;
	if (used >= TABLE / 2)
		return NULL;
	used++;
	uint32_t at = tid & (TABLE - 1);
	while (ff_load32(&table[at].tid) != 0) /* relaxed: only the stopper stores tids */
		at = (at + 1) & (TABLE - 1);
	ff_store32(&table[at].tid, tid);
	return &table[at];
}

/* The directory's link count is 2 and one for each thread. */
int ff_threads_alone(void)
{
	struct stat st;
#if defined(SYS_newfstatat)
	long result = ff_raw4(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &st, 0);
#else
	long result = ff_raw4(SYS_fstatat, AT_FDCWD, "/proc/self/task", &st, 0);
#endif
	return result == 0 && st.st_nlink == 3;
}

struct entry { /* what getdents64 writes */
	uint64_t inode;
	int64_t next;
	uint16_t size;
	uint8_t type;
	char name[];
};

static uint32_t number_of(const char *name)
{
	uint32_t value = 0;
	for (; *name >= '0' && *name <= '9'; name++)
		value = value * 10 + (uint32_t)(*name - '0');
	return *name == 0 ? value : 0;
}

int ff_threads_each(int (*visit)(uint32_t tid, void *context), void *context)
{
	uint32_t self = (uint32_t)ff_raw1(SYS_gettid, 0);
	long fd = ff_raw4(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return (int)fd;
	long got;
	while ((got = ff_raw3(SYS_getdents64, fd, listing, LISTING)) > 0) {
		for (long at = 0; at < got; at += ((struct entry *)(listing + at))->size) {
			uint32_t tid = number_of(((struct entry *)(listing + at))->name);
			if (tid == 0 || tid == self) /* "." and ".." are no numbers */
				continue;
			int result = visit(tid, context);
			if (result < 0) {
				ff_raw1(SYS_close, fd);
				return result;
			}
		}
	}
	ff_raw1(SYS_close, fd);
	return (int)got;
}

/* /proc/self/task/TID/LEAF, NUL-terminated; bytes read or a negated errno. */
static long read_leaf(uint32_t tid, const char *leaf, char *text, long size)
{
	char path[64] = "/proc/self/task/";
	char digits[12];
	int n = 0;
	size_t at = strlen(path);
	do
		digits[n++] = (char)('0' + tid % 10);
	while ((tid /= 10) != 0);
	while (n > 0)
		path[at++] = digits[--n];
	path[at++] = '/';
	while ((path[at++] = *leaf++) != 0)
		;
	long fd = ff_raw4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	long got = ff_raw3(SYS_read, fd, text, size - 1);
	ff_raw1(SYS_close, fd);
	text[got > 0 ? got : 0] = 0;
	return got;
}

/* "0x1f ", "35 " or "-1 "; the position after it, or NULL. */
static const char *field(const char *p, uint64_t *value)
{
	uint64_t v = 0;
	if (p == NULL || p[0] == 0 || p[0] == '-')
		return NULL;
	if (p[0] == '0' && p[1] == 'x') {
		for (p += 2; *p && *p != ' ' && *p != '\n'; p++)
			v = v << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
	} else {
		for (; *p >= '0' && *p <= '9'; p++)
			v = v * 10 + (uint64_t)(*p - '0');
	}
	*value = v;
	return *p == ' ' ? p + 1 : *p == '\n' || *p == 0 ? p : NULL;
}

/* "number arg0..arg5 sp pc" of a thread that sleeps in a system call; "running", or "-1 sp pc", otherwise. */
void ff_threads_record_call(struct ff_thread *thread)
{
	char text[256];
	uint64_t number;
	struct ff_call *call = &thread->call;
	call->number = -1;
	if (read_leaf(ff_load32(&thread->tid), "syscall", text, sizeof text) <= 0)
		return;
	const char *p = field(text, &number);
	for (int i = 0; i < 6; i++)
		p = field(p, &call->arg[i]);
	p = field(p, &call->sp);
	p = field(p, &call->pc);
	if (p != NULL)
		call->number = (int64_t)number;
}

char ff_threads_state(uint32_t tid)
{
	char text[128];
	if (read_leaf(tid, "stat", text, sizeof text) <= 0)
		return 0;
	char *past_name = strrchr(text, ')'); /* a name may hold anything, brackets too */
	return past_name && past_name[1] == ' ' ? past_name[2] : 0;
}

int ff_threads_blocks(uint32_t tid, int number)
{
	char text[2048];
	uint64_t mask = 0;
	if (read_leaf(tid, "status", text, sizeof text) <= 0)
		return 0;
	const char *p = strstr(text, "\nSigBlk:\t");
	for (p = p ? p + 9 : ""; *p && *p != '\n'; p++)
		mask = mask << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
	return mask >> (number - 1) & 1;
}

int ff_threads_is_worker(uint32_t tid)
{
	uint64_t flags;
	return ff_tasks_state((uint32_t)ff_raw1(SYS_getpid, 0), tid, &flags) != 0 && (flags & FF_TASKS_WORKER) != 0;
}

void ff_threads_name(uint32_t tid, char *name, uint32_t size)
{
	long got = read_leaf(tid, "comm", name, size);
	if (got > 0 && name[got - 1] == '\n')
		name[got - 1] = 0;
}
