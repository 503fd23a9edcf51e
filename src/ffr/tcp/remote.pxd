"""Connections between hosts: what this broker asks the others, and what it answers them (peer.h)."""

from libc.stdint cimport uint32_t, uint64_t
from ffcore.tcp cimport ff_tcp_reply, ff_tcp_request
from ffr.tcp.state cimport broker

cdef int errands_make(broker *b) noexcept nogil      # 0, or -1 without memory
cdef void errands_free(broker *b) noexcept nogil

# A session's CONNECT to an address behind that peer, and its SETTLE: FF_TCP_ACCELERATED: it will be answered later; else
# the reason for which it stays.
cdef uint32_t remote_connect(broker *b, uint32_t session, uint32_t peer, ff_tcp_request *ask) noexcept nogil
cdef bint is_remote(uint64_t id) noexcept nogil
cdef uint32_t remote_settle(broker *b, uint32_t session, ff_tcp_request *ask, uint32_t *verdict) noexcept nogil

cdef void hear_peer(broker *b, uint32_t peer, bint asks) noexcept nogil   # something came on a control link
cdef void peer_lost(broker *b, uint32_t peer, bint asks) noexcept nogil
cdef void links_came(broker *b, uint32_t peer) noexcept nogil             # its pool has one more
cdef void errands_expire(broker *b, uint64_t now) noexcept nogil
