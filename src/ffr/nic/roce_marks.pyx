from libc.string cimport memset

from ffcore.icrc cimport ff_icrc_good, ff_icrc_start, ff_icrc_write
from ffcore.roce cimport (FF_DEFAULT_PKEY, FF_ECHO, FF_ICRC_SIZE, FF_MARK, FF_OPERATION_MASK, FF_ROUTER,
                          ff_bth)
from ffr.nic.roce_map cimport map_router
from ffr.roce.marks cimport marks_due, marks_echo, marks_left, marks_open
from ffr.roce.udp cimport udp_commit, udp_room
from ffr.roce.wire cimport roce_emit


cdef bint say(roce_nic *n, roce_peer *p, uint8_t operation, uint32_t count) noexcept nogil:
    cdef roce_packet head
    cdef uint8_t *at
    cdef uint16_t ident
    cdef uint32_t end = sizeof(ff_bth)       # nothing but that
    memset(&head, 0, sizeof(head))
    head.opcode = FF_ROUTER | operation
    head.pkey = FF_DEFAULT_PKEY
    head.psn = count
    at = udp_room(&n.arena, n.tables.socket[p.socket].fd, &p.address, end + FF_ICRC_SIZE, &ident)
    if at == NULL:
        return False
    roce_emit(&head, at)
    ff_icrc_write(at + end, ff_icrc_start(&p.flow, ident, <uint16_t>(end + FF_ICRC_SIZE), at))
    udp_commit(&n.arena, end + FF_ICRC_SIZE)
    n.counters.packets_sent += 1
    return True


cdef void mark(roce_nic *n, roce_peer *p) noexcept nogil:
    if marks_due(&p.marks, n.router.now_ns) and say(n, p, FF_MARK, p.marks.sent):
        marks_left(&p.marks, n.router.now_ns)


cdef bint marks_allow(roce_nic *n, roce_peer *p) noexcept nogil:
    if not p.gids or marks_open(&p.marks, n.router.now_ns):
        return True
    mark(n, p)
    n.held = True
    return False


cdef void marks_count(roce_nic *n, roce_peer *p) noexcept nogil:
    if p.gids:
        p.marks.sent += 1
        mark(n, p)


cdef void marks_take(roce_nic *n, const roce_packet *p, const uint8_t *bytes, uint32_t size, uint16_t segment,
                     const ffr_udp_in *from_, const ff_icrc_flow *flow, uint32_t socket) noexcept nogil:
    cdef uint32_t peer = map_router(n, socket, &from_.from_)
    if not peer:
        n.strangers += 1
    elif not ff_icrc_good(flow, segment, bytes, <uint16_t>size):
        n.bad_icrc += 1
    elif p.opcode & FF_OPERATION_MASK == FF_ECHO:
        marks_echo(&n.tables.peer[peer].marks, p.psn)
    else:
        say(n, &n.tables.peer[peer], FF_ECHO, p.psn)     # no room for it: the sender asks again
