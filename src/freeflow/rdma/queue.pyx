import os
from collections import deque
from threading import Lock

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.errno cimport EAGAIN, ENOMEM, errno
from libc.stdint cimport UINT32_MAX, int64_t, uint8_t
from libc.string cimport memcpy, memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap

from freeflow.rdma.verbs cimport *
from freeflow.rdma.library cimport lib
from freeflow.rdma.device cimport Device
from freeflow.rdma.pair cimport DATAGRAM_QKEY, GRH, Pair, Route
from freeflow.rdma.memory cimport Region, Span, span_is_registered, span_of, span_register

from freeflow.rdma.errors import Broken, DeviceGone, ForkedChild, RdmaError, TooLong, of_errno, of_status


cdef extern from "<time.h>" nogil:
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    enum:
        CLOCK_MONOTONIC
    int clock_gettime(int clock, timespec *at)

cdef extern from "<poll.h>" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    enum:
        POLLIN, POLLHUP, POLLERR
    int poll(pollfd *fds, unsigned long n, int timeout_ms)

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from "<arpa/inet.h>" nogil:
    uint32_t htonl(uint32_t)
    uint32_t ntohl(uint32_t)


cdef enum:
    WCS = 32                  # completions taken at a time
    SIGNAL_EVERY = 16         # of a batch: so that its room comes back
    EVENTS = 64               # completion events acknowledged together
    CHAIN = 32                # work requests posted with one call
    SPIN_SLICE_NS = 20000     # of a spin, after which another thread may have its turn

cdef uint64_t RECEIVE = <uint64_t>1 << 63     # in a wr_id: a receive buffer's number

# Kinds of what arrives: a message of this length, a WRITE's immediate data, a datagram.
MESSAGE, NOTICE, DATAGRAM = range(3)


cdef uint64_t now_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t>t.tv_sec * 1000000000u + <uint64_t>t.tv_nsec


cdef class Work:
    """done: bool. result: of a READ or an atomic, what its maker makes of it. error: an exception, or None."""

    cdef void finish(self, object result, object error):
        self.done, self.result, self.error = True, result, error
        self.kept = None
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            waiter()

    def outcome(self):
        """The result of what is done. Raises what went wrong."""
        if self.error is not None:
            raise self.error
        return self.result


cdef unsigned char *own_pages(size_t size) except NULL:
    cdef void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if at == MAP_FAILED:
        raise MemoryError
    return <unsigned char *>at


