from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memmove, memset

from ffr.tcp.kernel cimport enter
from ffr.tcp.link cimport *
from ffr.tcp.state cimport *
from ffr.tcp.tables cimport draw, hash_address, mixed

cdef extern from "ffr/tcp/kernel.h" nogil:
    enum:
        EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLET, EPOLL_CTL_ADD, EPOLL_CTL_DEL, MSG_DONTWAIT, MSG_NOSIGNAL, EAGAIN, EINTR
        EADDRINUSE, EADDRNOTAVAIL
    union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_ctl(int, int, int, epoll_event *)
    ssize_t send(int, const void *, size_t, int)
    ssize_t recv(int, void *, size_t, int)
    int close(int)
    int tcp_errno()
    uint64_t tcp_now_ms()

cdef enum:
    PORT_LOW = 32768      # of links at the host that makes them; fence.py allows these
    PORT_HIGH = 60999
    POOL_START = 4        # links before anybody asks for one
    ACCEPT_BATCH = 16
    IDLE_LINKS = 2        # made between two looks: 30 microseconds
    BUSY_MS = 200         # half a pool, used within
    COME_MS = 2000        # for a link to be connected, and for a stranger to say the secret
    RETRY_MS = 1000       # between attempts at a door that does not open


cdef int peers_make(broker *b) noexcept nogil:
    cdef uint32_t i
    b.peers = <peer *>calloc(PEERS, sizeof(peer))
    b.places = <place *>calloc(PLACES, sizeof(place))
    b.links = <link *>calloc(LINKS, sizeof(link))
    b.link_heads = <uint32_t *>calloc(LINK_SLOTS, sizeof(uint32_t))
    if b.peers == NULL or b.places == NULL or b.links == NULL or b.link_heads == NULL:
        return -1
    memset(b.link_heads, 0xff, LINK_SLOTS * sizeof(uint32_t))
    for i in range(LINKS):
        b.links[i].next = i + 1 if i + 1 < LINKS else NONE
        b.links[i].fd = -1
    b.free_link = 0
    b.link_door = -1
    return 0


cdef void peers_free(broker *b) noexcept nogil:
    cdef uint32_t i
    if b.peers != NULL:
        for i in range(PEERS):
            if b.peers[i].used:
                close_if_open(b.peers[i].ask.fd)
                close_if_open(b.peers[i].serve.fd)
    if b.links != NULL:
        for i in range(LINKS):
            close_if_open(b.links[i].fd)
    free(b.peers)
    free(b.places)
    free(b.links)
    free(b.link_heads)


cdef void close_if_open(int fd) noexcept nogil:
    if fd >= 0:
        close(fd)


# ---- where addresses are ----

cdef uint32_t peer_at(broker *b, const uint8_t *address) noexcept nogil:
    cdef uint32_t i
    for i in range(b.peer_high):
        if b.peers[i].used and memcmp(b.peers[i].address, address, 16) == 0:
            return i
    return NONE


cdef uint32_t peer_put(broker *b, const uint8_t *address) noexcept nogil:
    """Places stay: an index means the same host for as long as the broker runs."""
    cdef uint32_t i = peer_at(b, address)
    if i != NONE:
        return i
    for i in range(PEERS):
        if not b.peers[i].used:
            b.peers[i].used = True
            memcpy(b.peers[i].address, address, 16)
            b.peers[i].ask.fd = b.peers[i].serve.fd = -1
            b.peers[i].wanted = POOL_START
            b.peer_high = max(b.peer_high, i + 1)
            return i
    return NONE


cdef uint32_t slot_of(broker *b, const uint8_t *address) noexcept nogil:
    """Where this address is, or the free slot where it belongs."""
    cdef uint32_t slot = hash_address(address) % PLACES
    while b.places[slot].used and memcmp(b.places[slot].address, address, 16) != 0:
        slot = (slot + 1) % PLACES
    return slot


cdef uint32_t place_of(broker *b, const uint8_t *address) noexcept nogil:
    cdef uint32_t slot = slot_of(b, address)
    return b.places[slot].peer if b.places[slot].used else NONE


cdef int place_put(broker *b, const uint8_t *address, uint32_t peer) noexcept nogil:
    cdef uint32_t slot = slot_of(b, address)
    if not b.places[slot].used:
        if b.placed == PLACES_MAX:
            return -1
        b.placed += 1
        b.places[slot].used = True
        memcpy(b.places[slot].address, address, 16)
    b.places[slot].peer = peer
    return 0


