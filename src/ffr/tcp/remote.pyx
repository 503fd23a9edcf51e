from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from ffcore.tcp cimport *
from ffr.tcp.decide cimport *
from ffr.tcp.kernel cimport send_reply
from ffr.tcp.link cimport link_become, link_hold, link_lock, link_name
from ffr.tcp.peers cimport *
from ffr.tcp.state cimport *
from ffr.tcp.reach cimport reach_allows
from ffr.tcp.tables cimport *

cdef extern from "ffr/tcp/kernel.h" nogil:
    int close(int)
    uint64_t tcp_now_ms()

cdef enum:
    ERRAND_MS = 250           # for another host's answer: some round trips of a slow network, and its 20 ms for a claim
    LINKLESS_MS = 1000        # a host that let none of so many links in is given time
    LINK_TRIES = 8            # links whose ports mean another connection, or which did not arrive
    MESSAGES = 256            # of one host in a row: more than an inbox, so that none is left lying there
    FIRST_LOOK_MS = 250       # as serve.pyx
    PENDING_SHARE = 2         # of the pending connections, for one host
    INDEX_BITS = 14           # of a pending connection: PENDING
    INDEX_MASK = 0x3fff
    PEER_SHIFT = 48           # an id, as clients have it: 1, 6 unused, counted, peer (8), generation (32), index
    COUNTED_SHIFT = 56        # as accelerated, when it was handed over; a client's word, and about counters alone


cdef int errands_make(broker *b) noexcept nogil:
    cdef uint32_t i
    b.errands = <errand *>calloc(ERRANDS, sizeof(errand))
    if b.errands == NULL:
        return -1
    for i in range(ERRANDS):
        b.errands[i].next = i + 1 if i + 1 < ERRANDS else NONE
    b.free_errand = 0
    b.first_errand = b.last_errand = NONE
    return 0


cdef void errands_free(broker *b) noexcept nogil:
    free(b.errands)


# ---- errands ----

cdef uint32_t errand_put(broker *b, uint32_t state, uint32_t peer, uint32_t index, uint32_t sequence) noexcept nogil:
    """Each lives equally long, so the list by age is the list by deadline."""
    cdef uint32_t i = b.free_errand
    cdef errand *e
    if i == NONE:
        return NONE
    e = &b.errands[i]
    b.free_errand = e.next
    e.state = state
    e.generation += 1
    e.peer = peer
    e.peer_generation = b.peers[peer].generation
    e.session = index
    e.session_generation = b.sessions[index].generation
    e.sequence = sequence
    e.link = NONE
    e.tries = 0
    e.counted = False
    e.deadline_ms = tcp_now_ms() + ERRAND_MS
    e.next = NONE
    e.before = b.last_errand
    if b.last_errand == NONE:
        b.first_errand = i
    else:
        b.errands[b.last_errand].next = i
    b.last_errand = i
    return i


cdef void errand_drop(broker *b, uint32_t index) noexcept nogil:
    cdef errand *e = &b.errands[index]
    if e.before == NONE:
        b.first_errand = e.next
    else:
        b.errands[e.before].next = e.next
    if e.next == NONE:
        b.last_errand = e.before
    else:
        b.errands[e.next].before = e.before
    e.state = ERRAND_FREE
    e.next = b.free_errand
    b.free_errand = index


cdef uint32_t request_of(broker *b, uint32_t index) noexcept nogil:
    return (b.errands[index].generation << 12) | index  # ERRANDS is 1 << 12


cdef uint32_t errand_of(broker *b, uint32_t peer, uint32_t request) noexcept nogil:
    cdef uint32_t i = request % ERRANDS
    if b.errands[i].state == ERRAND_FREE or b.errands[i].peer != peer or request_of(b, i) != request:
        return NONE
    return i


cdef void give_up(broker *b, uint32_t index, uint32_t reason) noexcept nogil:
    """A client that has connected already may have to change over: it has to look for itself."""
    cdef errand *e = &b.errands[index]
    if e.link != NONE:
        link_drop(b, e.link)
    if not e.counted:
        b.counts[reason] += 1
    tell(b, e.session, e.session_generation, e.sequence, FF_TCP_LOOK if e.state == ERRAND_SETTLE else FF_TCP_PLAIN,
         reason)
    errand_drop(b, index)


cdef void errands_expire(broker *b, uint64_t now) noexcept nogil:
    while b.first_errand != NONE and b.errands[b.first_errand].deadline_ms <= now:
        give_up(b, b.first_errand, FF_TCP_OTHER_HOST)


