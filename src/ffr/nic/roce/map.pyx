"""The map is written by the reactor's thread alone. The control thread leaves one request at a time in a mailbox, and
waits for the answer; the reactor looks there once in each pass."""

import errno
import ipaddress
import os
import socket as sockets
import threading

from libc.stdint cimport int32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ffcore.grh cimport ff_gid_hash, ff_gid_is_ipv4, ff_gid_is_multicast, ff_gid_of_ipv4
from ffcore.icrc cimport ff_icrc_flow_ipv4, ff_icrc_flow_ipv6
from ffcore.roce cimport FF_ROCE_MAX_PACKET, FF_ROCE_PORT
from ffcore.shm cimport ff_a32, ff_load32_acquire, ff_store32_release
from ffr.nic.roce.faulty cimport faulty_plan, faulty_set
from ffr.nic.roce.tables cimport (ROCE_ELSEWHERE, ROCE_GIDS, ROCE_HERE, ROCE_NOWHERE, ROCE_PATHS, ROCE_SOCKETS, ROCE_UNKNOWN,
                           roce_nic_of, roce_peer, roce_socket)
from ffr.nic.roce.link.stream cimport STREAM_WINDOW, stream_open, stream_to
from ffr.nic.roce.probe cimport probes_begin
from ffr.nic.roce.udp cimport udp_forget
from ffr.nic.roce.protocol.window cimport path_init
from ffr.state cimport FFR_NONE


cdef extern from "<unistd.h>" nogil:
    int usleep(unsigned int us)

cdef extern from "<sys/socket.h>" nogil:
    enum:
        AF_INET
        AF_INET6

cdef extern from "ffr/reactor/loop.h" nogil:
    enum:
        FFR_TAG_NIC
    int ffr_epoll_add(int epoll, int fd, uint32_t tag, uint32_t session)
    void ffr_epoll_remove(int epoll, int fd)
    void ffr_eventfd_add(int fd)


# ---- the reactor's side ---------------------------------------------------------------------------------------------

cdef inline uint32_t bucket(const roce_nic *n, const uint8_t *gid) noexcept nogil:
    return ff_gid_hash(gid, n.router.state.epoch) & (ROCE_GIDS - 1)


cdef roce_gid *map_find(roce_nic *n, const uint8_t *gid) noexcept nogil:
    cdef uint32_t at = bucket(n, gid), i
    for i in range(ROCE_GIDS):               # in fact few: at most half of the places are used
        if n.tables.gid[at].state == ROCE_UNKNOWN:
            return NULL
        if memcmp(n.tables.gid[at].gid, gid, 16) == 0:
            return &n.tables.gid[at]
        at = (at + 1) & (ROCE_GIDS - 1)
    return NULL


cdef int map_put(roce_nic *n, const uint8_t *gid, uint32_t state, uint32_t peer) noexcept nogil:
    """0, or -1: the map is half full. What was taken back says no more than what nobody told, so its place is free again:
    containers come and go for as long as a router lives."""
    cdef roce_gid *entry = map_find(n, gid)
    cdef uint32_t at = bucket(n, gid)
    if entry == NULL:
        while n.tables.gid[at].state != ROCE_UNKNOWN and n.tables.gid[at].state != ROCE_NOWHERE:
            at = (at + 1) & (ROCE_GIDS - 1)
        entry = &n.tables.gid[at]
        if entry.state == ROCE_UNKNOWN:
            if n.tables.gids >= ROCE_GIDS // 2:
                return -1
            n.tables.gids += 1
        memcpy(entry.gid, gid, 16)
    if entry.state == ROCE_ELSEWHERE:
        n.tables.peer[entry.peer].gids -= 1
    entry.state = state
    entry.peer = peer
    if state == ROCE_ELSEWHERE:
        n.tables.peer[peer].gids += 1
    return 0


cdef bint same(const ffr_udp_address *a, const ffr_udp_address *b) noexcept nogil:
    return a.family == b.family and a.port == b.port and memcmp(a.ip, b.ip, 16) == 0


