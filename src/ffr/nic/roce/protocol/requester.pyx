"""Sends what is posted, in order, within the path's window; goes back to the oldest unacknowledged packet when the
responder says that it missed one, or when nothing comes back.

PSNs: una <= send_psn <= sent_psn' <= next_psn on the circle, where sent_psn' is sent_psn or, after nothing was sent
again, the same as send_psn. WQEs: sq_done <= sq_sending <= sq_next, at most ROCE_MESSAGES apart.
"""

from ffcore.roce cimport *
from ffcore.shm cimport (FF_OP_BIND_MW, FF_OP_CMP_SWP, FF_OP_FETCH_ADD, FF_OP_LOCAL_INV, FF_OP_READ, FF_OP_SEND,
                         FF_OP_SEND_IMM, FF_OP_SEND_INV, FF_OP_WRITE, FF_OP_WRITE_IMM, FF_WQE_FENCE,
                         FF_WQE_SOLICITED)
from ffr.ibv cimport (IBV_WC_BAD_RESP_ERR, IBV_WC_LOC_LEN_ERR, IBV_WC_LOC_QP_OP_ERR, IBV_WC_RNR_RETRY_EXC_ERR, IBV_WC_SUCCESS)
from libc.string cimport memset

from ffr.nic.roce.protocol.codes cimport operation_of, status_of_nak
from ffr.nic.roce.protocol.cut cimport CUT_PAYLOAD_LEAST, READ_UNIT, cut_filler, cut_offset, cut_packets, cut_rest, cut_size
from ffr.nic.roce.protocol.held cimport HELD_AHEAD
from ffr.nic.roce.protocol.qp cimport *
from ffr.nic.roce.protocol.message cimport *
from ffr.nic.roce.protocol.selective cimport selective_repair
from ffr.nic.roce.protocol.window cimport path_acked, path_lost, path_probe_ns


cdef enum:
    NO_EVENT = -1


cdef void requester_start(roce_qp *q, uint32_t sq_psn, uint32_t sq_index) noexcept nogil:
    q.sq_done = q.sq_next = q.sq_sending = sq_index
    q.una = q.send_psn = q.sent_psn = q.next_psn = sq_psn & FF_PSN_MASK
    q.retries = q.retry_cnt
    q.rnr_retries = q.rnr_retry


cdef void set_timer(roce_qp *q) noexcept nogil:
    cdef uint64_t at = q.wait_ns
    if q.ack_ns and (at == 0 or q.ack_ns < at):
        at = q.ack_ns
    if q.probe_ns and (at == 0 or q.probe_ns < at):
        at = q.probe_ns
    q.timer = at


cdef inline uint32_t in_flight_of(const roce_qp *q) noexcept nogil:
    """Packets that may be in the network: not those that are kept behind a gap."""
    cdef uint32_t sent = ff_psn_diff(q.send_psn, q.una)
    return sent - min(q.kept, sent)


cdef void charge(roce_qp *q, roce_path *path) noexcept nogil:
    """Bring the path's count up to date with this QP's packets in flight."""
    cdef uint32_t in_flight = 0 if q.failed else in_flight_of(q)
    path.in_flight += in_flight - q.charged
    q.charged = in_flight


cdef void requester_stop(roce_qp *q, roce_path *path) noexcept nogil:
    path.in_flight -= q.charged
    q.charged = 0
    q.wait_ns = q.ack_ns = q.probe_ns = q.timer = 0


# ---- completing -----------------------------------------------------------------------------------------------------

cdef void fail(roce_qp *q, const roce_env *env) noexcept nogil:
    q.failed = 1
    q.wait_ns = q.ack_ns = q.probe_ns = q.timer = 0
    env.fail(env.context, q, NO_EVENT)


