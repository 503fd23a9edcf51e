from ffcore.roce cimport FF_MARK
from ffr.nic.roce.packets cimport router_say
from ffr.nic.roce.protocol.marks cimport marks_due, marks_left, marks_open


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
