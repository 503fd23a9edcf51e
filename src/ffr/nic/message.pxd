"""A message that is executed here: its WQE and its receive WQE are copied, then checked, then resolved to segments. What
NICs have in common, inlined into each."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from ffcore.engine cimport ff_segment, ff_segments_seek
from ffcore.grh cimport ff_gid_is_empty
from ffcore.shm cimport (FF_MAX_SGE, FF_OP_LAST, FF_OP_LOCAL_INV, FF_OP_READ, FF_PAGE, FF_RECV_HEADER, FF_WQE_HEADER, FF_WQE_INLINE,
                         ff_load32_acquire, ff_recv_wqe, ff_sge, ff_wqe)
from ffr.mem.guard cimport FFR_FAULT, guarded
from ffr.ibv cimport (IBV_ACCESS_LOCAL_WRITE, IBV_QPS_RTR, IBV_QPS_RTS, IBV_QPS_SQD, IBV_QPS_SQE, IBV_WC_LOC_LEN_ERR,
                      IBV_WC_LOC_PROT_ERR, IBV_WC_LOC_QP_OP_ERR, IBV_WC_SUCCESS)
from ffr.mem.keys cimport resolve_list
from ffr.nic.base cimport nic_request
from ffr.objects.qp cimport qp_established, qp_sent, qp_sq_slot, qp_wait
from ffr.objects.rq cimport rq_of, rq_ready, rq_slot
from ffr.state cimport FFR_WAIT_RNR, ffr_qp, ffr_router, ffr_rq, ffr_session


cdef enum outcome:
    READY      # this step of it is done: go on
    EMPTY      # no WQE
    DONE       # one WQE completed
    PART       # a turn's worth of a long message moved
    STOPPED    # the QP waits, or has failed


cdef enum:
    MAX_MESSAGE = 0x80000000  # bytes, as port_attr.max_msg_sz says (1 << 31 would be negative)
    PATIENCE_NS = 10000000    # see patience_left
    UDP_HEADER = 8
    OWN_QKEY = 1 << 31        # a Q_Key with this bit stands for the QP's own (IBTA 10.2.5)


cdef inline ff_segment *local_of(nic_request *q) noexcept nogil:
    """The requester's memory: q.local_count segments."""
    return &q.source[1]


cdef inline bint owns(const ffr_session *s, const uint8_t *gid) noexcept nogil:
    cdef uint32_t i
    for i in range(s.gid_count):
        if memcmp(s.gid[i], gid, 16) == 0:
            return not ff_gid_is_empty(gid)
    return False


cdef inline bint receives(const ffr_qp *p) noexcept nogil:
    return p.state == IBV_QPS_RTS or p.state == IBV_QPS_RTR or p.state == IBV_QPS_SQD or p.state == IBV_QPS_SQE


cdef inline int fail(ffr_router *r, uint32_t index, const ff_wqe *w, uint8_t status) noexcept nogil:
    qp_sent(r, index, w, status, 0)
    return STOPPED


cdef inline bint goes_on(const ffr_qp *qp, const nic_request *q) noexcept nogil:
    """A long message's WQE is read anew each turn, and the application may have made it shorter than what has moved."""
    return qp.moved == 0 or qp.moved < q.length


cdef inline int fetch(ffr_router *r, uint32_t index, ff_wqe *w, nic_request *q) noexcept nogil:
    """Copies the WQE at sq_index, then checks it, then resolves its local side. READY, EMPTY or STOPPED."""
    cdef ffr_qp *qp = &r.state.qp[index]
    cdef ff_wqe *slot = qp_sq_slot(r, qp, qp.sq_index)
    cdef ff_segment *local = local_of(q)
    cdef uint32_t access = 0
    if ff_load32_acquire(&slot.seq) != qp.sq_index + 1:              # pairs with the release in post_send
        return EMPTY
    memcpy(w, slot, FF_WQE_HEADER + sizeof(ff_sge))                  # a stride is at least this line
    if w.opcode >= FF_OP_LAST or not (qp.opcodes >> w.opcode) & 1:
        return fail(r, index, w, IBV_WC_LOC_QP_OP_ERR)
    if w.flags & FF_WQE_INLINE:
        if w.count > qp.cap.max_inline or w.opcode >= FF_OP_READ:
            return fail(r, index, w, IBV_WC_LOC_QP_OP_ERR)
        local[0].at = <uint8_t *>slot.sge
        local[0].length = w.count
        q.local_count = 1 if w.count else 0
        q.length = w.count
        return READY if goes_on(qp, q) else fail(r, index, w, IBV_WC_LOC_LEN_ERR)
    if w.count > qp.cap.max_send_sge:
        return fail(r, index, w, IBV_WC_LOC_QP_OP_ERR)
    if w.count > 1:
        memcpy(&w.sge[1], &slot.sge[1], (w.count - 1) * sizeof(ff_sge))
    if w.opcode >= FF_OP_READ:
        access = IBV_ACCESS_LOCAL_WRITE
        if w.opcode >= FF_OP_LOCAL_INV:
            return READY                      # names keys, no SGEs
    if resolve_list(r, qp.pd, w.sge, w.count, access, local, &q.local_count, &q.length):
        return fail(r, index, w, IBV_WC_LOC_PROT_ERR)
    if q.length > <uint64_t>MAX_MESSAGE or not goes_on(qp, q):
        return fail(r, index, w, IBV_WC_LOC_LEN_ERR)
    return READY


