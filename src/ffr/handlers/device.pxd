"""OPEN_CONTEXT, CLOSE_CONTEXT, QUERY_DEVICE, QUERY_PORT, QUERY_GIDS."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

cdef int open_context(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int close_context(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int query_device(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int query_port(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int query_held(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int query_gids(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
