#include "ffl/files/place.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <fcntl.h>

/* What stands in the tree, and under which name (freeflow/device_files.py: write_apart). */
static const struct {
	const char *name, *in_tree;
} places[] = {
	{"/sys/class/infiniband", "/class/infiniband"},
	{"/sys/class/infiniband_verbs", "/class/infiniband_verbs"},
	{"/dev/infiniband", "/dev"},
};

static const char *tree; /* FREEFLOW_FILES; NULL: nothing is changed */

/* hwloc names everything relative to a descriptor of /. */
static int is_root(int at)
{
	struct stat root, found;

	return !syscall(SYS_newfstatat, AT_FDCWD, "/", &root, 0) && !syscall(SYS_fstat, at, &found) &&
	       root.st_ino == found.st_ino && root.st_dev == found.st_dev;
}

const char *ffp_place(int at, const char *name, char room[PATH_MAX])
{
	if (!tree || !name || (name[0] != '/' && name[0] != 's' && name[0] != 'd'))
		return name;
	for (unsigned i = 0; i < sizeof(places) / sizeof(*places); i++) {
		const char *ours = name[0] == '/' ? places[i].name : places[i].name + 1;
		size_t length = strlen(ours);

		if (strncmp(name, ours, length) || (name[length] && name[length] != '/'))
			continue;
		if (name[0] != '/' && (at == AT_FDCWD || !is_root(at)))
			return name;
		if (snprintf(room, PATH_MAX, "%s%s%s", tree, places[i].in_tree, name + length) < PATH_MAX)
			return room;
	}
	return name;
}

/* In libc from 2.34 on; only musl's is asked for. */
extern void *dlsym(void *restrict handle, const char *restrict name) __attribute__((weak));
__asm__(".symver dlsym, dlsym@" FF_GLIBC_BASE);

void *ffp_musl(const char *function)
{
	void *volatile found = dlsym(RTLD_NEXT, function); /* who calls is after whom to look, so this must not become a jump */

	return found;
}

__attribute__((constructor)) static void start(void)
{
	const char *said = getenv("FREEFLOW_FILES");

	tree = said && said[0] == '/' ? strdup(said) : NULL; /* programs may write into their environment */
}
