"""A queue pair for tests: the protocol's state machines, driven packet by packet from Python in given time.

No socket, no clock, no ring: work requests and memory are Python objects, and what is sent collects in a list. The
state machines are the ones that the roce NIC runs.
"""

from libc.string cimport memset

from ffcore.roce cimport *
from ffcore.shm cimport *
from ffr.ibv cimport (IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_READ, IBV_ACCESS_REMOTE_WRITE,
                      IBV_EVENT_QP_ACCESS_ERR, IBV_EVENT_QP_REQ_ERR, IBV_WC_BAD_RESP_ERR, IBV_WC_LOC_LEN_ERR,
                      IBV_WC_LOC_PROT_ERR, IBV_WC_LOC_QP_OP_ERR, IBV_WC_REM_ACCESS_ERR, IBV_WC_REM_INV_REQ_ERR,
                      IBV_WC_REM_OP_ERR, IBV_WC_RETRY_EXC_ERR, IBV_WC_RNR_RETRY_EXC_ERR, IBV_WC_SUCCESS,
                      IBV_WC_WR_FLUSH_ERR)
from ffr.nic.roce.protocol.held cimport HELD_PACKETS, held_free, held_init, held_table
from ffr.nic.roce.protocol.marks cimport MARKS_EVERY, MARKS_WINDOW, marks_due, marks_echo, marks_left, marks_open, roce_marks
from ffr.nic.roce.protocol.probe cimport probe_answered, probe_begin, probe_heard, probe_hears, probe_left, roce_probe
from ffr.nic.roce.protocol.qp cimport *
from ffr.nic.roce.protocol.message cimport asks, reliable
from ffr.nic.roce.protocol.requester cimport (ROCE_BLOCKED, ROCE_FULL, ROCE_IDLE, ROCE_MORE, requester_start,
                                 requester_stop)
from ffr.nic.roce.protocol.requester_timer cimport requester_timer
from ffr.nic.roce.protocol.responder cimport responder_due, responder_flush, responder_start
from ffr.nic.roce.protocol.transport cimport (transport_receive, transport_receive_run, transport_request, transport_respond,
                                                  transport_name, transport_start)
from ffr.nic.roce.protocol.window cimport path_init, roce_path
from ffr.nic.roce.protocol.wire cimport ROCE_PARSED, roce_emit, roce_parse, roce_zeros

TURNS = {ROCE_IDLE: "idle", ROCE_MORE: "more", ROCE_BLOCKED: "blocked", ROCE_FULL: "full"}
SEND_OPCODES = {"send": FF_OP_SEND, "send_imm": FF_OP_SEND_IMM, "send_inv": FF_OP_SEND_INV, "write": FF_OP_WRITE,
                "write_imm": FF_OP_WRITE_IMM, "read": FF_OP_READ, "cmp_swp": FF_OP_CMP_SWP,
                "fetch_add": FF_OP_FETCH_ADD, "local_inv": FF_OP_LOCAL_INV, "bad": FF_OP_LAST}
SIGNALED, SOLICITED, FENCE = FF_WQE_SIGNALED, FF_WQE_SOLICITED, FF_WQE_FENCE
CQE_IMM, CQE_GRH, CQE_INV, CQE_SOLICITED = FF_CQE_IMM, FF_CQE_GRH, FF_CQE_INV, FF_CQE_SOLICITED
CQE_IPV4 = FF_CQE_IPV4
STATUS = {"ok": IBV_WC_SUCCESS, "loc_len": IBV_WC_LOC_LEN_ERR, "loc_qp_op": IBV_WC_LOC_QP_OP_ERR,
          "loc_prot": IBV_WC_LOC_PROT_ERR, "flush": IBV_WC_WR_FLUSH_ERR, "bad_resp": IBV_WC_BAD_RESP_ERR,
          "rem_inv_req": IBV_WC_REM_INV_REQ_ERR, "rem_access": IBV_WC_REM_ACCESS_ERR, "rem_op": IBV_WC_REM_OP_ERR,
          "retry_exc": IBV_WC_RETRY_EXC_ERR, "rnr_retry_exc": IBV_WC_RNR_RETRY_EXC_ERR}
STATUS_NAMES = {value: name for name, value in STATUS.items()}
ALL_ACCESS = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC
EVENTS = {IBV_EVENT_QP_REQ_ERR: "req_err", IBV_EVENT_QP_ACCESS_ERR: "access_err", -1: None}
TRANSPORTS = {"RC": FF_RC, "UC": FF_UC, "UD": FF_UD, "XRC": FF_XRC}
WINDOW, EVERY = MARKS_WINDOW, MARKS_EVERY


