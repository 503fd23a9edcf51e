/* Which way pages get another mapping, and from one to the other where the first cannot be gone. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ffl/memory/uffd/uffd.h"
#include "ffl/memory/way.h"
#include "ffl/memory/world/tracer.h"
#include "ffl/memory/world/world.h"

enum {
	CHUNK_QUIET = 64 << 20, /* for one helper, which does it part by part */
	CHUNK = 4 << 20,       /* bytes at a stop: about a millisecond */
	CHUNK_MAX = 32 << 20,  /* on a busy machine, where threads are slow to come */
};

static int quiet;
static uint64_t chunk = CHUNK; /* what the last stop showed to be sensible */
static char reason[256];

/*
 * Valgrind runs one thread at a time: who waits for a page would keep the helper from bringing it. The question that its
 * manual defines: instructions that do nothing, but tell it to answer ("client request" RUNNING_ON_VALGRIND).
 */
static int under_valgrind(void)
{
	volatile uint64_t request[6] = { 0x1001 };
#if defined(__x86_64__)
	uint64_t answer = 0;
	__asm__ volatile("rolq $3, %%rdi; rolq $13, %%rdi; rolq $61, %%rdi; rolq $51, %%rdi; xchgq %%rbx, %%rbx"
			 : "=d"(answer)
			 : "a"(&request[0]), "0"(answer)
			 : "cc", "memory");
	return answer != 0;
#elif defined(__aarch64__)
	register uint64_t answer __asm__("x3") = 0;
	register volatile uint64_t *question __asm__("x4") = request;
	__asm__ volatile("ror x12, x12, #3; ror x12, x12, #13; ror x12, x12, #51; ror x12, x12, #61; orr x10, x10, x10"
			 : "+r"(answer)
			 : "r"(question)
			 : "cc", "memory", "x12");
	return answer != 0;
#endif
}

void ff_way_choose(int device)
{
	const char *wish = getenv("FREEFLOW_USERFAULTFD");
	int valgrind = under_valgrind();
	quiet = ff_uffd_init((wish && strcmp(wish, "off") == 0) || valgrind ? -1 : device);
	if (valgrind) /* it cannot make a process in its memory either */
		ff_tracer_forbid(1);
}

int ff_way_is_quiet(void) { return quiet && ff_uffd_is_there(); }

const char *ff_way_reason(void) { return reason; }

uint64_t ff_way_chunk(void) { return ff_way_is_quiet() ? CHUNK_QUIET : chunk; }

static int stop(void)
{
	int result = ff_world_stop(0);
	if (result != 0)
		snprintf(reason, sizeof reason, "%s", ff_world_reason());
	return result;
}

/* When it takes longer to stop the threads than to copy, fewer stops are better for them, too. */
static void learn(void)
{
	if (!ff_world_gathered_longer())
		chunk = CHUNK;
	else if (chunk < CHUNK_MAX)
		chunk *= 2;
}

int ff_way_begin(void) { return ff_way_is_quiet() ? 0 : stop(); }

void ff_way_end(void)
{
	if (ff_world_is_stopped()) {
		ff_world_resume();
		learn();
	}
}

static int swap_stopped(const struct ff_swap *swap)
{
	int result = ff_world_swap(swap);
	if (result != 0)
		snprintf(reason, sizeof reason, "%s", strerror(result));
	return result;
}

int ff_way_swap(const struct ff_swap *swap)
{
	if (ff_world_is_stopped())
		return swap_stopped(swap);
	static struct ff_swap rest; /* guarded by the world's lock; not on the stack, which may be what is swapped */
	rest = *swap;
	int result = ff_uffd_swap(&rest);
	if (result == 0)
		return 0;
	snprintf(reason, sizeof reason, "%s", ff_uffd_reason());
	if (result != EOPNOTSUPP && result != EDEADLK) /* a signal wakes whoever sleeps on a futex, and it sleeps anew */
		return result;
	if (rest.kind == FF_SWAP_SHARE && !(rest.prot & PROT_WRITE))
		return swap_stopped(&rest); /* nobody is there to be stopped: nobody can store there */
	result = stop();
	return result ? result : swap_stopped(&rest);
}
