"""Data links as sockets: connections between two hosts that become programs' connections (peer.h)."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from ffcore.tcp cimport ff_tcp_end

# On its way to the data door of the host at address, from this host's own and that port. A descriptor or -errno.
cdef int link_open(const uint8_t *own, uint16_t port, const uint8_t *address) noexcept nogil

# The next link at the door, and whose it is: fd, or -1 for none.
cdef int link_accept(int door, uint8_t *address, uint16_t *port) noexcept nogil

cdef int link_say(int fd, const uint8_t *secret) noexcept nogil         # 1; 0: not connected yet; -1: it will not be
cdef int link_hear(int fd, uint8_t *secret) noexcept nogil              # 1; 0: nothing yet; -1: not a link

# Names it as this connection, and as no other from then on: ffcore/tcp.h. 0 or -errno. A name alone can be replaced.
cdef int link_name(int fd, const ff_tcp_end *client, const ff_tcp_end *server, bint server_side) noexcept nogil
cdef int link_lock(int fd) noexcept nogil

# held: closing it resets it, so that the other end is not taken for a connection that ended in order.
cdef void link_hold(int fd, bint held) noexcept nogil
cdef bint link_reset(int fd) noexcept nogil       # the other end is gone, by a reset
cdef bint link_left(int fd) noexcept nogil        # the other end has closed
