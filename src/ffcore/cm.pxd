"""Cython's view of cm.h."""

from libc.stdint cimport uint32_t, uint64_t


cdef extern from "ffcore/cm.h" nogil:
    enum:
        FF_CM_MAGIC

    ctypedef struct ff_cm_name "struct ff_cm_name":
        uint32_t magic, channel
        uint64_t *secret

    int ff_cm_name_put(int fd, const ff_cm_name *name)
    int ff_cm_name_get(int fd, ff_cm_name *name)
