"""Drives the QPs that talk over the wire: their turns, their timers, and what comes from the sockets.

One call of roce_poll or roce_run is a batch: packets are taken in, then their QPs answer, then requests go out in
turns, and at the end all of it leaves in a few system calls.
"""

import errno as errnos
import ipaddress
import os

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport uint8_t
from libc.string cimport memset
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap

from ffcore.grh cimport ff_gid_is_ipv4
from ffcore.roce cimport (FF_RC, FF_ROCE_BESIDE_IPV4, FF_ROCE_BESIDE_IPV6, FF_ROCE_MAX_PACKET, FF_ROCE_MIN_MTU, FF_UC, FF_UD, FF_XRC, ff_ack_timeout_ns, ff_immdt, ff_packets_of,
                          ff_reth)
from ffcore.shm cimport ff_load32_acquire, ff_store32_release
from ffr.objects.cq cimport cq_rouse
from ffr.ibv cimport IBV_QPS_ERR, IBV_QPS_RTR, IBV_QPS_RTS, IBV_QPS_SQD, IBV_QPS_SQE, IBV_QPT_RC, IBV_QPT_UC
from ffr.nic.base cimport NIC_IDLE, NIC_WORKED
from ffr.nic.roce.faulty cimport faulty_deadline, faulty_describe
from ffr.nic.message cimport dropped
from ffr.nic.roce.backlog cimport backlog_drop, backlog_needed, backlog_put, backlog_serve
from ffr.nic.roce.listen cimport listen_to_all
from ffr.nic.roce.link.stream cimport STREAM_CARRIES, STREAM_FULL_NS, streams_flush
from ffr.nic.roce.marks cimport marks_allow
from ffr.nic.roce.probe cimport probes_send
from ffr.nic.roce.map cimport map_connect, map_obey, map_route, roce_route
from ffr.nic.roce.rings cimport rings_env, rings_forget
from ffr.nic.roce.tables cimport (ROCE_SOCKETS, ROCE_TICK_BITS, ROCE_TOUCHED, ROCE_QUANTUM, ROCE_WHEEL, roce_nic, roce_nic_of,
                                  roce_peer, roce_side, roce_tables)
from ffr.nic.roce.wheel cimport watch, wheel_deadline, wheel_unlink
from ffr.objects.qp cimport qp_activate, qp_shared, qp_sq_slot, qp_unlist
from ffr.objects.rates cimport rates_charge, rates_open
from ffr.objects.reach cimport reach_party
from ffr.nic.roce.pacing cimport turn_packets
from ffr.nic.roce.protocol.cut cimport cut_read_size, cut_room
from ffr.nic.roce.protocol.held cimport held_drop
from ffr.nic.roce.protocol.probe cimport probe_hears
from ffr.nic.roce.protocol.qp cimport ROCE_RESOURCES, roce_qp, roce_resource
from ffr.nic.roce.protocol.requester cimport ROCE_IDLE, requester_start, requester_stop
from ffr.nic.roce.protocol.requester_timer cimport requester_timer
from ffr.nic.roce.protocol.responder cimport responder_acks, responder_due, responder_start
from ffr.nic.roce.protocol.transport cimport transport_receive, transport_request, transport_respond, transport_start
from ffr.nic.roce.protocol.window cimport path_open
from ffr.nic.roce.protocol.wire cimport roce_packet
from ffr.nic.roce.udp cimport udp_flush, udp_init, udp_segments
from ffr.state cimport FFR_FAR, FFR_NEAR, FFR_NONE, FFR_WAIT_RATE, ffr_qp, ffr_session, has_gid


cdef extern from "<sys/socket.h>" nogil:
    enum:
        AF_INET

cdef extern from "<sys/epoll.h>" nogil:
    enum:
        EPOLL_CLOEXEC
    int epoll_create1(int flags)

cdef extern from "ffr/reactor/loop.h" nogil:
    enum:
        FFR_TAG_NIC
    int ffr_epoll_add(int epoll, int fd, uint32_t tag, uint32_t session)


