"""The reactor as Python sees it: a thread that never holds the GIL, and the sessions given to it."""

import errno as errnos
import os
import resource
import sys
import threading

from cpython.pycapsule cimport PyCapsule_New
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from ffcore.shm cimport (FF_GID_TABLE, FF_LAYOUT_VERSION, FF_MAGIC, FF_MODE_ISOLATED, FF_PAGE, FF_QPS_PER_SESSION,
                         FF_RINGS_OFFSET, ff_cas32, ff_load32_acquire, ff_session, ff_store32, ff_store32_release)
from ffcore.stats cimport (FF_STATS_MAGIC, FF_STATS_NAME, FF_STATS_QPS, FF_STATS_SESSIONS, FF_STATS_VERSION,
                           ff_qp_stats, ff_session_stats, ff_stats_header)
from ffr.cm.channels cimport cm_begin
from ffr.reactor.loop cimport loop_run, loop_stand_in
from ffr.reactor.state cimport (ADMIN_ATTACH, ADMIN_DETACH, ADMIN_GIDS, ADMIN_LIMITS, ADMIN_MAPPED, ADMIN_NONE, ADMIN_PORT, ADMIN_WANTED,
                                NEIGHBOURS_MAX, STAND_INS_MAX, ffr_loop)
from ffr.mem.nothing cimport nothing_map, nothing_unmap
from ffr.mem.region cimport region_map, region_unmap, uffd_open
from ffr.nic.registry cimport nics_fill
from ffr.objects.qp cimport FFR_BATCH, FFR_TURN_BYTES
from ffr.rates cimport FFR_SESSION_BUCKETS, ffr_rates
from ffr.reach cimport ffr_reach, ffr_rules
from ffcore.control cimport FF_EXTENT_SHARED
from ffr.state cimport (FFR_ADAPTIVE, FFR_CHANNELS, FFR_CONTROL_MAX, FFR_CQ, FFR_FASTPATH, FFR_KINDS, FFR_LATER_ASKED,
                        FFR_LOWCPU, FFR_MAPPINGS, FFR_MCAST_BUCKETS, FFR_MR, FFR_NONE, FFR_PD, FFR_PORT_MTU, FFR_QP,
                        FFR_SESSIONS, FFR_STATE_MAGIC, FFR_STATE_VERSION, ffr_later, ffr_limits, ffr_mapped, ffr_router, ffr_session,
                        ffr_state, ffr_view)
import ffr.mem.guard  # installs the SIGBUS handler


cdef extern from "<unistd.h>" nogil:
    int usleep(unsigned int us)

cdef extern from "ffr/reactor/loop.h" nogil:
    enum:
        FFR_TAG_WAKE
    uint64_t ffr_now_ns()
    int ffr_epoll_add(int epoll, int fd, uint32_t tag, uint32_t session)
    void ffr_eventfd_add(int fd)


POLLING = {"adaptive": FFR_ADAPTIVE, "fastpath": FFR_FASTPATH, "lowcpu": FFR_LOWCPU}
ADMIN_WAIT_S = 5.0
CONTROL_DESCRIPTORS = 1500  # of the control thread: 1024 handshakes, containers' namespaces, its own sockets


cdef ffr_limits _limits_of(limits) except *:
    cdef ffr_limits l
    l.max_qp = min(limits["max_qp"], FF_QPS_PER_SESSION)
    l.max_cq = limits["max_cq"]
    l.max_mr = limits["max_mr"]
    l.max_pd = limits["max_pd"]
    l.max_channels = limits["max_channels"]
    l.max_ah = limits["max_ah"]
    l.max_mcast = limits["max_mcast"]
    l.max_srq = limits["max_srq"]
    l.max_xrcd = limits["max_xrcd"]
    l.dm_bytes = limits["dm_bytes"]
    l.pinned_bytes = limits["pinned_bytes"]
    return l