cdef uint32_t map_peer(roce_nic *n, uint32_t socket, const ffr_udp_address *address) noexcept nogil:
    """The peer at an address, seen from a socket; made when there is none. 0: the table is full."""
    cdef roce_peer *p
    cdef uint32_t i, idle = 0
    for i in range(1, n.tables.peers):       # when a QP is connected; not per packet
        p = &n.tables.peer[i]
        if p.socket == socket and same(&p.address, address):
            return i
        if not p.gids and not p.references and not p.listed:
            idle = i
    if n.tables.peers == ROCE_PATHS:
        if not idle:
            return 0
        i = idle
    else:
        i = n.tables.peers
        n.tables.peers += 1
    p = &n.tables.peer[i]
    memset(p, 0, sizeof(roce_peer))
    path_init(&p.window)
    if n.streaming and socket == 0:
        p.window.most = STREAM_WINDOW
    p.used = 1
    p.address = address[0]
    p.socket = socket
    p.stream = stream_to(n, address) if socket == 0 else 0
    p.first = p.last = p.next = FFR_NONE
    (ff_icrc_flow_ipv4 if address.family == AF_INET else ff_icrc_flow_ipv6)(
        &p.flow, n.tables.socket[socket].address.ip, p.address.ip, FF_ROCE_PORT, FF_ROCE_PORT)
    return i


cdef void map_gid(uint8_t *gid, const ffr_udp_address *address) noexcept nogil:
    if address.family == AF_INET:
        ff_gid_of_ipv4(gid, address.ip)
    else:
        memcpy(gid, address.ip, 16)


cdef void address_of(ffr_udp_address *address, const uint8_t *gid) noexcept nogil:
    memset(address, 0, sizeof(ffr_udp_address))
    address.port = FF_ROCE_PORT
    if ff_gid_is_ipv4(gid):
        address.family = AF_INET
        memcpy(address.ip, gid + 12, 4)
    else:
        address.family = AF_INET6
        memcpy(address.ip, gid, 16)


cdef uint32_t socket_of(roce_nic *n, const uint8_t *sgid) noexcept nogil:
    """The socket that is bound to an address of this host: its container's, or the host's own. FFR_NONE: there is none."""
    cdef roce_gid *own = map_find(n, sgid)
    cdef uint8_t host[16]
    if own != NULL and own.state == ROCE_HERE:
        return own.peer if own.peer and n.tables.socket[own.peer].fd >= 0 else <uint32_t>FFR_NONE
    map_gid(host, &n.tables.socket[0].address)
    return 0 if n.tables.socket[0].fd >= 0 and memcmp(host, sgid, 16) == 0 else <uint32_t>FFR_NONE


cdef bint map_route(roce_nic *n, const uint8_t *sgid, const uint8_t *dgid, roce_route *route) noexcept nogil:
    cdef roce_gid *there = map_find(n, dgid)
    if there != NULL and there.state == ROCE_ELSEWHERE:
        route.router = there.peer
        route.socket = n.tables.peer[there.peer].socket
        route.address = n.tables.peer[there.peer].address
        return True
    if there != NULL and there.state == ROCE_HERE or ff_gid_is_multicast(dgid):
        return False
    route.router = 0
    route.socket = socket_of(n, sgid)
    if route.socket == FFR_NONE:
        return False
    address_of(&route.address, dgid)
    return route.address.family == n.tables.socket[route.socket].address.family


cdef uint32_t map_connect(roce_nic *n, const uint8_t *sgid, const uint8_t *dgid) noexcept nogil:
    cdef roce_route route
    if not map_route(n, sgid, dgid, &route):
        return 0
    return route.router if route.router else map_peer(n, route.socket, &route.address)


cdef uint32_t map_host(roce_nic *n, uint32_t socket, const ffr_udp_address *from_) noexcept nogil:
    cdef uint8_t gid[16]
    cdef roce_gid *host
    map_gid(gid, from_)
    host = map_find(n, gid)                  # a host's own address is in the map, as one that is behind it
    if socket or host == NULL or host.state != ROCE_ELSEWHERE:
        return 0
    return host.peer if memcmp(n.tables.peer[host.peer].address.ip, from_.ip, 16) == 0 else 0


cdef uint32_t map_router(roce_nic *n, uint32_t socket, const ffr_udp_address *from_) noexcept nogil:
    return map_host(n, socket, from_) if from_.port == FF_ROCE_PORT else 0