cdef enum:
    SERVE_PACKETS = 512       # requests that all QPs together send in one call: 0.5 ms of a slow CPU
    SKIP = 16                 # QPs that may not send, passed over in a peer's turn; the next turn goes on behind them
    ANSWERS = 256             # packets that a QP answers with in one turn
    FEW = 2                   # packets of a pass after which ACKs wait
    PATIENCE = 4              # ... for so many passes, each of which yields: a few us

cdef roce_nic *nic = roce_nic_of()


# ---- timers: a wheel ------------------------------------------------------------------------------------------------

cdef int turn_wheel(roce_nic *n, uint64_t now) noexcept nogil:
    cdef roce_tables *t = n.tables
    cdef uint64_t tick = now >> ROCE_TICK_BITS
    cdef uint32_t index, next_index, slot
    cdef int work = 0
    if tick >= t.now_tick + ROCE_WHEEL:
        t.now_tick = tick - ROCE_WHEEL + 1    # after a long sleep: each slot once
    while t.now_tick <= tick:
        slot = t.now_tick & (ROCE_WHEEL - 1)
        index = t.wheel[slot]
        t.wheel[slot] = FFR_NONE
        t.now_tick += 1
        while index != FFR_NONE:              # bound: the connected QPs
            next_index = t.side[index].wheel_next
            t.side[index].wheel_slot = 0
            t.wheel_count -= 1
            if t.qp[index].timer and t.qp[index].timer <= now:
                expire(n, index, now)
                work += 1
            watch(t, index)
            index = next_index
    return work


cdef void expire(roce_nic *n, uint32_t index, uint64_t now) noexcept nogil:
    cdef roce_tables *t = n.tables
    n.router.session_stats[n.router.state.qp[index].o.session].retries += 1
    requester_timer(&t.qp[index], &t.peer[t.side[index].path].window, &n.env, now)
    publish(n, index)
    want(n, index)


# ---- turns ----------------------------------------------------------------------------------------------------------

cdef void publish(roce_nic *n, uint32_t index) noexcept nogil:
    """What the driver of a ring owes its program: slots that are free again; and has_work, what is taken up."""
    cdef ffr_qp *q = &n.router.state.qp[index]
    if not q.pages:
        return                                # XRC_RECV: no rings
    if q.state != IBV_QPS_ERR and q.state != IBV_QPS_SQE:
        q.sq_seen = n.tables.qp[index].sq_next
    ff_store32_release(&qp_shared(n.router, q).sq_done, q.sq_index)


cdef inline bint posted(roce_nic *n, uint32_t index) noexcept nogil:
    cdef uint32_t next_index = n.tables.qp[index].sq_next
    return ff_load32_acquire(&qp_sq_slot(n.router, &n.router.state.qp[index], next_index).seq) == next_index + 1


cdef void enqueue(roce_nic *n, uint32_t index) noexcept nogil:
    cdef roce_tables *t = n.tables
    cdef roce_side *s = &t.side[index]
    cdef roce_peer *p = &t.peer[s.path]
    s.queued = 1
    s.turn_next = FFR_NONE
    if p.first == FFR_NONE:
        p.first = index
    else:
        t.side[p.last].turn_next = index
    p.last = index
    if p.listed:
        return
    p.listed = 1
    p.next = FFR_NONE
    if t.turns_first == FFR_NONE:
        t.turns_first = s.path
    else:
        t.peer[t.turns_last].next = s.path
    t.turns_last = s.path


cdef void dequeue(roce_nic *n, uint32_t index) noexcept nogil:
    """Takes a QP out of the middle: it fails or goes."""
    cdef roce_tables *t = n.tables
    cdef roce_peer *p = &t.peer[t.side[index].path]
    cdef uint32_t at = p.first, before = FFR_NONE
    if not t.side[index].queued:
        return
    while at != index:                        # it is in there
        before = at
        at = t.side[at].turn_next
    if before == FFR_NONE:
        p.first = t.side[index].turn_next
    else:
        t.side[before].turn_next = t.side[index].turn_next
    if p.last == index:
        p.last = before
    t.side[index].queued = 0