cdef void settle(roce_qp *q, const roce_env *env) noexcept nogil:
    """Complete the oldest WQEs as far as they are done, in order (9.7.6.1). Ends: at most ROCE_MESSAGES."""
    cdef roce_message *m
    cdef uint32_t index
    while q.sq_done != q.sq_next and not q.failed:
        index = q.sq_done
        m = record(q, index)
        if m.status:
            q.sq_done += 1
            env.complete_send(env.context, q, index, m, m.status)
            fail(q, env)
            return
        if m.packets and ff_psn_diff(q.una, ff_psn_add(m.first_psn, m.packets)) < 0:
            return
        q.sq_done += 1
        if answered(m):
            q.reads_open -= 1
        if <int32_t>(q.sq_sending - q.sq_done) < 0:
            q.sq_sending = q.sq_done
        env.complete_send(env.context, q, index, m, IBV_WC_SUCCESS)


cdef void fail_oldest(roce_qp *q, const roce_env *env, uint8_t status) noexcept nogil:
    if q.sq_done != q.sq_next:
        record(q, q.sq_done).status = status
    settle(q, env)


cdef void advance(roce_qp *q, roce_path *path, const roce_env *env, uint32_t una, uint64_t now) noexcept nogil:
    """Everything before una is acknowledged: una moves on, which resets every retry (9.7.6.1.3)."""
    cdef uint32_t packets = ff_psn_diff(una, q.una)
    cdef uint64_t rtt = 0
    if packets == 0:
        return
    q.una = una
    q.kept = 0                   # the next report will tell
    if ff_psn_diff(q.send_psn, una) < 0:
        q.send_psn = una
    if q.timed_ns and ff_psn_diff(una, q.timed_psn) > 0:
        rtt = now - q.timed_ns
        q.timed_ns = 0
    q.retries = q.retry_cnt
    q.rnr_retries = q.rnr_retry
    q.limit = q.probes = q.probed = 0
    q.gone_back_ns = 0
    q.wait_ns = 0
    path_acked(path, packets, rtt, now)
    if una == q.send_psn:
        q.ack_ns = q.probe_ns = 0
    else:
        q.ack_ns = now + q.ack_timeout_ns if q.ack_timeout_ns else 0
        q.probe_ns = now + path_probe_ns(path, 0, q.ack_timeout_ns)
    settle(q, env)


cdef bint acknowledge(roce_qp *q, roce_path *path, const roce_env *env, uint32_t target, uint64_t now) noexcept nogil:
    """Everything before target is acknowledged, in one advance up to the first READ or atomic whose response did not
    come: False when there is such, since its response, sent earlier, must have been lost (9.7.6, an implied NAK)."""
    cdef uint32_t index = q.sq_done, reach = q.una
    cdef roce_message *m
    cdef bint whole = True
    while ff_psn_diff(target, reach) > 0 and index != q.sq_next:
        m = record(q, index)
        if m.packets:
            if answered(m) or m.status:
                whole = False
                break
            reach = ff_psn_add(m.first_psn, m.packets)
            if ff_psn_diff(reach, target) > 0:
                reach = target
        index += 1
    advance(q, path, env, reach, now)
    return whole


# ---- going back -----------------------------------------------------------------------------------------------------

cdef void rewind(roce_qp *q) noexcept nogil:
    q.send_psn = q.una
    q.sq_sending = q.sq_done
    q.reads = 0
    q.timed_ns = 0               # a packet that is sent twice measures nothing
    q.probed = 0
    q.repaired_ns = 0
    q.kept = 0


cdef bint go_back(roce_qp *q, roce_path *path, uint64_t now) noexcept nogil:
    """Send again from una, unless that was done less than a round trip ago: then it is the same loss that is reported.
    False when nothing was done."""
    if q.gone_back_ns and q.gone_back_psn == q.una and now - q.gone_back_ns < path.rtt_ns:
        return False
    rewind(q)
    q.gone_back_psn = q.una
    q.gone_back_ns = now
    path_lost(path, now)
    return True


# ---- sending --------------------------------------------------------------------------------------------------------

