from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from ffcore.engine cimport ff_engine_move, ff_move, ff_segment
from ffcore.grh cimport FF_HOP_LIMIT, ff_gid_is_multicast, ff_grh, ff_grh_fields, ff_grh_read, ff_grh_write
from ffcore.icrc cimport ff_icrc_flow_ipv4, ff_icrc_flow_ipv6, ff_icrc_good
from ffcore.roce cimport *
from ffcore.shm cimport FF_OP_SEND_IMM, FF_WQE_SOLICITED, ff_wqe
from ffr.mem.guard cimport FFR_FAULT, guarded
from ffr.ibv cimport IBV_QPS_RTR, IBV_QPS_RTS, IBV_QPT_UD, IBV_WC_LOC_PROT_ERR
from ffr.objects.mcast cimport mcast_next
from ffr.objects.reach cimport reach_from
from ffr.nic.base cimport NIC_MAD_QKEY, NIC_MAD_QPN, NIC_MAD_SIZE, nic_mad_came, NIC_NO_ROOM, NIC_NOWHERE, NIC_SENT, nic_request
from ffr.nic.message cimport OWN_QKEY, UDP_HEADER, dropped, local_of, owns
from ffr.nic.roce.backlog cimport backlog_drop
from ffr.nic.roce.marks cimport marks_allow, marks_count
from ffr.nic.roce.map cimport map_gid, map_host, map_is_behind, map_route, map_router, roce_route
from ffr.nic.roce.packets cimport packet_end
from ffr.nic.roce.protocol.qp cimport roce_qp
from ffr.nic.roce.tables cimport roce_nic_of, roce_peer, roce_receives
from ffr.nic.roce.udp cimport ffr_udp_address, udp_room
from ffr.nic.roce.protocol.transport cimport transport_start
from ffr.nic.roce.protocol.wire cimport roce_emit
from ffr.state cimport FFR_NONE, FFR_QPS, ffr_qp


cdef extern from "<sys/socket.h>" nogil:
    enum:
        AF_INET


# ---- out ----

cdef void head_of(roce_packet *h, roce_qp *q, const ff_wqe *w, const ff_grh *grh, bint routed,
                  uint64_t length) noexcept nogil:
    memset(h, 0, sizeof(roce_packet))
    h.opcode = (FF_ROUTED_UD if routed else FF_UD) | (FF_SEND_ONLY_IMM if w.opcode == FF_OP_SEND_IMM else FF_SEND_ONLY)
    h.solicited = w.flags & FF_WQE_SOLICITED != 0
    h.pkey = q.pkey
    h.qpn = w.remote_qpn
    h.psn = q.send_psn
    h.imm = w.imm
    h.qkey = q.qkey if w.qkey & <uint32_t>OWN_QKEY else w.qkey
    h.src_qpn = q.qpn
    h.size = <uint32_t>length
    h.grh = <const uint8_t *>grh


cdef int datagram_put(roce_nic *n, uint32_t socket, const ffr_udp_address *to, const ff_icrc_flow *flow, roce_packet *head,
             ff_segment *segments, uint32_t count) noexcept nogil:
    """Composes the packet in the arena. NIC_SENT, NIC_NO_ROOM, or a status."""
    cdef uint8_t headers[FF_ROCE_MAX_HEADERS]
    cdef uint32_t begin = roce_emit(head, headers), end = begin + head.size + head.pad
    cdef uint16_t ident
    cdef uint8_t *at = udp_room(&n.arena, n.tables.socket[socket].fd, to, end + FF_ICRC_SIZE, &ident)
    cdef ff_segment packet
    cdef ff_move m
    if at == NULL:
        return NIC_NO_ROOM
    packet.at = at + begin
    packet.length = head.size
    m.source, m.source_count = segments, count
    m.to, m.to_count = &packet, 1
    m.start, m.length, m.last = 0, head.size, False
    if head.size and guarded(ff_engine_move, &m) == FFR_FAULT:
        n.router.stats.faults += 1
        return IBV_WC_LOC_PROT_ERR
    memcpy(at, headers, begin)
    memset(at + begin + head.size, 0, head.pad)
    packet_end(n, flow, at, end, ident)
    n.counters.packets_sent += 1
    return NIC_SENT


