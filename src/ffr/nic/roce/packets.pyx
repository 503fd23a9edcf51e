from libc.string cimport memset

from ffcore.roce cimport FF_DEFAULT_PKEY, FF_ROUTER, ff_bth
from ffr.nic.roce.protocol.wire cimport roce_emit, roce_packet
from ffr.nic.roce.udp cimport udp_room


cdef bint router_say(roce_nic *n, roce_peer *p, uint8_t operation, uint32_t count, uint32_t size) noexcept nogil:
    cdef roce_packet head
    cdef uint8_t *at
    cdef uint16_t ident
    cdef uint32_t end = max(size, <uint32_t>(sizeof(ff_bth) + FF_ICRC_SIZE)) - FF_ICRC_SIZE
    memset(&head, 0, sizeof(head))
    head.opcode = FF_ROUTER | operation
    head.pkey = FF_DEFAULT_PKEY
    head.psn = count
    head.size = end - sizeof(ff_bth)
    at = udp_room(&n.arena, n.tables.socket[p.socket].fd, &p.address, end + FF_ICRC_SIZE, &ident)
    if at == NULL:
        return False
    roce_emit(&head, at)
    memset(at + sizeof(ff_bth), 0, head.size)
    packet_end(n, &p.flow, at, end, ident)
    n.counters.packets_sent += 1
    return True
