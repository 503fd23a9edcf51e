"""Connected QPs, RC, UC and XRC, between two containers of this host: requester and responder in one step, since both
ends' memory is mapped here.

What the wire would carry is decided in place: the responder's checks give the requester the status that its NAK would
(IBTA 9.7.5.2, 9.9.2), and the responder's own error where the standard asks for one. UC has no NAKs: a request that RC
would refuse is dropped, and its requester, who cannot know, sees success (IBTA 9.8.2, 9.9.3 class D).
"""

from libc.stdint cimport uint8_t, uint64_t

from ffcore.engine cimport ff_engine_move, ff_move, ff_segment
from ffcore.shm cimport (FF_CQE_IMM, FF_CQE_INV, FF_OP_CMP_SWP, FF_OP_LOCAL_INV, FF_OP_READ, FF_OP_SEND_IMM,
                         FF_OP_SEND_INV, FF_OP_WRITE_IMM, FF_WQE_SOLICITED, ff_guest_cmp_swp, ff_guest_fetch_add,
                         ff_store32_release, ff_wqe, ff_wqe_srqn)
from ffr.mem.guard cimport FFR_FAULT, guarded
from ffr.ibv cimport (IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_READ, IBV_ACCESS_REMOTE_WRITE,
                      IBV_EVENT_QP_ACCESS_ERR, IBV_EVENT_QP_REQ_ERR, IBV_QPS_RTS, IBV_QPT_UC, IBV_QPT_XRC_RECV,
                      IBV_QPT_XRC_SEND, IBV_WC_LOC_LEN_ERR, IBV_WC_LOC_PROT_ERR, IBV_WC_RECV,
                      IBV_WC_RECV_RDMA_WITH_IMM, IBV_WC_REM_ACCESS_ERR, IBV_WC_REM_INV_REQ_ERR, IBV_WC_REM_OP_ERR,
                      IBV_WC_RETRY_EXC_ERR, IBV_WC_RNR_RETRY_EXC_ERR, IBV_WC_SUCCESS)
from ffr.mem.keys cimport resolve
from ffr.mem.windows cimport window_of, window_operation, window_unbind
from ffr.nic.base cimport NIC_IDLE, NIC_WORKED, nic_request
from ffr.nic.message cimport (DONE, EMPTY, PART, PATIENCE_NS, READY, STOPPED, count, dropped, fail,
                                    fault_is_local, fetch, give_up, local_of, owns, patience_left, receives,
                                    take_receive, wait_is_over)
from ffr.objects.qp cimport (qp_error, qp_event, qp_received, qp_sent, qp_shared, qp_sq_slot,
                     qp_wait)
from ffr.objects.rq cimport rq_hold, rq_of, rq_ready, rq_slot
from ffr.objects.srq cimport xrc_select
from ffr.state cimport FFR_NONE, FFR_QPS, FFR_RUN, FFR_WAIT_ACK, FFR_WAIT_RNR, ffr_qp, ffr_router, ffr_rq


cdef extern from "ffcore/timers.h" nogil:
    uint64_t ff_rnr_ns(uint32_t code)
    uint64_t ff_ack_timeout_ns(uint32_t code)

# ---- the peer ----

cdef bint is_here(ffr_router *r, const uint8_t *gid) noexcept nogil:
    """Whether a session of this router has the GID."""
    cdef uint32_t i
    for i in range(r.live_count):            # once per connection; bound: FFR_SESSIONS
        if owns(&r.state.session[r.live[i]], gid):
            return True
    return False


cdef bint local_reaches(ffr_router *r, uint32_t index) noexcept nogil:
    return not r.wire_only and is_here(r, r.state.qp[index].attr.ah.dgid)


cdef uint32_t local_mtu(ffr_router *r, uint32_t session, const ff_ah_attr *to) noexcept nogil:
    return r.port_mtu if is_here(r, to.dgid) else 0


cdef inline uint32_t opposite(uint32_t qp_type) noexcept nogil:
    return IBV_QPT_XRC_RECV if qp_type == IBV_QPT_XRC_SEND else qp_type