cdef void want(roce_nic *n, uint32_t index) noexcept nogil:
    """Into the turns of its peer, if it may have requests to send."""
    cdef roce_qp *q = &n.tables.qp[index]
    cdef uint32_t state = n.router.state.qp[index].state
    if not n.router.state.qp[index].pages or n.tables.side[index].queued or q.failed or q.wait_ns or n.router.state.qp[index].wait == FFR_WAIT_RATE or (state != IBV_QPS_RTS and state != IBV_QPS_SQD):
        return
    if q.sq_sending != q.sq_next or posted(n, index):
        enqueue(n, index)


cdef inline bint awaits(const roce_qp *q) noexcept nogil:
    """An answer or a timer will come for it."""
    return q.sq_done != q.sq_next or q.timer != 0


cdef int take_turn(roce_nic *n, uint32_t index) noexcept nogil:
    """A quantum of requests, or less where it has a rate; how many packets."""
    cdef roce_tables *t = n.tables
    cdef roce_qp *q = &t.qp[index]
    cdef uint64_t before = n.counters.packets_sent, asked = n.counters.bytes_asked
    cdef uint32_t first = q.sq_next
    cdef int turn
    if n.router.rated and not rates_open(n.router, index):
        t.side[index].held = 1                # it waits in the router's list; roce_run goes on here
        return 0
    turn = transport_request(q, &t.peer[t.side[index].path].window, &n.env, n.router.now_ns, turn_packets(n, index))
    if n.router.rated:
        rates_charge(n.router, index, n.counters.bytes_asked - asked, q.sq_next - first)
    publish(n, index)
    watch(t, index)
    if n.router.state.qp[index].state != IBV_QPS_RTS:
        return <int>(n.counters.packets_sent - before)
    if turn != ROCE_IDLE:
        enqueue(n, index)
        qp_unlist(n.router, index)            # its next turn comes by itself
    elif posted(n, index):
        qp_unlist(n.router, index)
        if not awaits(&t.qp[index]):
            enqueue(n, index)                 # posted since it was looked for: its program has not rung
    else:
        qp_activate(n.router, index)          # so that what is posted next is seen at once
    return <int>(n.counters.packets_sent - before)


cdef int serve_peer(roce_nic *n, roce_peer *p, int budget) noexcept nogil:
    cdef roce_tables *t = n.tables
    cdef uint32_t index, skipped = 0
    cdef int sent = 0
    while p.first != FFR_NONE and sent < budget:
        index = p.first
        if not (marks_allow(n, p) if unreliable(n, index) else path_open(&p.window)):
            if index == p.last or skipped == SKIP:
                break
            skipped += 1                      # what has to wait for echoes does not hold up what has ACKs, nor the reverse
            p.first = t.side[index].turn_next
            t.side[index].turn_next = FFR_NONE
            t.side[p.last].turn_next = index
            p.last = index
            continue
        p.first = t.side[index].turn_next
        if p.first == FFR_NONE:
            p.last = FFR_NONE
        t.side[index].queued = 0
        sent += take_turn(n, index) + 1       # so that it ends also when nobody sends
    return sent


cdef inline bint unreliable(const roce_nic *n, uint32_t index) noexcept nogil:
    return n.tables.qp[index].transport == FF_UC


cdef int serve(roce_nic *n) noexcept nogil:
    """Goes round the peers that have turns."""
    cdef roce_tables *t = n.tables
    cdef uint32_t at = t.turns_first, next_at
    cdef roce_peer *p
    cdef int sent = 0
    t.turns_first = t.turns_last = FFR_NONE
    while at != FFR_NONE:                     # bound: the peers; those that still have turns are listed anew
        p = &t.peer[at]
        next_at = p.next
        p.listed = 0
        if sent < SERVE_PACKETS:
            sent += serve_peer(n, p, SERVE_PACKETS - sent)
        if p.first != FFR_NONE and not p.listed:
            relist(t, at)
        at = next_at
    return sent


