"""ALLOC_DM, FREE_DM, REG_DM_MR, COPY_DM, RECLAIM_DM."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

cdef int alloc_dm(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int free_dm(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int reg_dm_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int copy_dm(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int reclaim_dm(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
