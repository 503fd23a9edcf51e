"""What the broker remembers. Plain arrays, referred to by index; its one thread writes them."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from ffcore.tcp cimport FF_TCP_REASONS, ff_tcp_end

cdef enum:
    NONE = 0xffffffff
    CONTAINERS = 1024
    ADDRESSES = 16            # of one container
    ADDRESS_SLOTS = 65536     # hash of all addresses: at most a quarter full
    LISTENERS = 16384
    LISTENER_SLOTS = 65536
    PENDING = 16384           # connections that nobody has accepted yet; each holds a descriptor
    PENDING_SLOTS = 65536
    SESSIONS = 8192
    PATHS = 4096              # (client, listener) pairs that are known to see each other's true addresses
    REASON_SLOTS = 32

cdef struct container:
    bint used
    uint64_t device, inode    # of its network namespace, as nsfs numbers them
    int diag                  # NETLINK_SOCK_DIAG socket inside it; it also keeps the namespace, and so the inode, ours
    uint32_t tenant
    uint32_t addresses
    uint8_t address[ADDRESSES][16]
    uint32_t pending, sessions, listeners

cdef struct address_slot:
    bint used
    uint32_t container
    uint8_t address[16]

cdef struct listener:
    uint64_t cookie           # 0: free
    uint64_t token
    uint32_t container
    uint32_t next             # in its hash chain
    uint16_t domain
    bint accepts              # through the library, as was seen
    bint distrusted           # somebody took a connection out of its backlog and never claimed it

cdef enum pending_state:
    FREE = 0
    OPEN                      # waits for the server's claim
    WAITED_FOR                # and the client waits for that

cdef struct pending:
    uint32_t state            # enum pending_state
    uint32_t generation       # upper half of its id
    uint32_t next             # in its hash chain, or in the list of free ones
    uint32_t client, server   # containers
    uint32_t listener
    int end                   # the server's, for the claim
    ff_tcp_end client_end, server_end
    uint64_t born_ms, look_ms # look_ms: when to ask the kernel whether anybody can still claim it
    uint64_t taken_ms         # first seen accepted without a claim; 0: not seen
    uint32_t session, session_generation, sequence  # WAITED_FOR: who waits
    uint64_t deadline_ms
    uint32_t waits_next       # the waiting, oldest first

cdef struct session:
    int fd                    # -1: free
    uint32_t generation
    uint32_t container
    uint32_t uid
    uint32_t next_free

cdef struct broker:
    int epoll, door, wake
    int home, quiet_place     # network namespaces: the host's; an empty one that pairs are made in, or -1
    bint stopping
    container *containers
    address_slot *by_address
    listener *listeners
    uint32_t *listener_heads
    uint32_t free_listener
    pending *waiting
    uint32_t *pending_heads
    uint32_t free_pending, pendings, pending_limit, pending_high
    session *sessions
    uint32_t free_session, session_limit
    uint32_t first_waiting, last_waiting
    uint64_t *paths
    uint64_t random
    uint64_t next_sweep_ms
    uint64_t counts[REASON_SLOTS]           # by enum ff_tcp_reason, of connects
    uint64_t claimed, sessions_refused, dropped
