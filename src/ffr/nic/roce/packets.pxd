"""How a packet ends, whoever has composed it; and the packets that routers send each other on their own account."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ffcore.icrc cimport ff_icrc_flow, ff_icrc_of, ff_icrc_write
from ffcore.roce cimport FF_ICRC_SIZE
from ffr.nic.roce.tables cimport roce_nic, roce_peer
from ffr.nic.roce.udp cimport udp_commit


cdef inline void packet_end(roce_nic *n, const ff_icrc_flow *flow, uint8_t *at, uint32_t end, uint16_t ident) noexcept nogil:
    """The packet of `end` bytes before its ICRC, composed where udp_room said, gets that and is on its way."""
    ff_icrc_write(at + end, ff_icrc_of(flow, ident, at, <uint16_t>(end + FF_ICRC_SIZE)))
    udp_commit(&n.arena, end + FF_ICRC_SIZE)


# Puts a packet of FF_ROUTER into the arena, of `size` bytes with its ICRC, or as short as it can be. False: no room.
cdef bint router_say(roce_nic *n, roce_peer *p, uint8_t operation, uint32_t count, uint32_t size) noexcept nogil
