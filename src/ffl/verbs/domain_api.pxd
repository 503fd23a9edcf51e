"""Parent domains, as the makers of objects see them: where the library's own memory of an object comes from. Implemented
in domain.pyx."""

from libc.stdint cimport uint32_t, uint64_t

from ffl.objects cimport ffl_memory, ffl_pd
from ffl.ibv cimport ibv_pd

# What a custom allocator is told that the memory is for: its resource_type.
cdef enum:
    FF_MEMORY_QP = 1
    FF_MEMORY_CQ = 2
    FF_MEMORY_SRQ = 3

cdef extern bint ff_domain_is_parent(ibv_pd *pd) noexcept nogil      # NULL is not

# Zeroed and aligned to a line; NULL when there is none. pd: a parent domain, whose allocator is asked first, a
# protection domain, or NULL. The parent domain is in use until ff_memory_free, which is told where in that memory the
# handle is.
cdef extern void *ff_memory_new(ibv_pd *pd, size_t size, uint64_t resource_type, ffl_memory *of) noexcept nogil
# ff_memory_undo: when the router has made no object after all. memory may be NULL. Sets errno; returns NULL.
cdef extern void ff_memory_free(const ffl_memory *of, void *memory, uint32_t *handle, uint64_t resource_type) noexcept nogil
cdef extern void *ff_memory_undo(const ffl_memory *of, void *memory, uint64_t resource_type, int error) noexcept nogil

# What ibv_dealloc_pd does with a parent domain: 0 or EBUSY.
cdef extern int ff_dealloc_parent_domain(ffl_pd *domain) noexcept nogil