cdef void datagram_flow(roce_nic *n, const roce_route *route, ff_icrc_flow *flow) noexcept nogil:
    if route.router:
        flow[0] = n.tables.peer[route.router].flow
    else:
        (ff_icrc_flow_ipv4 if route.address.family == AF_INET else ff_icrc_flow_ipv6)(
            flow, n.tables.socket[route.socket].address.ip, route.address.ip, FF_ROCE_PORT, FF_ROCE_PORT)


cdef void count(ffr_router *r, uint32_t qp, nic_request *q) noexcept nogil:
    q.done += q.length
    r.session_stats[r.state.qp[qp].o.session].tx_messages += 1
    r.session_stats[r.state.qp[qp].o.session].tx_bytes += q.length
    r.qp_stats[qp].tx_messages += 1
    r.qp_stats[qp].tx_bytes += q.length


cdef int roce_send_datagram(ffr_router *r, uint32_t qp, nic_datagram *d) noexcept nogil:
    cdef roce_nic *n = roce_nic_of()
    cdef const ff_wqe *w = <const ff_wqe *>d.q.wqe
    cdef const uint8_t *sgid = r.state.session[r.state.qp[qp].o.session].gid[d.ah.attr.sgid_index]
    cdef roce_qp *q
    cdef roce_route route
    cdef roce_packet head
    cdef ff_icrc_flow flow
    cdef int status
    if n.router == NULL or not map_route(n, sgid, d.ah.attr.dgid, &route):
        return NIC_NOWHERE
    q = &n.tables.qp[qp]
    head_of(&head, q, w, &d.grh, route.router != 0, d.q.length)
    if route.router and not marks_allow(n, &n.tables.peer[route.router]):
        return NIC_NO_ROOM
    datagram_flow(n, &route, &flow)
    status = datagram_put(n, route.socket, &route.address, &flow, &head, local_of(&d.q), d.q.local_count)
    if status == NIC_SENT:
        q.send_psn = ff_psn_add(q.send_psn, 1)
        count(r, qp, &d.q)
        if route.router:
            marks_count(n, &n.tables.peer[route.router], 1)
    return status


cdef int roce_spread(ffr_router *r, uint32_t qp, nic_datagram *d) noexcept nogil:
    """To every other router that is known: only where the members are it is known who they are."""
    cdef roce_nic *n = roce_nic_of()
    cdef roce_packet head
    cdef roce_peer *p
    cdef bint begun = False
    cdef uint32_t i
    cdef int status
    if n.router == NULL:
        return NIC_NOWHERE
    head_of(&head, &n.tables.qp[qp], <const ff_wqe *>d.q.wqe, &d.grh, True, d.q.length)
    for i in range(1, n.tables.peers):       # bound: the peers that this router ever had
        p = &n.tables.peer[i]
        if not p.gids:
            continue
        status = datagram_put(n, p.socket, &p.address, &p.flow, &head, local_of(&d.q), d.q.local_count)
        if status != NIC_SENT and (not begun or status != NIC_NO_ROOM):
            return status                    # a second try would reach the first ones twice
        begun = True
        if status == NIC_SENT:
            marks_count(n, p, 1)              # counted, but not held up by the slowest of all
    if not begun:
        return NIC_NOWHERE
    n.tables.qp[qp].send_psn = ff_psn_add(n.tables.qp[qp].send_psn, 1)
    count(r, qp, &d.q)
    return NIC_SENT


# ---- in ----

cdef bint where_from(roce_nic *n, roce_packet *p, const ffr_udp_in *from_, uint32_t socket, ff_grh *grh,
                     ff_grh_fields *f) noexcept nogil:
    """The GRH, which the packet or its IP header says. False: the packet is not welcome from there: a router speaks for addresses
    that the map says are its, so that whose they are is known too."""
    cdef uint32_t peer
    if p.opcode & FF_TRANSPORT_MASK == FF_ROUTED_UD:
        memcpy(grh, p.grh, sizeof(ff_grh))
        peer = map_router(n, socket, &from_.from_)
        return peer != 0 and ff_grh_read(grh, f) == 0 and map_is_behind(n, f.sgid, peer)
    if map_host(n, socket, &from_.from_):
        return False
    map_gid(f.sgid, &from_.from_)
    map_gid(f.dgid, &n.tables.socket[socket].address)
    f.flow_label = f.traffic_class = 0       # a UDP socket shows neither, nor the hop limit
    f.hop_limit = FF_HOP_LIMIT
    ff_grh_write(grh, f, UDP_HEADER + p.headers + p.size + p.pad + FF_ICRC_SIZE)
    return True


