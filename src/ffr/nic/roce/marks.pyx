from libc.string cimport memset

from ffcore.icrc cimport ff_icrc_good, ff_icrc_of, ff_icrc_write
from ffcore.roce cimport (FF_DEFAULT_PKEY, FF_ECHO, FF_ICRC_SIZE, FF_MARK, FF_OPERATION_MASK, FF_PROBE, FF_ROUTER,
                          ff_bth)
from ffr.nic.roce.map cimport map_router
from ffr.nic.roce.probe cimport probes_take
from ffr.nic.roce.protocol.marks cimport marks_due, marks_echo, marks_left, marks_open
from ffr.nic.roce.udp cimport udp_commit, udp_room
from ffr.nic.roce.protocol.wire cimport roce_emit


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
    ff_icrc_write(at + end, ff_icrc_of(&p.flow, ident, at, <uint16_t>(end + FF_ICRC_SIZE)))
    udp_commit(&n.arena, end + FF_ICRC_SIZE)
    n.counters.packets_sent += 1
    return True


cdef void mark(roce_nic *n, roce_peer *p) noexcept nogil:
    if marks_due(&p.marks, n.router.now_ns) and router_say(n, p, FF_MARK, p.marks.sent, 0):
        marks_left(&p.marks, n.router.now_ns)


cdef bint marks_allow(roce_nic *n, roce_peer *p) noexcept nogil:
    if not p.gids or marks_open(&p.marks, n.router.now_ns):
        return True
    mark(n, p)
    n.held = True
    return False


cdef void marks_count(roce_nic *n, roce_peer *p, uint32_t packets) noexcept nogil:
    if p.gids:
        p.marks.sent += packets
        mark(n, p)


cdef void marks_take(roce_nic *n, const roce_packet *p, const uint8_t *bytes, uint32_t size, uint16_t segment,
                     const ffr_udp_in *from_, const ff_icrc_flow *flow, uint32_t socket) noexcept nogil:
    cdef uint32_t peer = map_router(n, socket, &from_.from_)
    if not peer:
        n.strangers += 1
    elif not ff_icrc_good(flow, segment, bytes, <uint16_t>size):
        n.bad_icrc += 1
    elif p.opcode & FF_OPERATION_MASK >= FF_PROBE:
        probes_take(n, &n.tables.peer[peer], p, size)
    elif p.opcode & FF_OPERATION_MASK == FF_ECHO:
        marks_echo(&n.tables.peer[peer].marks, p.psn)
    else:
        router_say(n, &n.tables.peer[peer], FF_ECHO, p.psn, 0)     # no room for it: the sender asks again
