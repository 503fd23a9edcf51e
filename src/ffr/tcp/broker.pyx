"""The broker as Python sees it: a thread that never holds the GIL, and the containers that it serves."""

import logging
import os
import resource
import socket
import threading

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ffcore.tcp cimport *
from ffr.tcp import quiet
from ffr.tcp.kernel cimport identify, open_diag, receive_request
from ffr.tcp.peers cimport *
from ffr.tcp.remote cimport errands_free, errands_make, hear_peer, links_came, peer_lost
from ffr.tcp.serve cimport idle_ms, keep_house, serve
from ffr.tcp.state cimport *
from ffr.tcp.reach cimport REACH_PAIRS, reach_take
from ffr.tcp.tables cimport *

cdef extern from "ffr/tcp/kernel.h" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    struct sockaddr:
        pass
    enum:
        EMFILE, ENFILE, EPOLLIN, EPOLLET, EPOLL_CTL_ADD, EPOLL_CLOEXEC, EFD_NONBLOCK, EFD_CLOEXEC, SOCK_NONBLOCK, SOCK_CLOEXEC
    int pthread_mutex_init(pthread_mutex_t *, void *)
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)
    int epoll_create1(int)
    int epoll_ctl(int, int, int, epoll_event *)
    int epoll_wait(int, epoll_event *, int, int)
    int eventfd(unsigned, int)
    int accept4(int, sockaddr *, void *, int)
    int sched_yield()
    uint64_t tcp_now_us()
    int tcp_errno()
    int close(int)
    ssize_t read(int, void *, size_t)

log = logging.getLogger(__name__)

cdef enum:
    DOOR = SESSIONS      # epoll tags: a session's index, or one of these
    WAKE = SESSIONS + 1
    BATCH = 64
    BACKLOG = 1024
    SHARE = 4            # of the sessions, for one container
    SPIN_US = 200        # looked around for after something happened: a connect asks, waits for another host, and claims
    SLOW_US = 150        # a yield that takes this long went to somebody who computes,
    REST_US = 10000      # who is left alone for so long

cdef struct spinning:
    uint64_t until_us, rest_until_us

REASONS = ("accelerated", "no_container", "other_host", "refused", "foreign_source", "no_listener", "plain_listener",
           "path", "not_claimed", "abandoned", "quota", "resources", "not_offered", "bad_request", "own_port",
           "privileged")


