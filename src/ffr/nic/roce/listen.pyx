from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from ffcore.icrc cimport (FF_ICRC_LONG, ff_icrc_agrees, ff_icrc_flow, ff_icrc_flow_ipv4, ff_icrc_flow_ipv6, ff_icrc_good,
                          ff_icrc_of)
from ffcore.roce cimport (FF_BTH_ACKREQ, FF_ECHO, FF_HAS_DETH, FF_ICRC_SIZE, FF_OPERATION_MASK, FF_PROBE, FF_RC, FF_ROCE_PORT, FF_ROUTER, FF_SEND_MIDDLE,
                          FF_TRANSPORT_MASK, FF_WRITE_MIDDLE, ff_bth, ff_get24, ff_psn_add)
from ffr.nic.roce.faulty cimport faulty_due, faulty_packet, faulty_passes
from ffr.nic.roce.datagrams cimport ud_take
from ffr.nic.roce.link.stream cimport stream_listen, streams_listen
from ffr.nic.roce.map cimport map_router
from ffr.nic.roce.packets cimport router_say
from ffr.nic.roce.probe cimport probes_take
from ffr.nic.roce.protocol.marks cimport marks_echo
from ffr.nic.roce.protocol.transport cimport transport_receive_run
from ffr.nic.roce.tables cimport ROCE_HOT, ROCE_SOCKETS, roce_peer, roce_receives, roce_socket
from ffr.nic.roce.udp cimport UDP_SLOTS, ffr_udp_address, ffr_udp_in, udp_take
from ffr.nic.roce.protocol.wire cimport ROCE_PARSED, roce_packet, roce_parse
from ffr.state cimport FFR_NONE, FFR_QPS, ffr_qp


cdef extern from "<sys/socket.h>" nogil:
    enum:
        AF_INET

cdef extern from "ffr/reactor/loop.h" nogil:
    enum:
        FFR_EVENTS
    int ffr_epoll_wait(int epoll, uint64_t timeout_ns, uint32_t *tags, uint32_t *sessions)


cdef enum:
    TAKES = 4                 # batches taken from a socket in one call
    FIRST_TAKE = 4            # datagrams of the first one: of full ones that is enough, and they stay in the cache
    TAKE_BYTES = 131072       # in a call; then it is time for answers, while more is on its way
    HOT_NS = 2000000          # a socket that heard something this recently is looked at in each pass
    REST_NS = 1000000         # of a socket that hears strangers: 64 KB of them a millisecond cost some 3 %
    SUMS = 64                 # packets of a datagram that are summed up in one go
    COLD_PASSES = 16          # others are asked for once in so many


cdef uint32_t qp_for(roce_nic *n, const roce_packet *p, const ffr_udp_in *from_, uint32_t socket) noexcept nogil:
    """The QP that the packet is for, if it comes from where that QP's peer is; FFR_NONE."""
    cdef uint32_t index = p.qpn & (FFR_QPS - 1)
    cdef const ffr_qp *q = &n.router.state.qp[index]
    cdef const roce_peer *peer
    if not q.o.used or q.qpn != p.qpn or not roce_receives(q.state) or not n.tables.side[index].path:
        return FFR_NONE
    peer = &n.tables.peer[n.tables.side[index].path]
    if peer.socket != socket or memcmp(peer.address.ip, from_.from_.ip, 16):
        return FFR_NONE
    if n.tables.qp[index].routed and from_.from_.port != FF_ROCE_PORT:
        return FFR_NONE                       # a router sends from its own port: others may have its address, too
    if n.tables.side[index].streamed:
        return FFR_NONE                       # whoever sends this: its peer does not
    return index


cdef void take_routers(roce_nic *n, const roce_packet *p, const uint8_t *bytes, uint32_t size, uint16_t segment,
                       const ffr_udp_in *from_, const ff_icrc_flow *flow, uint32_t socket) noexcept nogil:
    """A packet of FF_ROUTER: a mark, an echo, or what ffr/nic/roce/probe.pxd is about."""
    cdef uint32_t peer = map_router(n, socket, &from_.from_)
    if not peer:
        n.strangers += 1
    elif not ff_icrc_good(flow, segment, bytes, <uint16_t>size):
        n.bad_icrc += 1
    elif p.opcode & FF_OPERATION_MASK >= FF_PROBE:
        probes_take(n, &n.tables.peer[peer], p, size)
    elif p.opcode & FF_OPERATION_MASK == FF_ECHO:
        marks_echo(&n.tables.peer[peer].marks, p.psn)
    else:
        router_say(n, &n.tables.peer[peer], FF_ECHO, p.psn, 0)     # no room for it: the sender asks again


