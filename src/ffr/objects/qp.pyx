from libc.stdint cimport int32_t
from libc.string cimport memset

from ffcore.control cimport FF_QP_OPENED
from ffcore.shm cimport (FF_OP_BIND_MW, FF_OP_CMP_SWP, FF_OP_FETCH_ADD, FF_OP_LOCAL_INV, FF_OP_READ, FF_OP_WRITE,
                         FF_OP_WRITE_IMM, FF_WQE_SIGNALED, ff_and64, ff_cqe, ff_fence, ff_load32_acquire, ff_session,
                         ff_store32_release)
from ffr.objects.cq cimport cq_push
from ffr.objects.events cimport async_event
from ffr.ibv cimport (IBV_EVENT_COMM_EST, IBV_EVENT_QP_FATAL, IBV_EVENT_QP_LAST_WQE_REACHED, IBV_QPS_ERR,
                      IBV_QPS_RESET, IBV_QPS_RTS, IBV_QPS_SQE, IBV_QPT_UC, IBV_QPT_UD, IBV_QPT_XRC_RECV,
                      IBV_WC_BIND_MW, IBV_WC_COMP_SWAP, IBV_WC_FETCH_ADD, IBV_WC_LOCAL_INV, IBV_WC_RDMA_READ,
                      IBV_WC_RDMA_WRITE, IBV_WC_RECV, IBV_WC_SEND, IBV_WC_SUCCESS, IBV_WC_WR_FLUSH_ERR)
from ffr.nic.base cimport nic_leave
from ffr.objects.rq cimport rq_advance, rq_is_owed, rq_of, rq_ready, rq_slot
from ffr.objects.srq cimport srq_is_held
from ffr.state cimport (FFR_LIST_ACTIVE, FFR_LIST_NONE, FFR_LIST_WAITING, FFR_NONE, FFR_QP, FFR_RUN, FFR_WAIT_RATE,
                        ffr_ring_list)


# ---- lists: circular and doubly linked through the QP records ----

cdef ffr_ring_list *list_of(ffr_router *r, uint32_t which) noexcept nogil:
    return &r.active if which == FFR_LIST_ACTIVE else &r.waiting


cdef void link(ffr_router *r, uint32_t index, uint32_t which) noexcept nogil:
    cdef ffr_ring_list *l = list_of(r, which)
    cdef ffr_qp *q = &r.state.qp[index]
    cdef ffr_qp *head
    q.list = which
    if l.count == 0:
        q.list_next = q.list_prev = index
        l.head = index
    else:                                    # before the head: the last to be looked at
        head = &r.state.qp[l.head]
        q.list_next = l.head
        q.list_prev = head.list_prev
        r.state.qp[head.list_prev].list_next = index
        head.list_prev = index
    l.count += 1


