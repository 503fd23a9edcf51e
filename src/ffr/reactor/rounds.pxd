"""A pass, and a session's first and last moments in the loop."""

from libc.stdint cimport uint32_t

from ffr.reactor.state cimport ffr_loop


# One pass. everyone: all sessions, however many; otherwise those that are more than a pass can look at take turns.
# The number of things done: 0 means idle.
cdef int pass_once(ffr_loop *l, bint everyone) noexcept nogil

# A session whose record and view are complete.
cdef void attach(ffr_loop *l, uint32_t session) noexcept nogil
