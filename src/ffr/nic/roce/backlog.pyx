from libc.stdlib cimport malloc
from libc.string cimport memcpy

from ffcore.roce cimport *
from ffr.nic.message cimport PATIENCE_NS, dropped, give_up, wait_is_over
from ffr.nic.roce.tables cimport (BACKLOG_BYTES, BACKLOG_PACKETS, BACKLOG_QP_PACKETS, BACKLOG_QPS, ROCE_QUANTUM, backlog_wait,
                           roce_backlog, roce_parked, roce_side)
from ffr.nic.roce.protocol.transport cimport transport_receive
from ffr.nic.roce.protocol.wire cimport ROCE_PARSED, roce_parse
from ffr.objects.rq cimport rq_of, rq_ready
from ffr.state cimport FFR_NONE


cdef bint set_up(roce_backlog *b) noexcept nogil:
    cdef uint32_t i
    if BACKLOG_BYTES < FF_ROCE_MAX_PACKET:
        return False
    b.slot = <roce_parked *>malloc(BACKLOG_PACKETS * sizeof(roce_parked))
    if b.slot == NULL:
        return False
    for i in range(BACKLOG_PACKETS):
        b.slot[i].next = i + 1 if i + 1 < BACKLOG_PACKETS else FFR_NONE
    b.free = 0
    return True


cdef bint takes_receive(const roce_packet *p) noexcept nogil:
    """Whether a receive WQE is used from this packet on."""
    if p.traits & FF_IS_SEND:
        return (p.traits & FF_IS_FIRST) != 0
    return (p.traits & FF_HAS_IMM) != 0


cdef bint backlog_needed(roce_nic *n, uint32_t qp, const roce_packet *p) noexcept nogil:
    if n.tables.side[qp].parked:
        return True
    return takes_receive(p) and not n.tables.qp[qp].taken \
        and not wait_is_over(n.router, rq_of(n.router, &n.router.state.qp[qp]))


cdef bint backlog_put(roce_nic *n, uint32_t qp, const roce_packet *p, const uint8_t *bytes, uint32_t size) noexcept nogil:
    cdef roce_backlog *b = &n.backlog
    cdef roce_side *s = &n.tables.side[qp]
    cdef uint32_t at
    if size > BACKLOG_BYTES or b.slot == NULL and not set_up(b):
        return False
    if b.free == FFR_NONE or s.parked >= BACKLOG_QP_PACKETS or (s.parked == 0 and b.waits == BACKLOG_QPS):
        return False
    at = b.free
    b.free = b.slot[at].next
    b.slot[at].next = FFR_NONE
    b.slot[at].size = size
    memcpy(b.slot[at].bytes, bytes, size)
    if p.grh != NULL:
        memcpy(b.slot[at].grh, p.grh, FF_GRH_SIZE)
    if s.parked:
        b.slot[s.parked_last].next = at
    else:
        s.parked_first = at
        b.wait[b.waits].qp = qp
        b.wait[b.waits].deadline_ns = n.router.now_ns + PATIENCE_NS
        b.waits += 1
    s.parked_last = at
    s.parked += 1
    return True


cdef void pop(roce_nic *n, uint32_t qp) noexcept nogil:
    cdef roce_side *s = &n.tables.side[qp]
    cdef uint32_t at = s.parked_first
    s.parked_first = n.backlog.slot[at].next
    s.parked -= 1
    n.backlog.slot[at].next = n.backlog.free
    n.backlog.free = at


cdef void forget(roce_nic *n, uint32_t qp) noexcept nogil:
    """From the list of those that wait."""
    cdef roce_backlog *b = &n.backlog
    cdef uint32_t i
    for i in range(b.waits):
        if b.wait[i].qp == qp:
            b.waits -= 1
            b.wait[i] = b.wait[b.waits]
            return


cdef void deliver_oldest(roce_nic *n, uint32_t qp) noexcept nogil:
    """The state machine may end the QP, which drops the rest."""
    cdef roce_parked *one = &n.backlog.slot[n.tables.side[qp].parked_first]
    cdef roce_packet p
    cdef uint8_t bytes[BACKLOG_BYTES]
    cdef uint8_t grh[40]
    cdef uint32_t size = one.size
    memcpy(bytes, one.bytes, size)
    memcpy(grh, one.grh, FF_GRH_SIZE)
    pop(n, qp)
    if roce_parse(&p, bytes, size) != ROCE_PARSED:           # it was before
        return
    if p.traits & FF_HAS_DETH:
        p.opcode = FF_UD | (p.opcode & FF_OPERATION_MASK)
        p.grh = grh
        n.tables.qp[qp].taken = 0             # as in roce_deliver
    transport_receive(&n.tables.qp[qp], &n.tables.peer[n.tables.side[qp].path].window, &n.env, &p, n.router.now_ns)


cdef int serve_one(roce_nic *n, backlog_wait *w) noexcept nogil:
    """In order, as long as there are receive WQEs. How many packets went, one way or the other."""
    cdef uint32_t qp = w.qp
    cdef roce_side *s = &n.tables.side[qp]
    cdef roce_packet p
    cdef int done = 0
    while s.parked and done < ROCE_QUANTUM:
        if roce_parse(&p, n.backlog.slot[s.parked_first].bytes, n.backlog.slot[s.parked_first].size) == ROCE_PARSED \
                and takes_receive(&p) and not n.tables.qp[qp].taken \
                and not rq_ready(n.router, rq_of(n.router, &n.router.state.qp[qp])):
            break
        deliver_oldest(n, qp)
        done += 1
    if done and w.qp == qp:
        w.deadline_ns = n.router.now_ns + PATIENCE_NS
    elif s.parked and n.router.now_ns >= w.deadline_ns:
        give_up(rq_of(n.router, &n.router.state.qp[qp]))
        while s.parked:                       # bound: BACKLOG_QP_PACKETS
            dropped(n.router, qp)
            pop(n, qp)
            done += 1
    return done


cdef int backlog_serve(roce_nic *n) noexcept nogil:
    cdef roce_backlog *b = &n.backlog
    cdef uint32_t i = 0, qp
    cdef int done = 0
    while i < b.waits:                        # bound: BACKLOG_QPS, of ROCE_QUANTUM packets each
        qp = b.wait[i].qp
        done += serve_one(n, &b.wait[i])
        if i < b.waits and b.wait[i].qp == qp:
            if n.tables.side[qp].parked == 0:
                forget(n, qp)                 # the last one takes its place
            else:
                i += 1
    return done


cdef void backlog_drop(roce_nic *n, uint32_t qp) noexcept nogil:
    if not n.tables.side[qp].parked:
        return
    while n.tables.side[qp].parked:           # bound: BACKLOG_QP_PACKETS
        pop(n, qp)
    forget(n, qp)