cdef void relist(roce_tables *t, uint32_t at) noexcept nogil:
    cdef roce_peer *p = &t.peer[at]
    p.listed = 1
    p.next = FFR_NONE
    if t.turns_first == FFR_NONE:
        t.turns_first = at
    else:
        t.peer[t.turns_last].next = at
    t.turns_last = at


cdef int roce_run(ffr_router *r, uint32_t index) noexcept nogil:
    """A turn of an active QP. It sends when its turn among those of its peer has come."""
    cdef uint64_t before = nic.counters.packets_sent
    rings_forget(nic)
    if nic.tables.side[index].held and not nic.tables.side[index].queued and not nic.tables.qp[index].failed:
        nic.tables.side[index].held = 0       # what it was about to send again is not seen from its ring
        enqueue(nic, index)
    want(nic, index)
    if not nic.tables.side[index].queued:
        return NIC_IDLE
    r.far = FFR_FAR
    if nic.touched_count:
        answer(nic, False)                   # ACKs that wait go first: programs count on it (perftest -e does)
    serve(nic)
    r.far = FFR_NEAR
    if nic.tables.side[index].queued:
        qp_unlist(r, index)                   # its turn comes by itself
    return NIC_WORKED if nic.counters.packets_sent != before else NIC_IDLE


# ---- packets --------------------------------------------------------------------------------------------------------

cdef void touch(roce_nic *n, uint32_t index) noexcept nogil:
    if n.tables.side[index].touched:
        return
    n.tables.side[index].touched = 1
    n.touched[n.touched_count] = index
    n.touched_count += 1


cdef void deliver(roce_nic *n, uint32_t index, roce_packet *p, const uint8_t *bytes, uint32_t size) noexcept nogil:
    cdef uint8_t transport = n.tables.qp[index].transport
    if (transport == FF_UC or transport == FF_UD) and backlog_needed(n, index, p):
        if not backlog_put(n, index, p, bytes, size):
            n.overrun += 1
            dropped(n.router, index)
        return
    if n.touched_count == ROCE_TOUCHED:
        answer(n, False)
        if n.touched_count == ROCE_TOUCHED:   # none of their answers can leave: as if the packet had been lost
            return
    if transport == FF_UD:
        n.tables.qp[index].taken = 0          # what an earlier one left may have served a datagram of this host
    else:
        touch(n, index)
    transport_receive(&n.tables.qp[index], &n.tables.peer[n.tables.side[index].path].window, &n.env, p,
                      n.router.now_ns)


cdef void answer(roce_nic *n, bint patient) noexcept nogil:
    """The QPs that packets came for: answers at once, requests in their turn. Who has more to answer stays. patient: so
    does who has nothing but an ACK to send; its program may be about to post what leaves with it."""
    cdef uint32_t i, index, left = 0
    for i in range(n.touched_count):
        index = n.touched[i]
        if not (patient and responder_acks(&n.tables.qp[index])):
            transport_respond(&n.tables.qp[index], &n.env, ANSWERS)
        if responder_due(&n.tables.qp[index]):
            n.touched[left] = index
            left += 1
        else:
            n.tables.side[index].touched = 0
        publish(n, index)
        watch(n.tables, index)
        want(n, index)
    n.touched_count = left


cdef void untouch(roce_nic *n, uint32_t index) noexcept nogil:
    cdef uint32_t i
    if not n.tables.side[index].touched:
        return
    n.tables.side[index].touched = 0
    for i in range(n.touched_count):
        if n.touched[i] == index:
            n.touched_count -= 1
            n.touched[i] = n.touched[n.touched_count]
            return