def rnr_timer_ns(int code):
    return ff_rnr_ns(code)


def psn_diff(uint32_t a, uint32_t b):
    return ff_psn_diff(a, b)


cdef class Path:
    """The window towards a host; QPs may share one."""
    cdef roce_path path

    def __cinit__(self):
        path_init(&self.path)

    @property
    def window(self):
        return self.path.window / 256

    @window.setter
    def window(self, double packets):
        self.path.window = <uint32_t>(packets * 256)
        self.path.starting = 0

    @property
    def in_flight(self):
        return self.path.in_flight

    @property
    def rtt_ns(self):
        return self.path.rtt_ns


cdef class Marks:
    """What may be on its way to another router unacknowledged."""
    cdef roce_marks marks

    def send(self, uint64_t now):
        """A packet, if it may go, and the mark that is due behind it. (sent, the mark's count or None)"""
        cdef bint open_ = marks_open(&self.marks, now)
        self.marks.sent += open_
        if not marks_due(&self.marks, now):
            return open_, None
        marks_left(&self.marks, now)
        return open_, self.marks.sent & FF_PSN_MASK

    def echo(self, uint32_t count):
        marks_echo(&self.marks, count & FF_PSN_MASK)


cdef class Probe:
    """How long a packet to another router may be."""
    cdef roce_probe probe

    def begin(self, uint32_t wanted, uint64_t now):
        probe_begin(&self.probe, wanted, now)

    def send(self, uint64_t now):
        """The length of the probe that leaves now, if one is due (nic/roce/probe.pyx: probes_send); or None."""
        if not self.probe.wanted or self.probe.due_ns > now:
            return None
        probe_left(&self.probe, now)
        return self.probe.wanted

    def answered(self, uint32_t size, uint64_t now):
        probe_answered(&self.probe, size, now)

    def heard(self, uint32_t size, uint64_t now):
        probe_heard(&self.probe, size, now)

    def hears(self, uint64_t now):
        return probe_hears(&self.probe, now)

    @property
    def carries(self):
        return self.probe.carries

    @property
    def due_ns(self):
        return self.probe.due_ns


class Region:
    """Memory registered for remote access under a key. srqn: in the PD of this XRC SRQ; None: in each."""

    def __init__(self, rkey, addr, data, access=ALL_ACCESS, srqn=None):
        self.rkey, self.addr, self.data, self.access, self.srqn = rkey, addr, bytearray(data), access, srqn


class WorkRequest:
    """opcode: a key of SEND_OPCODES. data: what is sent, or where a READ's or atomic's result goes."""

    def __init__(self, opcode, data=b"", flags=SIGNALED, wr_id=None, addr=0, rkey=0, imm=0, compare_add=0, swap=0,
                 status=0, ah=0, qpn=0, qkey=0, srqn=0):
        self.opcode, self.data, self.flags, self.wr_id = SEND_OPCODES[opcode], bytearray(data), flags, wr_id
        self.addr, self.rkey, self.imm, self.compare_add, self.swap = addr, rkey, imm, compare_add, swap
        self.status, self.ah, self.qpn, self.qkey, self.srqn = status, ah, qpn, qkey, srqn
        self.fault = None  # offset from which the payload cannot be read: LOC_PROT


class ReceiveRequest:
    def __init__(self, size, wr_id=None, status=0):
        self.data, self.wr_id, self.status = bytearray(size), wr_id, status
        self.fault = None


def name(uint32_t tenant, uint32_t to_tenant, uint32_t qpn, uint32_t to_qpn):
    """What a packet between routers has for a P_Key: transport.pxd."""
    return transport_name(tenant, to_tenant, qpn, to_qpn)


