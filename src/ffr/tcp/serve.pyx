from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ffcore.tcp cimport *
from ffr.tcp.decide cimport *
from ffr.tcp.kernel cimport STATE_LISTEN, STATE_SYN_SENT, find_socket, found_socket, send_reply
from ffr.tcp.link cimport link_hold, link_left, link_lock, link_name, link_pair
from ffr.tcp.peers cimport channel_flush, links_sweep, place_of
from ffr.tcp.remote cimport (errands_expire, is_remote, peer_lost, remote_connect, remote_settle)
from ffr.tcp.state cimport *
from ffr.tcp.reach cimport reach_allows
from ffr.tcp.tables cimport *

cdef extern from "ffr/tcp/kernel.h" nogil:
    enum:
        EADDRNOTAVAIL, ENOENT
    int close(int)
    uint64_t tcp_now_ms()
cdef extern from "<sys/random.h>" nogil:
    ssize_t getrandom(void *, size_t, unsigned)

cdef enum:
    PORT_TRIES = 64           # two tries find one of 28 000 when 10 000 are taken, 50 when 26 000 are
    GROUP_TRIES = 256         # 4 microseconds each; finds a member of a group of 40 with 99.8 %
    LOOKS = 2                 # listeners that a new one looks at; of a group, one may take a millisecond
    LOOK_SLOTS = 256          # ... among so many places
    FULL_LOOKS = 16           # when there is no room otherwise
    SWEEP_MS = 250
    FIRST_LOOK_MS = 250       # accepting within this is the rule
    LAST_LOOK_MS = 8000       # a server that is slow to accept is looked at ever more rarely
    TAKEN_MS = 500            # between accept and claim lies one message
    SHARE = 4                 # of the listeners, for one container
    PENDING_SHARE = 2         # of the pending connections
    LOST_MS = 3000            # a client whose SYN was sent again for a second asks before it changes over
    FLUSH_MS = 1


cdef int serve(broker *b, uint32_t index, ff_tcp_request *ask) noexcept nogil:
    cdef ff_tcp_reply answer
    memset(&answer, 0, sizeof(answer))
    answer.version = FF_TCP_VERSION
    answer.sequence = ask.sequence
    answer.reason = FF_TCP_BAD_REQUEST
    if ask.version != FF_TCP_VERSION:
        return send_reply(b.sessions[index].fd, &answer, -1)
    if ask.op == FF_TCP_CONNECT:
        return serve_connect(b, index, ask, &answer)
    if ask.op == FF_TCP_SETTLE:
        return serve_settle(b, index, ask, &answer)
    if ask.op == FF_TCP_CLAIM:
        return serve_claim(b, index, ask, &answer)
    if ask.op == FF_TCP_LISTEN:
        return serve_listen(b, index, ask, &answer)
    return -1


# ---- listen ----

cdef int serve_listen(broker *b, uint32_t index, ff_tcp_request *ask, ff_tcp_reply *answer) noexcept nogil:
    """Whoever names a listener must be who made it, or root, or have its token from whoever was: another user of the
    container could otherwise claim what is meant for it."""
    cdef session *s = &b.sessions[index]
    cdef uint32_t l = listener_of(b, s.container, ask.cookie)
    cdef bint known = l != NONE and ask.token != 0 and b.listeners[l].token == ask.token
    cdef found_socket found
    answer.reason = FF_TCP_NO_LISTENER
    if not known and not owns(b, s, ask, &found):
        return send_reply(s.fd, answer, -1)
    if l == NONE:
        forget_closed(b, s.container)
        if b.containers[s.container].listeners < LISTENERS // SHARE:
            l = listener_put(b, s.container, ask.cookie)
        answer.reason = FF_TCP_QUOTA
        if l == NONE or getrandom(&b.listeners[l].token, sizeof(uint64_t), 0) != sizeof(uint64_t):
            return send_reply(s.fd, answer, -1)
        b.listeners[l].local = ask.local
        b.listeners[l].privileged = is_privileged(s)
    if ask.flags & FF_TCP_ACCEPTS:
        b.listeners[l].accepts = True
    if ask.flags & FF_TCP_LEAVES:
        b.listeners[l].distrusted = True
    b.listeners[l].group = ask.flags & FF_TCP_GROUP != 0
    answer.token = b.listeners[l].token
    answer.verdict = FF_TCP_GO
    answer.reason = FF_TCP_ACCELERATED
    return send_reply(s.fd, answer, -1)


