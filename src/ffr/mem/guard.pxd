"""The guarded call: every access to registered memory goes through it."""

ctypedef int (*guarded_body)(void *) noexcept nogil

cdef extern from "ffr/mem/guard.h" nogil:
    enum:
        FFR_FAULT

cdef int guarded(guarded_body body, void *context) noexcept nogil
