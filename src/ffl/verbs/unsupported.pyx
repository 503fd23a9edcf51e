"""How verbs are answered that FreeFlow does not have: one function per way of returning an error. See abi.def."""

from libc cimport errno  # the module: "errno = ..." of a cimported name would make a local variable

from ffl.session.log_api cimport FF_LOG_INFO, ff_log


cdef inline void refuse(const char *verb) noexcept nogil:
    ff_log(FF_LOG_INFO, b"%s is not supported", verb)
    errno.errno = errno.EOPNOTSUPP


cdef public void *ff_unsupported_null(const char *verb) noexcept nogil:
    refuse(verb)
    return NULL


cdef public int ff_unsupported_code(const char *verb) noexcept nogil:
    refuse(verb)
    return errno.EOPNOTSUPP


cdef public int ff_unsupported_minus(const char *verb) noexcept nogil:
    refuse(verb)
    return -1


cdef public ssize_t ff_unsupported_negative(const char *verb) noexcept nogil:
    refuse(verb)
    return -errno.EOPNOTSUPP


cdef public ssize_t ff_unsupported_nothing() noexcept nogil:
    return 0
