"""Logging, implemented in log.c (variable arguments)."""

cdef extern from "ffl/session/log.h" nogil:
    enum:
        FF_LOG_ERROR
        FF_LOG_WARN
        FF_LOG_INFO
        FF_LOG_DEBUG
    # printf's format, without a newline; errno stays as it was.
    void ff_log(int level, const char *format, ...)