cdef inline uint8_t take_receive(ffr_router *r, const ffr_rq *rq, nic_request *q) noexcept nogil:
    """Copies the next receive WQE, which is there, and resolves it. IBV_WC_SUCCESS, or what is wrong with it."""
    cdef ff_recv_wqe *slot = rq_slot(r, rq)
    cdef uint64_t raw[66]                     # FF_RECV_HEADER + FF_MAX_SGE SGEs
    cdef ff_recv_wqe *recv = <ff_recv_wqe *>raw
    memcpy(recv, slot, FF_RECV_HEADER)
    q.wr_id = recv.wr_id
    if recv.count > rq.max_sge:
        return IBV_WC_LOC_QP_OP_ERR
    memcpy(recv.sge, slot.sge, recv.count * sizeof(ff_sge))
    if resolve_list(r, rq.pd, recv.sge, recv.count, IBV_ACCESS_LOCAL_WRITE, q.remote, &q.remote_count, &q.room):
        return IBV_WC_LOC_PROT_ERR
    return IBV_WC_SUCCESS


# UC and UD drop what finds no receive WQE. On a wire a message takes a while, and its sender has a core of its own; here
# it arrives at once, and the receiver may well be waiting for the core that the sender runs on. So a message waits for
# a receive WQE, once: when PATIENCE_NS have passed in vain, nothing waits any more until one has been posted.

cdef inline bint patience_left(const ffr_rq *rq) noexcept nogil:
    return rq.missed != rq.index + 1

cdef inline void give_up(ffr_rq *rq) noexcept nogil:
    rq.missed = rq.index + 1

cdef inline bint wait_is_over(ffr_router *r, const ffr_rq *rq) noexcept nogil:
    return rq_ready(r, rq) or not patience_left(rq)


cdef inline bint await_receiver(ffr_router *r, uint32_t index, uint32_t to) noexcept nogil:
    """True: UD QP `index` waits until `to` has a receive WQE (nic/datagrams.pyx sees when). False: it has one, or has been
    waited for in vain."""
    cdef ffr_qp *q = &r.state.qp[index]
    cdef ffr_qp *p = &r.state.qp[to]
    if wait_is_over(r, rq_of(r, p)):
        return False
    q.peer = to
    q.peer_generation = p.generation
    qp_wait(r, index, FFR_WAIT_RNR, r.now_ns + PATIENCE_NS)
    return True


cdef inline void count(ffr_router *r, uint32_t index, uint32_t peer, uint64_t length) noexcept nogil:
    """A message of this length went from QP index to QP peer."""
    cdef uint32_t mine = r.state.qp[index].o.session
    cdef uint32_t theirs = r.state.qp[peer].o.session
    r.session_stats[mine].tx_messages += 1
    r.session_stats[mine].tx_bytes += length
    r.session_stats[theirs].rx_messages += 1
    r.session_stats[theirs].rx_bytes += length
    r.qp_stats[index].tx_messages += 1
    r.qp_stats[index].tx_bytes += length
    r.qp_stats[peer].rx_messages += 1
    r.qp_stats[peer].rx_bytes += length
    if r.state.qp[peer].state == IBV_QPS_RTR:        # rare: once in a connection's life
        qp_established(r, peer)


cdef inline void dropped(ffr_router *r, uint32_t qp) noexcept nogil:
    """A message for this QP; or of it, when nobody could have had it."""
    r.session_stats[r.state.qp[qp].o.session].drops += 1


# ---- whose memory was it? ----

cdef struct probe_call:
    nic_request *q
    uint64_t start, most                      # the turn that faulted: bytes [start, start + most)


cdef inline int probe(void *context) noexcept nogil:
    """Reads a byte of each page of the requester's part of this turn."""
    cdef probe_call *c = <probe_call *>context
    cdef ff_segment *local = local_of(c.q)
    cdef volatile uint8_t *at
    cdef uint64_t offset = c.start, left = min(c.q.length - c.start, c.most), n
    cdef uint32_t i = ff_segments_seek(local, c.q.local_count, &offset)
    cdef int sum = 0
    while left:                               # bound: the turn's pages, and a segment each
        at = local[i].at + offset
        n = min(left, min(local[i].length - offset, FF_PAGE - (<uint64_t>at & (FF_PAGE - 1))))
        sum += at[0]
        left -= n
        offset += n
        if offset == local[i].length:
            i += 1
            offset = 0
    return sum & 1


cdef inline bint fault_is_local(ffr_router *r, uint32_t index, nic_request *q) noexcept nogil:
    """Registered memory was not there. We cannot tell which side's page it was from the fault alone, so the
    requester's is probed."""
    cdef probe_call call
    r.stats.faults += 1
    r.session_stats[r.state.qp[index].o.session].faults += 1
    call.q = q
    call.start, call.most = r.state.qp[index].moved, r.turn_bytes
    return guarded(probe, &call) == FFR_FAULT