cdef uint8_t check(const roce_qp *q, const roce_send *w) noexcept nogil:
    """The status of a WQE that this QP cannot execute, or 0."""
    if w.status:
        return w.status
    if w.opcode == FF_OP_LOCAL_INV or w.opcode == FF_OP_BIND_MW:
        return 0
    if w.opcode < FF_OP_SEND or w.opcode > FF_OP_FETCH_ADD:
        return IBV_WC_LOC_QP_OP_ERR
    if w.length > FF_ROCE_MAX_MESSAGE:
        return IBV_WC_LOC_LEN_ERR
    if q.transport == FF_UD:
        if w.opcode > FF_OP_SEND_IMM:
            return IBV_WC_LOC_QP_OP_ERR
        return IBV_WC_LOC_LEN_ERR if w.length > q.mtu else 0
    if q.transport == FF_UC:
        if w.opcode == FF_OP_SEND_INV:       # the standard has no such packet: between routers it is our own
            return 0 if q.routed else IBV_WC_LOC_QP_OP_ERR
        return 0 if w.opcode in (FF_OP_SEND, FF_OP_SEND_IMM, FF_OP_WRITE, FF_OP_WRITE_IMM) else IBV_WC_LOC_QP_OP_ERR
    if w.opcode == FF_OP_READ and q.max_rd_atomic == 0:
        return IBV_WC_LOC_QP_OP_ERR
    if w.opcode == FF_OP_CMP_SWP or w.opcode == FF_OP_FETCH_ADD:
        if q.max_rd_atomic == 0:
            return IBV_WC_LOC_QP_OP_ERR
        return IBV_WC_LOC_LEN_ERR if w.length != 8 else 0
    return 0


