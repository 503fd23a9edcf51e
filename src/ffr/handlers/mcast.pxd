"""ATTACH_MCAST, DETACH_MCAST."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

cdef int attach_mcast(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int detach_mcast(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil

cdef void mcast_free(ffr_router *r, uint32_t index) noexcept nogil
