/*
 * The other name by which programs look for this library. NCCL, RCCL and brpc dlopen("libibverbs.so"), which the dynamic
 * linker takes for another library than libibverbs.so.1 until it has once found that the files are the same: then it
 * remembers the name. A link of that name stands beside this library (freeflow/launch.py), and DT_RPATH is what makes the
 * linker look there before everywhere else when this library asks; so it asks, once, when it is loaded.
 */
#include <dlfcn.h>
#include <stddef.h>

/* In libc from 2.34 on; before, in a library that programs without dlopen do not have, and do not need. */
extern void *dlopen(const char *name, int flags) __attribute__((weak));
__asm__(".symver dlopen, dlopen@" FF_GLIBC_BASE);

__attribute__((constructor)) static void remember_the_other_name(void)
{
	if (!dlopen || !ff_is_glibc())
		return;
	/* Who calls is where to look, so this must not become a jump. -z nodelete: one reference more changes nothing. */
	void *volatile found = dlopen("libibverbs.so", RTLD_LAZY | RTLD_NOLOAD);
	(void)found;
}
