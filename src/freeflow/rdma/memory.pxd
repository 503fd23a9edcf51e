"""Registered memory. A NIC moves only what was registered, and registering costs more than moving a few kilobytes, so what
was registered once stays so for as long as the object lives that the memory belongs to."""

from libc.stdint cimport uint32_t, uint64_t

from freeflow.rdma.device cimport Device
from freeflow.rdma.verbs cimport ibv_mr


cdef class Region:
    cdef ibv_mr *mr
    cdef Device device
    cdef object owner                # keeps the memory there, or None where its owner keeps the region
    cdef uint64_t start
    cdef uint64_t length
    cdef bint writable

    cpdef release(self)

# A buffer as a work request names it. Whoever holds it keeps the memory and its registration.
cdef class Span:
    cdef uint64_t at
    cdef uint64_t length
    cdef uint32_t lkey
    cdef object buffer               # the export: the memory can neither go nor move
    cdef object thing                # what was given
    cdef object region               # None until it is registered

# The buffer's bytes, without registering them. Raises WrongType, NotContiguous, ReadOnly.
cdef Span span_of(object buffer, bint writable)
# Whether it is registered on the device already, by itself or as part of a longer one; then its key is there.
cdef int span_is_registered(Span span, Device device) except -1
# ... registered on the device.
cdef int span_register(Span span, Device device, bint writable) except -1