cdef uint32_t take_in(roce_nic *n, const uint8_t *bytes, uint32_t size, uint16_t segment, const ffr_udp_in *from_,
                      const ff_icrc_flow *flow, uint32_t socket, const uint32_t *icrc) noexcept nogil:
    """One packet, number `segment` of those that came together. icrc: its sum, or NULL. The QP that has it now, or
    FFR_NONE: it was none for a connected one."""
    cdef roce_packet p
    cdef uint32_t index
    if size < sizeof(ff_bth) + FF_ICRC_SIZE or roce_parse(&p, bytes, size - FF_ICRC_SIZE) != ROCE_PARSED:
        n.strangers += 1
        return FFR_NONE
    if p.opcode & FF_TRANSPORT_MASK == FF_ROUTER:
        take_routers(n, &p, bytes, size, segment, from_, flow, socket)
        return FFR_NONE
    if p.traits & FF_HAS_DETH:
        ud_take(n, &p, bytes, size, segment, from_, flow, socket)
        return FFR_NONE
    index = qp_for(n, &p, from_, socket)
    if index == FFR_NONE:
        n.strangers += 1
        return FFR_NONE
    if not ff_icrc_agrees(flow, icrc[0] if icrc != NULL else ff_icrc_of(flow, segment, bytes, <uint16_t>size), bytes,
                          <uint16_t>size):
        n.bad_icrc += 1
        return FFR_NONE
    n.deliver(n, index, &p, bytes, size - FF_ICRC_SIZE)
    return index


cdef inline bint alike(const ff_bth *a, const ff_bth *b) noexcept nogil:
    """Whether b is the packet that follows a in the middle of a message. Whether they ask for an ACK does not count."""
    return (a.opcode == b.opcode and a.flags == b.flags and memcmp(a.pkey, b.pkey, 2) == 0 and memcmp(a.qpn, b.qpn, 3) == 0
            and (b.ack & ~<uint32_t>FF_BTH_ACKREQ) == 0 and ff_get24(b.psn) == ff_psn_add(ff_get24(a.psn), 1))


cdef uint32_t take_run(roce_nic *n, uint32_t index, const ffr_udp_in *d, uint32_t segment, uint32_t whole,
                       const ff_icrc_flow *flow, const uint32_t *icrc) noexcept nogil:
    """The packets from number `segment` on, of `whole` that were summed up, that continue the message of the one before,
    which QP `index` has taken. How many were taken; none, as a rule, where the message ends."""
    cdef const uint8_t *first = d.bytes + segment * d.segment
    cdef const uint8_t *at = first
    cdef uint32_t count = 0
    cdef roce_packet p
    if first[0] != FF_RC | FF_WRITE_MIDDLE and first[0] != FF_RC | FF_SEND_MIDDLE:
        return 0
    if roce_parse(&p, first, d.segment - FF_ICRC_SIZE) != ROCE_PARSED:
        return 0
    while (segment + count < whole and (count == 0 or alike(<const ff_bth *>(at - d.segment), <const ff_bth *>at))
            and ff_icrc_agrees(flow, icrc[segment + count], at, <uint16_t>d.segment)):
        p.ackreq |= (<const ff_bth *>at).ack >> 7
        at += d.segment
        count += 1
    if count < 2 or p.qpn != n.router.state.qp[index].qpn or not roce_receives(n.router.state.qp[index].state):
        return 0
    if not n.tables.side[index].touched:
        return 0                              # it was not delivered, and nobody would send this one's ACK
    return count if transport_receive_run(&n.tables.qp[index], &n.env, &p, count, d.segment) else 0


cdef inline void flow_of(ff_icrc_flow *flow, const roce_nic *n, const ffr_udp_address *from_, uint32_t socket) noexcept nogil:
    (ff_icrc_flow_ipv4 if from_.family == AF_INET else ff_icrc_flow_ipv6)(
        flow, from_.ip, n.tables.socket[socket].address.ip, from_.port, FF_ROCE_PORT)


cdef uint32_t sum_up(const ffr_udp_in *d, const ff_icrc_flow *flow, uint32_t *icrc) noexcept nogil:
    """The sums of a datagram's whole packets, if they are long and several: in one go, since the CPU sums up the next one
    while it still waits for the last step of this one. How many."""
    cdef uint32_t i, whole = d.size // d.segment
    if d.segment < FF_ICRC_LONG or whole < 2 or whole > SUMS:
        return 0
    for i in range(whole):
        icrc[i] = ff_icrc_of(flow, <uint16_t>i, d.bytes + i * d.segment, <uint16_t>d.segment)
    return whole