cdef void place_take(broker *b, const uint8_t *address) noexcept nogil:
    """Those behind it in the same run are put anew, so that no look-up ends before them."""
    cdef uint32_t slot = slot_of(b, address)
    cdef place moved
    if not b.places[slot].used:
        return
    b.placed -= 1
    b.places[slot].used = False
    slot = (slot + 1) % PLACES
    while b.places[slot].used:
        moved = b.places[slot]
        b.places[slot].used = False
        b.places[slot_of(b, moved.address)] = moved
        slot = (slot + 1) % PLACES


# ---- control links ----

cdef uint64_t tag(uint64_t kind, uint32_t index) noexcept nogil:
    return kind << 32 | index


cdef int watch(broker *b, int fd, uint32_t events, uint64_t what) noexcept nogil:
    cdef epoll_event event
    event.events = events
    event.data.u64 = what
    return epoll_ctl(b.epoll, EPOLL_CTL_ADD, fd, &event)


cdef int channel_open(broker *b, uint32_t index, bint asks, int fd, const uint8_t *secret) noexcept nogil:
    cdef peer *p = &b.peers[index]
    cdef channel *c = &p.ask if asks else &p.serve
    channel_close(b, index, asks)
    if watch(b, fd, EPOLLIN, tag(TAG_ASK if asks else TAG_SERVE, index)) != 0:
        close(fd)
        return -1
    c.fd = fd
    c.have = c.given = c.waiting = 0
    c.short_read = False
    memcpy(&p.say[0] if asks else &p.expect[0], secret, FFR_SECRET)
    if asks:
        p.generation += 1
        p.retry_ms = 0
        p.wanted = POOL_START
    return 0


cdef void channel_close(broker *b, uint32_t index, bint asks) noexcept nogil:
    """With the links that it could have named. What has been offered already is left alone."""
    cdef peer *p = &b.peers[index]
    cdef channel *c = &p.ask if asks else &p.serve
    cdef uint32_t i
    if c.fd < 0:
        return
    close(c.fd)
    c.fd = -1
    for i in range(LINKS):
        if b.links[i].peer == index and b.links[i].state != LINK_FREE:
            if asks == (b.links[i].state in (LINK_COMING, LINK_IDLE, LINK_TAKEN)):
                link_drop(b, i)


cdef int channel_send(channel *c, const ffr_peer_message *m) noexcept nogil:
    if c.fd < 0 or c.waiting + sizeof(ffr_peer_message) > OUTBOX:
        return -1
    memcpy(&c.outbox[c.waiting], m, sizeof(ffr_peer_message))
    c.waiting += sizeof(ffr_peer_message)
    return channel_flush(c)


cdef int channel_flush(channel *c) noexcept nogil:
    cdef ssize_t sent
    if c.waiting == 0:
        return 0
    sent = send(c.fd, c.outbox, c.waiting, MSG_DONTWAIT | MSG_NOSIGNAL)
    if sent < 0:
        return 0 if tcp_errno() in (EAGAIN, EINTR) else -1
    c.waiting -= <uint32_t>sent
    memmove(c.outbox, &c.outbox[sent], c.waiting)
    return 0


cdef int channel_read(channel *c, ffr_peer_message *m) noexcept nogil:
    """What came at once is read at once, and then given out message by message."""
    cdef ssize_t got
    if c.fd < 0:
        return 0
    if c.have - c.given < sizeof(ffr_peer_message):
        if c.short_read:
            c.short_read = False
            return 0  # there was no more; epoll tells of what has come since
        c.have -= c.given
        memmove(c.inbox, &c.inbox[c.given], c.have)
        c.given = 0
        got = recv(c.fd, &c.inbox[c.have], INBOX - c.have, MSG_DONTWAIT)
        if got <= 0:
            return 0 if got < 0 and tcp_errno() in (EAGAIN, EINTR) else -1
        c.short_read = got < <ssize_t>(INBOX - c.have)
        c.have += <uint32_t>got
        if c.have < sizeof(ffr_peer_message):
            c.short_read = False
            return 0
    memcpy(m, &c.inbox[c.given], sizeof(ffr_peer_message))
    c.given += sizeof(ffr_peer_message)
    return 1


# ---- data links ----

cdef uint32_t link_put(broker *b, uint32_t state, uint32_t peer, int fd, uint32_t events) noexcept nogil:
    cdef uint32_t i = b.free_link
    if i == NONE or watch(b, fd, events, tag(TAG_LINK, i)) != 0:
        close(fd)
        return NONE
    b.free_link = b.links[i].next
    b.links[i].state = state
    b.links[i].peer = peer
    b.links[i].fd = fd
    b.links[i].port = 0
    b.links[i].named = False
    b.links[i].born_ms = tcp_now_ms()
    return i


