"""ALLOC_PD, DEALLOC_PD, REG_MR, DEREG_MR."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

cdef int alloc_pd(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int dealloc_pd(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int reg_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int dereg_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil

cdef void mr_free(ffr_router *r, uint32_t index) noexcept nogil
