"""The local NIC's datagrams: UD, to one QP of this host or to those of a multicast group."""

from libc.stdint cimport uint32_t

from ffr.nic.base cimport nic_datagram
from ffr.state cimport ffr_router

cdef int local_send_datagram(ffr_router *r, uint32_t qp, nic_datagram *d) noexcept nogil
cdef int local_spread(ffr_router *r, uint32_t qp, nic_datagram *d) noexcept nogil