cdef int roce_poll(ffr_router *r) noexcept nogil:
    cdef roce_nic *n = nic
    cdef roce_tables *t = n.tables
    cdef uint64_t received = n.counters.packets_received
    cdef bint fresh = n.touched_count == 0
    cdef int work
    if n.router == NULL:
        return 0
    work = map_obey(n)
    rings_forget(n)
    r.far = FFR_FAR
    work += listen_to_all(n)
    if n.touched_count:
        r.far_ns = r.now_ns
    if n.backlog.waits:
        work += backlog_serve(n)
    if n.touched_count:
        n.patience = PATIENCE if fresh else n.patience - (n.patience > 0)
        answer(n, n.patience and n.arena.count == 0 and n.counters.packets_received - received <= FEW)
    if r.owed_count:
        cq_rouse(r)                           # before anything is sent: who wakes needs a while
    if t.now_tick <= r.now_ns >> ROCE_TICK_BITS:
        work += turn_wheel(n, r.now_ns)
    if t.turns_first != FFR_NONE:
        if n.touched_count:
            answer(n, False)
        work += serve(n)
    if n.probes_ns <= r.now_ns:
        probes_send(n)
    if n.arena.count:
        udp_flush(&n.arena)
    if n.streams:
        streams_flush(n)
    if r.owed_count:
        cq_rouse(r)
    r.far = FFR_NEAR
    return work


cdef uint64_t roce_deadline(ffr_router *r) noexcept nogil:
    return <uint64_t>-1 if nic.router == NULL else min(own_deadline(r), faulty_deadline(&nic.faulty))


cdef uint64_t own_deadline(ffr_router *r) noexcept nogil:
    cdef roce_tables *t = nic.tables
    if nic.touched_count and nic.patience:
        return r.now_ns                       # an ACK waits for some passes
    if nic.touched_count or nic.arena.count:
        return r.now_ns + 100000              # a socket's buffer is full
    if nic.stream_full:
        return r.now_ns + STREAM_FULL_NS
    if nic.backlog.waits:
        return r.now_ns + 100000              # receive WQEs are posted without a bell
    if t.turns_first != FFR_NONE:
        return r.now_ns + 1000000             # a window is: packets and timers open it
    if nic.held:
        nic.held = False
        return r.now_ns + 1000000             # so is a datagram's
    return min(nic.probes_ns, wheel_deadline(t))


# ---- QPs come and go ------------------------------------------------------------------------------------------------

cdef const uint8_t *sgid_of(ffr_router *r, const ffr_qp *q) noexcept nogil:
    return r.state.session[q.o.session].gid[q.attr.ah.sgid_index]


cdef bint roce_reaches(ffr_router *r, uint32_t qp) noexcept nogil:
    cdef const ffr_qp *q = &r.state.qp[qp]
    return nic.router != NULL and map_connect(nic, sgid_of(r, q), q.attr.ah.dgid) != 0


cdef uint32_t roce_mtu(ffr_router *r, uint32_t session, const ff_ah_attr *to) noexcept nogil:
    """To another router, what all paths carry (the port's). To a foreign peer, what the container's own interface carries."""
    cdef const ffr_session *s = &r.state.session[session]
    cdef uint32_t mtu = r.port_mtu
    cdef uint32_t link = 0
    cdef uint32_t beside = <uint32_t>FF_ROCE_BESIDE_IPV4 if ff_gid_is_ipv4(to.dgid) else <uint32_t>FF_ROCE_BESIDE_IPV6
    cdef roce_route route
    if nic.router == NULL or not has_gid(s, to.sgid_index) or not map_route(nic, s.gid[to.sgid_index], to.dgid, &route):
        return 0
    link = s.link_mtu[to.sgid_index]
    if link == 0 or route.router:
        return mtu
    while mtu > FF_ROCE_MIN_MTU and mtu + beside > link:
        mtu >>= 1
    return mtu