cdef bint map_is_behind(roce_nic *n, const uint8_t *gid, uint32_t router) noexcept nogil:
    cdef const roce_gid *there = map_find(n, gid)
    return there != NULL and there.state == ROCE_ELSEWHERE and there.peer == router


# ---- the mailbox ----------------------------------------------------------------------------------------------------

cdef enum:
    ASK_NOTHING = 0
    ASK_SOCKET
    ASK_GID
    ASK_FAULTS
    ASK_LINK
    ASK_STREAM

cdef struct request:
    ff_a32 what               # written last by the control thread, set back by the reactor
    uint32_t state            # enum roce_place
    uint32_t socket
    uint32_t of
    int32_t fd
    int32_t result
    uint8_t gid[16]
    ffr_udp_address address
    faulty_plan faults

cdef request mailbox
lock = threading.Lock()
cdef enum:
    ANSWER_WAIT_US = 5000000
    FAULT_US_MAX = 1000000


cdef int open_socket(roce_nic *n) noexcept nogil:
    cdef roce_socket *s = &n.tables.socket[mailbox.socket]
    if s.fd >= 0:
        udp_forget(&n.arena, s.fd)
        ffr_epoll_remove(n.epoll, s.fd)
    s.fd = mailbox.fd
    s.address = mailbox.address
    s.of = mailbox.of
    s.rests_ns = 0
    n.tables.sockets = max(n.tables.sockets, mailbox.socket + 1)
    return ffr_epoll_add(n.epoll, s.fd, FFR_TAG_NIC, mailbox.socket) if s.fd >= 0 else 0


cdef int place_gid(roce_nic *n) noexcept nogil:
    cdef uint32_t peer = mailbox.socket       # of a container that is here
    if mailbox.state == ROCE_ELSEWHERE:
        peer = map_peer(n, 0, &mailbox.address)
        if peer == 0:
            return -1
    return map_put(n, mailbox.gid, mailbox.state, peer)


cdef int link(roce_nic *n) noexcept nogil:
    cdef uint32_t peer = map_peer(n, 0, &mailbox.address)
    if peer == 0:
        return -1
    probes_begin(n, &n.tables.peer[peer], mailbox.state)
    return 0


cdef int stream(roce_nic *n) noexcept nogil:
    cdef uint32_t number = stream_open(n, &mailbox.address, mailbox.fd), i
    for i in range(1, n.tables.peers):       # bound: ROCE_PATHS; when a stream is made
        if n.tables.peer[i].socket == 0 and same(&n.tables.peer[i].address, &mailbox.address):
            n.tables.peer[i].stream = number
    return 0 if number or mailbox.fd < 0 else -1


cdef int map_obey(roce_nic *n) noexcept nogil:
    cdef uint32_t what = ff_load32_acquire(&mailbox.what)    # pairs with the release in ask
    if what == ASK_NOTHING:
        return 0
    if what == ASK_FAULTS:
        mailbox.result = faulty_set(&n.faulty, &mailbox.faults)
    elif what == ASK_LINK:
        mailbox.result = link(n)
    elif what == ASK_STREAM:
        mailbox.result = stream(n)
    else:
        mailbox.result = open_socket(n) if what == ASK_SOCKET else place_gid(n)
    ff_store32_release(&mailbox.what, ASK_NOTHING)
    return 1


cdef int ask(uint32_t what) except *:
    """Leave the mailbox, which is filled in, to the reactor; its answer."""
    cdef roce_nic *n = roce_nic_of()
    cdef uint32_t waited = 0
    if n.router == NULL:
        raise RuntimeError("the roce NIC is not open")
    ff_store32_release(&mailbox.what, what)
    ffr_eventfd_add(n.router.wake)
    with nogil:
        while waited < ANSWER_WAIT_US and ff_load32_acquire(&mailbox.what) != ASK_NOTHING:
            usleep(20)
            waited += 20
    if ff_load32_acquire(&mailbox.what) != ASK_NOTHING:
        raise TimeoutError("the reactor thread does not answer")
    return mailbox.result


cdef void put_address(text) except *:
    address = ipaddress.ip_address(text)
    memset(&mailbox.address, 0, sizeof(mailbox.address))
    mailbox.address.family = sockets.AF_INET if address.version == 4 else sockets.AF_INET6
    mailbox.address.port = FF_ROCE_PORT
    memcpy(mailbox.address.ip, <const char *><bytes>address.packed, len(address.packed))


