"""CREATE_AH, DESTROY_AH."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

cdef int create_ah(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int destroy_ah(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil

cdef void ah_free(ffr_router *r, uint32_t index) noexcept nogil
