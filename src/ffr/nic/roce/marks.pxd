"""Marks between routers (ffr/nic/roce/protocol/marks.pxd): who waits for them, and the packets that carry them."""

from libc.stdint cimport uint16_t, uint32_t, uint8_t

from ffcore.icrc cimport ff_icrc_flow
from ffr.nic.roce.driver cimport roce_nic, roce_peer
from ffr.nic.roce.udp cimport ffr_udp_in
from ffr.nic.roce.protocol.wire cimport roce_packet


# Puts a packet of FF_ROUTER into the arena, of `size` bytes with its ICRC, or as short as it can be. False: no room.
cdef bint router_say(roce_nic *n, roce_peer *p, uint8_t operation, uint32_t count, uint32_t size) noexcept nogil
# Whether a packet that nobody acknowledges may be sent to a peer now. Foreign peers know no marks.
cdef bint marks_allow(roce_nic *n, roce_peer *p) noexcept nogil
# So many were put into the arena: at most MARKS_EVERY.
cdef void marks_count(roce_nic *n, roce_peer *p, uint32_t packets) noexcept nogil
# A packet of FF_ROUTER was received: a mark, an echo, or what ffr/nic/roce/probe.pxd is about.
cdef void marks_take(roce_nic *n, const roce_packet *p, const uint8_t *bytes, uint32_t size, uint16_t segment,
                     const ffr_udp_in *from_, const ff_icrc_flow *flow, uint32_t socket) noexcept nogil
