"""CREATE_CQ, DESTROY_CQ."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

cdef int create_cq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int destroy_cq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil

cdef void cq_free(ffr_router *r, uint32_t index) noexcept nogil
