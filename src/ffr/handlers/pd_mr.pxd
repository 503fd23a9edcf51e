"""ALLOC_PD, DEALLOC_PD, REG_MR, REREG_MR, ALLOC_NULL_MR, DEREG_MR, RECLAIM_MR, QUERY_KEY."""

from libc.stdint cimport uint32_t

from ffcore.control cimport ff_reply_reg_mr
from ffr.state cimport ffr_router

cdef int alloc_pd(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int dealloc_pd(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int reg_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int rereg_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int alloc_null_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int dereg_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil

cdef int reclaim_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int query_key(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil

# For whatever else has a key (dm.pyx, mw.pyx).
cdef uint32_t key_object(ffr_router *r, int kind, uint32_t session, uint32_t pd, uint32_t behind,
                         ff_reply_reg_mr *reply) noexcept nogil
cdef bint bad_access(uint32_t access) noexcept nogil
