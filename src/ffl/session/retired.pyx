"""Destroyed objects. Verbs hands out pointers, so a program that destroys an object twice would have the second call read
freed memory. The last RETIRED objects therefore keep theirs, with a handle that the router refuses."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free

from ffcore.control cimport FF_NO_HANDLE
from ffcore.shm cimport ff_a32, ff_a64, ff_add32, ff_exchange64

cdef enum:
    RETIRED = 256             # a power of two; a QP is the largest, under 1 KiB

cdef ff_a64 retired[RETIRED]
cdef ff_a32 retirements


cdef public void ff_retire(void *object, uint32_t *handle) noexcept nogil:
    """Without a lock: whoever takes a place frees what was in it."""
    handle[0] = FF_NO_HANDLE
    free(<void *>ff_exchange64(&retired[ff_add32(&retirements, 1) & (RETIRED - 1)], <uint64_t>object))