cdef ffr_qp *peer_of(ffr_router *r, uint32_t index) noexcept nogil:
    """The QP that this one is connected to, if it is there and is connected back; NULL: nobody answers."""
    cdef ffr_qp *q = &r.state.qp[index]
    cdef ffr_qp *p
    if q.peer != FFR_NONE:
        p = &r.state.qp[q.peer]
        if p.generation == q.peer_generation and p.o.used and receives(p):
            return p
        q.peer = FFR_NONE
    p = &r.state.qp[q.attr.dest_qpn & (FFR_QPS - 1)]
    if not p.o.used or p.qpn != q.attr.dest_qpn or not receives(p) or p.type != opposite(q.type):
        return NULL
    if p.attr.dest_qpn != q.qpn:
        return NULL
    if not owns(&r.state.session[p.o.session], q.attr.ah.dgid) or not owns(&r.state.session[q.o.session], p.attr.ah.dgid):
        return NULL
    q.peer = q.attr.dest_qpn & (FFR_QPS - 1)
    q.peer_generation = p.generation
    return p


cdef bint unreliable(ffr_router *r, uint32_t index) noexcept nogil:
    return r.state.qp[index].type == IBV_QPT_UC


cdef int lost(ffr_router *r, uint32_t index, const ff_wqe *w) noexcept nogil:
    """UC: the message is dropped, and nobody tells the requester."""
    cdef uint32_t peer = r.state.qp[index].peer
    dropped(r, index if peer == FFR_NONE else peer)
    qp_sent(r, index, w, IBV_WC_SUCCESS, 0)
    return DONE


cdef int nobody(ffr_router *r, uint32_t index, const ff_wqe *w) noexcept nogil:
    """As a NIC whose packets vanish: RC waits for the ACK timeout, then retries."""
    cdef ffr_qp *q = &r.state.qp[index]
    cdef uint64_t ns = ff_ack_timeout_ns(q.attr.timeout)
    if unreliable(r, index):
        return lost(r, index, w)
    qp_wait(r, index, FFR_WAIT_ACK, r.now_ns + ns if ns else <uint64_t>-1)
    return STOPPED


cdef int not_ready(ffr_router *r, uint32_t index, const ff_wqe *w, ffr_qp *p) noexcept nogil:
    """The responder has no receive WQE: an RNR NAK (IBTA 9.7.5.2.8). rnr_retry 7 means for ever."""
    cdef ffr_qp *q = &r.state.qp[index]
    if unreliable(r, index):
        if not patience_left(rq_of(r, p)):
            return lost(r, index, w)
        qp_wait(r, index, FFR_WAIT_RNR, r.now_ns + PATIENCE_NS)
        return STOPPED
    if q.rnr_retries == 0:
        qp_sent(r, index, w, IBV_WC_RNR_RETRY_EXC_ERR, 0)
        return STOPPED
    if q.attr.rnr_retry != 7:
        q.rnr_retries -= 1
    r.session_stats[q.o.session].rnr_waits += 1
    qp_wait(r, index, FFR_WAIT_RNR, r.now_ns + ff_rnr_ns(p.attr.min_rnr_timer))
    return STOPPED


