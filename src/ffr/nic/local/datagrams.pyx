"""UD between the containers of this host: each datagram says where it goes, and is dropped without a word where it is
not welcome (IBTA 9.8.3, 9.9.3 class D). Its sender sees success as soon as it is on its way."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

from ffcore.engine cimport ff_engine_move, ff_move
from ffcore.grh cimport FF_HOP_LIMIT, ff_gid_is_multicast, ff_grh, ff_grh_cqe_flags, ff_grh_fields, ff_grh_write
from ffcore.roce cimport FF_ICRC_SIZE, FF_QPN_MASK, ff_bth, ff_deth
from ffcore.shm cimport FF_CQE_IMM, FF_OP_SEND_IMM, FF_WQE_SOLICITED, ff_store32_release, ff_wqe
from ffr.mem.guard cimport FFR_FAULT, guarded
from ffr.ibv cimport (IBV_QPS_RTS, IBV_QPT_UD, IBV_WC_LOC_LEN_ERR, IBV_WC_LOC_PROT_ERR, IBV_WC_LOC_QP_OP_ERR,
                      IBV_WC_RECV, IBV_WC_SUCCESS)
from ffr.objects.mcast cimport mcast_next
from ffr.nic.base cimport NIC_IDLE, NIC_WORKED
from ffr.nic.local.message cimport (DONE, EMPTY, PATIENCE_NS, READY, STOPPED, count, dropped, fail, fault_is_local,
                                    fetch, give_up, local_of, owns, receives, request, take_receive, wait_is_over)
from ffr.nic.roce.datagrams cimport ROCE_UD_NOWHERE, roce_ud_send, roce_ud_spread
from ffr.objects.qp cimport FFR_BATCH, FFR_TURN_BYTES, qp_error, qp_received, qp_sent, qp_shared, qp_wait
from ffr.nic.roce.protocol.qp cimport ROCE_NO_ROOM
from ffr.objects.rq cimport rq_of, rq_ready
from ffr.state cimport (FFR_AHS, FFR_NONE, FFR_QPS, FFR_RUN, FFR_WAIT_RNR, ffr_ah, ffr_qp, ffr_router,
                        ffr_session, has_gid)


cdef enum:
    UDP_HEADER = 8
    OWN_QKEY = 1 << 31        # a Q_Key with this bit stands for the QP's own (IBTA 10.2.5)


cdef struct datagram:
    request q                 # its source[0] is grh
    ff_grh grh


# ---- where to ----

cdef ffr_ah *ah_of(ffr_router *r, const ffr_qp *q, uint32_t handle) noexcept nogil:
    """NULL: the QP's PD has no such address handle (IBTA 10.2.2.3)."""
    cdef ffr_ah *ah = &r.state.ah[handle % FFR_AHS]
    return ah if handle < FFR_AHS and ah.o.used and ah.pd == q.pd else NULL


cdef bint welcome(ffr_router *r, uint32_t index, uint32_t to, const ff_wqe *w) noexcept nogil:
    """Does this QP take datagrams, and those with this Q_Key?"""
    cdef const ffr_qp *p = &r.state.qp[to]
    cdef uint32_t qkey = r.state.qp[index].attr.qkey if w.qkey & <uint32_t>OWN_QKEY else w.qkey
    if receives(p) and p.attr.qkey == qkey:
        return True
    if receives(p):
        r.state.session[p.o.session].qkey_violations += 1
    dropped(r, to)
    return False


cdef uint32_t destination(ffr_router *r, const ff_wqe *w, const ffr_ah *ah) noexcept nogil:
    """The QP of this host that the datagram is for, or FFR_NONE."""
    cdef uint32_t to = w.remote_qpn & (FFR_QPS - 1)
    cdef const ffr_qp *p = &r.state.qp[to]
    if p.qpn != w.remote_qpn or not p.o.used or p.type != IBV_QPT_UD \
            or not owns(&r.state.session[p.o.session], ah.attr.dgid):
        return FFR_NONE
    return to


