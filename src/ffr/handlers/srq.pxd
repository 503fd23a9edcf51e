"""CREATE_SRQ, MODIFY_SRQ, QUERY_SRQ, DESTROY_SRQ."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

cdef int create_srq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int modify_srq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int query_srq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int destroy_srq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil

cdef void srq_free(ffr_router *r, uint32_t index) noexcept nogil
