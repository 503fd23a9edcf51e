from ffr.mem.guard cimport guarded_body

cdef extern from "ffr/mem/guard.h" nogil:
    int ffr_guard_install()
    int ffr_guarded_call(guarded_body body, void *context)


cdef int guarded(guarded_body body, void *context) noexcept nogil:
    return ffr_guarded_call(body, context)


def install():
    """Installs the process's handler of SIGBUS and SIGSEGV. Raises OSError."""
    cdef int error = ffr_guard_install()
    if error:
        raise OSError(error, "cannot install the handler of memory faults")


install()