cdef class QP:
    """One end of a connection. After any call: `sent` has grown by the packets emitted (BTH up to, not with, the ICRC),
    `completions` by (kind, wr_id, status name, details)."""
    cdef roce_qp q
    cdef roce_env env
    cdef roce_counters counts
    cdef held_table held
    cdef roce_resource resources[ROCE_RESOURCES]
    cdef readonly Path path
    cdef public object memory       # for tests: a Region
    cdef public list sent, completions, events, regions, send_queue, receive_queue
    cdef public object srqs         # XRC: the numbers that there are; None: all
    cdef public object room         # packets that may be emitted before "no room"; None: no limit
    cdef public object error        # what went wrong inside a callback
    cdef uint32_t receive_taken
    cdef uint32_t selected          # XRC: the SRQ whose PD requests are in
    cdef bint started
    cdef public bint flushes

    def __init__(self, *, str transport="RC", int mtu=1024, int qpn=0x11, int dest_qpn=0x22, int sq_psn=0, int rq_psn=0,
                 int access=ALL_ACCESS, int max_rd_atomic=16, int max_dest_rd_atomic=16, int min_rnr_timer=12,
                 int retry_cnt=7, int rnr_retry=7, int timeout=14, unsigned int qkey=0x11111111, Path path=None,
                 bint selective=False, bint routed=False, int carries=0, int read_size=0, answers=None,
                 int held=HELD_PACKETS, bint named=False):
        """named: routed, and packets say which QP has sent them. With routed: `carries`, bytes of a datagram that the path carries, `read_size`, the payload bytes of READ
        responses that are asked for, a multiple of 128 (0: the MTU alone counts), and `answers`, bytes of the datagrams in
        which the peer may have them; None: as many as `carries`."""
        memset(&self.q, 0, sizeof(self.q))
        self.q.transport, self.q.mtu, self.q.qpn, self.q.dest_qpn = TRANSPORTS[transport], mtu, qpn, dest_qpn
        self.q.access, self.q.max_rd_atomic, self.q.max_dest_rd_atomic = access, max_rd_atomic, max_dest_rd_atomic
        self.q.min_rnr_timer, self.q.retry_cnt, self.q.rnr_retry = min_rnr_timer, retry_cnt, rnr_retry
        self.q.ack_timeout_ns, self.q.qkey = ff_ack_timeout_ns(timeout), qkey
        self.q.selective, self.q.routed, self.q.carries, self.q.read_size = selective, routed, carries, read_size
        self.q.routed = named
        transport_start(&self.q, 0, 0)
        self.q.routed = routed
        self.q.answers = carries if answers is None else answers
        held_init(&self.held, held)
        requester_start(&self.q, sq_psn, 0)
        responder_start(&self.q, rq_psn)
        self.path = path or Path()
        self.sent, self.completions, self.events, self.regions = [], [], [], []
        self.send_queue, self.receive_queue, self.flushes = [], [], True
        self.env = roce_env(
            context=<void *>self, counters=&self.counts, resource=&self.resources[0], held=&self.held,
            peek_send=peek_send, emit=emit, emit_run=emit_run, put_send=put_send,
            local_operation=local_operation, complete_send=complete_send, select_srq=select_srq, take_receive=take_receive,
            put_receive=put_receive, complete_receive=complete_receive, check_remote=check_remote,
            put_remote=put_remote, put_run=put_run, atomic=atomic, invalidate=invalidate, fail=failed)

    def __dealloc__(self):
        held_free(&self.held)

    cdef done(self, result=None):
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return result

    def register(self, rkey, addr, data, access=ALL_ACCESS, srqn=None):
        """Make memory that the peer may use; the Region."""
        region = Region(rkey, addr, data, access, srqn)
        self.regions.append(region)
        return region

    def post_send(self, *args, **kwargs):
        w = WorkRequest(*args, **kwargs)
        if w.wr_id is None:
            w.wr_id = len(self.send_queue)
        self.send_queue.append(w)
        if self.q.failed and self.flushes:
            self.flush()
        return w

    def post_recv(self, *args, **kwargs):
        w = ReceiveRequest(*args, **kwargs)
        if w.wr_id is None:
            w.wr_id = len(self.receive_queue)
        self.receive_queue.append(w)
        if self.q.failed and self.flushes:
            self.flush()
        return w

    def receive(self, const uint8_t[::1] packet, uint64_t now, grh=None, bint send=True, int budget=64):
        """A packet came (BTH up to, not with, the ICRC). With `send`, what is due is sent at once, as after a batch
        of one. The turn's name, or what made the packet unfit for parsing."""
        cdef roce_packet p
        cdef const uint8_t[::1] view
        cdef uint8_t empty = 0
        cdef int result = roce_parse(&p, &packet[0] if packet.shape[0] else &empty, packet.shape[0])
        if result != ROCE_PARSED:
            return "unparsed"
        if grh is not None:
            view = grh
            p.grh = &view[0]
        with nogil:
            transport_receive(&self.q, &self.path.path, &self.env, &p, now)
        self.done()
        return self.send(now, budget) if send else None

    def receive_run(self, list packets, uint64_t now, bint send=True):
        """MIDDLE packets of equal size that came together and follow one another (nic/roce/listen.pyx: take_run). Whether
        they were taken; if not, they are to be given to receive one by one."""
        cdef roce_packet p
        cdef bint taken
        cdef uint32_t stride = len(packets[0]), count = len(packets)
        cdef bytes whole = b"".join(packets)
        cdef const uint8_t *first = whole
        assert len(whole) == count * stride, "packets of a run are of one size"
        if (first[0] != FF_RC | FF_SEND_MIDDLE and first[0] != FF_RC | FF_WRITE_MIDDLE
                or roce_parse(&p, first, stride) != ROCE_PARSED):
            return False
        p.ackreq = any(packet[8] & FF_BTH_ACKREQ for packet in packets)
        with nogil:
            taken = transport_receive_run(&self.q, &self.env, &p, count, stride)
        self.done()
        if taken and send:
            self.send(now)
        return taken

    def send(self, uint64_t now, int budget=64):
        """Answers, then requests."""
        turn = self.respond(budget)
        return self.request(now, budget) if turn == "idle" else turn

    def respond(self, int budget=64):
        cdef int turn
        with nogil:
            turn = transport_respond(&self.q, &self.env, budget)
        return self.done(TURNS[turn])

    def request(self, uint64_t now, int budget=64):
        cdef int turn
        with nogil:
            turn = transport_request(&self.q, &self.path.path, &self.env, now, budget)
        return self.done(TURNS[turn])

    def tick(self, uint64_t now, bint send=True, int budget=64):
        """The timer's turn, then what it made possible."""
        with nogil:
            requester_timer(&self.q, &self.path.path, &self.env, now)
        self.done()
        return self.send(now, budget) if send else None

    def stop(self):
        requester_stop(&self.q, &self.path.path)

    def drain(self, bint on):
        self.q.draining = on

    def allow(self, int access):
        """What modify_qp says of a connected QP."""
        self.q.access = access

    def take_sent(self):
        """The packets sent since the last call."""
        sent, self.sent = self.sent, []
        return sent

    def take_completions(self):
        completions, self.completions = self.completions, []
        return completions

    def flush(self):
        """What the router does with the rest of the rings of a QP in ERR."""
        while self.q.sq_done < len(self.send_queue):
            w = self.send_queue[self.q.sq_done]
            self.completions.append(("send", w.wr_id, "flush", {}))
            self.q.sq_done += 1
        self.q.sq_next = self.q.sq_sending = self.q.sq_done
        while self.receive_taken < len(self.receive_queue):
            w = self.receive_queue[self.receive_taken]
            self.completions.append(("recv", w.wr_id, "flush", {}))
            self.receive_taken += 1

    @property
    def timer(self):
        return self.q.timer

    @property
    def failed(self):
        return bool(self.q.failed)

    @property
    def counters(self):
        return self.counts

    @property
    def state(self):
        """The scalars that tests look at."""
        q = self.q
        return {"una": q.una, "send_psn": q.send_psn, "sent_psn": q.sent_psn, "next_psn": q.next_psn, "epsn": q.epsn,
                "msn": q.msn, "retries": q.retries, "rnr_retries": q.rnr_retries, "wait_ns": q.wait_ns,
                "sq_done": q.sq_done, "sq_next": q.sq_next, "reads": q.reads, "reads_open": q.reads_open,
                "pending": q.pending, "held": q.held, "ack_ns": q.ack_ns, "probe_ns": q.probe_ns, "charged": q.charged,
                "timed_psn": q.timed_psn if q.timed_ns else None, "receiving": q.receiving, "taken": q.taken, "nak": q.nak,
                "ack_due": q.ack_due, "received": q.received, "write_addr": q.write_addr, "write_left": q.write_left}

    @property
    def due(self):
        return responder_due(&self.q)