cdef void address(ffr_router *r, uint32_t index, const ff_wqe *w, const ffr_ah *ah, datagram *d) noexcept nogil:
    """The GRH, as the packet on the wire would have it."""
    cdef const ffr_session *s = &r.state.session[r.state.qp[index].o.session]
    cdef uint64_t udp = UDP_HEADER + sizeof(ff_bth) + sizeof(ff_deth) + ((d.q.length + 3) & ~<uint64_t>3) + FF_ICRC_SIZE
    cdef ff_grh_fields f
    memcpy(f.sgid, s.gid[ah.attr.sgid_index], 16)
    memcpy(f.dgid, ah.attr.dgid, 16)
    f.flow_label = ah.attr.flow_label
    f.traffic_class = ah.attr.traffic_class
    f.hop_limit = ah.attr.hop_limit if ah.attr.hop_limit else <uint8_t>FF_HOP_LIMIT
    ff_grh_write(&d.grh, &f, <uint32_t>udp + (4 if w.opcode == FF_OP_SEND_IMM else 0))
    d.q.source[0].at = <uint8_t *>&d.grh
    d.q.source[0].length = sizeof(ff_grh)


cdef uint8_t grh_flags(const request *q) noexcept nogil:
    return ff_grh_cqe_flags(<const ff_grh *>q.source[0].at)


# ---- receivers that are not ready ----

cdef bint wait_for(ffr_router *r, uint32_t index, uint32_t to) noexcept nogil:
    """True: the QP waits until `to` has a receive WQE. False: it has one, or has been waited for in vain."""
    cdef ffr_qp *q = &r.state.qp[index]
    cdef ffr_qp *p = &r.state.qp[to]
    if wait_is_over(r, rq_of(r, p)):
        return False
    q.peer = to
    q.peer_generation = p.generation
    qp_wait(r, index, FFR_WAIT_RNR, r.now_ns + PATIENCE_NS)
    return True


cdef bint local_ud_ready(ffr_router *r, uint32_t index) noexcept nogil:
    cdef const ffr_qp *q = &r.state.qp[index]
    cdef ffr_qp *p = &r.state.qp[q.peer]
    return p.generation != q.peer_generation or not receives(p) or wait_is_over(r, rq_of(r, p))


cdef void local_ud_expired(ffr_router *r, uint32_t index) noexcept nogil:
    """local_ud_ready has just seen that the receiver is there."""
    cdef ffr_qp *q = &r.state.qp[index]
    q.wait = FFR_RUN
    give_up(rq_of(r, &r.state.qp[q.peer]))


# ---- executing ----

cdef int deliver(ffr_router *r, uint32_t index, const ff_wqe *w, uint32_t to, request *q) noexcept nogil:
    """To a QP that has a receive WQE or has been waited for. DONE, also when it is dropped; STOPPED: the requester's
    memory is not there."""
    cdef ffr_qp *p = &r.state.qp[to]
    cdef uint8_t status
    cdef ff_move m
    if not rq_ready(r, rq_of(r, p)):
        dropped(r, to)
        return DONE
    status = take_receive(r, rq_of(r, p), q)
    if status == IBV_WC_SUCCESS:
        m.to, m.to_count = q.remote, q.remote_count
        m.source, m.source_count = q.source, q.local_count + 1
        m.start, m.length, m.last = 0, sizeof(ff_grh) + q.length, True
        if m.length > q.room:
            dropped(r, to)                   # class D: the receive WQE serves a datagram that fits
            return DONE
        if guarded(ff_engine_move, &m) == FFR_FAULT:
            if fault_is_local(r, index, q):
                return fail(r, index, w, IBV_WC_LOC_PROT_ERR)
            status = IBV_WC_LOC_PROT_ERR
    if status != IBV_WC_SUCCESS:             # class A: the receive WQE is bad
        qp_received(r, to, q.wr_id, status, IBV_WC_RECV, 0, 0, 0, 0, False)
        qp_error(r, to, False)
        return DONE
    q.done += m.length
    count(r, index, to, q.length)
    qp_received(r, to, q.wr_id, IBV_WC_SUCCESS, IBV_WC_RECV,
                grh_flags(q) | (FF_CQE_IMM if w.opcode == FF_OP_SEND_IMM else 0), m.length, w.imm,
                r.state.qp[index].qpn, w.flags & FF_WQE_SOLICITED)
    return DONE


cdef int on_the_wire(ffr_router *r, uint32_t index, const ff_wqe *w, int status, request *q) noexcept nogil:
    """What becomes of the WQE, by what the roce NIC says."""
    if status == ROCE_NO_ROOM:
        return STOPPED                       # still active: its next turn tries again
    if status > 0:
        return fail(r, index, w, <uint8_t>status)
    if status == ROCE_UD_NOWHERE:
        dropped(r, index)
        return DONE
    q.done += q.length
    r.session_stats[r.state.qp[index].o.session].tx_messages += 1
    r.session_stats[r.state.qp[index].o.session].tx_bytes += q.length
    r.qp_stats[index].tx_messages += 1
    r.qp_stats[index].tx_bytes += q.length
    return DONE


