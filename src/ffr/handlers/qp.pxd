"""CREATE_QP, MODIFY_QP, QUERY_QP, DESTROY_QP."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

cdef int create_qp(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int modify_qp(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int query_qp(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int destroy_qp(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil

cdef void qp_close(ffr_router *r, uint32_t index) noexcept nogil
