/* Stopping the other threads by a tracer: see tracer.c. With the world's lock held. */
#ifndef FFL_TRACER_H
#define FFL_TRACER_H

#include <stdint.h>

/* 0; EAGAIN, and reason says which thread did not stop; or another errno: it cannot be done here. */
int ff_tracer_stop(char *reason, uint32_t size);
void ff_tracer_resume(void);
int ff_tracer_is_stopped(void);
/* See ff_world_fork_window(). */
void ff_tracer_fork_window(void);
void ff_tracer_child(void);
void ff_tracer_forbid(int forbid); /* for tests: as where the host forbids it */

#endif