cdef void peer_lost(broker *b, uint32_t peer, bint asks) noexcept nogil:
    """Python sees to it that it is linked again (hosts.py)."""
    cdef uint32_t i = b.first_errand
    cdef uint32_t after
    while asks and i != NONE:
        after = b.errands[i].next
        if b.errands[i].peer == peer:
            give_up(b, i, FF_TCP_OTHER_HOST)
        i = after
    channel_close(b, peer, asks)


# ---- what is asked ----

cdef uint32_t remote_connect(broker *b, uint32_t index, uint32_t peer, ff_tcp_request *ask) noexcept nogil:
    cdef session *s = &b.sessions[index]
    cdef uint32_t i
    if b.peers[peer].ask.fd < 0:
        return FF_TCP_OTHER_HOST
    if not own_source(&b.containers[s.container], &ask.local, &ask.peer):
        return FF_TCP_FOREIGN_SOURCE
    if ask.local.port != 0:
        return FF_TCP_OWN_PORT
    if is_privileged(s):
        return FF_TCP_PRIVILEGED
    if b.peers[peer].idle == 0 and b.peers[peer].retry_ms > tcp_now_ms():
        return FF_TCP_RESOURCES  # its door did not open just now, and a link would be waited for in vain
    i = errand_put(b, ERRAND_OFFER, peer, index, ask.sequence)
    if i == NONE:
        return FF_TCP_RESOURCES
    b.errands[i].client = ask.local
    b.errands[i].server = ask.peer
    b.errands[i].tenant = b.containers[s.container].tenant
    offer(b, i)
    return FF_TCP_ACCELERATED


cdef void offer(broker *b, uint32_t index) noexcept nogil:
    """With the next link of the pool. If there is none, the next one that comes is this one's."""
    cdef errand *e = &b.errands[index]
    cdef ffr_peer_message m
    e.link = link_take(b, e.peer)
    if e.link == NONE:
        links_refill(b, e.peer)
        return
    e.client.port = b.links[e.link].port
    memset(&m, 0, sizeof(m))
    m.kind = FFR_PEER_OFFER
    m.request = request_of(b, index)
    m.tenant = e.tenant
    m.client = e.client
    m.server = e.server
    if channel_send(&b.peers[e.peer].ask, &m) != 0:
        peer_lost(b, e.peer, True)
        return
    b.links[e.link].named = link_name(b.links[e.link].fd, &e.client, &e.server, False) == 0  # while that host thinks


cdef void links_came(broker *b, uint32_t peer) noexcept nogil:
    cdef uint32_t i = b.first_errand
    while i != NONE and b.peers[peer].idle > 0:
        if b.errands[i].peer == peer and b.errands[i].state == ERRAND_OFFER and b.errands[i].link == NONE:
            offer(b, i)
            return  # one link, one offer
        i = b.errands[i].next


cdef bint is_remote(uint64_t id) noexcept nogil:
    return id >> 63 != 0


cdef uint32_t remote_settle(broker *b, uint32_t index, ff_tcp_request *ask, uint32_t *verdict) noexcept nogil:
    """The client names its end, which must be its container's; the other host compares it with what was offered."""
    cdef session *s = &b.sessions[index]
    cdef uint32_t peer = <uint32_t>(ask.id >> PEER_SHIFT) & 0xff
    cdef uint32_t i
    cdef ffr_peer_message m
    verdict[0] = FF_TCP_LOOK
    if peer >= PEERS or b.peers[peer].ask.fd < 0:
        return FF_TCP_OTHER_HOST
    if container_at(b, ask.local.address) != s.container:
        return FF_TCP_BAD_REQUEST
    i = errand_put(b, ERRAND_SETTLE, peer, index, ask.sequence)
    if i == NONE:
        return FF_TCP_RESOURCES
    b.errands[i].counted = ask.id >> COUNTED_SHIFT & 1
    memset(&m, 0, sizeof(m))
    m.kind = FFR_PEER_SETTLE
    m.request = request_of(b, i)
    m.id = (ask.id >> INDEX_BITS & <uint64_t>0xffffffffu) << 32 | ask.id & INDEX_MASK
    m.flags = ask.flags
    m.client = ask.local
    if channel_send(&b.peers[peer].ask, &m) != 0:
        peer_lost(b, peer, True)
    return FF_TCP_ACCELERATED


cdef uint64_t id_of(uint32_t peer, uint64_t id, bint counted) noexcept nogil:
    cdef uint64_t one = 1
    return one << 63 | <uint64_t>counted << COUNTED_SHIFT | <uint64_t>peer << PEER_SHIFT | (id >> 32) << INDEX_BITS | id & INDEX_MASK