# ---- the driver's side, in Python -----------------------------------------------------------------------------------

cdef bint peek_send(void *context, roce_qp *q, uint32_t index, roce_send *wqe) noexcept with gil:
    cdef QP self = <QP>context
    if index >= <uint32_t>len(self.send_queue):
        return False
    w = self.send_queue[index]
    memset(wqe, 0, sizeof(roce_send))
    wqe.opcode, wqe.flags, wqe.status, wqe.length = w.opcode, w.flags, w.status, len(w.data)
    wqe.rkey, wqe.imm, wqe.remote_addr, wqe.compare_add, wqe.swap = w.rkey, w.imm, w.addr, w.compare_add, w.swap
    wqe.ah, wqe.remote_qpn, wqe.qkey, wqe.srqn = w.ah, w.qpn, w.qkey, w.srqn
    return True


cdef bytes gather(QP self, roce_out *out):
    """The payload, or None when it cannot be read."""
    if out.source == ROCE_NO_PAYLOAD:
        return b""
    if out.source == ROCE_FROM_SEND:
        w = self.send_queue[out.index]
        if w.fault is not None and out.offset + out.head.size > w.fault:
            return None
        return bytes(w.data[out.offset:out.offset + out.head.size])
    if out.source == ROCE_FROM_HERE:
        return bytes(out.bytes[:out.head.size])
    region = find(self, out.head.srqn, out.rkey, out.addr, out.head.size, IBV_ACCESS_REMOTE_READ)
    if region is None:
        return None
    at = out.addr - region.addr
    return bytes(region.data[at:at + out.head.size])


