"""Deadlines of conversations: a wheel of FFR_CM_WHEEL slots of 17 ms."""

from libc.stdint cimport uint32_t, uint64_t

from ffr.state cimport ffr_router

# The conversation's deadline has changed.
cdef void timer_set(ffr_router *r, uint32_t id) noexcept nogil
cdef void timer_stop(ffr_router *r, uint32_t id) noexcept nogil
# An id whose deadline has passed, which is on the wheel no more; FFR_NONE: none has, or enough slots were looked at.
cdef uint32_t timer_due(ffr_router *r) noexcept nogil
# When to look again; ~0: never.
cdef uint64_t timer_next(ffr_router *r) noexcept nogil