cdef void on_answer(broker *b, uint32_t peer, ffr_peer_message *m) noexcept nogil:
    cdef uint32_t i = errand_of(b, peer, m.request)
    cdef errand *e
    if i == NONE or b.errands[i].state != ERRAND_OFFER or b.errands[i].link == NONE:
        if m.verdict in (FF_TCP_GO, FF_TCP_CONFIRM):
            abandon(b, peer, m)  # an answer that came too late
        return
    e = &b.errands[i]
    if m.verdict in (FF_TCP_GO, FF_TCP_CONFIRM):
        hand_over(b, i, m)
        return
    if m.flags & NO_LINK:
        link_drop(b, e.link)
    else:
        link_back(b, e.link)  # one whose port means a connection of these two containers serves others; twice so it would only clog the pool
    e.link = NONE
    e.tries += 1
    if (m.flags & NO_LINK or m.verdict == FF_TCP_IN_USE) and e.tries < LINK_TRIES:
        offer(b, i)
    else:
        if e.tries == LINK_TRIES and m.flags & NO_LINK:
            b.peers[peer].retry_ms = tcp_now_ms() + LINKLESS_MS
        give_up(b, i, min(m.reason, <uint32_t>(FF_TCP_REASONS - 1)))


cdef void abandon(broker *b, uint32_t peer, ffr_peer_message *answered) noexcept nogil:
    """Nobody waits for what this says: there is no errand of that number."""
    cdef ffr_peer_message m
    memset(&m, 0, sizeof(m))
    m.kind = FFR_PEER_SETTLE
    m.id = answered.id
    m.flags = FF_TCP_ABANDON
    m.client = answered.client
    channel_send(&b.peers[peer].ask, &m)


cdef void hand_over(broker *b, uint32_t index, ffr_peer_message *m) noexcept nogil:
    cdef errand *e = &b.errands[index]
    cdef session *s = &b.sessions[e.session]
    cdef ff_tcp_reply answer
    cdef bint named = b.links[e.link].named
    cdef int fd = link_give(b, e.link)
    cdef int status = -1
    if s.fd >= 0 and s.generation == e.session_generation and named and link_lock(fd) == 0:
        memset(&answer, 0, sizeof(answer))
        answer.version = FF_TCP_VERSION
        answer.sequence = e.sequence
        answer.verdict = m.verdict
        answer.id = id_of(e.peer, m.id, m.verdict == FF_TCP_GO)
        answer.local = e.client
        link_become(fd, e.client.domain)
        status = send_reply(s.fd, &answer, fd)
    if status == 0:
        b.links_out += 1
        if m.verdict == FF_TCP_GO:
            b.counts[FF_TCP_ACCELERATED] += 1
    else:
        link_hold(fd, True)
        abandon(b, e.peer, m)
    close(fd)
    errand_drop(b, index)


cdef void on_settled(broker *b, uint32_t peer, ffr_peer_message *m) noexcept nogil:
    cdef uint32_t i = errand_of(b, peer, m.request)
    cdef errand *e
    if i == NONE or b.errands[i].state != ERRAND_SETTLE:
        return
    e = &b.errands[i]
    if not e.counted:
        b.counts[min(m.reason, <uint32_t>(FF_TCP_REASONS - 1))] += 1
    elif m.reason != FF_TCP_ACCELERATED and b.counts[FF_TCP_ACCELERATED] > 0:
        b.counts[FF_TCP_ACCELERATED] -= 1
        b.counts[min(m.reason, <uint32_t>(FF_TCP_REASONS - 1))] += 1
    tell(b, e.session, e.session_generation, e.sequence, m.verdict, m.reason)
    errand_drop(b, i)


# ---- what is answered ----

cdef void on_offer(broker *b, uint32_t peer, ffr_peer_message *m) noexcept nogil:
    cdef uint32_t p
    m.kind = FFR_PEER_ANSWER
    m.flags = 0
    m.verdict = FF_TCP_PLAIN
    p = accept_offer(b, peer, m)
    channel_send(&b.peers[peer].serve, m)
    # Nobody can claim it before the client has heard the answer, which takes longer than this.
    if p != NONE and (link_name(b.waiting[p].end, &b.waiting[p].client_end, &b.waiting[p].server_end, True) != 0 or
                      link_lock(b.waiting[p].end) != 0):
        pending_drop(b, p)


