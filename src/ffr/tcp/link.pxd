"""Links as sockets: the TCP connections that become programs' connections, on one host and between two (peer.h)."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from ffcore.tcp cimport ff_tcp_end

# One on this host, in the namespace that the calling thread is in (quiet.py): with these ends' addresses and ports as its
# own, and each end of its program's domain. ends[0] is the client's. 0; -EADDRNOTAVAIL: such a connection lives; or -errno.
cdef int link_pair(const ff_tcp_end *client, const ff_tcp_end *server, int ends[2]) noexcept nogil

# On its way to the data door of the host at address, from this host's own and that port. A descriptor or -errno.
cdef int link_open(const uint8_t *own, uint16_t port, const uint8_t *address) noexcept nogil

# Of the domain that its program's socket has, as far as the hosts' addresses allow: not AF_INET over IPv6.
cdef void link_become(int fd, int domain) noexcept nogil

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