cdef uint32_t head_of(uint32_t peer, uint16_t port) noexcept nogil:
    return mixed(<uint64_t>peer << 16 | port) % LINK_SLOTS


cdef int link_give(broker *b, uint32_t index) noexcept nogil:
    """Whoever holds the socket next would otherwise keep it in this epoll."""
    cdef link *l = &b.links[index]
    cdef peer *p = &b.peers[l.peer]
    cdef int fd = l.fd
    cdef uint32_t i
    if l.state == LINK_COMING:
        p.coming -= 1
        b.linking -= 1
    elif l.state == LINK_STRANGER:
        b.strangers -= 1
        p.arrived -= 1
    elif l.state == LINK_ARRIVED:
        p.arrived -= 1
        unchain(b, index)
    elif l.state == LINK_IDLE:
        for i in range(p.idle):
            if p.pool[i] == index:
                p.idle -= 1
                memmove(&p.pool[i], &p.pool[i + 1], (p.idle - i) * sizeof(uint32_t))
                break
    epoll_ctl(b.epoll, EPOLL_CTL_DEL, fd, NULL)
    l.state = LINK_FREE
    l.fd = -1
    l.next = b.free_link
    b.free_link = index
    return fd


cdef void unchain(broker *b, uint32_t index) noexcept nogil:
    cdef uint32_t *at = &b.link_heads[head_of(b.links[index].peer, b.links[index].port)]
    while at[0] != index:
        at = &b.links[at[0]].next
    at[0] = b.links[index].next


cdef void link_drop(broker *b, uint32_t index) noexcept nogil:
    cdef int fd = link_give(b, index)
    link_hold(fd, True)
    close(fd)


cdef bint links_idle(broker *b) noexcept nogil:
    """Nobody waits for a pool to be full again, nor for a link to be let in before an offer names it: so both are done
    while there is nothing else to do, and do not delay what a connect waits for."""
    cdef uint32_t i
    if b.door_rings:
        b.door_rings = False
        links_accept(b)
        return True
    if not b.links_due:
        return False
    b.links_due = False
    for i in range(b.peer_high):
        if b.peers[i].used:
            make_links(b, i, IDLE_LINKS)
    return True


cdef void links_refill(broker *b, uint32_t index) noexcept nogil:
    make_links(b, index, POOL)


cdef void make_links(broker *b, uint32_t index, uint32_t most) noexcept nogil:
    """The broker's thread lives in a namespace without interfaces, and visits the host's for this."""
    cdef peer *p = &b.peers[index]
    cdef bint away = False
    cdef uint16_t port
    cdef uint32_t i
    cdef int fd, tries
    if p.ask.fd < 0 or p.idle + p.coming >= p.wanted or (p.retry_ms != 0 and tcp_now_ms() < p.retry_ms):
        p.filling = False
        return
    if b.quiet_place >= 0:
        if enter(b.home) != 0:
            return
        away = True
    for tries in range(2 * POOL):
        if p.idle + p.coming >= p.wanted:
            p.filling = False
            p.filled_ms = tcp_now_ms()
            break
        if most == 0:
            b.links_due = True
            break
        # Drawn at random: the kernel gives neighbours, and neighbours meet a run of ports that a busy client has used.
        port = <uint16_t>(PORT_LOW + draw(b) % (PORT_HIGH - PORT_LOW + 1))
        fd = link_open(b.own, port, p.address)
        if fd == -EADDRINUSE or fd == -EADDRNOTAVAIL:
            continue
        i = link_put(b, LINK_COMING, index, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) if fd >= 0 else <uint32_t>NONE
        if i == NONE:
            p.retry_ms = tcp_now_ms() + RETRY_MS
            break
        b.links[i].port = port
        p.coming += 1
        b.linking += 1
        most -= 1
    if away:
        enter(b.quiet_place)


cdef uint32_t link_take(broker *b, uint32_t index) noexcept nogil:
    """The pool is filled again when half of it is used, many links at a time; one that is used up that fast is made
    larger."""
    cdef peer *p = &b.peers[index]
    cdef uint32_t i = NONE
    if p.idle > 0:
        p.idle -= 1
        i = p.pool[p.idle]
        b.links[i].state = LINK_TAKEN
    if p.idle + p.coming <= p.wanted // 2 and not p.filling:
        if tcp_now_ms() - p.filled_ms < BUSY_MS:
            p.wanted = min(p.wanted * 2, <uint32_t>POOL)
        p.filling = b.links_due = True
    return i