cdef bint owns(broker *b, session *s, ff_tcp_request *ask, found_socket *found) noexcept nogil:
    return find_listener(b, s.container, &ask.local, ask.cookie, found) == 0 and (s.uid == 0 or s.uid == found.uid)


cdef int find_listener(broker *b, uint32_t container, const ff_tcp_end *local, uint64_t cookie,
                       found_socket *found) noexcept nogil:
    """0, or -errno: ENOENT when it does not listen there. A look-up finds the member of a SO_REUSEPORT group that the
    client's port falls to: another port, another one."""
    cdef ff_tcp_end anyone
    cdef uint32_t port
    cdef int status
    memset(&anyone, 0, sizeof(anyone))
    anyone.address[10] = anyone.address[11] = 0xff if is_v4(local.address) else 0
    for port in range(GROUP_TRIES):
        anyone.port = <uint16_t>port
        status = find_socket(b.containers[container].diag, local, &anyone, found)
        if status != 0:
            return status
        if found.cookie == cookie:
            return 0 if found.state == STATE_LISTEN else -ENOENT
    return -ENOENT


cdef void forget_closed(broker *b, uint32_t container) noexcept nogil:
    """Nobody says so when a listener is closed. So each new one looks at some of those that its container had before,
    from where the last look ended: as many are forgotten as come, and a container that has used up its share gets
    places back."""
    cdef bint full = b.containers[container].listeners >= LISTENERS // SHARE
    cdef uint32_t i, looks = FULL_LOOKS if full else LOOKS
    cdef listener *l
    cdef found_socket found
    for i in range(LISTENERS if full else LOOK_SLOTS):
        b.swept = (b.swept + 1) % LISTENERS
        l = &b.listeners[b.swept]
        if l.cookie == 0 or l.container != container or l.pendings:
            continue
        if find_listener(b, container, &l.local, l.cookie, &found) == -ENOENT:
            listener_drop(b, b.swept)
        looks -= 1
        if looks == 0:
            return


# ---- connect ----

cdef int serve_connect(broker *b, uint32_t index, ff_tcp_request *ask, ff_tcp_reply *answer) noexcept nogil:
    cdef session *s = &b.sessions[index]
    cdef uint32_t server = container_at(b, ask.peer.address)
    cdef uint32_t peer = place_of(b, ask.peer.address) if server == NONE else NONE
    if peer != NONE:
        answer.reason = remote_connect(b, index, peer, ask)
        if answer.reason == FF_TCP_ACCELERATED:
            return 0
    else:
        answer.reason = refusal(b, s, ask, server)
        if answer.reason == FF_TCP_ACCELERATED:
            return connect_here(b, s, ask, server, answer)
    b.counts[answer.reason] += 1
    return send_reply(s.fd, answer, -1)


cdef int connect_here(broker *b, session *s, ff_tcp_request *ask, uint32_t server, ff_tcp_reply *answer) noexcept nogil:
    cdef bint chosen = ask.local.port != 0
    cdef int end = -1
    cdef uint32_t p
    cdef int status
    answer.reason = FF_TCP_RESOURCES
    p = offer(b, s.container, server, ask, &end, answer) if b.quiet_diag >= 0 else <uint32_t>NONE
    if p != NONE:
        answer.id = pending_id(b, p)
        answer.local = b.waiting[p].client_end
        status = send_reply(s.fd, answer, end)
        if status != 0:
            pending_drop(b, p)
        close(end)
        return status
    if answer.reason == FF_TCP_QUOTA and not chosen:
        answer.local.port = unused_port(b, ask)
    b.counts[answer.reason] += 1
    return send_reply(s.fd, answer, -1)


