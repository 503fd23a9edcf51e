"""UD between the containers of this host: a datagram is dropped without a word where it is not welcome (IBTA 9.8.3, 9.9.3
class D)."""

from libc.stdint cimport uint8_t

from ffcore.engine cimport ff_engine_move, ff_move
from ffcore.grh cimport ff_grh, ff_grh_cqe_flags
from ffcore.shm cimport FF_CQE_IMM, FF_OP_SEND_IMM, FF_WQE_SOLICITED, ff_wqe
from ffr.ibv cimport IBV_QPT_UD, IBV_WC_LOC_PROT_ERR, IBV_WC_RECV, IBV_WC_SUCCESS
from ffr.mem.guard cimport FFR_FAULT, guarded
from ffr.nic.base cimport NIC_NOWHERE, NIC_SENT, NIC_WAITS, nic_request
from ffr.nic.message cimport OWN_QKEY, await_receiver, count, dropped, fault_is_local, owns, receives, take_receive
from ffr.objects.mcast cimport mcast_next
from ffr.objects.qp cimport qp_error, qp_received
from ffr.objects.reach cimport reach_between
from ffr.objects.rq cimport rq_of, rq_ready
from ffr.state cimport FFR_NONE, FFR_QPS, ffr_ah, ffr_qp


cdef bint welcome(ffr_router *r, uint32_t index, uint32_t to, const ff_wqe *w) noexcept nogil:
    """Does this QP take datagrams, from there, and those with this Q_Key?"""
    cdef const ffr_qp *p = &r.state.qp[to]
    cdef uint32_t qkey = r.state.qp[index].attr.qkey if w.qkey & <uint32_t>OWN_QKEY else w.qkey
    if not reach_between(r, r.state.qp[index].o.session, p.o.session):
        dropped(r, to)
        return False
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


cdef int deliver(ffr_router *r, uint32_t index, const ff_wqe *w, uint32_t to, nic_request *q) noexcept nogil:
    """To a QP that has a receive WQE or has been waited for. NIC_SENT, also when it is dropped; or a status: the requester's
    memory is not there."""
    cdef ffr_qp *p = &r.state.qp[to]
    cdef uint8_t status
    cdef ff_move m
    if not rq_ready(r, rq_of(r, p)):
        dropped(r, to)
        return NIC_SENT
    status = take_receive(r, rq_of(r, p), q)
    if status == IBV_WC_SUCCESS:
        m.to, m.to_count = q.remote, q.remote_count
        m.source, m.source_count = q.source, q.local_count + 1
        m.start, m.length, m.last = 0, sizeof(ff_grh) + q.length, True
        if m.length > q.room:
            dropped(r, to)                   # class D: the receive WQE serves a datagram that fits
            return NIC_SENT
        if guarded(ff_engine_move, &m) == FFR_FAULT:
            if fault_is_local(r, index, q):
                return IBV_WC_LOC_PROT_ERR
            status = IBV_WC_LOC_PROT_ERR
    if status != IBV_WC_SUCCESS:             # class A: the receive WQE is bad
        qp_received(r, to, q.wr_id, status, IBV_WC_RECV, 0, 0, 0, 0, False)
        qp_error(r, to, False)
        return NIC_SENT
    q.done += m.length
    count(r, index, to, q.length)
    qp_received(r, to, q.wr_id, IBV_WC_SUCCESS, IBV_WC_RECV,
                ff_grh_cqe_flags(<const ff_grh *>q.source[0].at) | (FF_CQE_IMM if w.opcode == FF_OP_SEND_IMM else 0),
                m.length, w.imm, r.state.qp[index].qpn, w.flags & FF_WQE_SOLICITED)
    return NIC_SENT


cdef int local_send_datagram(ffr_router *r, uint32_t index, nic_datagram *d) noexcept nogil:
    cdef const ff_wqe *w = <const ff_wqe *>d.q.wqe
    cdef uint32_t to = FFR_NONE if r.wire_only else destination(r, w, d.ah)
    if to == FFR_NONE:
        return NIC_NOWHERE
    if not welcome(r, index, to, w):
        return NIC_SENT
    if await_receiver(r, index, to):
        return NIC_WAITS
    return deliver(r, index, w, to, &d.q)


cdef int local_spread(ffr_router *r, uint32_t index, nic_datagram *d) noexcept nogil:
    """A copy to each QP of this host that is attached to the group, the sender's own among them."""
    cdef const ff_wqe *w = <const ff_wqe *>d.q.wqe
    cdef uint32_t at = mcast_next(r, d.ah.attr.dgid, FFR_NONE)
    cdef int outcome = NIC_SENT
    while at != FFR_NONE and outcome == NIC_SENT:            # bound: FFR_MCAST_QPS
        if welcome(r, index, r.state.mcast[at].qp, w):
            outcome = deliver(r, index, w, r.state.mcast[at].qp, &d.q)
        at = mcast_next(r, d.ah.attr.dgid, at)
    return outcome
