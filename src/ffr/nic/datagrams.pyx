from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from ffcore.grh cimport FF_HOP_LIMIT, ff_gid_is_multicast, ff_grh, ff_grh_fields, ff_grh_write
from ffcore.roce cimport FF_ICRC_SIZE, FF_QPN_MASK, ff_bth, ff_deth
from ffcore.shm cimport FF_OP_SEND_IMM, ff_store32_release, ff_wqe
from ffr.ibv cimport IBV_QPS_RTS, IBV_QPT_UD, IBV_WC_LOC_LEN_ERR, IBV_WC_LOC_QP_OP_ERR, IBV_WC_SUCCESS
from ffr.nic.base cimport (NIC_IDLE, NIC_NOWHERE, NIC_SENT, NIC_WORKED, ffr_nic, nic_at, nic_datagram)
from ffr.nic.message cimport (DONE, EMPTY, READY, STOPPED, UDP_HEADER, await_receiver, dropped, fail, fetch, give_up, receives,
                              wait_is_over)
from ffr.objects.mcast cimport mcast_next
from ffr.objects.qp cimport qp_sent, qp_shared
from ffr.objects.reach cimport reach_between, reach_to
from ffr.objects.rq cimport rq_of
from ffr.state cimport FFR_AHS, FFR_NONE, FFR_RUN, ffr_ah, ffr_qp, ffr_session, has_gid


cdef ffr_nic *nics = nic_at(0)               # up to the first that has no name


cdef bint datagrams_reach(ffr_router *r, uint32_t index) noexcept nogil:
    return r.state.qp[index].type == IBV_QPT_UD


# ---- where to ----

cdef ffr_ah *ah_of(ffr_router *r, const ffr_qp *q, uint32_t handle) noexcept nogil:
    """NULL: the QP's PD has no such address handle (IBTA 10.2.2.3)."""
    cdef ffr_ah *ah = &r.state.ah[handle % FFR_AHS]
    return ah if handle < FFR_AHS and ah.o.used and ah.pd == q.pd else NULL


cdef void address(ffr_router *r, uint32_t index, const ff_wqe *w, nic_datagram *d) noexcept nogil:
    """The GRH, as the packet on the wire would have it."""
    cdef const ffr_session *s = &r.state.session[r.state.qp[index].o.session]
    cdef const ffr_ah *ah = d.ah
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


# ---- receivers that are not ready ----

cdef bint datagrams_ready(ffr_router *r, uint32_t index) noexcept nogil:
    cdef const ffr_qp *q = &r.state.qp[index]
    cdef ffr_qp *p = &r.state.qp[q.peer]
    return p.generation != q.peer_generation or not receives(p) or wait_is_over(r, rq_of(r, p))


cdef void datagrams_expired(ffr_router *r, uint32_t index) noexcept nogil:
    """datagrams_ready has just seen that the receiver is there."""
    cdef ffr_qp *q = &r.state.qp[index]
    q.wait = FFR_RUN
    give_up(rq_of(r, &r.state.qp[q.peer]))


# ---- executing ----

cdef int judged(ffr_router *r, uint32_t index, const ff_wqe *w, int status) noexcept nogil:
    """What becomes of the WQE, by what a NIC says."""
    if status > 0:
        return fail(r, index, w, <uint8_t>status)
    return DONE if status == NIC_SENT else STOPPED           # NIC_NO_ROOM: still active, its next turn tries again


cdef int unicast(ffr_router *r, uint32_t index, const ff_wqe *w, nic_datagram *d) noexcept nogil:
    cdef ffr_nic *nic = nics
    cdef int status = NIC_NOWHERE
    while nic.name != NULL:
        if nic.send_datagram != NULL:
            status = nic.send_datagram(r, index, d)
        if status != NIC_NOWHERE:
            return judged(r, index, w, status)
        nic += 1
    dropped(r, index)
    return DONE


cdef int multicast(ffr_router *r, uint32_t index, const ff_wqe *w, nic_datagram *d) noexcept nogil:
    """To the members of all NICs, or to none: those of this router are waited for first, and the NICs that may have no room are
    asked first, which are the last of the table."""
    cdef uint32_t at = mcast_next(r, d.ah.attr.dgid, FFR_NONE), member
    cdef ffr_nic *nic = nics
    cdef int status
    if w.remote_qpn != FF_QPN_MASK:          # IBTA 10.5.2: such a packet has no other destination QP
        return DONE
    while at != FFR_NONE:                    # bound: FFR_MCAST_QPS
        member = r.state.mcast[at].qp        # not waited for: the sender itself, which may do nothing but send (mckey -s)
        if (member != index and receives(&r.state.qp[member])
                and reach_between(r, r.state.qp[index].o.session, r.state.qp[member].o.session)
                and await_receiver(r, index, member)):
            return STOPPED
        at = mcast_next(r, d.ah.attr.dgid, at)
    while nic.name != NULL:
        nic += 1
    while nic != nics:
        nic -= 1
        if nic.spread == NULL:
            continue
        status = nic.spread(r, index, d)
        if status == NIC_NOWHERE:
            continue
        if status != NIC_SENT or r.wire_only:
            return judged(r, index, w, status)   # wire_only: this router is among those that it went to
    return DONE


cdef int send(ffr_router *r, uint32_t index, const ff_wqe *w, nic_datagram *d) noexcept nogil:
    if not has_gid(&r.state.session[r.state.qp[index].o.session], d.ah.attr.sgid_index):
        dropped(r, index)                    # the container has lost that address since the handle was made
        return DONE
    if not ff_gid_is_multicast(d.ah.attr.dgid) and not reach_to(r, r.state.qp[index].o.session, d.ah.attr.dgid):
        dropped(r, index)                    # so it was when the handle was made: another rule, or another's address
        return DONE
    address(r, index, w, d)
    if ff_gid_is_multicast(d.ah.attr.dgid):
        return multicast(r, index, w, d)
    return unicast(r, index, w, d)


cdef int step(ffr_router *r, uint32_t index, nic_datagram *d) noexcept nogil:
    cdef ff_wqe *w = <ff_wqe *>d.q.wqe
    cdef ffr_qp *q = &r.state.qp[index]
    cdef int outcome = fetch(r, index, w, &d.q)
    if outcome != READY:
        return outcome
    if d.q.length > r.port_mtu:              # IBTA 11.4.1.1: a datagram is one packet
        return fail(r, index, w, IBV_WC_LOC_LEN_ERR)
    d.ah = ah_of(r, q, w.ah)
    if d.ah == NULL:
        return fail(r, index, w, IBV_WC_LOC_QP_OP_ERR)
    outcome = send(r, index, w, d)
    if outcome == DONE:
        qp_sent(r, index, w, IBV_WC_SUCCESS, d.q.length)
    return outcome


cdef int datagrams_run(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    cdef nic_datagram d
    cdef uint64_t bytes = 0
    cdef int n = 0, outcome = EMPTY
    while n < <int>r.turn_wqes and bytes < r.turn_bytes and q.state == IBV_QPS_RTS:
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


# ---- QPs come and go ----

cdef void datagrams_enter(ffr_router *r, uint32_t index, uint32_t before) noexcept nogil:
    cdef ffr_nic *nic = nics
    while nic.name != NULL:
        if nic.datagram_enter != NULL:
            nic.datagram_enter(r, index, before)
        nic += 1


cdef void datagrams_leave(ffr_router *r, uint32_t index, bint gone) noexcept nogil:
    cdef ffr_nic *nic = nics
    while nic.name != NULL:
        if nic.datagram_leave != NULL:
            nic.datagram_leave(r, index, gone)
        nic += 1