cdef uint16_t unused_port(broker *b, ff_tcp_request *ask) noexcept nogil:
    """For a connection that stays on the overlay although others of its kind do not: the kernel, asked for a port, may
    give it the one of an accelerated connection, which holds none there. 0: none found."""
    cdef found_socket found
    cdef uint32_t i
    for i in range(PORT_TRIES):
        ask.local.port = draw_port(b, ask)
        if find_socket(b.quiet_diag, &ask.local, &ask.peer, &found) == -ENOENT:
            return ask.local.port
    return 0


cdef uint32_t refusal(broker *b, session *s, ff_tcp_request *ask, uint32_t server) noexcept nogil:
    """Reasons that need no look at the kernel. Fills in the source address where the program left it open."""
    cdef container *c = &b.containers[s.container]
    if server == NONE:
        return FF_TCP_NO_CONTAINER
    if not reach_allows(b, c.tenant, b.containers[server].tenant):
        return FF_TCP_REFUSED
    if is_privileged(s):
        return FF_TCP_PRIVILEGED
    return FF_TCP_ACCELERATED if own_source(c, &ask.local, &ask.peer) else FF_TCP_FOREIGN_SOURCE


cdef uint32_t offer(broker *b, uint32_t client, uint32_t server, ff_tcp_request *ask, int *end,
                    ff_tcp_reply *answer) noexcept nogil:
    """The pending connection, with the client's end, or NONE with the answer's reason. Ports are tried until the 4-tuple
    is a new one."""
    cdef bint chosen = ask.local.port != 0
    cdef uint32_t l, p, i
    cdef int ends[2]
    cdef int status
    for i in range(1 if chosen else PORT_TRIES):
        if not chosen:
            ask.local.port = draw_port(b, ask)
        l = acceptor(b, server, &ask.peer, &ask.local, &answer.reason)
        if l == TAKEN:
            continue
        if l == NONE:
            return NONE
        ask.peer.domain = b.listeners[l].local.domain
        if b.listeners[l].privileged:
            answer.reason = FF_TCP_PRIVILEGED
            return NONE
        if b.pendings >= b.pending_limit or b.containers[client].pending >= b.pending_limit // PENDING_SHARE:
            answer.reason = FF_TCP_QUOTA
            return NONE
        if pending_of(b, &ask.local, &ask.peer) != NONE:
            continue
        status = link_pair(&ask.local, &ask.peer, ends)
        if status == -EADDRNOTAVAIL:
            continue
        if status != 0 or named(ends, &ask.local, &ask.peer) != 0:
            return NONE
        p = pending_put(b, &ask.local, &ask.peer)
        fill(b, p, client, server, l, ends[1])
        end[0] = ends[0]
        answer.reason = FF_TCP_ACCELERATED
        answer.verdict = FF_TCP_GO if b.listeners[l].accepts and path_known(b, &ask.local, l) else FF_TCP_CONFIRM
        return p
    answer.verdict = FF_TCP_IN_USE if chosen else FF_TCP_PLAIN
    return NONE


cdef int named(int ends[2], const ff_tcp_end *client, const ff_tcp_end *server) noexcept nogil:
    """Both ends, for good; the server's resets the client's if nobody claims it. 0, or -1: they are closed."""
    cdef int i
    link_hold(ends[1], True)
    for i in range(2):
        if link_name(ends[i], client, server, i == 1) != 0 or link_lock(ends[i]) != 0:
            close(ends[0])
            close(ends[1])
            return -1
    return 0