cdef uint32_t receiver(roce_nic *n, const roce_packet *p, const uint8_t *dgid) noexcept nogil:
    """The QP of that number, if it is a UD QP of whoever has the address; FFR_NONE."""
    cdef uint32_t index = p.qpn & (FFR_QPS - 1)
    cdef const ffr_qp *q = &n.router.state.qp[index]
    if not q.o.used or q.qpn != p.qpn or q.type != IBV_QPT_UD or not owns(&n.router.state.session[q.o.session], dgid):
        return FFR_NONE
    return index


cdef void welcome(roce_nic *n, uint32_t index, roce_packet *p, const uint8_t *sgid, const uint8_t *bytes,
                  uint32_t size) noexcept nogil:
    """To one QP, if it takes datagrams from there and has this Q_Key (9.8.3)."""
    cdef const ffr_qp *q = &n.router.state.qp[index]
    if not reach_from(n.router, sgid, q.o.session):
        dropped(n.router, index)
        return
    if not roce_receives(q.state) or q.attr.qkey != p.qkey:
        if roce_receives(q.state):
            n.router.state.session[q.o.session].qkey_violations += 1
        dropped(n.router, index)
        return
    n.deliver(n, index, p, bytes, size)


cdef void ud_take(roce_nic *n, roce_packet *p, const uint8_t *bytes, uint32_t size, uint16_t segment,
                  const ffr_udp_in *from_, const ff_icrc_flow *flow, uint32_t socket) noexcept nogil:
    cdef ff_grh grh
    cdef ff_grh_fields f
    cdef uint32_t index = FFR_NONE
    cdef bint group, is_mad
    if not where_from(n, p, from_, socket, &grh, &f):
        n.strangers += 1
        return
    group = ff_gid_is_multicast(f.dgid) and p.qpn == FF_QPN_MASK     # IBTA 10.5.2
    is_mad = not group and p.qpn == NIC_MAD_QPN and p.qkey == NIC_MAD_QKEY and p.size == NIC_MAD_SIZE
    if not group and not is_mad:
        index = receiver(n, p, f.dgid)
        if index == FFR_NONE:
            n.strangers += 1
            return
    if not ff_icrc_good(flow, segment, bytes, <uint16_t>size):
        n.bad_icrc += 1
        return
    if is_mad:
        nic_mad_came(n.router, p.payload, f.sgid, f.dgid)
        return
    p.opcode = FF_UD | (p.opcode & FF_OPERATION_MASK)        # what was different is done
    p.grh = <const uint8_t *>&grh
    if not group:
        welcome(n, index, p, f.sgid, bytes, size - FF_ICRC_SIZE)
        return
    index = mcast_next(n.router, f.dgid, FFR_NONE)
    while index != FFR_NONE:                 # bound: FFR_MCAST_QPS
        welcome(n, n.router.state.mcast[index].qp, p, f.sgid, bytes, size - FF_ICRC_SIZE)
        index = mcast_next(n.router, f.dgid, index)


# ---- QPs come and go ----

cdef void roce_ud_enter(ffr_router *r, uint32_t qp, uint32_t before) noexcept nogil:
    cdef roce_nic *n = roce_nic_of()
    cdef const ffr_qp *from_ = &r.state.qp[qp]
    cdef roce_qp *q
    if n.router == NULL:
        return
    q = &n.tables.qp[qp]
    if from_.state == IBV_QPS_RTR:
        memset(q, 0, sizeof(roce_qp))
        n.tables.side[qp].path = 0
        q.handle = qp
        q.qpn = from_.qpn
        transport_start(q, 0, 0)
        q.transport = FF_UD
        q.mtu = FF_ROCE_MAX_MTU
    q.qkey = from_.attr.qkey
    if from_.state == IBV_QPS_RTS and before == IBV_QPS_RTR:
        q.send_psn = from_.attr.sq_psn


cdef void roce_ud_leave(ffr_router *r, uint32_t qp, bint gone) noexcept nogil:
    cdef roce_nic *n = roce_nic_of()
    if n.router == NULL or n.tables.qp[qp].transport != FF_UD:
        return
    backlog_drop(n, qp)
    n.tables.qp[qp].failed = 1