cdef class Broker:
    """Listens on path. add_container before or after start; everything may be called from any Python thread."""

    cdef broker b
    cdef pthread_mutex_t lock  # the thread holds it while it works, never while it sleeps
    cdef object door, thread, entered
    cdef readonly str path
    cdef readonly object why_not_near  # what keeps connections on one host on the overlay, or None

    def __cinit__(self, path):
        memset(&self.b, 0, sizeof(self.b))
        pthread_mutex_init(&self.lock, NULL)
        self.b.epoll = epoll_create1(EPOLL_CLOEXEC)
        self.b.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        self.b.random = int.from_bytes(os.urandom(8), "little")
        if self.b.epoll < 0 or self.b.wake < 0:
            raise OSError("no descriptors for the TCP broker")
        if tables_make(&self.b, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 20)) != 0:
            raise MemoryError
        if peers_make(&self.b) != 0 or errands_make(&self.b) != 0:
            raise MemoryError
        self.b.home = self.b.quiet_place = self.b.quiet_diag = -1
        self.entered = threading.Event()
        self.b.spare = spare_descriptor()

    def __init__(self, path):
        self.path = os.fspath(path)
        self.door = _door(self.path)
        self.b.door = self.door.fileno()
        watch(&self.b, self.b.door, DOOR)
        watch(&self.b, self.b.wake, WAKE)

    def __dealloc__(self):
        tables_free(&self.b)
        peers_free(&self.b)
        errands_free(&self.b)
        for fd in (self.b.home, self.b.quiet_place, self.b.quiet_diag, self.b.spare):
            if fd >= 0:
                close(fd)
        close(self.b.epoll)
        close(self.b.wake)

    def start(self, fence):
        """fence (fence.py): links are made inside it."""
        self.thread = threading.Thread(target=self._run, args=(fence,), name="tcp-broker", daemon=True)
        self.thread.start()
        self.entered.wait()

    def stop(self):
        """Existing connections go on; what nobody has accepted yet is reset."""
        self.b.stopping = True
        os.eventfd_write(self.b.wake, 1)
        if self.thread is not None:
            self.thread.join()
        self.door.close()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def add_container(self, netns, addresses, tenant=0):
        """netns: a descriptor of its network namespace. addresses: 16 bytes each, IPv4-mapped for IPv4, all of them
        nobody else's. Raises OSError or ValueError."""
        cdef uint32_t index
        cdef int diag = open_diag(netns)
        if diag < 0:
            raise OSError(-diag, f"network namespace: {os.strerror(-diag)}")
        where = os.fstat(netns)
        with Locked(self):
            index = container_of(&self.b, where.st_dev, where.st_ino)
            if index != NONE:
                container_drop(&self.b, index)
            index = container_put(&self.b, where.st_dev, where.st_ino, diag, tenant)
            if index == NONE:
                close(diag)
                raise ValueError(f"more than {CONTAINERS} containers")
            for address in addresses:
                if not address_put(&self.b, index, address):
                    container_drop(&self.b, index)
                    raise ValueError(f"address {address.hex()} is another container's, or one too many")

    def remove_container(self, device, inode):
        """By its network namespace, as fstat names it. Connections under way are left alone."""
        cdef uint32_t index
        with Locked(self):
            index = container_of(&self.b, device, inode)
            if index != NONE:
                container_drop(&self.b, index)

    def set_reach(self, pairs):
        """(client's tenant, server's), numbers, of those that may connect although they are not the same; ANY (0): any.
        Connections that exist stay. Raises ValueError, MemoryError."""
        cdef uint64_t *made
        cdef uint32_t i
        pairs = sorted(set(pairs))
        if len(pairs) > REACH_PAIRS:
            raise ValueError(f"{len(pairs)} pairs of tenants, more than {REACH_PAIRS}")
        made = <uint64_t *>calloc(len(pairs) + 1, 2 * sizeof(uint64_t))
        if made == NULL:
            raise MemoryError
        for i, (client, server) in enumerate(pairs):
            made[2 * i], made[2 * i + 1] = client, server
        with Locked(self):
            reach_take(&self.b, made, len(pairs))

    # ---- other hosts ----

    def open_links(self, own, door):
        """own: this host's address among the hosts, 16 bytes. door: a listening, non-blocking socket, the broker's from
        now on, at which the data links of others arrive."""
        with Locked(self):
            if self.b.link_door >= 0:
                close(self.b.link_door)
            self.b.link_door = os.dup(door)
            memcpy(self.b.own, <const uint8_t *>(<bytes>own), 16)
            watch(&self.b, self.b.link_door, <uint64_t>TAG_LINK_DOOR << 32, EPOLLIN | EPOLLET)

    def place(self, address, host):
        """A container's address, 16 bytes, is behind host (as open_links), or behind nobody: None."""
        cdef uint32_t peer
        with Locked(self):
            if host is None:
                place_take(&self.b, <const uint8_t *>(<bytes>address))
                return
            peer = peer_put(&self.b, <const uint8_t *>(<bytes>host))
            if peer == NONE or place_put(&self.b, <const uint8_t *>(<bytes>address), peer) != 0:
                raise ValueError("more hosts or addresses than there is room for")

    def add_link(self, host, asks, control, secret):
        """A control link with that host, which its two ends have proved; control: its socket, duplicated here. asks:
        this end asks. secret: 16 bytes that data links of the same direction say."""
        cdef uint32_t peer
        cdef int fd = os.dup(control)
        with Locked(self):
            peer = peer_put(&self.b, <const uint8_t *>(<bytes>host))
            if peer == NONE:
                close(fd)
                raise ValueError(f"more than {PEERS} other hosts")
            if channel_open(&self.b, peer, asks, fd, <const uint8_t *>(<bytes>secret)) != 0:
                raise OSError("no room to watch a control link")
        os.eventfd_write(self.b.wake, 1)

    def drop_host(self, host):
        cdef uint32_t peer
        with Locked(self):
            peer = peer_at(&self.b, <const uint8_t *>(<bytes>host))
            if peer != NONE:
                peer_lost(&self.b, peer, True)
                peer_lost(&self.b, peer, False)

    def linked(self, host):
        """Whether questions can be asked there."""
        cdef uint32_t peer
        with Locked(self):
            peer = peer_at(&self.b, <const uint8_t *>(<bytes>host))
            return peer != NONE and self.b.peers[peer].ask.fd >= 0

    def counters(self):
        """Connects by outcome (REASONS), and what is under way. A connection is counted when its server accepts it."""
        with Locked(self):
            found = {name: self.b.counts[i] for i, name in enumerate(REASONS)}
            found.update(links_out=self.b.links_out, links_in=self.b.links_in)
            found.update(pending=self.b.pendings, sessions_refused=self.b.sessions_refused, dropped=self.b.dropped)
            found["listeners"] = sum(self.b.containers[i].listeners for i in range(CONTAINERS)
                                     if self.b.containers[i].used)
            found["sessions"] = sum(self.b.containers[i].sessions for i in range(CONTAINERS)
                                    if self.b.containers[i].used)
        return found

    def _run(self, fence):
        self.b.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            quiet.enter()
            self.b.quiet_place = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self.b.quiet_diag = open_diag(self.b.quiet_place)
            fence.build()
            fence.admit(threading.get_native_id())
        except OSError as error:
            self.why_not_near = f"{error.strerror or error}"
            log.warning("TCP mode leaves connections on one host on the overlay: %s", error)
        self.entered.set()
        with nogil:
            work(self)


class Locked:
    def __init__(self, of):
        self.of = of

    def __enter__(self):
        lock(self.of)

    def __exit__(self, *error):
        unlock(self.of)


