"""The local NIC's datagrams: UD, to one QP of this host or to a multicast group."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

cdef int local_ud_run(ffr_router *r, uint32_t qp) noexcept nogil
cdef bint local_ud_ready(ffr_router *r, uint32_t qp) noexcept nogil
cdef void local_ud_expired(ffr_router *r, uint32_t qp) noexcept nogil
