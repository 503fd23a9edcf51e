from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ffcore.tcp cimport *
from ffr.tcp.kernel cimport STATE_LISTEN, STATE_TIME_WAIT, find_socket, found_socket, may_change_networks, send_reply
from ffr.tcp.peers cimport FFR_PEER_SETTLED, channel_send, ffr_peer_message
from ffr.tcp.state cimport *
from ffr.tcp.tables cimport *

cdef extern from "ffr/tcp/kernel.h" nogil:
    uint64_t tcp_now_ms()

cdef enum:
    CLAIM_WAIT_MS = 20        # for a listener that nobody was seen to accept from yet


cdef bint is_v4(const uint8_t *address) noexcept nogil:
    return address[10] == 0xff and address[11] == 0xff and address[0] == 0


cdef bint unbound(const uint8_t *address) noexcept nogil:
    """:: or 0.0.0.0"""
    cdef int i
    for i in range(16):
        if address[i] != 0 and not (i in (10, 11) and address[i] == 0xff):
            return False
    return True


cdef bint own_source(container *c, ff_tcp_end *local, const ff_tcp_end *peer) noexcept nogil:
    """Whether local is the container's own. Filled in where the program left it open."""
    cdef uint32_t i
    for i in range(c.addresses):
        if is_v4(c.address[i]) != is_v4(peer.address):
            continue
        if unbound(local.address):
            memcpy(local.address, c.address[i], 16)
            return True
        if memcmp(local.address, c.address[i], 16) == 0:
            return True
    return False


cdef bint is_privileged(session *s) noexcept nogil:
    """Looked up once, where it matters first: a process that lacks the right does not come by it (capabilities(7))."""
    if not s.looked:
        s.looked = True
        s.privileged = may_change_networks(s.pid)
    return s.privileged


cdef uint32_t acceptor(broker *b, uint32_t server, const ff_tcp_end *local, const ff_tcp_end *remote,
                       uint32_t *reason) noexcept nogil:
    """Who would get the SYN: the kernel's own look-up, so wildcard binds, IPV6_V6ONLY and SO_REUSEPORT are its rules.
    A listener, TAKEN, or NONE with the reason."""
    cdef found_socket found
    cdef uint32_t l
    if find_socket(b.containers[server].diag, local, remote, &found) != 0:
        reason[0] = FF_TCP_NO_LISTENER
        return NONE
    if found.state == STATE_TIME_WAIT:
        return behind_time_wait(b, server, local, remote)
    if found.state != STATE_LISTEN:
        return TAKEN
    l = listener_of(b, server, found.cookie)
    if l == NONE or b.listeners[l].distrusted:
        reason[0] = FF_TCP_PLAIN_LISTENER
        return NONE
    return l


cdef uint32_t behind_time_wait(broker *b, uint32_t server, const ff_tcp_end *local, const ff_tcp_end *remote) noexcept nogil:
    """A SYN ends the TIME_WAIT of an earlier connection with these ports, and meets the listener that another port meets,
    if there is only that one. Ports would be scarce otherwise: a busy server's container has thousands of them."""
    cdef ff_tcp_end other = remote[0]
    cdef found_socket found
    cdef uint32_t l = NONE
    other.port = 0  # nobody's
    if find_socket(b.containers[server].diag, local, &other, &found) == 0 and found.state == STATE_LISTEN:
        l = listener_of(b, server, found.cookie)
    return l if l != NONE and not b.listeners[l].distrusted and not b.listeners[l].group else <uint32_t>TAKEN


cdef uint32_t path_seen(broker *b, uint32_t index) noexcept nogil:
    """The connection that the client has just made, as the server's namespace sees it: with the same addresses?"""
    cdef pending *p = &b.waiting[index]
    cdef found_socket found
    if find_socket(b.containers[p.server].diag, &p.server_end, &p.client_end, &found) == 0:
        if found.state != STATE_LISTEN:
            return FF_TCP_ACCELERATED
    return FF_TCP_PATH


cdef uint32_t settle(broker *b, uint32_t index) noexcept nogil:
    """For a client that has connected: the reason that is its answer, after which a refused one is gone; or
    FF_TCP_NOT_CLAIMED: it has to wait until the server claims this."""
    cdef pending *p = &b.waiting[index]
    cdef uint32_t reason = path_seen(b, index)
    if reason != FF_TCP_ACCELERATED:
        pending_drop(b, index)
        return reason
    if not b.listeners[p.listener].accepts:
        return FF_TCP_NOT_CLAIMED
    path_note(b, &p.client_end, p.listener)
    return FF_TCP_ACCELERATED


cdef int settled(broker *b, int fd, ff_tcp_reply *answer, uint32_t reason) noexcept nogil:
    answer.reason = reason
    answer.verdict = FF_TCP_GO if reason == FF_TCP_ACCELERATED else FF_TCP_PLAIN
    if reason != FF_TCP_ACCELERATED:
        b.counts[reason] += 1
    return send_reply(fd, answer, -1)


cdef void wait_for_claim(broker *b, uint32_t index, uint32_t waiter, uint32_t generation,
                         uint32_t sequence) noexcept nogil:
    cdef pending *p = &b.waiting[index]
    if p.state == WAITED_FOR:
        return  # asked twice: one answer
    p.state = WAITED_FOR
    p.session = waiter
    p.session_generation = generation
    p.sequence = sequence
    p.deadline_ms = tcp_now_ms() + CLAIM_WAIT_MS
    p.waits_next = NONE
    if b.last_waiting == NONE:
        b.first_waiting = index
    else:
        b.waiting[b.last_waiting].waits_next = index
    b.last_waiting = index


cdef void tell(broker *b, uint32_t session, uint32_t generation, uint32_t sequence, uint32_t verdict,
               uint32_t reason) noexcept nogil:
    """An answer that had to wait, to a session that may have gone."""
    cdef ff_tcp_reply answer
    if b.sessions[session].fd < 0 or b.sessions[session].generation != generation:
        return
    memset(&answer, 0, sizeof(answer))
    answer.version = FF_TCP_VERSION
    answer.sequence = sequence
    answer.verdict = verdict
    answer.reason = reason
    send_reply(b.sessions[session].fd, &answer, -1)


cdef void tell_waiter(broker *b, pending *p, uint32_t reason) noexcept nogil:
    cdef ffr_peer_message m
    cdef uint32_t verdict = FF_TCP_GO if reason == FF_TCP_ACCELERATED else FF_TCP_PLAIN
    if p.client != REMOTE:
        if verdict == FF_TCP_PLAIN:
            b.counts[reason] += 1
        tell(b, p.session, p.session_generation, p.sequence, verdict, reason)
        return
    memset(&m, 0, sizeof(m))
    m.kind = FFR_PEER_SETTLED
    m.request = p.sequence
    m.verdict = verdict
    m.reason = reason
    channel_send(&b.peers[p.peer].serve, &m)  # one that fails is found dead when it is looked at next
