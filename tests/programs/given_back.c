/*
 * Memory that is given back while an MR of it lives on, as a registration cache has it, is zero when it is used again: by
 * madvise, and by a heap's calloc. Argument: a library to load for verbs, or none, for this program's own. Environment
 * GIVE_BACK=calloc: 40 blocks through the heap that is preloaded.
 */
#include <dlfcn.h>
#include <infiniband/verbs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { BLOCKS = 40, BLOCK = 1000000 };

static struct ibv_mr *(*reg_mr)(struct ibv_pd *, void *, size_t, int);
static struct ibv_pd *pd;

static void *must(const char *what, void *p)
{
	if (!p) {
		printf("%s failed\n", what);
		exit(1);
	}
	return p;
}

/* Through dlsym: this program has no DT_NEEDED of libibverbs. */
static void open_device(const char *library)
{
	void *verbs = must("dlopen", dlopen(library, RTLD_NOW | RTLD_LOCAL));
	struct ibv_device **(*list)(int *) = dlsym(verbs, "ibv_get_device_list");
	struct ibv_context *(*open)(struct ibv_device *) = dlsym(verbs, "ibv_open_device");
	struct ibv_pd *(*alloc)(struct ibv_context *) = dlsym(verbs, "ibv_alloc_pd");
	reg_mr = dlsym(verbs, "ibv_reg_mr");
	struct ibv_device **devices = must("ibv_get_device_list", list(NULL));
	pd = must("ibv_alloc_pd", alloc(must("ibv_open_device", open(must("a device", devices[0])))));
}

static void keep_registered(void *p, size_t length)
{
	must("ibv_reg_mr", reg_mr(pd, p, length, IBV_ACCESS_LOCAL_WRITE));
}

static long dirty(const unsigned char *p, size_t length)
{
	long bytes = 0;
	for (size_t i = 0; i < length; i++)
		bytes += p[i] != 0;
	return bytes;
}

static long by_madvise(void)
{
	unsigned char *p = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(p, 0xaa, BLOCK);
	keep_registered(p, BLOCK);
	must("madvise", madvise(p, BLOCK, MADV_DONTNEED) == 0 ? p : NULL);
	return dirty(p, BLOCK);
}

static long by_calloc(void)
{
	void *volatile block[BLOCKS];
	long bytes = 0;
	for (int i = 0; i < BLOCKS; i++) {
		memset(block[i] = must("malloc", malloc(BLOCK)), 0xaa, BLOCK);
		keep_registered(block[i], BLOCK);
	}
	for (int i = 0; i < BLOCKS; i++)
		free(block[i]);
	for (int i = 0; i < BLOCKS; i++)
		bytes += dirty(must("calloc", calloc(1, BLOCK)), BLOCK);
	return bytes;
}

int main(int argc, char **argv)
{
	open_device(argc > 1 ? argv[1] : "libibverbs.so.1");
	long bytes = getenv("GIVE_BACK") ? by_calloc() : by_madvise();
	printf("%ld bytes are not zero\n", bytes);
	return bytes != 0;
}