def lock(Broker of):
    with nogil:
        pthread_mutex_lock(&of.lock)


def unlock(Broker of):
    pthread_mutex_unlock(&of.lock)


def _door(path):
    """Anybody may connect; who is served is decided by the network namespace that the call comes from."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if os.path.exists(path):
        os.unlink(path)
    door.bind(path)
    os.chmod(path, 0o666)
    door.listen(BACKLOG)
    return door


cdef int watch(broker *b, int fd, uint64_t tag, uint32_t events=EPOLLIN) noexcept nogil:
    cdef epoll_event event
    event.events = events
    event.data.u64 = tag
    return epoll_ctl(b.epoll, EPOLL_CTL_ADD, fd, &event)


cdef void work(Broker of) noexcept nogil:
    cdef broker *b = &of.b
    cdef epoll_event events[BATCH]
    cdef int ready, i
    cdef spinning spin
    memset(&spin, 0, sizeof(spin))
    pthread_mutex_lock(&of.lock)
    while not b.stopping:
        pthread_mutex_unlock(&of.lock)
        ready = epoll_wait(b.epoll, events, BATCH, 0)
        pthread_mutex_lock(&of.lock)
        if ready == 0 and links_idle(b):
            continue
        if ready == 0:
            ready = idle_ms(b)
            pthread_mutex_unlock(&of.lock)
            ready = wait(b.epoll, events, ready, &spin)
            pthread_mutex_lock(&of.lock)
        if ready > 0:
            spin.until_us = tcp_now_us() + SPIN_US
        for i in range(ready):
            happened(b, events[i].data.u64)
        keep_house(b)
    pthread_mutex_unlock(&of.lock)


cdef int wait(int epoll, epoll_event *events, int limit_ms, spinning *spin) noexcept nogil:
    """epoll_wait, which looks around before it sleeps: to be woken takes longer than to answer. Where somebody else
    computes, that would be his time, so then it sleeps at once."""
    cdef int ready = 0
    cdef uint64_t now = tcp_now_us()
    cdef uint64_t before
    while ready == 0 and now < spin.until_us and now >= spin.rest_until_us:
        before = now
        sched_yield()
        ready = epoll_wait(epoll, events, BATCH, 0)
        now = tcp_now_us()
        if now - before > SLOW_US:
            spin.rest_until_us = now + REST_US
    return ready if ready != 0 else epoll_wait(epoll, events, BATCH, limit_ms)


cdef void happened(broker *b, uint64_t tag) noexcept nogil:
    cdef uint32_t index = <uint32_t>tag
    cdef uint32_t kind = <uint32_t>(tag >> 32)
    cdef uint32_t peer
    cdef uint64_t count
    if kind == TAG_LINK:
        peer = link_look(b, index)
        if peer != NONE:
            links_came(b, peer)
    elif kind == TAG_ASK or kind == TAG_SERVE:
        hear_peer(b, index, kind == TAG_ASK)
    elif kind == TAG_LINK_DOOR:
        b.door_rings = True
    elif tag == DOOR:
        open_door(b)
    elif tag == WAKE:
        read(b.wake, &count, sizeof(count))
        b.next_sweep_ms = 0
    else:
        hear(b, index)


cdef void open_door(broker *b) noexcept nogil:
    """One caller per look, so that those who are in do not wait for a crowd at the door."""
    cdef uint64_t device = 0
    cdef uint64_t inode = 0
    cdef uint32_t uid = 0
    cdef uint32_t index = NONE
    cdef uint32_t place = NONE
    cdef int pid = 0
    cdef int fd = accept4(b.door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
    if fd < 0:
        if b.spare >= 0 and tcp_errno() in (EMFILE, ENFILE):
            turn_away(b)
        return
    if identify(fd, &device, &inode, &uid, &pid) == 0:
        index = container_of(b, device, inode)
    if index != NONE and b.containers[index].sessions < b.session_limit // SHARE:
        place = session_put(b, fd, index, uid, pid)
    if place == NONE:
        b.sessions_refused += 1
        close(fd)
    elif watch(b, fd, place) != 0:
        session_drop(b, place)


cdef void turn_away(broker *b) noexcept nogil:
    """There are no descriptors left: a caller that nobody takes in would wait, and the door ring without end."""
    cdef int fd
    close(b.spare)
    fd = accept4(b.door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
    if fd >= 0:
        b.sessions_refused += 1
        close(fd)
    b.spare = spare_descriptor()


cdef int spare_descriptor() noexcept nogil:
    return eventfd(0, EFD_CLOEXEC)


cdef void hear(broker *b, uint32_t index) noexcept nogil:
    """One request per look: fair to the others. A session may have gone since epoll spoke of it."""
    cdef ff_tcp_request ask
    cdef int got
    if b.sessions[index].fd < 0:
        return
    got = receive_request(b.sessions[index].fd, &ask)
    if got < 0 or (got > 0 and serve(b, index, &ask) != 0):
        session_drop(b, index)