cdef uint32_t accept_offer(broker *b, uint32_t peer, ffr_peer_message *m) noexcept nogil:
    """Fills in the answer. What another host says of its containers counts only as far as the map agrees."""
    cdef uint32_t server = container_at(b, m.server.address)
    cdef uint32_t l, link, p
    m.reason = FF_TCP_REFUSED
    if place_of(b, m.client.address) != peer:
        return NONE
    if server == NONE:
        m.reason = FF_TCP_NO_CONTAINER
        return NONE
    if not reach_allows(b, m.tenant, b.containers[server].tenant):
        return NONE
    m.reason = FF_TCP_QUOTA
    if b.pendings >= b.pending_limit or b.peers[peer].pending >= b.pending_limit // PENDING_SHARE:
        return NONE
    l = acceptor(b, server, &m.server, &m.client, &m.reason)
    if l == NONE:
        return NONE
    if l == TAKEN or pending_of(b, &m.client, &m.server) != NONE:
        m.verdict = FF_TCP_IN_USE
        m.reason = FF_TCP_RESOURCES
        return NONE
    if b.listeners[l].privileged:
        m.reason = FF_TCP_PRIVILEGED
        return NONE
    m.reason = FF_TCP_RESOURCES
    link = link_arrived(b, peer, m.client.port)
    if link == NONE:
        links_accept(b)
        link = link_arrived(b, peer, m.client.port)
    if link == NONE:
        m.flags = NO_LINK
        return NONE
    m.server.domain = b.listeners[l].local.domain
    p = expect(b, peer, m, server, l, link)
    if p == NONE:
        m.flags = NO_LINK
        return NONE
    m.id = pending_id(b, p)
    m.reason = FF_TCP_ACCELERATED
    m.verdict = FF_TCP_GO if b.listeners[l].accepts and path_known(b, &m.client, l) else FF_TCP_CONFIRM
    return p


cdef uint32_t expect(broker *b, uint32_t peer, ffr_peer_message *m, uint32_t server, uint32_t l,
                     uint32_t link) noexcept nogil:
    """The connection, to be claimed. Until then the link's end resets if this broker dies or gives it up."""
    cdef int fd = link_give(b, link)
    cdef uint32_t p = pending_put(b, &m.client, &m.server)
    cdef pending *w
    link_hold(fd, True)
    link_become(fd, m.server.domain)
    if p == NONE:
        close(fd)
        return NONE
    w = &b.waiting[p]
    w.client = REMOTE
    w.peer = peer
    w.server = server
    pending_listener(b, p, l)
    w.end = fd
    w.born_ms = tcp_now_ms()
    w.look_ms = w.born_ms + FIRST_LOOK_MS
    b.peers[peer].pending += 1
    return p


cdef void on_settle(broker *b, uint32_t peer, ffr_peer_message *m) noexcept nogil:
    """As serve.pyx's: what is not pending any more has been claimed, or is reset."""
    cdef uint32_t p = pending_of_id(b, m.id)
    m.kind = FFR_PEER_SETTLED
    m.reason = FF_TCP_ACCELERATED
    if p != NONE and b.waiting[p].client == REMOTE and b.waiting[p].peer == peer \
            and b.waiting[p].client_end.port == m.client.port \
            and memcmp(b.waiting[p].client_end.address, m.client.address, 16) == 0:
        if m.flags & FF_TCP_ABANDON:
            pending_drop(b, p)
            m.reason = FF_TCP_ABANDONED
        else:
            m.reason = settle(b, p)
            if m.reason == FF_TCP_NOT_CLAIMED:
                wait_for_claim(b, p, NONE, 0, m.request)
                return
    m.verdict = FF_TCP_GO if m.reason == FF_TCP_ACCELERATED else FF_TCP_PLAIN
    channel_send(&b.peers[peer].serve, m)


cdef void hear_peer(broker *b, uint32_t peer, bint asks) noexcept nogil:
    """A bounded run of messages; epoll speaks again of what is left."""
    cdef channel *c = &b.peers[peer].ask if asks else &b.peers[peer].serve
    cdef ffr_peer_message m
    cdef int got, count
    for count in range(MESSAGES):
        got = channel_read(c, &m)
        if got == 0:
            return
        if got < 0:
            peer_lost(b, peer, asks)
            return
        if asks and m.kind == FFR_PEER_ANSWER:
            on_answer(b, peer, &m)
        elif asks and m.kind == FFR_PEER_SETTLED:
            on_settled(b, peer, &m)
        elif not asks and m.kind == FFR_PEER_OFFER:
            on_offer(b, peer, &m)
        elif not asks and m.kind == FFR_PEER_SETTLE:
            on_settle(b, peer, &m)
