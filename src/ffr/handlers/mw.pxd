"""ALLOC_MW, DEALLOC_MW."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

cdef int alloc_mw(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int dealloc_mw(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil

cdef void mw_free(ffr_router *r, uint32_t index) noexcept nogil