cdef uint16_t draw_port(broker *b, const ff_tcp_request *ask) noexcept nogil:
    cdef uint32_t low = max(<uint32_t>ask.port_low, <uint32_t>1024)
    cdef uint32_t high = max(low, <uint32_t>ask.port_high)
    return <uint16_t>(low + draw(b) % (high - low + 1))


cdef void fill(broker *b, uint32_t index, uint32_t client, uint32_t server, uint32_t l, int end) noexcept nogil:
    cdef pending *p = &b.waiting[index]
    p.client = client
    p.server = server
    pending_listener(b, index, l)
    p.end = end
    p.born_ms = tcp_now_ms()
    p.look_ms = p.born_ms + FIRST_LOOK_MS
    b.containers[client].pending += 1


# ---- settle ----

cdef int serve_settle(broker *b, uint32_t index, ff_tcp_request *ask, ff_tcp_reply *answer) noexcept nogil:
    """A connection that is not pending any more has been claimed: the server's end is in use, so the client goes too.
    (Or it was given up as dead, and then the client learns so from its end.)"""
    cdef session *s = &b.sessions[index]
    cdef uint32_t p = pending_of_id(b, ask.id)
    cdef uint32_t reason
    if is_remote(ask.id):
        answer.reason = remote_settle(b, index, ask, &answer.verdict)
        return 0 if answer.reason == FF_TCP_ACCELERATED else send_reply(s.fd, answer, -1)
    if p == NONE or b.waiting[p].client != s.container:
        return settled(b, s.fd, answer, FF_TCP_ACCELERATED)
    if ask.flags & FF_TCP_ABANDON:
        pending_drop(b, p)
        return settled(b, s.fd, answer, FF_TCP_ABANDONED)
    reason = settle(b, p)
    if reason != FF_TCP_NOT_CLAIMED:
        return settled(b, s.fd, answer, reason)
    wait_for_claim(b, p, index, s.generation, ask.sequence)
    return 0


# ---- claim ----

cdef int serve_claim(broker *b, uint32_t index, ff_tcp_request *ask, ff_tcp_reply *answer) noexcept nogil:
    cdef session *s = &b.sessions[index]
    cdef uint32_t p = pending_of(b, &ask.peer, &ask.local)
    cdef pending *w
    cdef int status
    if p == NONE:
        answer.reason = FF_TCP_NOT_OFFERED if token_known(b, s.container, ask.token) else FF_TCP_PLAIN_LISTENER
        return send_reply(s.fd, answer, -1)
    w = &b.waiting[p]
    if w.server != s.container or b.listeners[w.listener].token != ask.token:
        return send_reply(s.fd, answer, -1)
    if is_privileged(s):  # it is not who named the listener
        pending_drop(b, p)
        answer.reason = FF_TCP_PRIVILEGED
        return send_reply(s.fd, answer, -1)
    answer.verdict = FF_TCP_GO
    answer.reason = FF_TCP_ACCELERATED
    link_hold(w.end, False)
    status = send_reply(s.fd, answer, w.end)
    b.listeners[w.listener].accepts = True
    b.listeners[w.listener].distrusted = False
    path_note(b, &w.client_end, w.listener)
    b.claimed += 1
    if w.client == REMOTE:
        b.links_in += 1
    else:
        b.counts[FF_TCP_ACCELERATED] += 1
    if w.state == WAITED_FOR:
        tell_waiter(b, w, FF_TCP_ACCELERATED)
    pending_drop(b, p)
    return status


cdef bint token_known(broker *b, uint32_t container, uint64_t token) noexcept nogil:
    """Rare enough for a scan: plain clients of a FreeFlow server inside the prefix."""
    cdef uint32_t i
    for i in range(LISTENERS):
        if b.listeners[i].cookie != 0 and b.listeners[i].token == token and b.listeners[i].container == container:
            return True
    return False


# ---- time ----