cdef void link_back(broker *b, uint32_t index) noexcept nogil:
    cdef peer *p = &b.peers[b.links[index].peer]
    if p.idle == POOL or b.links[index].passed:
        link_drop(b, index)
        return
    b.links[index].passed = True
    memmove(&p.pool[1], &p.pool[0], p.idle * sizeof(uint32_t))
    b.links[index].state = LINK_IDLE
    p.pool[0] = index
    p.idle += 1


cdef uint32_t link_arrived(broker *b, uint32_t peer, uint16_t port) noexcept nogil:
    cdef uint32_t i = b.link_heads[head_of(peer, port)]
    while i != NONE and (b.links[i].peer != peer or b.links[i].port != port):
        i = b.links[i].next
    return i


cdef uint32_t link_look(broker *b, uint32_t index) noexcept nogil:
    cdef link *l = &b.links[index]
    if l.state == LINK_STRANGER:
        listen_to(b, index)
    elif l.state in (LINK_ARRIVED, LINK_IDLE):
        if link_left(l.fd):
            link_drop(b, index)
    elif l.state == LINK_COMING:
        return connected(b, index)
    return NONE


cdef uint32_t connected(broker *b, uint32_t index) noexcept nogil:
    """epoll may speak of an earlier user of this place: only a connected socket takes what is said."""
    cdef link *l = &b.links[index]
    cdef peer *p = &b.peers[l.peer]
    cdef int said = link_say(l.fd, p.say)
    if said == 0:
        return NONE
    if said < 0 or p.idle == POOL:
        p.retry_ms = tcp_now_ms() + RETRY_MS if said < 0 else 0
        link_drop(b, index)
        return NONE
    p.coming -= 1
    b.linking -= 1
    l.state = LINK_IDLE
    l.passed = False
    p.pool[p.idle] = index
    p.idle += 1
    return l.peer


cdef void links_accept(broker *b) noexcept nogil:
    """Who calls is the host that it calls from; that it is the host's broker, the secret tells."""
    cdef uint8_t address[16]
    cdef uint16_t port = 0
    cdef uint32_t p, i, count
    cdef int fd
    for count in range(ACCEPT_BATCH):
        fd = link_accept(b.link_door, address, &port)
        if fd < 0:
            b.door_stuck = tcp_errno() != EAGAIN  # no descriptors: it does not ring again for those who wait there
            return
        p = peer_at(b, address)
        if p == NONE or b.peers[p].serve.fd < 0 or b.peers[p].arrived >= ARRIVALS or b.strangers >= STRANGERS:
            close(fd)
            continue
        i = link_put(b, LINK_STRANGER, p, fd, EPOLLIN | EPOLLRDHUP | EPOLLET)
        if i != NONE:
            b.links[i].port = port
            b.peers[p].arrived += 1
            b.strangers += 1
            listen_to(b, i)
    b.door_rings = True  # there may be more, and it rings for new ones only


cdef void listen_to(broker *b, uint32_t index) noexcept nogil:
    cdef link *l = &b.links[index]
    cdef uint8_t said[FFR_SECRET]
    cdef uint32_t head, earlier
    cdef int heard = link_hear(l.fd, said)
    if heard == 0:
        return
    if heard < 0 or memcmp(said, b.peers[l.peer].expect, FFR_SECRET) != 0 or link_left(l.fd):
        link_drop(b, index)  # one that left at once would not be heard of again
        return
    earlier = link_arrived(b, l.peer, l.port)
    if earlier != NONE:
        link_drop(b, earlier)  # its port belongs to this one now: the other end is gone
    b.strangers -= 1
    l.state = LINK_ARRIVED
    head = head_of(l.peer, l.port)
    l.next = b.link_heads[head]
    b.link_heads[head] = index


cdef void links_sweep(broker *b, uint64_t now) noexcept nogil:
    cdef uint32_t i
    b.door_rings = b.door_rings or b.door_stuck
    for i in range(LINKS):
        if b.links[i].state in (LINK_COMING, LINK_STRANGER) and now - b.links[i].born_ms >= COME_MS:
            if b.links[i].state == LINK_COMING:
                b.peers[b.links[i].peer].retry_ms = now + RETRY_MS
            link_drop(b, i)
    for i in range(b.peer_high):
        if b.peers[i].used:
            links_refill(b, i)
