#ifndef FFR_GUARD_H
#define FFR_GUARD_H

#define FFR_FAULT (-1000)

int ffr_guard_install(void);

/* body(context), or FFR_FAULT when it touched memory that is not there. body must be safe to leave half-way. */
int ffr_guarded_call(int (*body)(void *), void *context);

#endif