cdef int emit(void *context, roce_qp *q, roce_out *out) noexcept with gil:
    cdef QP self = <QP>context
    cdef uint8_t headers[FF_ROCE_MAX_HEADERS]
    cdef uint32_t size
    try:
        if self.room is not None:
            if self.room == 0:
                return ROCE_NO_ROOM
            self.room -= 1
        payload = gather(self, out)
        if payload is None:
            return IBV_WC_LOC_PROT_ERR
        assert len(payload) == out.head.size, "a payload reference outside its message"
        size = roce_emit(&out.head, headers)
        self.sent.append(bytes(headers[:size]) + payload + bytes(roce_zeros(&out.head)))
    except BaseException as e:
        self.error = e
    return ROCE_SENT


cdef int emit_run(void *context, roce_qp *q, roce_out *out, uint32_t count) noexcept with gil:
    """Packet by packet; `out` is the first one again afterwards, since the requester looks at it."""
    cdef roce_packet first = out.head
    cdef uint32_t done = 0, offset = out.offset
    cdef uint64_t addr = out.addr
    cdef int result = ROCE_SENT
    while done < count:
        out.head.ackreq = not out.head.traits & FF_IS_RESPONSE and reliable(q) and asks(out.head.psn)
        result = emit(context, q, out)
        if result != ROCE_SENT:
            break
        done += 1
        out.head.psn = ff_psn_add(out.head.psn, 1)
        out.offset += out.head.size
        out.addr += out.head.size
    out.head, out.offset, out.addr = first, offset, addr
    return -result if result > 0 and done == 0 else <int>done


cdef int put_send(void *context, roce_qp *q, uint32_t index, uint32_t offset, const uint8_t *data,
                  uint32_t size) noexcept with gil:
    cdef QP self = <QP>context
    try:
        w = self.send_queue[index]
        assert offset + size <= len(w.data), "a response outside its list"
        if w.fault is not None and offset + size > w.fault:
            return IBV_WC_LOC_PROT_ERR
        w.data[offset:offset + size] = data[:size]
    except BaseException as e:
        self.error = e
    return 0


cdef int local_operation(void *context, roce_qp *q, uint32_t index, const roce_send *wqe) noexcept with gil:
    return 0


cdef void complete_send(void *context, roce_qp *q, uint32_t index, const roce_message *m, uint8_t status) noexcept with gil:
    cdef QP self = <QP>context
    try:
        w = self.send_queue[index]
        if status or m.flags & FF_WQE_SIGNALED:
            self.completions.append(("send", w.wr_id, STATUS_NAMES[status], {"length": m.length}))
    except BaseException as e:
        self.error = e


cdef bint select_srq(void *context, roce_qp *q, uint32_t srqn) noexcept with gil:
    cdef QP self = <QP>context
    if not q.taken:                  # a message keeps to the SRQ that its receive WQE is from
        self.selected = srqn
    return self.srqs is None or srqn in self.srqs


cdef bint take_receive(void *context, roce_qp *q, uint32_t srqn, roce_receive *wqe) noexcept with gil:
    cdef QP self = <QP>context
    if self.receive_taken >= <uint32_t>len(self.receive_queue):
        return False
    w = self.receive_queue[self.receive_taken]
    wqe.index, wqe.length, wqe.status = self.receive_taken, len(w.data), w.status
    self.receive_taken += 1
    return True


