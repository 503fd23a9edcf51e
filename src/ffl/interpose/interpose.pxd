"""Cython's view of interpose.h."""

cdef extern from "ffl/interpose/interpose.h" nogil:
    int ff_interpose(const char *object, const char *function, void *ours, void **theirs)
    void ff_interpose_look()
