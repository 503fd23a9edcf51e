/*
 * libffiles: the device's files (/sys/class/infiniband and its kin) for programs in whose file system nobody may mount
 * them. The calls by which programs name a file are taken, and a name of the device's leads to a tree of plain files
 * instead. All others go on as they are.
 *
 * Straight to the kernel or to another name of glibc's own: looking the next definition up needs dlsym, which glibc before
 * 2.34 keeps in another file. musl has dlsym in its one file, and not the other names.
 */
#ifndef FFL_FILES_PLACE_H
#define FFL_FILES_PLACE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <limits.h>

/*
 * Where a name leads: itself, or a place in the tree, then written into room. at: the directory that a relative name is
 * relative to, AT_FDCWD for none.
 */
const char *ffp_place(int at, const char *name, char room[PATH_MAX]);

/* musl's own function of this name. */
void *ffp_musl(const char *function);

#endif