cdef int put_receive(void *context, roce_qp *q, uint32_t index, uint32_t offset, const uint8_t *data,
                     uint32_t size) noexcept with gil:
    cdef QP self = <QP>context
    try:
        w = self.receive_queue[index]
        assert offset + size <= len(w.data), "a message outside its receive WQE"
        if w.fault is not None and offset + size > w.fault:
            return IBV_WC_LOC_PROT_ERR
        w.data[offset:offset + size] = data[:size]
    except BaseException as e:
        self.error = e
    return 0


cdef void complete_receive(void *context, roce_qp *q, const roce_received *done) noexcept with gil:
    cdef QP self = <QP>context
    try:
        w = self.receive_queue[done.index]
        self.completions.append(("recv", w.wr_id, STATUS_NAMES[done.status],
                                 {"length": done.length, "imm": done.imm, "flags": done.flags, "write": done.write,
                                  "src_qpn": done.src_qpn}))
    except BaseException as e:
        self.error = e


cdef find(QP self, uint32_t srqn, object rkey, object addr, object length, uint32_t access):
    """Python's integers: an address near 2^64 must not wrap into a region."""
    for region in self.regions:
        if region.rkey == rkey and region.srqn in (None, srqn):
            inside = region.addr <= addr and addr + length <= region.addr + len(region.data)
            return region if inside and region.access & access == access else None
    return None


cdef int check_remote(void *context, roce_qp *q, uint32_t rkey, uint64_t addr, uint32_t length,
                      uint32_t access) noexcept with gil:
    return 0 if find(<QP>context, (<QP>context).selected, rkey, addr, length, access) is not None else IBV_WC_REM_ACCESS_ERR


cdef int put_remote(void *context, roce_qp *q, uint32_t rkey, uint64_t addr, const uint8_t *data, uint32_t size,
                    bint last) noexcept with gil:
    cdef QP self = <QP>context
    try:
        region = find(self, self.selected, rkey, addr, size, IBV_ACCESS_REMOTE_WRITE)
        if region is None:
            return IBV_WC_REM_ACCESS_ERR
        region.data[addr - region.addr:addr - region.addr + size] = data[:size]
    except BaseException as e:
        self.error = e
    return 0


cdef int put_run(void *context, roce_qp *q, const roce_packet *p, uint32_t count, uint32_t stride) noexcept nogil:
    cdef uint32_t i
    cdef int status
    for i in range(count):
        if p.traits & FF_IS_SEND:
            status = put_receive(context, q, q.receive_index, q.received + i * p.size, p.payload + i * stride, p.size)
        else:
            status = put_remote(context, q, q.write_rkey, q.write_addr + i * p.size, p.payload + i * stride, p.size, False)
        if status:
            return status
    return 0


cdef int atomic(void *context, roce_qp *q, uint32_t rkey, uint64_t addr, uint8_t operation, uint64_t swap_add,
                uint64_t compare, uint64_t *original) noexcept with gil:
    cdef QP self = <QP>context
    try:
        region = find(self, self.selected, rkey, addr, 8, IBV_ACCESS_REMOTE_ATOMIC)
        if region is None:
            return IBV_WC_REM_ACCESS_ERR
        at = slice(addr - region.addr, addr - region.addr + 8)
        old = int.from_bytes(region.data[at], "little")
        if operation == FF_FETCH_ADD:
            new = (old + swap_add) & 0xFFFFFFFFFFFFFFFF
        else:
            new = swap_add if old == compare else old
        region.data[at] = new.to_bytes(8, "little")
        original[0] = old
    except BaseException as e:
        self.error = e
    return 0


cdef int invalidate(void *context, roce_qp *q, uint32_t rkey) noexcept with gil:
    cdef QP self = <QP>context
    for region in self.regions:
        if region.rkey == rkey:
            self.regions.remove(region)
            return 0
    return IBV_WC_REM_ACCESS_ERR


cdef void failed(void *context, roce_qp *q, int event) noexcept with gil:
    cdef QP self = <QP>context
    if EVENTS[event]:
        self.events.append(EVENTS[event])
    requester_stop(q, &self.path.path)
    responder_flush(q, &self.env)
    if self.flushes:
        self.flush()
