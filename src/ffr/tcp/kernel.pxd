"""What the broker asks of the kernel: who listens where, who is at the other end."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from ffcore.tcp cimport ff_tcp_end, ff_tcp_reply, ff_tcp_request

cdef struct found_socket:
    uint64_t cookie
    uint32_t inode     # 0: nobody has accepted it yet
    uint32_t uid
    uint8_t state      # enum of <netinet/tcp.h>
    uint8_t family

cdef enum:
    STATE_SYN_SENT = 2
    STATE_TIME_WAIT = 6
    STATE_LISTEN = 10

# The TCP socket that a packet from `remote` to `local` would meet in the namespace of diag: an established one, or the
# listener that a SYN would reach (SO_REUSEPORT groups included). 0, or -errno: ENOENT for none.
cdef int find_socket(int diag, const ff_tcp_end *local, const ff_tcp_end *remote, found_socket *found) noexcept nogil

# A NETLINK_SOCK_DIAG socket inside the namespace that netns is open on; the calling thread comes back. fd or -errno.
cdef int open_diag(int netns) noexcept nogil

# The calling thread enters the namespace that fd is open on. 0 or -errno.
cdef int enter(int fd) noexcept nogil

# The namespace that the peer of an accepted unix socket made its socket in, and the peer's user and process. 0 or -errno.
cdef int identify(int fd, uint64_t *device, uint64_t *inode, uint32_t *uid, int *pid) noexcept nogil

# Whether that process has, or can come to have, CAP_NET_ADMIN in this process's user namespace. In doubt it does.
cdef bint may_change_networks(int pid) noexcept nogil

cdef int receive_request(int fd, ff_tcp_request *ask) noexcept nogil  # 1; 0: later; -1: close
cdef int send_reply(int fd, ff_tcp_reply *answer, int passed) noexcept nogil  # 0 or -1: close
