"""The local NIC: reaches the containers of this host by one copy from MR to MR."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

cdef int local_run(ffr_router *r, uint32_t qp) noexcept nogil
cdef bint local_ready(ffr_router *r, uint32_t qp) noexcept nogil
cdef void local_expired(ffr_router *r, uint32_t qp) noexcept nogil
