"""A session's segments as the router maps them, and the control segment's pages."""

from libc.stdint cimport uint32_t, uint64_t

from ffr.state cimport ffr_router

cdef int region_map(ffr_router *r, uint32_t session) noexcept nogil
cdef void region_unmap(ffr_router *r, uint32_t session) noexcept nogil
cdef uint64_t ring_alloc(ffr_router *r, uint32_t session, uint32_t pages) noexcept nogil
cdef void ring_free(ffr_router *r, uint32_t session, uint64_t offset, uint32_t pages) noexcept nogil
cdef int uffd_open() noexcept nogil
