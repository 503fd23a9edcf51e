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
    PEERS = 256               # other hosts
    PLACES = 131072           # hash of all addresses on other hosts: at most a quarter full
    PLACES_MAX = 32768
    LINKS = 8192              # data links that are no program's yet
    LINK_SLOTS = 16384
    POOL = 64                 # of them, those that wait for one host's connects
    ARRIVALS = 256            # and those that one host has made for its own: its pool, and what it has in hand
    STRANGERS = 64            # connections that have not said the secret yet, of all hosts
    ERRANDS = 4096            # questions to other hosts that are under way
    OUTBOX = 32768            # bytes to one host that its socket did not take at once
    INBOX = 5120              # 64 messages
    REMOTE = NONE - 2         # pending.client: on another host, pending.peer
    PATHS = 4096              # (client, listener) pairs that are known to see each other's true addresses
    REASON_SLOTS = 32

cdef struct container:
    bint used
    uint64_t device, inode    # of its network namespace, as nsfs numbers them
    int diag                  # NETLINK_SOCK_DIAG socket inside it; it also keeps the namespace, and so the inode, ours
    uint64_t tenant
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
    uint32_t pendings         # connections that wait to be accepted
    ff_tcp_end local
    bint accepts              # through the library, as was seen
    bint privileged           # whoever named it is
    bint distrusted           # somebody took a connection out of its backlog and never claimed it, or will not
    bint group                # one of several that share its port, or it may be

cdef enum pending_state:
    FREE = 0
    OPEN                      # waits for the server's claim
    WAITED_FOR                # and the client waits for that

cdef struct pending:
    uint32_t state            # enum pending_state
    uint32_t generation       # upper half of its id
    uint32_t next             # in its hash chain, or in the list of free ones
    uint32_t client, server   # containers
    uint32_t peer             # where the client is, if that is REMOTE
    bint seen                 # its overlay connection, in the server's namespace
    uint32_t listener
    int end                   # the server's, for the claim
    ff_tcp_end client_end, server_end
    uint64_t born_ms, look_ms # look_ms: when to ask the kernel whether anybody can still claim it
    uint64_t taken_ms         # first seen accepted without a claim; 0: not seen
    uint32_t session, session_generation, sequence  # WAITED_FOR: who waits; of a REMOTE one, its request is sequence
    uint64_t deadline_ms
    uint32_t waits_next       # the waiting, oldest first

cdef struct session:
    int fd                    # -1: free
    uint32_t generation
    uint32_t container
    uint32_t uid
    int pid
    bint looked, privileged   # whether pid was looked at, and is what FF_TCP_PRIVILEGED says
    uint32_t next_free

cdef struct place:            # a container's address on another host
    bint used
    uint32_t peer
    uint8_t address[16]

cdef struct channel:          # a control link
    int fd                    # -1: none
    uint32_t have, given      # bytes in the inbox, and of them those that were looked at
    uint32_t waiting          # bytes in the outbox
    bint short_read           # the inbox has all that there was
    char inbox[INBOX]
    char outbox[OUTBOX]

cdef struct peer:             # another host
    bint used
    uint8_t address[16]
    uint32_t generation       # of its control links: what was asked over an earlier one is not answered any more
    channel ask, serve        # for what is asked here, and for what is asked there
    uint8_t say[16]           # the secrets of data links: which this broker makes,
    uint8_t expect[16]        # and which that one makes
    uint32_t pool[POOL]       # links, the last one is taken first
    uint32_t idle, coming, wanted
    uint32_t arrived          # links of its
    uint32_t pending          # its containers' connections that nobody has accepted yet
    uint64_t retry_ms         # no links are made before
    bint filling              # its pool
    uint64_t filled_ms        # when that was done last

cdef enum link_state:
    LINK_FREE = 0
    LINK_COMING               # being connected
    LINK_IDLE                 # in its peer's pool
    LINK_TAKEN                # an errand has it
    LINK_STRANGER             # accepted, and silent so far
    LINK_ARRIVED              # it said the secret: waits for an offer

cdef struct link:
    uint32_t state            # enum link_state
    uint32_t next             # in its hash chain (ARRIVED), or in the list of free ones
    uint32_t peer
    int fd
    uint16_t port             # of who made it
    bint named                # TAKEN: as the connection that was offered
    bint passed               # IDLE: its port was refused once
    uint64_t born_ms

cdef enum errand_state:
    ERRAND_FREE = 0
    ERRAND_OFFER              # asked; or waits for a link, if it has none
    ERRAND_SETTLE

cdef struct errand:
    uint32_t state            # enum errand_state
    uint32_t generation       # upper half of its request number
    uint32_t next, before     # in the list by age, or of free ones
    uint32_t peer, peer_generation
    uint32_t session, session_generation, sequence
    uint32_t link             # NONE: waits for one
    uint32_t tries
    bint counted              # SETTLE: as accelerated already
    uint64_t tenant
    ff_tcp_end client, server
    uint64_t deadline_ms

cdef struct broker:
    int epoll, door, wake
    int spare                 # a descriptor to give up when there are no others: turn_away
    int home, quiet_place     # network namespaces: the host's; the one that links on this host are made in, or -1
    int quiet_diag            # NETLINK_SOCK_DIAG socket in that one, or -1
    bint stopping
    container *containers
    uint64_t *reach           # pairs of tenants (client, server) that rules let connect, sorted
    uint32_t reach_pairs
    address_slot *by_address
    listener *listeners
    uint32_t *listener_heads
    uint32_t free_listener, swept           # swept: where closed ones were looked for last
    pending *waiting
    uint32_t *pending_heads
    uint32_t free_pending, pendings, pending_limit, pending_high
    session *sessions
    uint32_t free_session, session_limit
    uint32_t first_waiting, last_waiting
    uint64_t *paths
    peer *peers
    place *places
    uint32_t placed
    int link_door             # where other hosts' data links arrive, or -1
    uint8_t own[16]           # this host's address among the hosts
    link *links
    uint32_t *link_heads
    uint32_t free_link, strangers
    uint32_t peer_high, linking             # peers in use; links that are being connected
    bint links_due, door_rings              # what can wait: pools that are to be filled, links that knock
    bint door_stuck                         # links knock that could not be let in
    bint backlogged                         # some control link has more to send
    errand *errands
    uint32_t free_errand, first_errand, last_errand
    uint64_t random
    uint64_t next_sweep_ms
    uint64_t counts[REASON_SLOTS]           # by enum ff_tcp_reason, of connects
    uint64_t claimed, sessions_refused, dropped
    uint64_t links_out, links_in            # connections of hosts that became programs', by who made them