cdef void take_attributes(roce_qp *q, const ffr_qp *from_) noexcept nogil:
    """What modify_qp has said so far; later states say more."""
    q.mtu = 128 << from_.attr.path_mtu
    q.dest_qpn = from_.attr.dest_qpn
    q.qkey = from_.attr.qkey
    q.access = from_.attr.access
    q.ack_timeout_ns = ff_ack_timeout_ns(from_.attr.timeout)
    q.max_rd_atomic = from_.attr.max_rd_atomic
    q.max_dest_rd_atomic = from_.attr.max_dest_rd_atomic
    q.min_rnr_timer = from_.attr.min_rnr_timer
    q.retry_cnt = from_.attr.retry_cnt
    q.rnr_retry = from_.attr.rnr_retry


cdef uint32_t tenant_of(const ffr_router *r, uint32_t party) noexcept nogil:
    return r.reach.rules.tenant[party]


cdef void roce_enter(ffr_router *r, uint32_t index, uint32_t before) noexcept nogil:
    cdef ffr_qp *from_ = &r.state.qp[index]
    cdef roce_qp *q = &nic.tables.qp[index]
    cdef roce_side *s = &nic.tables.side[index]
    if from_.state == IBV_QPS_RTR:
        roce_leave(r, index, True)
        memset(q, 0, sizeof(roce_qp))
        memset(s, 0, sizeof(roce_side))
        q.handle = index
        q.qpn = from_.qpn
        q.transport = FF_UC if from_.type == IBV_QPT_UC else FF_RC if from_.type == IBV_QPT_RC else FF_XRC
        s.path = map_connect(nic, sgid_of(r, from_), from_.attr.ah.dgid)
        nic.tables.peer[s.path].references += 1
        q.routed = nic.tables.peer[s.path].gids != 0
        s.streamed = nic.streaming and q.routed
        q.selective = q.routed and q.transport != FF_UC and not s.streamed
        if s.streamed:
            q.carries = FF_ROCE_MAX_PACKET if q.transport == FF_UC else STREAM_CARRIES
            q.read_size = cut_read_size(STREAM_CARRIES)
            q.answers = STREAM_CARRIES
        elif q.routed:
            q.carries = nic.tables.peer[s.path].probe.carries
            q.read_size = cut_read_size(probe_hears(&nic.tables.peer[s.path].probe, r.now_ns)) if q.carries else 0
            q.answers = nic.tables.peer[s.path].probe.wanted
        take_attributes(q, from_)
        transport_start(q, tenant_of(r, r.state.session[from_.o.session].party), tenant_of(r, reach_party(r, from_.attr.ah.dgid)))
        responder_start(q, from_.attr.rq_psn)
        nic.tables.connected += 1
        return
    take_attributes(q, from_)
    q.draining = from_.state == IBV_QPS_SQD
    if from_.state == IBV_QPS_RTS and before == IBV_QPS_RTR:
        requester_start(q, from_.attr.sq_psn, from_.sq_index)
    elif from_.state == IBV_QPS_RTS and before == IBV_QPS_SQE:
        requester_start(q, q.send_psn, from_.sq_index)
    from_.sq_seen = q.sq_next


cdef void roce_leave(ffr_router *r, uint32_t index, bint gone) noexcept nogil:
    """Nothing more is sent but, from ERR, the NAK that may be due."""
    cdef roce_side *s
    if nic.router == NULL:
        return
    s = &nic.tables.side[index]
    if not s.path:
        return
    if gone and nic.tables.qp[index].ack_due and not nic.tables.qp[index].pending:
        transport_respond(&nic.tables.qp[index], &nic.env, 1)    # an ACK that waited for company: its peer would for ever
    dequeue(nic, index)
    wheel_unlink(nic.tables, index)
    requester_stop(&nic.tables.qp[index], &nic.tables.peer[s.path].window)
    nic.tables.qp[index].failed = 1
    backlog_drop(nic, index)
    if nic.tables.qp[index].held:
        held_drop(&nic.kept, index)
        nic.tables.qp[index].held = 0
    if gone:
        untouch(nic, index)
        nic.tables.peer[s.path].references -= 1
        s.path = 0
        nic.tables.connected -= 1


