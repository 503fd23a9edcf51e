"""Datagrams over the wire. To another router they carry their GRH with them, since it has virtual addresses which the
outer IP header does not know (FF_ROUTED_UD of ffcore/roce.h); to and from foreign peers the IP header says it all.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ffcore.engine cimport ff_segment
from ffcore.icrc cimport ff_icrc_flow
from ffr.nic.base cimport nic_datagram
from ffr.nic.roce.tables cimport roce_nic
from ffr.nic.roce.map cimport roce_route
from ffr.nic.roce.udp cimport ffr_udp_address, ffr_udp_in
from ffr.nic.roce.protocol.wire cimport roce_packet
from ffr.state cimport ffr_router


# Of the NIC contract.
cdef int roce_send_datagram(ffr_router *r, uint32_t qp, nic_datagram *d) noexcept nogil
cdef int roce_spread(ffr_router *r, uint32_t qp, nic_datagram *d) noexcept nogil
cdef void roce_ud_enter(ffr_router *r, uint32_t qp, uint32_t before) noexcept nogil
cdef void roce_ud_leave(ffr_router *r, uint32_t qp, bint gone) noexcept nogil
# A packet along a route, composed in the arena: what its ICRC begins with, and the packet itself. NIC_SENT, NIC_NO_ROOM, or a
# status.
cdef void datagram_flow(roce_nic *n, const roce_route *route, ff_icrc_flow *flow) noexcept nogil
cdef int datagram_put(roce_nic *n, uint32_t socket, const ffr_udp_address *to, const ff_icrc_flow *flow, roce_packet *head,
                      ff_segment *segments, uint32_t count) noexcept nogil
# A UD packet that was received, number `segment` of those that came together.
cdef void ud_take(roce_nic *n, roce_packet *p, const uint8_t *bytes, uint32_t size, uint16_t segment,
                  const ffr_udp_in *from_, const ff_icrc_flow *flow, uint32_t socket) noexcept nogil
