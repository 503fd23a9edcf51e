"""A session's segments as the router maps them, and the control segment's pages."""

from libc.stdint cimport uint32_t, uint64_t

from ffcore.shm cimport FF_PAGE
from ffr.state cimport ffr_router

cdef inline uint32_t pages_of(uint64_t size) noexcept nogil:
    return <uint32_t>((size + FF_PAGE - 1) // FF_PAGE)

cdef int region_map(ffr_router *r, uint32_t session) noexcept nogil
cdef void region_unmap(ffr_router *r, uint32_t session) noexcept nogil
cdef uint64_t ring_alloc(ffr_router *r, uint32_t session, uint32_t pages) noexcept nogil
cdef void ring_free(ffr_router *r, uint32_t session, uint64_t offset, uint32_t pages) noexcept nogil
# An object and its ring at once: its index, and the ring's offset; FFR_NONE: there is no room for both, and nothing is taken.
cdef uint32_t object_with_ring(ffr_router *r, int kind, uint32_t session, uint32_t pages, uint64_t *offset) noexcept nogil
cdef int uffd_open() noexcept nogil