# ---- the control thread's side --------------------------------------------------------------------------------------

def set_socket(int number, int fd, address, bint alike=False):
    """Give the NIC a UDP socket that is bound to `address`, port 4791: number 0 is the host's own. fd -1 takes it away;
    the descriptor stays the caller's to close. alike: it hears for number 0. Raises ValueError, TimeoutError, RuntimeError (the NIC is not open)."""
    if not 0 <= number < ROCE_SOCKETS:
        raise ValueError(f"sockets are numbered 0 to {ROCE_SOCKETS - 1}")
    with lock:
        mailbox.socket, mailbox.fd, mailbox.of = number, fd, 0 if alike else number
        put_address(address)
        if ask(ASK_SOCKET):
            raise OSError(errno.EBADF, "cannot watch the socket")


def place(bytes gid, host=None, int socket=0):
    """A virtual address is on this host (None), or behind the router at `host`, an IP address. Replaces what was said
    of it before; connected QPs stay where they are. socket: number of the one that is bound to a virtual address of this
    host, if there is one. Raises OSError ENOSPC when the map is full."""
    _place(gid, ROCE_HERE if host is None else ROCE_ELSEWHERE, host or "0.0.0.0", socket)


def forget(bytes gid):
    """Nobody knows where the address is any more."""
    _place(gid, ROCE_NOWHERE, "0.0.0.0", 0)


def _place(bytes gid, state, host, int socket):
    if len(gid) != 16:
        raise ValueError("a GID has 16 bytes")
    with lock:
        mailbox.state, mailbox.socket = state, socket
        memcpy(mailbox.gid, <const char *>gid, 16)
        put_address(host)
        if ask(ASK_GID):
            raise OSError(errno.ENOSPC, "the map of addresses is full")


def set_link(host, int size):
    """The link towards the router at `host`, an IP address, carries datagrams of `size` bytes: whether the path does, is
    asked by packets of that size, and until one has come back they are as long as the standard's. Raises OSError ENOSPC
    when there are too many hosts."""
    with lock:
        mailbox.state = min(size, FF_ROCE_MAX_PACKET) & ~3
        put_address(host)
        if ask(ASK_LINK):
            raise OSError(errno.ENOSPC, "the map of addresses is full")


def set_stream(host, int fd):
    """The stream to the router at `host`, an IP address: a connected TCP socket whose two ends have proved who they are, and
    which nothing was said on since. It replaces the one before; fd -1: there is none. The descriptor stays the caller's to close,
    once it is replaced. Raises OSError ENOSPC when there are too many."""
    with lock:
        mailbox.fd = fd
        put_address(host)
        if ask(ASK_STREAM):
            raise OSError(errno.ENOSPC, "too many streams, or no memory for another one")


def is_whole(host):
    """Whether the stream to that router is there and did not break."""
    cdef roce_nic *n = roce_nic_of()
    cdef uint32_t number
    with lock:
        put_address(host)
        number = stream_to(n, &mailbox.address)
        return number > 0 and not n.stream[number - 1].broken


def set_faults(double drop=0, double duplicate=0, double corrupt=0, double reorder=0, double delay_us=0, double jitter_us=0,
               double behind_us=50, unsigned long seed=1):
    """What is done to packets that come in, on purpose: shares from 0 to 1, and times (faulty.pxd). Nothing, without
    arguments. Raises ValueError, MemoryError."""
    if not all(0 <= share <= 1 for share in (drop, duplicate, corrupt, reorder)):
        raise ValueError("a share of packets is from 0 to 1")
    if not all(0 <= us <= FAULT_US_MAX for us in (delay_us, jitter_us, behind_us)):
        raise ValueError(f"packets are held for at most {FAULT_US_MAX} microseconds")
    with lock:
        mailbox.faults = faulty_plan(_part(drop), _part(duplicate), _part(corrupt), _part(reorder),
                                     <uint64_t>(delay_us * 1000), <uint64_t>(jitter_us * 1000), <uint64_t>(behind_us * 1000), seed)
        if ask(ASK_FAULTS):
            raise MemoryError("no memory for packets that are held back")


cdef uint32_t _part(double share):
    return min(<uint64_t>(share * 4294967296.0), <uint64_t>0xFFFFFFFF)
