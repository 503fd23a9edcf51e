/*
 * Functions of the C library, answered by us in objects that call them. The slots of their global offset tables are pointed at
 * ours, so it does not matter how we came in: by LD_PRELOAD, by LD_LIBRARY_PATH, or with a plug-in that a program of its own
 * has loaded, where symbols of the C library come first in the order in which they are looked up.
 */
#ifndef FFL_INTERPOSE_H
#define FFL_INTERPOSE_H

/*
 * In every object whose SONAME begins with `object` (NULL: in all but ourselves, the C library and the loader), calls of
 * `function` are calls of `ours` from now on, also in objects that are loaded later (see ff_interpose_look). *theirs, if there
 * is such a pointer: the first function that a slot had before. 0, or -1: the table is full.
 */
int ff_interpose(const char *object, const char *function, void *ours, void **theirs);

/* Looks at what has been loaded since the last time; cheap when nothing was. */
void ff_interpose_look(void);

#endif