cdef uint32_t take_datagram(roce_nic *n, const ffr_udp_in *d, uint32_t socket) noexcept nogil:
    """A datagram, or several equal ones that the kernel has put together. How many packets."""
    cdef ff_icrc_flow flow
    cdef uint32_t icrc[SUMS]
    cdef uint32_t at = 0, size, summed, index, run
    cdef uint16_t segment = 0
    if d.size > 0xFF00 or d.segment == 0:
        n.strangers += 1
        return 1
    flow_of(&flow, n, &d.from_, socket)
    summed = sum_up(d, &flow, icrc)
    while at < d.size:
        size = min(d.segment, d.size - at)
        index = FFR_NONE
        if not n.faulty.on or faulty_passes(&n.faulty, d.bytes + at, size, segment, &d.from_, socket, n.router.now_ns):
            index = take_in(n, d.bytes + at, size, segment, d, &flow, socket, &icrc[segment] if segment < summed else NULL)
        at += size
        segment += 1
        if index != FFR_NONE and segment + 1 < summed and not n.faulty.on:
            run = take_run(n, index, d, segment, summed, &flow, icrc)
            at += run * d.segment
            segment += run
    return segment


cdef int listen(roce_nic *n, uint32_t socket) noexcept nogil:
    """Takes in what a socket has, up to TAKES batches or so many bytes. How many datagrams. One that hears mostly packets
    that are nobody's rests then: a flood fills its buffer and is dropped by the kernel, which costs the others least."""
    cdef roce_socket *s = &n.tables.socket[socket]
    cdef int got, i, turn, room = FIRST_TAKE, total = 0
    cdef uint32_t bytes_ = 0, packets = 0
    cdef uint64_t unwanted = n.strangers + n.bad_icrc
    if n.router.now_ns < s.rests_ns:
        return 0
    for turn in range(TAKES):
        got = udp_take(&n.arena, s.fd, room)
        for i in range(got):
            packets += take_datagram(n, &n.arena.slot[i], s.of)
            bytes_ += n.arena.slot[i].size
        total += got
        if got < room or bytes_ >= TAKE_BYTES:
            break
        room = UDP_SLOTS
    if total:
        s.heard_ns = n.router.now_ns
        if 2 * (n.strangers + n.bad_icrc - unwanted) > packets:
            s.rests_ns = n.router.now_ns + REST_NS
    return total


cdef int ask_all(roce_nic *n) noexcept nogil:
    """Listens where something has come, and goes on doing so for a while."""
    cdef uint32_t tags[FFR_EVENTS]
    cdef uint32_t sockets[FFR_EVENTS]
    cdef int found = ffr_epoll_wait(n.epoll, 0, tags, sockets), i, total = 0
    cdef roce_socket *s
    n.looked_ns = n.router.now_ns
    for i in range(found):
        if sockets[i] >= ROCE_SOCKETS:
            total += stream_listen(n, sockets[i] - ROCE_SOCKETS)
            continue
        s = &n.tables.socket[sockets[i]]
        if s.hot:
            continue
        total += listen(n, sockets[i])
        if n.hot_count < ROCE_HOT:
            s.hot = 1
            n.hot[n.hot_count] = sockets[i]
            n.hot_count += 1
    return total


cdef int listen_to_hot(roce_nic *n) noexcept nogil:
    cdef uint32_t i = 0
    cdef int total = 0
    cdef roce_socket *s
    while i < n.hot_count:                    # bound: ROCE_HOT
        s = &n.tables.socket[n.hot[i]]
        if s.fd >= 0:
            total += listen(n, n.hot[i])
        if s.fd < 0 or n.router.now_ns - s.heard_ns > HOT_NS:
            s.hot = 0
            n.hot_count -= 1
            n.hot[i] = n.hot[n.hot_count]
        else:
            i += 1
    return total


cdef int take_late(roce_nic *n) noexcept nogil:
    """Packets that were held back on purpose. How many."""
    cdef const faulty_packet *p = faulty_due(&n.faulty, n.router.now_ns)
    cdef ff_icrc_flow flow
    cdef ffr_udp_in from_
    cdef int total = 0
    while p != NULL:                          # bound: FAULTY_HELD
        from_.from_ = p.from_
        flow_of(&flow, n, &from_.from_, p.socket)
        take_in(n, p.bytes, p.size, p.segment, &from_, &flow, p.socket, NULL)
        total += 1
        p = faulty_due(&n.faulty, n.router.now_ns)
    return total


cdef int listen_to_all(roce_nic *n) noexcept nogil:
    cdef int work = listen_to_hot(n)
    if n.streams:
        work += streams_listen(n)
    if n.faulty.held:
        work += take_late(n)
    n.passes += 1
    if n.passes % COLD_PASSES == 0 or n.router.now_ns - n.looked_ns > HOT_NS:
        work += ask_all(n)
    return work