cdef class Reactor:
    """Owns the router's state and the thread that works on it.

    stats_fd: shared memory of ffcore/stats.h's size; -1: counters that nobody else sees.
    """

    cdef ffr_router r
    cdef ffr_loop loop
    cdef size_t stats_size
    cdef uint32_t reaped_tail
    cdef object kept, fds, threads, lock, asking, free_numbers, free_shares, shares

    def __cinit__(self, int stats_fd=-1):
        cdef int i
        memset(&self.r, 0, sizeof(self.r))
        memset(&self.loop, 0, sizeof(self.loop))
        self.fds = []
        self.kept = ([], [])
        self.r.view = <ffr_view *>calloc(FFR_SESSIONS, sizeof(ffr_view))
        self.loop.reaped = <uint32_t *>calloc(FFR_SESSIONS, sizeof(uint32_t))
        self.r.later = <ffr_later *>calloc(FFR_SESSIONS, sizeof(ffr_later))
        self.r.mapped = <ffr_mapped *>calloc(FFR_MAPPINGS, sizeof(ffr_mapped))
        self.r.rates = <ffr_rates *>calloc(1, sizeof(ffr_rates))
        self.r.reach = <ffr_reach *>calloc(1, sizeof(ffr_reach))
        if (self.r.view == NULL or self.loop.reaped == NULL or self.r.later == NULL or self.r.mapped == NULL or self.r.reach == NULL
                or self.r.rates == NULL):
            raise MemoryError
        self.r.reach.rules = <ffr_rules *>calloc(1, sizeof(ffr_rules))  # not closed: everybody reaches everybody
        if self.r.reach.rules == NULL:
            raise MemoryError
        self.r.unwanted = FFR_NONE
        nics_fill()
        self._make_state()
        self._map_stats(stats_fd)
        self.r.uffd = uffd_open()
        self._map_nothing()
        self.r.port_mtu = FFR_PORT_MTU
        self.r.turn_wqes, self.r.turn_bytes = FFR_BATCH, FFR_TURN_BYTES
        self.r.channel_room = _channel_room(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self.r.epoll = self._epoll()
        self.r.wake = self._own(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        self.r.reaped = self._own(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        self.r.mapper = self._own(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        ffr_epoll_add(self.r.epoll, self.r.wake, FFR_TAG_WAKE, 0)
        self.loop.r = &self.r
        self.loop.ncpu = len(os.sched_getaffinity(0))
        self.loop.budget_ns = 200_000
        self.r.stats.ncpu = self.loop.ncpu
        self.threads = []
        self.lock = threading.Lock()
        self.asking = threading.Lock()       # around what lies in the loop for a request and its answer
        self.free_numbers = list(range(FFR_SESSIONS - 1, -1, -1))
        self.free_shares = list(self.free_numbers)
        self.shares = {}  # container -> (its share, numbers of its sessions)

    def __dealloc__(self):
        cdef uint32_t i
        if self.r.state != NULL:
            for i in range(FFR_SESSIONS):
                region_unmap(&self.r, i)
            munmap(self.r.state, sizeof(ffr_state))
        if self.r.stats != NULL:
            munmap(self.r.stats, self.stats_size)
        nothing_unmap(&self.r)
        free(self.r.view)
        free(self.loop.reaped)
        free(self.r.later)
        free(self.r.mapped)
        free(self.r.rates)
        if self.r.reach != NULL:
            free(self.r.reach.rules)
        free(self.r.reach)

    # ---- making ----

    def _own(self, fd):
        self.fds.append(fd)
        return fd

    cdef _map_nothing(self):
        cdef int error = nothing_map(&self.r)
        if error:
            raise OSError(error, os.strerror(error))

    def _epoll(self):
        import select
        poller = select.epoll(flags=select.EPOLL_CLOEXEC)
        self.fds.append(poller)              # closed with it
        return poller.fileno()

    def _make_state(self):
        cdef void *at
        cdef int kind
        fd = self._own(os.memfd_create("freeflow-state", os.MFD_CLOEXEC))
        os.ftruncate(fd, sizeof(ffr_state))
        at = mmap(NULL, sizeof(ffr_state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        if at == MAP_FAILED:
            raise OSError(errnos.ENOMEM, "cannot map the router's state")
        self.r.state = <ffr_state *>at
        self.r.state.magic = FFR_STATE_MAGIC
        self.r.state.version = FFR_STATE_VERSION
        self.r.state.size = sizeof(ffr_state)
        self.r.state.epoch = int.from_bytes(os.urandom(8), "little")
        self.r.key_seed = int.from_bytes(os.urandom(8), "little")
        for kind in range(FFR_KINDS):
            self.r.state.table.free[kind] = FFR_NONE
        cm_begin(&self.r)
        self.r.state.block_free = self.r.state.mapping_free = FFR_NONE
        memset(self.r.state.mcast_bucket, 0xff, FFR_MCAST_BUCKETS * sizeof(uint32_t))  # FFR_NONE

    def _map_stats(self, int fd):
        cdef void *at
        cdef uint64_t sessions = sizeof(ff_stats_header)
        cdef uint64_t qps = sessions + FF_STATS_SESSIONS * sizeof(ff_session_stats)
        self.stats_size = qps + FF_STATS_QPS * sizeof(ff_qp_stats)
        if fd < 0:
            fd = self._own(os.memfd_create("freeflow-stats", os.MFD_CLOEXEC))
            os.ftruncate(fd, self.stats_size)
        if os.fstat(fd).st_size < self.stats_size:
            raise ValueError(f"the counters need {self.stats_size} bytes")
        at = mmap(NULL, self.stats_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        if at == MAP_FAILED:
            raise OSError(errnos.ENOMEM, "cannot map the counters")
        self.r.stats = <ff_stats_header *>at
        self.r.session_stats = <ff_session_stats *>(<uint8_t *>at + sessions)
        self.r.qp_stats = <ff_qp_stats *>(<uint8_t *>at + qps)
        self.r.stats.version = FF_STATS_VERSION
        self.r.stats.router_pid = os.getpid()
        self.r.stats.start_ns = ffr_now_ns()
        self.r.stats.sessions_offset = sessions
        self.r.stats.qps_offset = qps
        self.r.stats.magic = FF_STATS_MAGIC  # last: a reader that sees it sees the rest

    @property
    def router(self):
        """The router's struct, for the NICs that are set up before the thread starts."""
        return PyCapsule_New(&self.r, "ffr_router", NULL)

    # ---- the thread ----

    def start(self):
        """Starts the reactor thread, and its stand-ins on the other cores where those are few."""
        if self.threads:
            raise RuntimeError("the reactor runs already")
        ff_store32(&self.loop.stop, 0)
        others = sorted(os.sched_getaffinity(0))[1:]
        self.threads = [threading.Thread(target=self._run, name="reactor", daemon=True)]
        if len(others) < STAND_INS_MAX:
            self.threads += [threading.Thread(target=self._stand_in, args=(cpu,), name=f"stand-in-{cpu}", daemon=True)
                             for cpu in others]
        for thread in self.threads:
            thread.start()

    def _run(self):
        with nogil:
            loop_run(&self.loop)

    def _stand_in(self, int cpu):
        with nogil:
            loop_stand_in(&self.loop, cpu)

    def stop(self):
        """Stops the threads; sessions stay as they are, and their programs see the sockets close with the process."""
        ff_store32(&self.loop.stop, 1)
        ffr_eventfd_add(self.r.wake)
        for thread in self.threads:
            thread.join()
        self.threads = []

    def _ask(self, uint32_t op, uint32_t session, uint32_t error=0):
        """One request to the loop, answered before this returns. TimeoutError: withdrawn, the loop will not see it."""
        cdef uint64_t end = ffr_now_ns() + <uint64_t>(ADMIN_WAIT_S * 1e9)
        cdef bint done = False
        with self.lock:
            self.loop.admin_session = session
            self.loop.admin_error = error
            ff_store32_release(&self.loop.admin, op)
            ffr_eventfd_add(self.r.wake)
            with nogil:
                while not done and (ffr_now_ns() < end or not ff_cas32(&self.loop.admin, op, ADMIN_NONE)):
                    usleep(20)
                    done = ff_load32_acquire(&self.loop.admin) == ADMIN_NONE
        if not done:
            raise TimeoutError("the reactor thread does not answer")

    # ---- sessions ----

    def attach(self, int sock_fd, int control_fd, int memory_fd, int event_fd, gids, limits, name, int pid, guid=bytes(8),
               bint port_up=True, mtus=(), uint32_t party=0, buckets=(0, 0, 0)):
        """Gives a session to the reactor, and the descriptors with it. Returns its number.

        gids: 16-byte GIDs, the first is index 0; zeros are an entry that is not in use. guid: the device's, 8 bytes.
        mtus: of the links with these addresses, bytes; 0 is not known. party: see reach.h; buckets: see rates.h.
        limits: max_qp, max_cq, max_mr, max_pd, max_channels, max_ah,
        max_mcast, max_srq, max_xrcd, pinned_bytes. name: the container's; what its sessions hold counts together.
        Raises OSError: EMFILE when every number is taken, or what mapping the segments gave.
        """
        cdef uint32_t number
        cdef ffr_session *s
        cdef int error
        if not self.free_numbers:
            raise OSError(errnos.EMFILE, f"the router has {FFR_SESSIONS} sessions, and no room for more")
        number = self.free_numbers.pop()
        s = &self.r.state.session[number]
        memset(s, 0, sizeof(ffr_session))
        s.share = self._share_of(name, number)
        s.sock, s.control, s.memory, s.event = sock_fd, control_fd, memory_fd, event_fd
        s.control_size = os.fstat(control_fd).st_size
        s.memory_size = os.fstat(memory_fd).st_size
        if not FF_RINGS_OFFSET < s.control_size <= FFR_CONTROL_MAX or s.control_size % FF_PAGE:
            self._give_back(number)
            raise ValueError(f"a control segment of {s.control_size} bytes")
        self._fill(number, gids, limits, name.encode()[:FF_STATS_NAME - 1], pid)
        s.guid = int.from_bytes(guid, sys.byteorder)
        s.port_down = not port_up
        s.party = party
        for i in range(FFR_SESSION_BUCKETS):
            s.bucket[i] = buckets[i]
        for i, mtu in enumerate(mtus[:FF_GID_TABLE]):
            s.link_mtu[i] = mtu
        with nogil:
            error = region_map(&self.r, number)
        if error:
            self._give_back(number)
            raise OSError(error, f"cannot map a session's segments: {os.strerror(error)}")
        self._write_header(number)
        try:
            self._ask(ADMIN_ATTACH, number)
        except TimeoutError:
            region_unmap(&self.r, number)
            self.r.session_stats[number].in_use = 0
            self._give_back(number)
            raise
        return number

    def _share_of(self, container, number):
        """The number under which a container's sessions count together what they hold."""
        if container not in self.shares:
            self.shares[container] = (self.free_shares.pop(), set())
        share, numbers = self.shares[container]
        numbers.add(number)
        return share

    def _give_back(self, number):
        self.free_numbers.append(number)
        for container, (share, numbers) in self.shares.items():
            numbers.discard(number)
            if not numbers:
                del self.shares[container]
                self.free_shares.append(share)
                break

    cdef _fill(self, uint32_t number, gids, limits, bytes name, int pid):
        cdef ffr_session *s = &self.r.state.session[number]
        cdef ff_session_stats *row = &self.r.session_stats[number]
        cdef int kind
        s.pid = pid
        s.limit = _limits_of(limits)
        for kind in range(FFR_KINDS):
            s.first[kind] = FFR_NONE
        memset(s.bell_qp, 0xff, FF_QPS_PER_SESSION * sizeof(uint32_t))
        memcpy(s.name, <const char *>name, len(name))
        self._put_gids(number, gids)
        memset(row, 0, sizeof(row[0]))
        row.session = number
        row.pid = pid
        memcpy(row.container, <const char *>name, len(name))
        row.in_use = 1

    cdef _put_gids(self, uint32_t number, gids):
        cdef ffr_session *s = &self.r.state.session[number]
        cdef int i
        _check_gids(gids)
        for i in range(len(gids)):
            memcpy(s.gid[i], <const char *><bytes>gids[i], 16)
        s.gid_count = len(gids)

    cdef _write_header(self, uint32_t number):
        cdef ffr_session *s = &self.r.state.session[number]
        cdef ff_session *shared = <ff_session *>self.r.view[number].control
        shared.magic = FF_MAGIC
        shared.layout_version = FF_LAYOUT_VERSION
        shared.mode = FF_MODE_ISOLATED
        shared.session = number
        shared.epoch = self.r.state.epoch
        shared.control_size = s.control_size
        shared.memory_size = s.memory_size
        shared.pinned_limit = s.limit.pinned_bytes

    def detach(self, uint32_t number, uint32_t error=errnos.ECONNRESET):
        """Ends a session; reaped() names it when nothing of it is left. The program sees its socket close."""
        self._ask(ADMIN_DETACH, number, error)

    def set_gids(self, uint32_t number, gids):
        """Replaces a session's GID table, and tells its programs (IBV_EVENT_GID_CHANGE). New connections use it; connected
        QPs stay."""
        cdef int i
        _check_gids(gids)
        memset(self.loop.admin_gid, 0, sizeof(self.loop.admin_gid))
        for i in range(len(gids)):
            memcpy(self.loop.admin_gid[i], <const char *><bytes>gids[i], 16)
        self.loop.admin_gid_count = len(gids)
        self._ask(ADMIN_GIDS, number)

    def set_port(self, uint32_t number, bint up, mtus=()):
        """What is known of the links under a session's port; its programs hear when it goes up or down
        (IBV_EVENT_PORT_ACTIVE, PORT_ERR). mtus: as attach."""
        memset(self.loop.admin_mtu, 0, sizeof(self.loop.admin_mtu))
        for i, mtu in enumerate(mtus[:FF_GID_TABLE]):
            self.loop.admin_mtu[i] = mtu
        self._ask(ADMIN_PORT, number, not up)

    def set_limits(self, uint32_t number, limits):
        """Replaces a session's limits, as attach takes them. What it has stays; what would be beyond them gets ENOMEM."""
        self.loop.admin_limit = _limits_of(limits)
        self._ask(ADMIN_LIMITS, number)

    @property
    def reaped_fd(self):
        """An eventfd, readable when sessions have ended."""
        return self.r.reaped

    def reaped(self):
        """Sessions that have ended since the last call; unmaps them and closes their descriptors."""
        cdef uint32_t head, number
        cdef ffr_session *s
        gone = []
        try:
            os.read(self.r.reaped, 8)            # first: one that ends after the look below is told of anew
        except BlockingIOError:
            pass
        head = ff_load32_acquire(&self.loop.reaped_head)
        while self.reaped_tail != head:
            number = self.loop.reaped[self.reaped_tail % FFR_SESSIONS]
            self.reaped_tail += 1
            s = &self.r.state.session[number]
            with nogil:
                region_unmap(&self.r, number)
            for fd in (s.sock, s.control, s.memory, s.event):
                os.close(fd)
            self._give_back(number)
            gone.append(number)
        return gone

    # ---- programs' shared memory: control/mapper.py ----

    @property
    def mapper_fd(self):
        """An eventfd, readable when wanted() has something to say."""
        return self.r.mapper

    @property
    def uffd(self):
        """The userfaultfd to register mappings of programs' memory with; negative when the kernel grants none."""
        return self.r.uffd

    def wanted(self):
        """What is to be mapped and unmapped next: [(session, ticket of its command, writable, [(extent, address, length)])],
        addresses of the process's, and [(address, size)] of this process. Both empty: nothing."""
        cdef uint32_t i, j
        cdef ffr_later *later
        asked, unwanted = [], []
        with self.asking:
            self._ask(ADMIN_WANTED, 0)
            for i in range(self.loop.taken_count):
                later = &self.loop.taken[i]
                if later.state == FFR_LATER_ASKED:
                    asked.append((self.loop.taken_session[i], later.ticket, bool(later.writable),
                                  [(j, later.extent[j].offset & ~FF_EXTENT_SHARED, later.extent[j].length)
                                   for j in range(later.extents) if later.extent[j].offset & FF_EXTENT_SHARED]))
            for i in range(self.loop.dropped_count):
                unwanted.append((<uint64_t>self.loop.dropped[i].at, self.loop.dropped[i].size))
        return asked, unwanted

    def mapped(self, uint32_t number, uint64_t ticket, mappings=(), uint32_t error=0, uint32_t why=0):
        """Answers a command that wanted() named. mappings: one for each of its extents of shared memory, (extent, device,
        inode, offset in the file, length, writable, address, size, bytes before the offset); or an errno and an enum ff_why.
        False: it is not waited for any more, or the session has too many, and the mappings stay the caller's."""
        cdef ffr_later *found = <ffr_later *>calloc(1, sizeof(ffr_later))
        cdef uint32_t j
        cdef bint kept
        if found == NULL:
            return False
        found.ticket, found.error, found.why = ticket, error, why
        try:
            with self.asking:
                for m in mappings:
                    j = m[0]                 # as wanted() said it: below FFR_BLOCK_EXTENTS
                    found.mapping[j].device, found.mapping[j].inode = m[1], m[2]
                    found.mapping[j].offset, found.mapping[j].length, found.mapping[j].writable = m[3], m[4], m[5]
                    found.mapped[j].at = <uint8_t *><uint64_t>m[6]
                    found.mapped[j].size, found.mapped[j].skip = m[7], m[8]
                self.loop.found = found
                self._ask(ADMIN_MAPPED, number)
                kept = found.kept
            return kept
        finally:
            free(found)

    def sessions(self):
        """The live sessions, a dict each."""
        cdef ffr_session *s
        cdef uint32_t n
        rows = []
        for n in range(FFR_SESSIONS):
            s = &self.r.state.session[n]
            if s.used:
                rows.append({"session": n, "pid": s.pid, "container": (<bytes>s.name).decode(errors="replace"),
                             "qps": s.count[FFR_QP], "cqs": s.count[FFR_CQ], "mrs": s.count[FFR_MR],
                             "pds": s.count[FFR_PD], "pinned_bytes": s.pinned})
        return rows

    def only_by_wire(self):
        """Before start(): containers of this host reach each other as they reach those of other hosts."""
        self.r.wire_only = 1

    def set_port_mtu(self, int bytes_max):
        """What the port reports from now on; QPs that are connected stay as they are."""
        if bytes_max not in (256, 512, 1024, 2048, 4096):
            raise ValueError(f"an MTU of {bytes_max}")
        self.r.port_mtu = bytes_max

    # ---- polling ----

    def set_neighbours(self, headers):
        """The counters of other routers on this machine, buffers of at least a header each, whose pollers count too when
        it is judged how many poll. The buffers are kept until the call after the next, when nobody reads them any more."""
        cdef const unsigned char[::1] view
        cdef uint32_t n = 0
        ff_store32_release(&self.loop.neighbours, 0)
        for header in headers[:NEIGHBOURS_MAX]:
            view = header
            if view.shape[0] < <Py_ssize_t>sizeof(ff_stats_header):
                raise ValueError("not a router's counters")
            self.loop.neighbour[n] = <const ff_stats_header *>&view[0]
            n += 1
        self.kept = (self.kept[1], list(headers))
        ff_store32_release(&self.loop.neighbours, n)

    def set_polling(self, mode):
        """adaptive: poll while there is work and for a short budget after it; fastpath: always; lowcpu: never."""
        if mode not in POLLING:
            raise ValueError(f"polling is one of {', '.join(POLLING)}")
        ff_store32(&self.loop.polling, POLLING[mode])
        self.r.stats.polling = POLLING[mode]
        ffr_eventfd_add(self.r.wake)

    @property
    def poll_budget_us(self):
        return self.loop.budget_ns // 1000

    @poll_budget_us.setter
    def poll_budget_us(self, int us):
        self.loop.budget_ns = <uint64_t>max(us, 0) * 1000

    @property
    def guarded(self):
        """False when the kernel grants no userfaultfd: a container that punches holes into its memory is then charged
        to the router."""
        return self.r.uffd >= 0


def _channel_room(descriptors):
    """How many channels there may be, of that many descriptors: four for each session and some for the control thread stay;
    where that would leave few, a quarter of them all."""
    return min(FFR_CHANNELS, max(descriptors // 4, descriptors - 4 * FFR_SESSIONS - CONTROL_DESCRIPTORS))


def _check_gids(gids):
    if len(gids) > FF_GID_TABLE or any(len(gid) != 16 for gid in gids):
        raise ValueError(f"at most {FF_GID_TABLE} GIDs of 16 bytes")
