"""What lies behind a null MR: memory that reads as zeroes, and memory that nobody reads (man 3 ibv_alloc_null_mr).

Both are ranges as long as the longest message, so that a null MR resolves to a segment like any other and no NIC has to
know of it.
"""

from libc.stdint cimport uint64_t

from ffr.state cimport ffr_router

cdef enum:
    NOTHING_SIZE = 0x80000000 # bytes: the longest message (port_attr.max_msg_sz)

cdef int nothing_map(ffr_router *r) noexcept nogil       # 0 or an errno
cdef void nothing_unmap(ffr_router *r) noexcept nogil