cdef int unicast(ffr_router *r, uint32_t index, const ff_wqe *w, const ffr_ah *ah, datagram *d) noexcept nogil:
    cdef request *q = &d.q
    cdef const uint8_t *sgid = r.state.session[r.state.qp[index].o.session].gid[ah.attr.sgid_index]
    cdef uint32_t to = destination(r, w, ah)
    if to == FFR_NONE or r.wire_only:
        return on_the_wire(r, index, w, roce_ud_send(r, index, w, sgid, ah.attr.dgid, &d.grh, local_of(q), q.local_count,
                                                     q.length), q)
    if not welcome(r, index, to, w):
        return DONE
    if wait_for(r, index, to):
        return STOPPED
    return deliver(r, index, w, to, q)


cdef int multicast(ffr_router *r, uint32_t index, const ff_wqe *w, const ffr_ah *ah, datagram *d) noexcept nogil:
    """A copy to each QP of this host that is attached to the group, the sender's own among them, and one to each other
    router. All or none wait."""
    cdef request *q = &d.q
    cdef uint32_t at = mcast_next(r, ah.attr.dgid, FFR_NONE)
    cdef int outcome = DONE, status
    if w.remote_qpn != FF_QPN_MASK:          # IBTA 10.5.2: such a packet has no other destination QP
        return DONE
    while at != FFR_NONE:                    # bound, of this loop and the next: FFR_MCAST_QPS
        if receives(&r.state.qp[r.state.mcast[at].qp]) and wait_for(r, index, r.state.mcast[at].qp):
            return STOPPED
        at = mcast_next(r, ah.attr.dgid, at)
    status = roce_ud_spread(r, index, w, &d.grh, local_of(q), q.local_count, q.length)
    if status != ROCE_UD_NOWHERE:
        outcome = on_the_wire(r, index, w, status, q)
    if status != ROCE_UD_NOWHERE and r.wire_only:
        return outcome                       # this router is among those that it went to
    at = mcast_next(r, ah.attr.dgid, FFR_NONE)
    while at != FFR_NONE and outcome == DONE:
        if welcome(r, index, r.state.mcast[at].qp, w):
            outcome = deliver(r, index, w, r.state.mcast[at].qp, q)
        at = mcast_next(r, ah.attr.dgid, at)
    return outcome


cdef int send(ffr_router *r, uint32_t index, const ff_wqe *w, const ffr_ah *ah, datagram *d) noexcept nogil:
    if not has_gid(&r.state.session[r.state.qp[index].o.session], ah.attr.sgid_index):
        dropped(r, index)                    # the container has lost that address since the handle was made
        return DONE
    address(r, index, w, ah, d)
    if ff_gid_is_multicast(ah.attr.dgid):
        return multicast(r, index, w, ah, d)
    return unicast(r, index, w, ah, d)


cdef int step(ffr_router *r, uint32_t index, datagram *d) noexcept nogil:
    cdef ff_wqe *w = <ff_wqe *>d.q.wqe
    cdef ffr_qp *q = &r.state.qp[index]
    cdef const ffr_ah *ah
    cdef int outcome = fetch(r, index, w, &d.q)
    if outcome != READY:
        return outcome
    if d.q.length > r.port_mtu:              # IBTA 11.4.1.1: a datagram is one packet
        return fail(r, index, w, IBV_WC_LOC_LEN_ERR)
    ah = ah_of(r, q, w.ah)
    if ah == NULL:
        return fail(r, index, w, IBV_WC_LOC_QP_OP_ERR)
    outcome = send(r, index, w, ah, d)
    if outcome == DONE:
        qp_sent(r, index, w, IBV_WC_SUCCESS, d.q.length)
    return outcome


cdef int local_ud_run(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    cdef datagram d
    cdef uint64_t bytes = 0
    cdef int n = 0, outcome = EMPTY
    while n < FFR_BATCH and bytes < FFR_TURN_BYTES and q.state == IBV_QPS_RTS:
        d.q.done = 0
        outcome = step(r, index, &d)
        if outcome != DONE:
            break
        bytes += d.q.done
        n += 1
    if n:
        ff_store32_release(&qp_shared(r, q).sq_done, q.sq_index)
        r.stats.wqes += n
        r.stats.bytes += bytes
    return NIC_IDLE if n == 0 and outcome == EMPTY else NIC_WORKED
