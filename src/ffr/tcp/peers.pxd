"""The other hosts: where addresses are, control links, and the pools of data links (state.pxd; peer.h).

All that answer an index answer NONE for none.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from ffcore.tcp cimport ff_tcp_end
from ffr.tcp.state cimport broker, channel, peer

cdef extern from "ffr/tcp/peer.h" nogil:
    enum:
        FFR_SECRET
        FFR_PEER_OFFER, FFR_PEER_ANSWER, FFR_PEER_SETTLE, FFR_PEER_SETTLED
    struct ffr_peer_message:
        uint32_t kind, request
        uint64_t id, tenant
        uint32_t flags, verdict, reason
        ff_tcp_end client, server

cdef enum:
    NO_LINK = 1   # ffr_peer_message.flags of an ANSWER: the link that the offer named has not arrived

# epoll tags: which of these, in the upper half; its index in the lower. 0 are sessions, the door and the wake-up.
cdef enum:
    TAG_LINK = 1
    TAG_ASK
    TAG_SERVE
    TAG_LINK_DOOR

cdef int peers_make(broker *b) noexcept nogil        # 0, or -1 without memory
cdef void peers_free(broker *b) noexcept nogil

cdef uint32_t peer_at(broker *b, const uint8_t *address) noexcept nogil
cdef uint32_t peer_put(broker *b, const uint8_t *address) noexcept nogil
cdef uint32_t place_of(broker *b, const uint8_t *address) noexcept nogil   # the peer behind which an address is
cdef int place_put(broker *b, const uint8_t *address, uint32_t peer) noexcept nogil  # 0, or -1: no room
cdef void place_take(broker *b, const uint8_t *address) noexcept nogil

# fd becomes a control link, and is the table's. 0 or -1.
cdef int channel_open(broker *b, uint32_t peer, bint asks, int fd, const uint8_t *secret) noexcept nogil
cdef void channel_close(broker *b, uint32_t peer, bint asks) noexcept nogil
cdef int channel_send(channel *c, const ffr_peer_message *m) noexcept nogil    # 0, or -1: close it
cdef int channel_read(channel *c, ffr_peer_message *m) noexcept nogil          # 1; 0: later; -1: close it
cdef int channel_flush(channel *c) noexcept nogil                              # 0, or -1: close it

cdef void links_refill(broker *b, uint32_t peer) noexcept nogil     # now, and all that are wanted
cdef bint links_idle(broker *b) noexcept nogil                      # a little of what can wait; whether there was any
cdef uint32_t link_take(broker *b, uint32_t peer) noexcept nogil    # one that is ready
cdef void link_back(broker *b, uint32_t link) noexcept nogil        # unused: the last one to be taken again, once
cdef uint32_t link_arrived(broker *b, uint32_t peer, uint16_t port) noexcept nogil
cdef int link_give(broker *b, uint32_t link) noexcept nogil         # its socket, which is the caller's now
cdef void link_drop(broker *b, uint32_t link) noexcept nogil
cdef uint32_t link_look(broker *b, uint32_t link) noexcept nogil    # something happened: the peer that has one more
cdef void links_accept(broker *b) noexcept nogil
cdef void links_sweep(broker *b, uint64_t now) noexcept nogil