cdef bint admit(roce_qp *q, const roce_env *env) noexcept nogil:
    """Give the next posted WQE its PSNs, or do it at once when it sends nothing. False: there is none, or not yet."""
    cdef roce_send w
    cdef roce_message *m
    if q.draining or q.sq_next - q.sq_done == ROCE_MESSAGES:
        return False
    if q.sq_next != q.sq_done and record(q, q.sq_next - 1).status:
        return False             # what follows a failure is flushed
    if not env.peek_send(env.context, q, q.sq_next, &w):
        return False
    if w.flags & FF_WQE_FENCE and q.reads_open:
        return False             # 10.8.3: after the READs and atomics before it
    if (w.length and q.next_psn != q.una
            and ((q.next_psn - q.una) & FF_PSN_MASK) + (w.length - 1) // min(q.mtu, <uint32_t>CUT_PAYLOAD_LEAST) + 1 > FF_PSN_MASK // 2):
        return False             # PSNs are compared over half the circle, 9.7.2
    m = record(q, q.sq_next)
    memset(m, 0, sizeof(roce_message))
    m.first_psn = q.next_psn
    m.opcode = w.opcode
    m.flags = w.flags
    m.length = w.length
    m.status = check(q, &w)
    if m.status == 0:
        if w.opcode == FF_OP_LOCAL_INV or w.opcode == FF_OP_BIND_MW:
            m.status = env.local_operation(env.context, q, q.sq_next, &w)
        else:
            m.carried = (q.read_size if m.opcode == FF_OP_READ else 0 if answered(m) else q.carries) != 0
            m.packets = cut_packets(q, m)
            q.reads_open += answered(m)
    q.next_psn = ff_psn_add(q.next_psn, m.packets)
    q.sq_next += 1
    if m.packets == 0:
        settle(q, env)
    return True


cdef uint32_t compose(const roce_qp *q, const roce_message *m, const roce_send *w, uint32_t index, uint32_t psn,
                      roce_out *out) noexcept nogil:
    """The packet of message m that has this PSN, into zeros or an earlier packet. Result: the PSNs that it uses up."""
    cdef uint32_t at = ff_psn_diff(psn, m.first_psn), offset = cut_offset(q, m, at), n = 1
    cdef bint last = at == m.packets - 1
    cdef roce_packet *h = &out.head
    h.opcode = q.transport | operation_of(m.opcode, at == 0, last)
    if q.transport == FF_UC and last and m.opcode == FF_OP_SEND_INV:
        h.opcode ^= FF_UC ^ FF_ROUTED_UC
    h.pkey = q.pkey
    h.qpn, h.psn = q.dest_qpn, psn
    h.ackreq = reliable(q) and (last or asks(psn))
    h.srqn = w.srqn
    h.rkey = w.rkey
    h.addr = w.remote_addr + offset
    h.imm = h.inv_rkey = w.imm
    h.solicited = h.size = h.length = h.filler = 0
    if answered(m):
        h.ackreq, out.source = 1, ROCE_NO_PAYLOAD
        if m.opcode == FF_OP_READ:
            n = min(cell(q, m) - at % cell(q, m), m.packets - at)
            h.length = min(n * cut_rest(q, m), m.length - offset)
            h.filler = q.read_size // READ_UNIT if m.carried else 0
        else:
            h.swap_add = w.swap if m.opcode == FF_OP_CMP_SWP else w.compare_add
            h.compare = w.compare_add if m.opcode == FF_OP_CMP_SWP else 0
        return n
    h.length = m.length
    h.size = cut_size(q, m, at, offset)
    if last:
        h.filler = cut_filler(q, m, h.size + (-h.size & 3))
    h.solicited = last and m.flags & FF_WQE_SOLICITED and m.opcode != FF_OP_WRITE
    out.source = ROCE_FROM_SEND if h.size else ROCE_NO_PAYLOAD
    out.index = index
    out.offset = offset
    if q.transport == FF_UD:
        out.ah = w.ah
        h.qpn = w.remote_qpn
        h.qkey = q.qkey if w.qkey >> 31 else w.qkey   # 10.2.5: the high bit asks for the QP's own
        h.src_qpn = q.qpn
    return n


cdef bint load(roce_qp *q, const roce_env *env, uint32_t index, roce_send *w) noexcept nogil:
    """Read a WQE again. False when it is not what it was: the program wrote to a slot that is not its own."""
    cdef const roce_message *m = record(q, index)
    if env.peek_send(env.context, q, index, w) and w.status == 0 and w.opcode == m.opcode and w.length == m.length:
        return True
    record(q, index).status = w.status if w.status else IBV_WC_LOC_QP_OP_ERR
    return False


cdef inline uint32_t room(const roce_qp *q, const roce_path *path) noexcept nogil:
    """Packets that may still be sent, this QP's since its last charge included."""
    cdef uint32_t in_flight = in_flight_of(q), of_all = path.in_flight + in_flight - q.charged
    cdef uint32_t window = path.window >> 8
    if q.limit:
        return q.limit - in_flight if in_flight < q.limit else 0
    return window - of_all if of_all < window else 0


cdef int may_send(const roce_qp *q, const roce_path *path, const roce_message *m) noexcept nogil:
    """ROCE_MORE, or why not. A READ request may overshoot the window by a cell."""
    if not reliable(q):
        return ROCE_MORE
    if answered(m) and q.reads >= q.max_rd_atomic:
        return ROCE_IDLE
    if q.kept and ff_psn_diff(q.send_psn, q.una) >= HELD_AHEAD:
        return ROCE_IDLE         # the peer would not keep it
    if room(q, path):
        return ROCE_MORE
    return ROCE_IDLE if q.limit else ROCE_BLOCKED


cdef void sent(roce_qp *q, roce_path *path, const roce_env *env, const roce_message *m, const roce_out *out, uint32_t n,
               uint32_t packets, uint64_t now) noexcept nogil:
    """Account for packets that were sent from send_psn on, and use n PSNs."""
    cdef uint32_t end = ff_psn_add(q.send_psn, n)
    env.counters.packets_sent += packets
    if answered(m):
        env.counters.bytes_asked += min(<uint64_t>n * (q.read_size if q.read_size else q.mtu), <uint64_t>m.length)
    else:
        env.counters.bytes_asked += <uint64_t>packets * out.head.size
    q.send_psn = end
    if not reliable(q):
        q.sent_psn = q.una = end
        return
    if ff_psn_diff(end, q.sent_psn) > 0:
        q.sent_psn = end
        if q.timed_ns == 0 and out.head.ackreq:
            q.timed_psn = out.head.psn
            q.timed_ns = now
    else:
        env.counters.retransmitted += packets
    q.reads += answered(m)
    if q.ack_ns == 0 and q.ack_timeout_ns:
        q.ack_ns = now + q.ack_timeout_ns
    if q.probe_ns == 0:
        q.probe_ns = now + path_probe_ns(path, q.probes, q.ack_timeout_ns)


cdef uint32_t run_of(const roce_qp *q, const roce_path *path, const roce_message *m, uint32_t budget) noexcept nogil:
    """How many packets from send_psn on differ in PSN and bytes alone: MIDDLE ones, sent for the first time. 0 or 1: none
    that it is worth to look at together."""
    cdef uint32_t at = ff_psn_diff(q.send_psn, m.first_psn), run
    if at == 0 or q.send_psn != q.sent_psn and reliable(q) or q.kept or answered(m):
        return 0
    run = min(budget, m.packets - 1 - at)    # the turn's last one asks for an ACK, and so does the message's
    if reliable(q):
        run = min(run, max(room(q, path), <uint32_t>1) - 1)
    return run


cdef int send_one(roce_qp *q, roce_path *path, const roce_env *env, roce_send *w, uint32_t *loaded, roce_out *out,
                  uint32_t *budget, uint64_t now) noexcept nogil:
    """The packet at send_psn, or several: ROCE_MORE when it was sent (or its WQE failed), else why not. The last packet of
    a turn, or that the window has room for, asks for an ACK: nothing else might make one come."""
    cdef roce_message *m = record(q, q.sq_sending)
    cdef uint32_t index = q.sq_sending, n, run
    cdef int result
    if m.status:
        return ROCE_IDLE         # waits to be the oldest
    if loaded[0] != index:
        loaded[0] = index
        if not load(q, env, index, w):
            settle(q, env)
            return ROCE_MORE
    result = may_send(q, path, m)
    if result != ROCE_MORE:
        return result
    n = compose(q, m, w, index, q.send_psn, out)
    run = run_of(q, path, m, budget[0])
    if run > 1:
        result = env.emit_run(env.context, q, out, run)
        if result > 0:
            sent(q, path, env, m, out, result, result, now)
            budget[0] -= result - 1
            return ROCE_MORE
        result = ROCE_NO_ROOM if result == 0 else -result
    else:
        if reliable(q) and (budget[0] == 0 or room(q, path) == 1):
            out.head.ackreq = 1
        result = env.emit(env.context, q, out)
    if result == ROCE_NO_ROOM:
        return ROCE_FULL
    if result > 0:
        m.status = <uint8_t>result
        settle(q, env)
        return ROCE_MORE
    sent(q, path, env, m, out, n, 1, now)
    if q.send_psn == ff_psn_add(m.first_psn, m.packets):
        q.sq_sending = index + 1
    if not reliable(q):
        settle(q, env)
    return ROCE_MORE


cdef bint repeat(roce_qp *q, const roce_env *env, uint32_t index, uint32_t psn) noexcept nogil:
    cdef roce_send w
    cdef roce_out out
    if record(q, index).status or not load(q, env, index, &w):
        settle(q, env)
        return False
    memset(&out, 0, sizeof(roce_out))
    compose(q, record(q, index), &w, index, psn, &out)
    out.head.ackreq = 1
    if env.emit(env.context, q, &out) != ROCE_SENT:
        return False
    env.counters.packets_sent += 1
    env.counters.retransmitted += 1
    env.counters.repaired += 1
    return True


cdef int requester_send(roce_qp *q, roce_path *path, const roce_env *env, uint64_t now, uint32_t budget) noexcept nogil:
    cdef roce_send w
    cdef roce_out out
    cdef uint32_t loaded = q.sq_sending - 1
    cdef int turn = ROCE_MORE
    memset(&out, 0, sizeof(roce_out))
    q.blocked = 0
    while turn == ROCE_MORE and budget and not q.failed and q.wait_ns == 0:   # ends: each round costs budget
        budget -= 1
        if q.sq_sending != q.sq_next and record(q, q.sq_sending).packets == 0 and record(q, q.sq_sending).status == 0:
            q.sq_sending += 1    # done where it was admitted; waits for those before it
        elif q.sq_sending == q.sq_next:
            turn = ROCE_MORE if admit(q, env) else ROCE_IDLE
        else:
            turn = send_one(q, path, env, &w, &loaded, &out, &budget, now)
    if q.failed or q.wait_ns:
        turn = ROCE_IDLE
    q.blocked = turn == ROCE_BLOCKED
    charge(q, path)
    set_timer(q)
    return turn


# ---- what comes back ------------------------------------------------------------------------------------------------

cdef void mark(roce_qp *q, uint32_t psn, uint8_t status) noexcept nogil:
    """The message that psn belongs to fails with status once it is the oldest."""
    cdef uint32_t index = q.sq_done
    cdef roce_message *m
    while index != q.sq_next:
        m = record(q, index)
        if m.packets and ff_psn_diff(psn, ff_psn_add(m.first_psn, m.packets)) < 0:
            m.status = status
            return
        index += 1


cdef void refused(roce_qp *q, roce_path *path, const roce_env *env, const roce_packet *p, uint64_t now) noexcept nogil:
    """A NAK (9.7.5.2): it acknowledges everything before its PSN."""
    cdef uint8_t code = p.syndrome & FF_AETH_VALUE
    env.counters.naks_received += 1
    if code == FF_NAK_SEQUENCE:
        if acknowledge(q, path, env, p.psn, now) and p.size:
            selective_repair(q, path, env, p, now, repeat)
        else:
            go_back(q, path, now)
        return
    if status_of_nak(code) == 0:
        env.counters.ghosts += 1
        return
    if acknowledge(q, path, env, p.psn, now):
        mark(q, p.psn, status_of_nak(code))
        settle(q, env)
    else:
        mark(q, p.psn, status_of_nak(code))
        go_back(q, path, now)    # for the response that is missing; the responder has stopped, so its retries will end


cdef void not_ready(roce_qp *q, roce_path *path, const roce_env *env, const roce_packet *p, uint64_t now) noexcept nogil:
    """An RNR NAK (9.7.5.2.8): wait as long as it says, then send again from its PSN."""
    env.counters.rnrs_received += 1
    if q.wait_ns and p.psn == q.una:
        return                   # the same one again
    acknowledge(q, path, env, p.psn, now)
    if q.failed:
        return
    if q.rnr_retries == 0:
        fail_oldest(q, env, IBV_WC_RNR_RETRY_EXC_ERR)
        return
    if q.rnr_retry != 7:
        q.rnr_retries -= 1
    rewind(q)
    q.limit = 1                  # one packet asks whether the responder is ready now
    q.retries = q.retry_cnt      # it answers: what the ACK timer counts is silence
    q.probes = 0
    q.ack_ns = q.probe_ns = 0
    q.wait_ns = now + ff_rnr_ns(p.syndrome & FF_AETH_VALUE)


cdef void acknowledged(roce_qp *q, roce_path *path, const roce_env *env, const roce_packet *p, uint64_t now) noexcept nogil:
    """A plain ACK. When it says no more than that the probe arrived, what was sent behind that packet is lost too."""
    cdef bint probed = q.probed and p.psn == q.probed_psn
    if not acknowledge(q, path, env, ff_psn_add(p.psn, 1), now) or (probed and q.una != q.send_psn):
        go_back(q, path, now)


cdef void deliver(roce_qp *q, roce_path *path, const roce_env *env, const uint8_t *data, uint32_t offset, uint32_t size,
                  bint ends, uint64_t now) noexcept nogil:
    """Store a response's bytes for the oldest WQE, and acknowledge its packet."""
    cdef int status = env.put_send(env.context, q, q.sq_done, offset, data, size) if size else 0
    if status:
        fail_oldest(q, env, <uint8_t>status)
        return
    if ends and q.reads:
        q.reads -= 1
    advance(q, path, env, ff_psn_add(q.una, 1), now)


cdef void read_response(roce_qp *q, roce_path *path, const roce_env *env, const roce_packet *p, uint64_t now) noexcept nogil:
    cdef roce_message *m
    cdef uint32_t at, offset
    cdef bint ends
    if not acknowledge(q, path, env, p.psn, now):
        go_back(q, path, now)    # an earlier response is missing
        return
    m = record(q, q.sq_done)
    if q.failed or q.sq_done == q.sq_next or q.una != p.psn or m.opcode != FF_OP_READ or m.status:
        env.counters.ghosts += 1
        return
    at = ff_psn_diff(p.psn, m.first_psn)
    offset = cut_offset(q, m, at)
    ends = at == m.packets - 1 or at % cell(q, m) == cell(q, m) - 1
    if ends != ((p.traits & FF_IS_LAST) != 0) or p.size != cut_size(q, m, at, offset):
        fail_oldest(q, env, IBV_WC_BAD_RESP_ERR)     # 9.9.2: not the response to what was asked
        return
    deliver(q, path, env, p.payload, offset, p.size, ends, now)


cdef void atomic_response(roce_qp *q, roce_path *path, const roce_env *env, const roce_packet *p,
                          uint64_t now) noexcept nogil:
    cdef roce_message *m
    cdef uint64_t original = p.original
    if not acknowledge(q, path, env, p.psn, now):
        go_back(q, path, now)
        return
    m = record(q, q.sq_done)
    if (q.failed or q.sq_done == q.sq_next or q.una != p.psn or m.status
            or (m.opcode != FF_OP_CMP_SWP and m.opcode != FF_OP_FETCH_ADD)):
        env.counters.ghosts += 1
        return
    deliver(q, path, env, <const uint8_t *>&original, 0, 8, True, now)   # in the host's byte order, 9.4.5


cdef void requester_receive(roce_qp *q, roce_path *path, const roce_env *env, const roce_packet *p,
                            uint64_t now) noexcept nogil:
    cdef uint8_t operation = p.opcode & FF_OPERATION_MASK
    cdef uint8_t kind = p.syndrome & FF_AETH_KIND
    if q.failed or ff_psn_diff(p.psn, q.una) < 0 or ff_psn_diff(p.psn, q.sent_psn) >= 0:
        env.counters.ghosts += 1     # 9.7.6.1: old, or to something never sent
        return
    if operation == FF_ACKNOWLEDGE and kind == FF_AETH_NAK:
        refused(q, path, env, p, now)
    elif operation == FF_ACKNOWLEDGE and kind == FF_AETH_RNR:
        not_ready(q, path, env, p, now)
    elif p.traits & FF_HAS_AETH and kind != FF_AETH_ACK:
        env.counters.ghosts += 1
    elif operation == FF_ACKNOWLEDGE:
        acknowledged(q, path, env, p, now)
    elif operation == FF_ATOMIC_ACKNOWLEDGE:
        atomic_response(q, path, env, p, now)
    else:
        read_response(q, path, env, p, now)
    charge(q, path)
    set_timer(q)