cdef int idle_ms(broker *b) noexcept nogil:
    cdef uint64_t now = tcp_now_ms()
    cdef uint64_t then = b.next_sweep_ms
    if b.pendings == 0 and b.strangers == 0 and b.first_errand == NONE and b.linking == 0 and not b.door_stuck:
        return -1
    if b.backlogged:
        return FLUSH_MS
    if b.first_errand != NONE:
        then = min(then, b.errands[b.first_errand].deadline_ms)
    if b.first_waiting != NONE:
        then = min(then, b.waiting[b.first_waiting].deadline_ms)
    return <int>(then - now) if then > now else 0


cdef void keep_house(broker *b) noexcept nogil:
    cdef uint64_t now = tcp_now_ms()
    cdef uint32_t i
    while b.first_waiting != NONE and b.waiting[b.first_waiting].deadline_ms <= now:
        i = b.first_waiting
        tell_waiter(b, &b.waiting[i], FF_TCP_NOT_CLAIMED)
        pending_drop(b, i)
    errands_expire(b, now)
    flush_peers(b)
    if now < b.next_sweep_ms:
        return
    b.next_sweep_ms = now + SWEEP_MS
    for i in range(b.pending_high):
        if b.waiting[i].state == OPEN and b.waiting[i].look_ms <= now:
            look_after(b, i, now)
    if b.pendings == 0:
        b.pending_high = 0
    links_sweep(b, now)


cdef void flush_peers(broker *b) noexcept nogil:
    """Control links that did not take all at once: rare, since a message is 80 bytes and an errand waits for each."""
    cdef uint32_t i
    b.backlogged = False
    for i in range(b.peer_high):
        if not b.peers[i].used:
            continue
        if b.peers[i].ask.waiting and channel_flush(&b.peers[i].ask) != 0:
            peer_lost(b, i, True)
        if b.peers[i].serve.waiting and channel_flush(&b.peers[i].serve) != 0:
            peer_lost(b, i, False)
        if b.peers[i].ask.waiting or b.peers[i].serve.waiting:
            b.backlogged = True


cdef void look_after(broker *b, uint32_t index, uint64_t now) noexcept nogil:
    """Can this still be claimed? Its overlay connection must be in the server's backlog, or on its way there."""
    cdef pending *p = &b.waiting[index]
    cdef found_socket found
    cdef bint there = (find_socket(b.containers[p.server].diag, &p.server_end, &p.client_end, &found) == 0
                       and found.state != STATE_LISTEN)
    if there and found.inode != 0:
        if p.taken_ms == 0:
            p.taken_ms = now
            p.look_ms = now + TAKEN_MS
            return
        elif now - p.taken_ms >= TAKEN_MS:
            b.listeners[p.listener].distrusted = True
            there = False
    elif not there and p.client == REMOTE:
        there = may_come(b, p, now)
    elif not there:
        # A SYN that is being sent again. What is in another state has been here, and was accepted by who is gone since.
        there = (not p.seen and find_socket(b.containers[p.client].diag, &p.client_end, &p.server_end, &found) == 0
                 and found.state == STATE_SYN_SENT)
    if not there:
        b.dropped += 1
        pending_drop(b, index)
        return
    p.seen = p.seen or found.state not in (STATE_LISTEN, STATE_SYN_SENT)
    p.look_ms = now + min(max(now - p.born_ms, <uint64_t>FIRST_LOOK_MS), <uint64_t>LAST_LOOK_MS)


cdef bint may_come(broker *b, pending *p, uint64_t now) noexcept nogil:
    """A SYN that another host's client sends again cannot be seen. So: until the client lets go of its end, its
    listener is closed, or the client would ask first. One that was here once does not come again."""
    cdef found_socket found
    if p.seen or link_left(p.end) or now - p.born_ms >= LOST_MS:
        return False
    return (find_socket(b.containers[p.server].diag, &p.server_end, &p.client_end, &found) == 0
            and found.cookie == b.listeners[p.listener].cookie)