cdef class Queue(Pair):
    """device: a Device. depth: work requests under way. slots, slot_bytes: receive buffers, and the longest message for one.
    peer: whom errors name. Raises RdmaError.
    """

    def __cinit__(self, Device device, uint32_t depth=256, uint32_t slots=32, uint32_t slot_bytes=4096, str peer=None,
                  bint datagram=False):
        device.alive()
        self.device, self.peer = device, peer
        self.depth = min(depth, <uint32_t>device.attr.max_qp_wr)
        self.slots, self.slot_bytes = min(slots, <uint32_t>device.attr.max_qp_wr), slot_bytes
        self.is_datagram = datagram
        self.works = [None] * self.depth
        self.arrived, self.awaited = deque(), deque()
        self.turn = Lock()
        self.make_queues()
        self._make_slots()

    cdef int _make_slots(self) except -1:
        cdef uint32_t i, stride = self.slot_bytes + (GRH if self.is_datagram else 0)
        cdef size_t size = <size_t>self.slots * stride
        self.receive_at = own_pages(size)
        self.receive_region = Region(self.device, <uint64_t>self.receive_at, size, True)
        self.to_init()
        for i in range(self.slots):
            self.refill(i)
        return 0

    def __dealloc__(self):
        if self.device is None or self.device.owner_pid != os.getpid():
            return
        if self.qp != NULL:
            lib.destroy_qp(self.qp)          # nothing arrives any more
            self.qp = NULL
        if self.receive_region is not None:
            self.receive_region.release()
        if self.receive_at != NULL:
            munmap(self.receive_at, <size_t>self.slots * (self.slot_bytes + (GRH if self.is_datagram else 0)))
        if self.stage_region is not None:
            self.stage_region.release()
        if self.stage_at != NULL:
            munmap(self.stage_at, <size_t>self.depth * self.slot_bytes)

    @property
    def under_way(self):
        """Work requests that are not done."""
        return self.posted + (1 if self.holds else 0) - self.completed

    @property
    def has_room(self):
        return self.under_way < self.depth

    # ---- posting ----

    cdef int push(self, ibv_send_wr *wr) except -1:
        cdef ibv_send_wr *bad
        cdef int error
        if wr.send_flags & IBV_SEND_SIGNALED:
            self.unsignaled = 0
        else:
            self.unsignaled += 1
        error = ibv_post_send(self.qp, wr, &bad)
        if error:
            raise of_errno(error if error > 0 else errno, "posting", self.peer)
        return 0

    cdef int post(self, ibv_send_wr *wr, Work work) except -1:
        """A work request, numbered; of a batch, the one before it."""
        cdef uint32_t place
        if self.failure is not None:
            raise self.failure
        self.device.alive()
        if self.under_way >= self.depth:
            raise RdmaError("too many work requests under way", self.peer)   # callers wait for has_room
        if not self.batching:
            wr.wr_id = self.posted
            wr.send_flags |= IBV_SEND_SIGNALED
            self.push(wr)
            self.works[self.posted % self.depth] = work
            self.posted += 1
            return 0
        self.flush(False)
        self.held, self.holds = wr[0], True
        if wr.num_sge:
            self.held_sge = wr.sg_list[0]
            self.held.sg_list = &self.held_sge
        self.works[self.posted % self.depth] = work
        return 0

    cdef int flush(self, bint last) except -1:
        """Posts the held one. The last of a batch tells of all before it, and some do in between."""
        if not self.holds:
            return 0
        self.holds = False
        self.held.wr_id = self.posted
        if last or self.unsignaled + 1 >= SIGNAL_EVERY:
            self.held.send_flags |= IBV_SEND_SIGNALED
        self.posted += 1
        return self.push(&self.held)

    def begin_batch(self):
        self.batching = True

    def end_batch(self):
        self.batching = False
        self.flush(True)

    def send(self, buffer, uint32_t kind, what="send"):
        """A message of this kind (a number that arrives with it), from the buffer's memory. A Work."""
        return self._move(IBV_WR_SEND_WITH_IMM, buffer, 0, 0, kind, False)

    def write(self, buffer, uint64_t address, uint32_t rkey, notify=None):
        """RDMA WRITE to the peer's memory; notify: 32 bits that the peer is told when it is there. A Work."""
        if notify is None:
            return self._move(IBV_WR_RDMA_WRITE, buffer, address, rkey, 0, False)
        return self._move(IBV_WR_RDMA_WRITE_WITH_IMM, buffer, address, rkey, notify, False)

    def read(self, buffer, uint64_t address, uint32_t rkey):
        """RDMA READ from the peer's memory into the buffer. A Work."""
        return self._move(IBV_WR_RDMA_READ, buffer, address, rkey, 0, True)

    def _move(self, int opcode, buffer, uint64_t address, uint32_t rkey, uint32_t imm, bint into):
        cdef ibv_send_wr wr
        cdef ibv_sge sge
        cdef Span span
        cdef Work work = Work.__new__(Work)
        memset(&wr, 0, sizeof(wr))
        wr.opcode, wr.imm_data = opcode, htonl(imm)
        wr.wr.rdma.remote_addr, wr.wr.rdma.rkey = address, rkey
        if buffer is not None:
            span = span_of(buffer, into)
            if span.length > <uint64_t>1 << 31:
                raise TooLong("one operation moves 2 GiB at most", self.peer)
            sge.addr, sge.length, sge.lkey = span.at, <uint32_t>span.length, 0
            if span.length:
                wr.sg_list, wr.num_sge = &sge, 1
            if span.length <= self.inline_max and not into and not self.batching:
                wr.send_flags = IBV_SEND_INLINE
            elif span.length:
                work.kept = span
                self.place(span, &sge, into)
        self.post(&wr, work)
        return work

    cdef int place(self, Span span, ibv_sge *sge, bint into) except -1:
        """Where the device finds the bytes: in memory that is registered; short ones of other memory are copied into the queue's own,
        which is quicker than registering."""
        cdef uint32_t slot
        if into or span.length > self.slot_bytes or span_is_registered(span, self.device):
            span_register(span, self.device, into)
            sge.lkey = span.lkey
            return 0
        if self.stage_region is None:
            self.stage_at = own_pages(<size_t>self.depth * self.slot_bytes)
            self.stage_region = Region(self.device, <uint64_t>self.stage_at, <size_t>self.depth * self.slot_bytes, True)
        self.flush(False)                    # then its number is known
        slot = self.posted % self.depth
        sge.addr = <uint64_t>self.stage_at + <uint64_t>slot * self.slot_bytes
        sge.lkey = self.stage_region.mr.lkey
        memcpy(<void *>sge.addr, <void *>span.at, span.length)
        return 0

    def move_rows(self, bint into, buffer, const int64_t[::1] rows, Py_ssize_t first, uint64_t address, uint32_t rkey,
                  uint32_t row_bytes):
        """WRITEs (into: READs) of many rows: number i of the buffer to, or from, number rows[i] of the remote one. From `first` on, as
        many as there is room for. (how many were posted, the Work of the last one)."""
        cdef Span span = span_of(buffer, into)
        cdef Py_ssize_t n = min(rows.shape[0] - first, <Py_ssize_t>(self.depth - self.under_way)), done = 0
        cdef Work work
        if self.failure is not None:
            raise self.failure
        self.device.alive()
        if span.length < <uint64_t>rows.shape[0] * row_bytes:
            raise ValueError("fewer rows than row numbers")
        if n <= 0:
            return 0, None
        span_register(span, self.device, into)
        while done < n:
            work = Work.__new__(Work)
            work.kept = span
            done += self._chain(into, span, &rows[first + done], first + done, min(n - done, <Py_ssize_t>CHAIN), address, rkey,
                                row_bytes, work)
        return n, work

    cdef Py_ssize_t _chain(self, bint into, Span span, const int64_t *rows, Py_ssize_t at, Py_ssize_t n, uint64_t address,
                           uint32_t rkey, uint32_t row_bytes, Work work) except -1:
        cdef ibv_send_wr wr[CHAIN]
        cdef ibv_sge sge[CHAIN]
        cdef ibv_send_wr *bad
        cdef Py_ssize_t i
        cdef int error
        memset(wr, 0, n * sizeof(ibv_send_wr))
        for i in range(n):
            sge[i].addr, sge[i].length, sge[i].lkey = span.at + <uint64_t>(at + i) * row_bytes, row_bytes, span.lkey
            wr[i].wr_id = self.posted
            wr[i].next = &wr[i + 1] if i + 1 < n else NULL
            wr[i].sg_list, wr[i].num_sge = &sge[i], 1
            wr[i].opcode = IBV_WR_RDMA_READ if into else IBV_WR_RDMA_WRITE
            wr[i].wr.rdma.remote_addr, wr[i].wr.rdma.rkey = address + <uint64_t>rows[i] * row_bytes, rkey
            self.works[self.posted % self.depth] = work if i + 1 == n else None
            self.posted += 1
        wr[n - 1].send_flags = IBV_SEND_SIGNALED
        with nogil:
            error = ibv_post_send(self.qp, wr, &bad)
        if error:
            raise of_errno(error if error > 0 else errno, "posting", self.peer)
        return n

    def fetch_add(self, buffer, uint64_t address, uint32_t rkey, uint64_t add):
        """Atomically adds to 8 bytes of the peer's; what was there goes into the buffer (8 bytes). A Work."""
        return self._atomic(IBV_WR_ATOMIC_FETCH_AND_ADD, buffer, address, rkey, add, 0)

    def compare_swap(self, buffer, uint64_t address, uint32_t rkey, uint64_t expected, uint64_t new):
        """Atomically puts `new` where `expected` is; what was there goes into the buffer (8 bytes). A Work."""
        return self._atomic(IBV_WR_ATOMIC_CMP_AND_SWP, buffer, address, rkey, expected, new)

    def _atomic(self, int opcode, buffer, uint64_t address, uint32_t rkey, uint64_t compare_add, uint64_t swap):
        cdef ibv_send_wr wr
        cdef ibv_sge sge
        cdef Span span = span_of(buffer, True)
        cdef Work work = Work.__new__(Work)
        span_register(span, self.device, True)
        memset(&wr, 0, sizeof(wr))
        sge.addr, sge.length, sge.lkey = span.at, 8, span.lkey
        wr.opcode, wr.sg_list, wr.num_sge = opcode, &sge, 1
        wr.wr.atomic.remote_addr, wr.wr.atomic.rkey = address, rkey
        wr.wr.atomic.compare_add, wr.wr.atomic.swap = compare_add, swap
        work.kept = span
        self.post(&wr, work)
        return work

    def send_datagram(self, buffer, Route route, uint32_t qpn):
        """To a UD queue pair. A Work: done when it has left."""
        cdef ibv_send_wr wr
        cdef ibv_sge sge
        cdef Span span = span_of(buffer, False)
        cdef Work work = Work.__new__(Work)
        if span.length > self.slot_bytes:
            raise TooLong(f"a datagram has {self.slot_bytes} bytes at most, this one {span.length}")
        memset(&wr, 0, sizeof(wr))
        sge.addr, sge.length, sge.lkey = span.at, <uint32_t>span.length, 0
        if span.length:
            wr.sg_list, wr.num_sge = &sge, 1
        if span.length <= self.inline_max:
            wr.send_flags = IBV_SEND_INLINE
        else:
            self.place(span, &sge, False)
        wr.opcode = IBV_WR_SEND
        wr.wr.ud.ah, wr.wr.ud.remote_qpn, wr.wr.ud.remote_qkey = route.handle, qpn, DATAGRAM_QKEY
        work.kept = (span, route)
        self.post(&wr, work)
        return work

    # ---- completions ----

    cdef int refill(self, uint32_t slot) except -1:
        cdef ibv_recv_wr wr
        cdef ibv_recv_wr *bad
        cdef ibv_sge sge
        cdef uint32_t stride = self.slot_bytes + (GRH if self.is_datagram else 0)
        cdef int error
        sge.addr = <uint64_t>self.receive_at + <uint64_t>slot * stride
        sge.length, sge.lkey = stride, self.receive_region.mr.lkey
        wr.wr_id, wr.next, wr.sg_list, wr.num_sge = RECEIVE | slot, NULL, &sge, 1
        error = ibv_post_recv(self.qp, &wr, &bad)
        if error and self.failure is None:
            raise of_errno(error if error > 0 else errno, "posting a receive buffer", self.peer)
        return 0

    cdef int sent(self, ibv_wc *wc) except -1:
        """All up to this one are done; this one as its status says (C10-88: completions of a queue come in order)."""
        cdef Work work
        cdef uint32_t place
        if wc.wr_id < self.completed or wc.wr_id >= self.posted:
            raise AssertionError("a completion for nothing that was posted")
        while self.completed <= wc.wr_id:
            place = self.completed % self.depth
            work = self.works[place]
            self.works[place] = None
            if work is not None:
                if self.completed == wc.wr_id and wc.status == IBV_WC_WR_FLUSH_ERR and self.failure is not None:
                    work.finish(None, self.failure)
                elif self.completed == wc.wr_id and wc.status != IBV_WC_SUCCESS:
                    work.finish(None, of_status(wc.status, self.peer, "the operation"))
                else:
                    work.finish(work.result, None)
            self.completed += 1
        return 0

    cdef int receive(self, ibv_wc *wc) except -1:
        cdef uint32_t slot = <uint32_t>(wc.wr_id & UINT32_MAX)
        cdef Work work
        kind = DATAGRAM if self.is_datagram else NOTICE if wc.opcode == IBV_WC_RECV_RDMA_WITH_IMM else MESSAGE
        event = kind, slot, wc.byte_len if wc.opcode != IBV_WC_RECV_RDMA_WITH_IMM else 0, ntohl(wc.imm_data), wc.src_qp
        for work in self.awaited:            # few: who waits for what has not come
            if work.kept is None or work.kept(kind, ntohl(wc.imm_data)):
                self.awaited.remove(work)
                work.finish(event, None)
                return 0
        self.arrived.append(event)           # bound: the slots; a slot is filled again when its message is taken
        return 0

    cdef int take(self, int n, ibv_wc *wc) except -1:
        cdef int i
        cdef bint failed = False
        for i in range(n):
            if wc[i].status != IBV_WC_SUCCESS and self.failure is None and not self.is_datagram:
                failed = True
                self.failure = Broken("has broken the connection", self.peer) if wc[i].status == IBV_WC_WR_FLUSH_ERR \
                    else of_status(wc[i].status, self.peer, "the connection")
            if not wc[i].wr_id & RECEIVE:
                self.sent(&wc[i])
            elif wc[i].status == IBV_WC_SUCCESS:
                self.receive(&wc[i])
        if failed:
            self.give_up()
        return 0

    def give_up(self):
        """Tells those that wait for messages that none will come."""
        cdef Work work
        while self.awaited:
            work = self.awaited.popleft()
            work.finish(None, self.failure)

    cdef int look(self, uint64_t spin_ns) except -1:
        """Takes completions, for so long if there are none. How many. The caller has the turn."""
        cdef ibv_wc wc[WCS]
        cdef int n
        cdef uint64_t end
        with nogil:
            n = ibv_poll_cq(self.cq, WCS, wc)
            if n == 0 and spin_ns:
                end = now_ns() + spin_ns
                while n == 0 and now_ns() < end:
                    n = ibv_poll_cq(self.cq, WCS, wc)
        if n < 0:
            self.failure = self.failure or DeviceGone("the device is gone", self.peer)
            self._drop_all()
            return 0
        self.take(n, wc)
        return n

    cdef int _drop_all(self) except -1:
        """The device will complete nothing any more."""
        cdef Work work
        while self.completed < self.posted:
            work = self.works[self.completed % self.depth]
            self.works[self.completed % self.depth] = None
            self.completed += 1
            if work is not None:
                work.finish(None, self.failure)
        self.give_up()
        return 0

    def progress(self, uint64_t spin_ns=0):
        """Looks for completions, spinning so long when there are none; another thread that does so serves as well. How many
        were taken."""
        cdef int n = 0, more
        self.device.alive()
        if not self.turn.acquire(False):
            return 0
        try:
            n = self.look(spin_ns)
            more = n
            while more == WCS:
                more = self.look(0)
                n += more
        finally:
            self.turn.release()
        return n

    def spin_until(self, Work work, uint64_t ns):
        """Looks for completions until the work is done, or for so long. Whether it is done."""
        cdef uint64_t end
        if work.done or self.progress() and work.done:
            return True
        end = now_ns() + ns
        while not work.done and now_ns() < end:
            if self.turn.acquire(False):
                try:
                    self.look(min(ns, <uint64_t>SPIN_SLICE_NS))
                finally:
                    self.turn.release()
            else:
                with nogil:
                    sched_yield()
        return work.done

    def oldest(self):
        """The Work that will be done next, when some are under way: its end makes room."""
        cdef uint64_t at
        for at in range(self.completed, self.posted):        # bound: CHAIN
            if self.works[at % self.depth] is not None:
                return self.works[at % self.depth]
        return self.works[self.posted % self.depth]           # of a batch, held back

    def arm(self):
        """The descriptor becomes readable at the next completion. Look once more afterwards."""
        if ibv_req_notify_cq(self.cq, 0) and self.failure is None:
            self.failure = DeviceGone("the device is gone", self.peer)
            self._drop_all()

    def disarm(self):
        """Reads the events that made the descriptor readable."""
        cdef ibv_cq *cq
        cdef void *context
        while lib.get_cq_event(self.channel, &cq, &context) == 0:
            self.events += 1
        if errno != EAGAIN and self.failure is None:
            self.failure = DeviceGone("the device is gone", self.peer)
            self._drop_all()
        if self.events >= EVENTS:
            lib.ack_cq_events(self.cq, self.events)
            self.events = 0

    def sleep(self, int also, int timeout_ms):
        """Until a completion may have come, the descriptor `also` (-1: none) is readable, or so many ms have passed. True: it was
        `also`. After arm() and a look."""
        cdef pollfd fds[2]
        cdef int n
        fds[0].fd, fds[0].events, fds[0].revents = self.channel.fd, POLLIN, 0
        fds[1].fd, fds[1].events, fds[1].revents = also, POLLIN, 0
        with nogil:
            n = poll(fds, 2, timeout_ms)
        if n > 0 and fds[0].revents:
            self.disarm()
        return n > 0 and fds[1].revents != 0

    # ---- what arrives ----

    def await_arrival(self, accepts=None):
        """A Work whose result is the next thing that arrives and that accepts(kind, number) is true of: (kind, slot, length,
        number, source)."""
        cdef Work work = Work.__new__(Work)
        for event in self.arrived:           # bound: the slots
            if accepts is None or accepts(event[0], event[3]):
                self.arrived.remove(event)
                work.finish(event, None)
                return work
        if self.failure is not None:
            work.finish(None, self.failure)
            return work
        work.kept = accepts
        self.awaited.append(work)
        return work

    def forget(self, Work work):
        """Nobody waits for it any more. What it has got already is the next one's."""
        if work.done:
            if work.error is None and work.result is not None:
                self.arrived.appendleft(work.result)
        elif work in self.awaited:
            self.awaited.remove(work)

    def slot_view(self, uint32_t slot, uint32_t length):
        """The bytes of a message where they arrived: valid until free_slot."""
        cdef uint32_t skip = GRH if self.is_datagram else 0
        if slot >= self.slots or length > self.slot_bytes + skip:
            raise IndexError(slot)
        return PyMemoryView_FromMemory(<char *>self.receive_at + <uint64_t>slot * (self.slot_bytes + skip), length, PyBUF_READ)

    def free_slot(self, uint32_t slot):
        """The message has been taken: the buffer is the next one's."""
        self.refill(slot)