cdef void qp_unlist(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    cdef ffr_ring_list *l
    if q.list == FFR_LIST_NONE:
        return
    l = list_of(r, q.list)
    r.state.qp[q.list_prev].list_next = q.list_next
    r.state.qp[q.list_next].list_prev = q.list_prev
    if l.head == index:
        l.head = q.list_next
    l.count -= 1
    q.list = FFR_LIST_NONE


cdef void qp_activate(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    q.idle = 0
    if q.list == FFR_LIST_ACTIVE or (q.list == FFR_LIST_WAITING and q.wait != FFR_RUN):
        return                               # one that waits goes on when its timer or its peer says so
    if q.pages == 0:
        return                               # XRC_RECV: nothing to execute or to flush, and no bell
    qp_unlist(r, index)
    link(r, index, FFR_LIST_ACTIVE)


cdef void qp_wait(ffr_router *r, uint32_t index, uint32_t wait, uint64_t deadline_ns) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    q.wait = wait
    q.deadline_ns = deadline_ns
    if q.list != FFR_LIST_WAITING:
        qp_unlist(r, index)
        link(r, index, FFR_LIST_WAITING)


cdef bint has_work(ffr_router *r, const ffr_qp *q) noexcept nogil:
    cdef uint32_t index = q.sq_seen if q.state == IBV_QPS_RTS else q.sq_index
    if q.state == IBV_QPS_RTS or q.state == IBV_QPS_ERR or q.state == IBV_QPS_SQE:
        if ff_load32_acquire(&qp_sq_slot(r, q, index).seq) == index + 1:
            return True
    return q.state == IBV_QPS_ERR and rq_is_owed(r, &q.rq)


cdef bint qp_rest(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    cdef ff_session *shared = <ff_session *>r.view[q.o.session].control
    qp_unlist(r, index)
    ff_and64(&shared.qp_bell[q.bell >> 6], ~(<uint64_t>1 << (q.bell & 63)))
    ff_fence()                               # clear, fence, look again; FFL: store the WQE, fence, test the bit
    if not has_work(r, q):
        return True
    qp_activate(r, index)
    return False


# ---- states ----

cdef void qp_set_state(ffr_router *r, uint32_t index, uint32_t state) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    q.state = state
    r.qp_stats[index].state = state
    if q.pages:
        ff_store32_release(&qp_shared(r, q).state, state)


cdef void qp_event(ffr_router *r, uint32_t index, uint32_t type) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    cdef uint32_t at = q.opener
    if not q.orphan:
        async_event(r, q.context, type, index)
    while at != FFR_NONE:                    # bound: FFR_OPENERS_QP
        async_event(r, r.state.opener[at].context, type, FF_QP_OPENED | at)
        at = r.state.opener[at].next


cdef void qp_established(ffr_router *r, uint32_t index) noexcept nogil:
    """IBTA 11.6.3.2: the first message comes before the program has gone on to RTS, whose peer did. Once."""
    cdef ffr_qp *q = &r.state.qp[index]
    if q.type == IBV_QPT_UD or q.established:
        return
    q.established = 1
    qp_event(r, index, IBV_EVENT_COMM_EST)


cdef void forget_message(ffr_qp *q) noexcept nogil:
    q.moved = 0
    q.atomic_done = 0
    q.wait = FFR_RUN
    q.retries = q.attr.retry_cnt
    q.rnr_retries = q.attr.rnr_retry


cdef void qp_error(ffr_router *r, uint32_t index, bint fatal) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    if q.state == IBV_QPS_ERR or q.state == IBV_QPS_RESET:
        return
    nic_leave(r, index, False)
    qp_set_state(r, index, IBV_QPS_ERR)
    ff_fence()                               # state, fence, flush; FFL: store the WQE, fence, load state, ring if ERR
    forget_message(q)
    qp_unlist(r, index)
    qp_activate(r, index)
    if fatal:
        qp_event(r, index, IBV_EVENT_QP_FATAL)
    if q.rq.srqn:
        part_with_srq(r, index)


cdef void part_with_srq(ffr_router *r, uint32_t index) noexcept nogil:
    """The QP takes nothing more from its SRQ, and completes what it has taken. An XRC_RECV QP has no SRQ of its own, so no
    last WQE either (IBTA 10.2.9.5, A14)."""
    cdef ffr_qp *q = &r.state.qp[index]
    if srq_is_held(r, &q.rq):
        qp_received(r, index, rq_slot(r, &q.rq).wr_id, IBV_WC_WR_FLUSH_ERR, IBV_WC_RECV, 0, 0, 0, 0, False)
    if q.type != IBV_QPT_XRC_RECV:
        qp_event(r, index, IBV_EVENT_QP_LAST_WQE_REACHED)


cdef void send_error(ffr_router *r, uint32_t index) noexcept nogil:
    """A send WQE has failed. Of an unreliable QP only the send queue stops, and the application may set it going again
    (IBTA 10.3.1.6); a connection is in error as a whole."""
    cdef ffr_qp *q = &r.state.qp[index]
    if q.type != IBV_QPT_UC and q.type != IBV_QPT_UD:
        qp_error(r, index, False)
    elif q.state == IBV_QPS_RTS:
        qp_set_state(r, index, IBV_QPS_SQE)  # still active: what is posted behind it is flushed


cdef void qp_reset(ffr_router *r, uint32_t index) noexcept nogil:
    """Drops every posted WQE without a completion; indices go on, so no slot has to be cleared."""
    cdef ffr_qp *q = &r.state.qp[index]
    cdef uint32_t n
    nic_leave(r, index, True)
    for n in range(q.sq_entries):
        if ff_load32_acquire(&qp_sq_slot(r, q, q.sq_index).seq) != q.sq_index + 1:
            break
        q.sq_index += 1
    for n in range(q.rq.entries):
        if not rq_ready(r, &q.rq):
            break
        rq_advance(r, &q.rq)
    q.rq.held = 0                            # taken from an SRQ and not completed: lost, as the others are
    if q.pages:
        ff_store32_release(&qp_shared(r, q).sq_done, q.sq_index)
    q.sq_seen = q.sq_index
    forget_message(q)
    q.established = 0
    q.generation += 1                        # peers look this QP up again
    q.peer = FFR_NONE
    memset(&q.attr, 0, sizeof(q.attr))
    qp_unlist(r, index)
    qp_set_state(r, index, IBV_QPS_RESET)


cdef int qp_flush(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    cdef ff_wqe *w
    cdef int n = 0
    while n < FFR_BATCH and (q.state == IBV_QPS_ERR or q.state == IBV_QPS_SQE):
        w = qp_sq_slot(r, q, q.sq_index)
        if ff_load32_acquire(&w.seq) != q.sq_index + 1:
            break
        qp_sent(r, index, w, IBV_WC_WR_FLUSH_ERR, 0)         # reads wr_id and opcode once each: nothing to check
        n += 1
    while n < FFR_BATCH and q.state == IBV_QPS_ERR and rq_is_owed(r, &q.rq):
        qp_received(r, index, rq_slot(r, &q.rq).wr_id, IBV_WC_WR_FLUSH_ERR, IBV_WC_RECV, 0, 0, 0, 0, False)
        n += 1
    return n


# ---- completions ----

cdef void overrun(ffr_router *r, uint32_t cq) noexcept nogil:
    """IBTA 11.6.3.1: the CQ is in error, and so is every QP that uses it. An XRC_RECV QP has no CQ of its own, and may be of
    another process: it is in error when it delivers into this one (qp_received)."""
    cdef uint32_t qp = r.state.session[r.state.cq[cq].o.session].first[FFR_QP]
    while qp != FFR_NONE:                    # bound: the session's QPs; happens once in a CQ's life
        if r.state.qp[qp].type != IBV_QPT_XRC_RECV and (r.state.qp[qp].send_cq == cq or r.state.qp[qp].recv_cq == cq):
            qp_error(r, qp, True)
        qp = r.state.qp[qp].o.next


cdef inline void push(ffr_router *r, uint32_t cq, ff_cqe *cqe, bint solicited) noexcept nogil:
    if cq_push(r, cq, cqe, solicited):
        overrun(r, cq)


cdef uint8_t wc_opcode(uint8_t opcode) noexcept nogil:
    if opcode == FF_OP_WRITE or opcode == FF_OP_WRITE_IMM:
        return IBV_WC_RDMA_WRITE
    if opcode == FF_OP_READ:
        return IBV_WC_RDMA_READ
    if opcode == FF_OP_CMP_SWP:
        return IBV_WC_COMP_SWAP
    if opcode == FF_OP_FETCH_ADD:
        return IBV_WC_FETCH_ADD
    if opcode == FF_OP_BIND_MW:
        return IBV_WC_BIND_MW
    if opcode == FF_OP_LOCAL_INV:
        return IBV_WC_LOCAL_INV
    return IBV_WC_SEND


cdef void qp_sent(ffr_router *r, uint32_t index, const ff_wqe *w, uint8_t status, uint64_t length) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    cdef ff_cqe cqe
    cdef bint held = q.wait == FFR_WAIT_RATE  # an earlier message has ended meanwhile
    q.sq_index += 1
    if <int32_t>(q.sq_seen - q.sq_index) < 0:
        q.sq_seen = q.sq_index
    forget_message(q)
    if held:
        q.wait = FFR_WAIT_RATE
    if status == IBV_WC_SUCCESS and not (w.flags & FF_WQE_SIGNALED or q.sq_sig_all):
        return                               # the slot is handed back at the end of the turn
    ff_store32_release(&qp_shared(r, q).sq_done, q.sq_index)  # before the CQE: who has seen it may post again
    memset(&cqe, 0, sizeof(cqe))
    cqe.wr_id = w.wr_id
    cqe.qpn = q.qpn
    cqe.status = status
    cqe.opcode = wc_opcode(w.opcode)
    cqe.bell = q.bell
    cqe.queue_index = q.sq_index
    cqe.byte_len = <uint32_t>length
    push(r, q.send_cq, &cqe, False)
    if status != IBV_WC_SUCCESS and status != IBV_WC_WR_FLUSH_ERR:
        send_error(r, index)


cdef void qp_received(ffr_router *r, uint32_t index, uint64_t wr_id, uint8_t status, uint8_t opcode, uint8_t flags,
                      uint64_t length, uint32_t imm, uint32_t src_qpn, bint solicited) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    cdef ff_cqe cqe
    if q.rq.held and not srq_is_held(r, &q.rq):
        q.rq.held = 0                        # XRC: the SRQ was destroyed under the message, and its CQ may be another one by now
        return
    rq_advance(r, rq_of(r, q))
    memset(&cqe, 0, sizeof(cqe))
    cqe.wr_id = wr_id
    cqe.qpn = q.qpn
    cqe.src_qpn = src_qpn
    cqe.status = status
    cqe.opcode = opcode
    cqe.bell = q.bell
    cqe.queue_index = rq_of(r, q).index
    cqe.flags = flags
    cqe.byte_len = <uint32_t>length
    cqe.imm = imm
    push(r, q.recv_cq, &cqe, solicited)
    if r.state.cq[q.recv_cq].overrun:        # the CQ's own QPs are in ERR already
        qp_error(r, index, True)