cdef bint local_ready(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    cdef ffr_qp *p = peer_of(r, index)
    if p == NULL:
        return unreliable(r, index)
    if q.wait == FFR_WAIT_ACK:
        return True
    return wait_is_over(r, rq_of(r, p)) if unreliable(r, index) else rq_ready(r, rq_of(r, p))


cdef void local_expired(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    if unreliable(r, index):
        q.wait = FFR_RUN
        give_up(rq_of(r, &r.state.qp[q.peer]))    # local_ready has just seen that it is there
        return
    if q.wait == FFR_WAIT_RNR:
        q.wait = FFR_RUN                      # the next look counts the next RNR NAK
        return
    if q.retries == 0:
        q.wait = FFR_RUN
        qp_sent(r, index, qp_sq_slot(r, q, q.sq_index), IBV_WC_RETRY_EXC_ERR, 0)
        return
    q.retries -= 1
    r.session_stats[q.o.session].retries += 1
    nobody(r, index, NULL)


# ---- failing ----

cdef int refuse(ffr_router *r, uint32_t index, const ff_wqe *w, ffr_qp *p, uint8_t status) noexcept nogil:
    """RC: the responder NAKs a request that it must not execute, and goes to ERR itself (IBTA 9.9.3, class C)."""
    cdef uint32_t peer = r.state.qp[index].peer
    r.session_stats[p.o.session].access_errors += 1
    if unreliable(r, index):
        return lost(r, index, w)
    qp_event(r, peer, IBV_EVENT_QP_ACCESS_ERR if status == IBV_WC_REM_ACCESS_ERR else IBV_EVENT_QP_REQ_ERR)
    qp_error(r, peer, False)
    return fail(r, index, w, status)


cdef int refuse_receive(ffr_router *r, uint32_t index, const ff_wqe *w, ffr_qp *p, const nic_request *q,
                        uint8_t theirs, uint8_t ours) noexcept nogil:
    """The receive WQE is bad: it completes with an error (class A), and RC's requester is told."""
    cdef uint32_t peer = r.state.qp[index].peer
    qp_received(r, peer, q.wr_id, theirs, IBV_WC_RECV, 0, 0, 0, w.imm, False)
    qp_error(r, peer, False)
    return lost(r, index, w) if unreliable(r, index) else fail(r, index, w, ours)


cdef int too_long(ffr_router *r, uint32_t index, const ff_wqe *w, ffr_qp *p, const nic_request *q) noexcept nogil:
    """The receive WQE is too short. UC drops the message, and the WQE serves the next one (class D)."""
    if unreliable(r, index):
        return lost(r, index, w)
    return refuse_receive(r, index, w, p, q, IBV_WC_LOC_LEN_ERR, IBV_WC_REM_INV_REQ_ERR)


cdef int faulted(ffr_router *r, uint32_t index, const ff_wqe *w, ffr_qp *p, nic_request *q) noexcept nogil:
    """Registered memory was not there: whose it was decides the status."""
    if fault_is_local(r, index, q):
        return fail(r, index, w, IBV_WC_LOC_PROT_ERR)
    if w.opcode <= FF_OP_SEND_INV:
        return refuse_receive(r, index, w, p, q, IBV_WC_LOC_PROT_ERR, IBV_WC_REM_OP_ERR)
    return refuse(r, index, w, p, IBV_WC_REM_ACCESS_ERR)


# ---- executing ----

cdef int move(ffr_router *r, uint32_t index, ff_segment *to, uint32_t to_count, const ff_segment *source,
              uint32_t source_count, nic_request *q) noexcept nogil:
    """A turn's worth of the message; DONE, PART or FFR_FAULT."""
    cdef ffr_qp *qp = &r.state.qp[index]
    cdef ff_move m
    m.to = to
    m.to_count = to_count
    m.source = source
    m.source_count = source_count
    m.start = qp.moved
    m.length = min(q.length - qp.moved, r.turn_bytes)
    m.last = m.start + m.length == q.length
    if m.length and guarded(ff_engine_move, &m) == FFR_FAULT:
        return FFR_FAULT
    q.done = m.length
    if m.last:
        return DONE
    qp.moved += m.length                      # a successor copies this turn again: harmless, the message is not complete
    return PART


cdef int receive_wqe(ffr_router *r, uint32_t index, const ff_wqe *w, ffr_qp *p, nic_request *q, bint scatter) noexcept nogil:
    """Takes the peer's next receive WQE, with its memory when the message scatters into it. READY, or how it ended."""
    cdef ffr_rq *rq = rq_of(r, p)
    cdef uint8_t status
    if not rq_ready(r, rq):
        return not_ready(r, index, w, p)
    if not scatter:
        q.wr_id = rq_slot(r, rq).wr_id
        return READY
    status = take_receive(r, rq, q)
    if status != IBV_WC_SUCCESS:
        return refuse_receive(r, index, w, p, q, status, IBV_WC_REM_OP_ERR)
    if q.room < q.length:
        return too_long(r, index, w, p, q)
    return READY


cdef int execute_send(ffr_router *r, uint32_t index, const ff_wqe *w, ffr_qp *p, nic_request *q) noexcept nogil:
    cdef uint32_t peer = r.state.qp[index].peer
    cdef bint solicited = w.flags & FF_WQE_SOLICITED
    cdef uint8_t flags = FF_CQE_IMM if w.opcode == FF_OP_SEND_IMM else 0
    cdef int outcome = receive_wqe(r, index, w, p, q, True)
    if outcome != READY:
        return outcome
    if w.opcode == FF_OP_SEND_INV:
        flags = FF_CQE_INV
        if window_of(r, p, w.imm) == NULL:    # IBTA 9.4.1.1.3: a key that the requester may not invalidate
            return refuse(r, index, w, p, IBV_WC_REM_ACCESS_ERR)
    outcome = move(r, index, q.remote, q.remote_count, local_of(q), q.local_count, q)
    if outcome == FFR_FAULT:
        return faulted(r, index, w, p, q)
    if outcome == PART:
        rq_hold(r, rq_of(r, p))
        return PART
    count(r, index, peer, q.length)
    if w.opcode == FF_OP_SEND_INV:
        window_unbind(r, window_of(r, p, w.imm))
    qp_received(r, peer, q.wr_id, IBV_WC_SUCCESS, IBV_WC_RECV, flags, q.length, w.imm, r.state.qp[index].qpn, solicited)
    qp_sent(r, index, w, IBV_WC_SUCCESS, q.length)
    return DONE


cdef int execute_write(ffr_router *r, uint32_t index, const ff_wqe *w, ffr_qp *p, nic_request *q) noexcept nogil:
    cdef uint32_t peer = r.state.qp[index].peer
    cdef int outcome
    if not p.attr.access & IBV_ACCESS_REMOTE_WRITE:
        return refuse(r, index, w, p, IBV_WC_REM_INV_REQ_ERR)
    if q.length and resolve(r, p, w.rkey, w.remote_addr, q.length, IBV_ACCESS_REMOTE_WRITE, q.remote, &q.remote_count):
        return refuse(r, index, w, p, IBV_WC_REM_ACCESS_ERR)
    if w.opcode == FF_OP_WRITE_IMM:
        outcome = receive_wqe(r, index, w, p, q, False)
        if outcome != READY:
            return outcome
    outcome = move(r, index, q.remote, q.remote_count, local_of(q), q.local_count, q)
    if outcome == FFR_FAULT:
        return faulted(r, index, w, p, q)
    if outcome == PART:
        if w.opcode == FF_OP_WRITE_IMM:
            rq_hold(r, rq_of(r, p))
        return PART
    count(r, index, peer, q.length)
    if w.opcode == FF_OP_WRITE_IMM:
        qp_received(r, peer, q.wr_id, IBV_WC_SUCCESS, IBV_WC_RECV_RDMA_WITH_IMM, FF_CQE_IMM, q.length, w.imm,
                    r.state.qp[index].qpn, w.flags & FF_WQE_SOLICITED)
    qp_sent(r, index, w, IBV_WC_SUCCESS, q.length)
    return DONE


cdef int execute_read(ffr_router *r, uint32_t index, const ff_wqe *w, ffr_qp *p, nic_request *q) noexcept nogil:
    cdef int outcome
    if not p.attr.access & IBV_ACCESS_REMOTE_READ or p.attr.max_dest_rd_atomic == 0:
        return refuse(r, index, w, p, IBV_WC_REM_INV_REQ_ERR)
    if q.length and resolve(r, p, w.rkey, w.remote_addr, q.length, IBV_ACCESS_REMOTE_READ, q.remote, &q.remote_count):
        return refuse(r, index, w, p, IBV_WC_REM_ACCESS_ERR)
    outcome = move(r, index, local_of(q), q.local_count, q.remote, q.remote_count, q)
    if outcome == FFR_FAULT:
        return faulted(r, index, w, p, q)
    if outcome == PART:
        return PART
    r.session_stats[r.state.qp[index].o.session].reads += 1
    r.session_stats[r.state.qp[index].o.session].rx_bytes += q.length
    qp_sent(r, index, w, IBV_WC_SUCCESS, q.length)
    return DONE


cdef struct atomic_call:
    uint8_t *at
    const ff_wqe *w
    uint64_t old


cdef int do_atomic(void *context) noexcept nogil:
    cdef atomic_call *a = <atomic_call *>context
    if a.w.opcode == FF_OP_CMP_SWP:
        a.old = ff_guest_cmp_swp(a.at, a.w.compare_add, a.w.swap)
    else:
        a.old = ff_guest_fetch_add(a.at, a.w.compare_add)
    return 0


cdef int execute_atomic(ffr_router *r, uint32_t index, const ff_wqe *w, ffr_qp *p, nic_request *q) noexcept nogil:
    cdef ffr_qp *qp = &r.state.qp[index]
    cdef atomic_call call
    cdef ff_segment result
    if not p.attr.access & IBV_ACCESS_REMOTE_ATOMIC or p.attr.max_dest_rd_atomic == 0 or w.remote_addr & 7:
        return refuse(r, index, w, p, IBV_WC_REM_INV_REQ_ERR)        # IBTA 9.4.5: the address is 8-byte aligned
    if resolve(r, p, w.rkey, w.remote_addr, 8, IBV_ACCESS_REMOTE_ATOMIC, q.remote, &q.remote_count):
        return refuse(r, index, w, p, IBV_WC_REM_ACCESS_ERR)
    if (<uint64_t>q.remote[0].at & 7) or q.remote_count != 1:        # aligned by its iova, not in the program's memory
        return refuse(r, index, w, p, IBV_WC_REM_INV_REQ_ERR)
    if q.length != 8:
        return fail(r, index, w, IBV_WC_LOC_LEN_ERR)
    if not qp.atomic_done:                   # a successor must not execute it twice
        call.at = q.remote[0].at
        call.w = w
        if guarded(do_atomic, &call) == FFR_FAULT:
            return refuse(r, index, w, p, IBV_WC_REM_ACCESS_ERR)
        qp.atomic_old = call.old
        qp.atomic_done = 1
    result.at = <uint8_t *>&qp.atomic_old
    result.length = 8
    if move(r, index, local_of(q), q.local_count, &result, 1, q) == FFR_FAULT:
        return fail(r, index, w, IBV_WC_LOC_PROT_ERR)
    r.session_stats[qp.o.session].atomics += 1
    qp_sent(r, index, w, IBV_WC_SUCCESS, 8)
    return DONE


cdef int execute_here(ffr_router *r, uint32_t index, const ff_wqe *w) noexcept nogil:
    """LOCAL_INV and BIND_MW: nothing goes to the peer."""
    cdef uint8_t status = window_operation(r, &r.state.qp[index], w)
    qp_sent(r, index, w, status, 0)
    return DONE if status == IBV_WC_SUCCESS else STOPPED


cdef int step(ffr_router *r, uint32_t index, nic_request *q) noexcept nogil:
    """Executes the WQE at sq_index, or a turn's worth of it."""
    cdef ff_wqe *w = <ff_wqe *>q.wqe
    cdef ffr_qp *p
    cdef int outcome = fetch(r, index, w, q)
    if outcome != READY:
        return outcome
    if w.opcode >= FF_OP_LOCAL_INV:
        return execute_here(r, index, w)
    p = peer_of(r, index)
    if p == NULL:
        return nobody(r, index, w)
    if r.state.qp[index].type == IBV_QPT_XRC_SEND and not xrc_select(r, p, ff_wqe_srqn(w)[0]):
        return refuse(r, index, w, p, IBV_WC_REM_INV_REQ_ERR)
    q.remote_count = 0
    if w.opcode <= FF_OP_SEND_INV:
        return execute_send(r, index, w, p, q)
    if w.opcode <= FF_OP_WRITE_IMM:
        return execute_write(r, index, w, p, q)
    if w.opcode == FF_OP_READ:
        return execute_read(r, index, w, p, q)
    return execute_atomic(r, index, w, p, q)


cdef int local_run(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_qp *qp = &r.state.qp[index]
    cdef nic_request q
    cdef uint64_t bytes = 0
    cdef int n = 0, outcome = EMPTY
    while n < <int>r.turn_wqes and bytes < r.turn_bytes and qp.state == IBV_QPS_RTS:
        q.done = 0
        outcome = step(r, index, &q)
        if outcome != DONE and outcome != PART:
            break
        bytes += q.done
        n += 1
    if n:
        ff_store32_release(&qp_shared(r, qp).sq_done, qp.sq_index)
        r.stats.wqes += n
        r.stats.bytes += bytes
    return NIC_IDLE if n == 0 and outcome == EMPTY else NIC_WORKED
