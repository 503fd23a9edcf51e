"""The local NIC: reaches the containers of this host by one copy from MR to MR."""

from libc.stdint cimport uint32_t

from ffcore.control cimport ff_ah_attr
from ffr.state cimport ffr_router

cdef bint local_reaches(ffr_router *r, uint32_t qp) noexcept nogil
cdef uint32_t local_mtu(ffr_router *r, uint32_t session, const ff_ah_attr *to) noexcept nogil
cdef int local_run(ffr_router *r, uint32_t qp) noexcept nogil
cdef bint local_ready(ffr_router *r, uint32_t qp) noexcept nogil
cdef void local_expired(ffr_router *r, uint32_t qp) noexcept nogil