# ---- the control thread's side --------------------------------------------------------------------------------------

def open_nic(router, bint segments=True, bint streaming=False):
    """Makes the tables, for the router of a Reactor (its `router` capsule), before its thread starts. segments: let the
    kernel cut up large datagrams (UDP GSO). streaming: reach other routers' connected QPs over streams alone. Raises OSError,
    RuntimeError when it is open already."""
    cdef void *at
    cdef uint32_t i
    cdef ffr_router *opened
    if nic.router != NULL:
        raise RuntimeError("the roce NIC is open already")
    fd = os.memfd_create("freeflow-roce", os.MFD_CLOEXEC)
    try:
        os.ftruncate(fd, sizeof(roce_tables))
        at = mmap(NULL, sizeof(roce_tables), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
    finally:
        os.close(fd)
    if at == MAP_FAILED or udp_init(&nic.arena, segments):
        raise OSError(errnos.ENOMEM, "no memory for the roce NIC")
    nic.tables = <roce_tables *>at
    nic.tables.turns_first = nic.tables.turns_last = FFR_NONE
    nic.tables.peers = 1
    nic.probes_ns = <uint64_t>-1
    nic.streaming = streaming
    for i in range(ROCE_WHEEL):
        nic.tables.wheel[i] = FFR_NONE
    for i in range(ROCE_SOCKETS):
        nic.tables.socket[i].fd = -1
    rings_env(nic)
    nic.deliver = deliver
    opened = <ffr_router *>PyCapsule_GetPointer(router, "ffr_router")
    nic.epoll = epoll_create1(EPOLL_CLOEXEC)
    if nic.epoll < 0 or ffr_epoll_add(opened.epoll, nic.epoll, FFR_TAG_NIC, 0):
        raise OSError(errnos.EMFILE, "no descriptor for the roce NIC")
    nic.router = opened


def counters():
    """What the NIC has counted, a dict."""
    names = dict(nic.counters)
    names.update(bad_icrc=nic.bad_icrc, strangers=nic.strangers, overrun=nic.overrun, datagrams_sent=nic.arena.datagrams,
                 send_calls=nic.arena.calls, refused=nic.arena.refused, buffer_full=nic.arena.full,
                 frames_sent=nic.frames_sent, frames_received=nic.frames_received, frames_lost=nic.frames_lost,
                 frames_void=nic.frames_void, streams_refused=nic.streams_refused,
                 connected=nic.tables.connected if nic.tables != NULL else 0)
    return names


def faults():
    """What was done to packets on purpose (faulty.pxd)."""
    return faulty_describe(&nic.faulty)


# What an idle QP costs besides its rings, bytes. One that has answered READs or atomics has their record beside it.
STATE_BYTES = sizeof(roce_qp) + sizeof(roce_side) + sizeof(ffr_qp)
READS_BYTES = ROCE_RESOURCES * sizeof(roce_resource)


def segments():
    """Whether the kernel cuts up what the host's own socket sends (UDP GSO), as far as was tried."""
    return nic.router != NULL and bool(udp_segments(&nic.arena, nic.tables.socket[0].fd))


def windows():
    """The paths to peers: address, window and packets in flight, smoothed round trip in nanoseconds, and
    bytes that a datagram may have (0: as many as the standard's packets have)."""
    cdef uint32_t i
    cdef roce_peer *p
    rows = []
    for i in range(1, nic.tables.peers if nic.tables != NULL else 1):
        p = &nic.tables.peer[i]
        size = 4 if p.address.family == AF_INET else 16
        rows.append({"address": str(ipaddress.ip_address(bytes(p.address.ip[:size]))), "window": p.window.window >> 8,
                     "in_flight": p.window.in_flight, "rtt_ns": p.window.rtt_ns, "carries": p.probe.carries})
    return rows
