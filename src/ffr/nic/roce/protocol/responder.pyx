"""Takes requests in PSN order. Each is checked as 9.7.4.1 orders it - PSN, opcode sequence, what the QP allows, a
receive WQE or a resource, length, key - and executed only when everything holds, so an RNR'd or NAK'd request has had
no effect."""

from ffcore.roce cimport *
from ffcore.shm cimport FF_CQE_IMM, FF_CQE_INV, FF_CQE_SOLICITED
from ffr.ibv cimport (IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_READ, IBV_ACCESS_REMOTE_WRITE,
                      IBV_EVENT_QP_ACCESS_ERR, IBV_EVENT_QP_REQ_ERR, IBV_WC_LOC_LEN_ERR, IBV_WC_SUCCESS,
                      IBV_WC_WR_FLUSH_ERR)
from libc.string cimport memset

from ffr.nic.roce.protocol.cut cimport cut_read_filler, cut_sends, cut_taken, cut_unit_size
from ffr.nic.roce.protocol.held cimport HELD_AHEAD, HELD_MAP_BYTES, held_drop, held_map, held_put, held_take
from ffr.nic.roce.protocol.qp cimport *
from ffr.nic.roce.protocol.requester cimport ROCE_FULL, ROCE_IDLE, ROCE_MORE


cdef void responder_start(roce_qp *q, uint32_t rq_psn) noexcept nogil:
    q.epsn = rq_psn & FF_PSN_MASK


cdef void responder_flush(roce_qp *q, const roce_env *env) noexcept nogil:
    if q.taken:
        finish(q, env, NULL, IBV_WC_WR_FLUSH_ERR)
    q.receiving = ROCE_BETWEEN
    if q.held:
        held_drop(env.held, q.handle)
        q.held = 0


cdef void finish(roce_qp *q, const roce_env *env, const roce_packet *p, uint8_t status) noexcept nogil:
    """Complete the receive WQE of the open message, which packet p (NULL: none) ended."""
    cdef roce_received done
    memset(&done, 0, sizeof(done))
    done.index = q.receive_index
    done.status = status
    done.srqn = q.srqn
    done.src_qpn = q.dest_qpn
    done.length = q.received
    if p != NULL:
        done.write = (p.traits & FF_IS_WRITE) != 0
        done.imm = p.inv_rkey if p.traits & FF_HAS_IETH else p.imm
        done.flags = ((FF_CQE_IMM if p.traits & FF_HAS_IMM else 0) | (FF_CQE_INV if p.traits & FF_HAS_IETH else 0)
                      | (FF_CQE_SOLICITED if p.solicited else 0))
    q.taken = 0
    env.complete_receive(env.context, q, &done)


# ---- refusing -------------------------------------------------------------------------------------------------------

cdef void answer(roce_qp *q, uint8_t syndrome) noexcept nogil:
    """What responder_send tells when its turn comes. The latest holds: each says everything about the PSNs before."""
    q.ack_due = 1
    q.syndrome = syndrome
    q.ack_psn = q.epsn


cdef void refuse(roce_qp *q, const roce_env *env, uint8_t nak, int event) noexcept nogil:
    """A NAK that ends the connection: this side goes to ERR too (9.9.3, classes B and C)."""
    answer(q, FF_AETH_NAK | nak)
    q.failed = 1
    responder_flush(q, env)
    env.fail(env.context, q, event)


cdef void invalid(roce_qp *q, const roce_env *env) noexcept nogil:
    refuse(q, env, FF_NAK_INVALID_REQUEST, IBV_EVENT_QP_REQ_ERR)


cdef void forbidden(roce_qp *q, const roce_env *env) noexcept nogil:
    refuse(q, env, FF_NAK_REMOTE_ACCESS, IBV_EVENT_QP_ACCESS_ERR)


cdef void broken(roce_qp *q, const roce_env *env, uint8_t status, uint8_t nak) noexcept nogil:
    """The receive WQE cannot take the message: it completes with status, the requester gets nak."""
    finish(q, env, NULL, status)
    refuse(q, env, nak, -1)


cdef void not_ready(roce_qp *q) noexcept nogil:
    """No receive WQE (9.7.5.2.8). What follows is dropped in silence until this packet comes again."""
    answer(q, FF_AETH_RNR | q.min_rnr_timer)
    q.nak = ROCE_NAK_RNR


cdef bint hold(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    """Keep a packet until its turn comes. False when it is not kept: then it comes again like all behind the gap."""
    if env.held == NULL or ff_psn_diff(p.psn, q.epsn) >= HELD_AHEAD or not held_put(env.held, q.handle, p):
        return False
    q.held += 1
    env.counters.held += 1
    return True


cdef void out_of_sequence(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    """A packet behind a gap (9.7.5.2). Told once - and again when the requester has visibly gone back, since then
    the first packet was lost once more, or the NAK was."""
    env.counters.out_of_sequence += 1
    if q.nak == ROCE_NAK_RNR:
        return
    if q.selective and hold(q, env, p):
        q.nak = ROCE_NAK_SEQUENCE
        q.nak_high = p.psn
        answer(q, FF_AETH_NAK | FF_NAK_SEQUENCE)     # after each batch: it says what else is missing
        return
    if q.nak == ROCE_NAK_NONE or ff_psn_diff(p.psn, q.nak_high) <= 0:
        q.nak = ROCE_NAK_SEQUENCE
        q.nak_high = p.psn
        answer(q, FF_AETH_NAK | FF_NAK_SEQUENCE)
    else:
        q.nak_high = p.psn


# ---- executing what is in sequence -------------------------------------------------------------------------------------

cdef bint take(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    """The receive WQE for the message of p; False when there is none (RNR) or it cannot be used (the QP has failed)."""
    cdef roce_receive r
    if q.taken:
        return True
    memset(&r, 0, sizeof(r))
    q.srqn = p.srqn
    if not env.take_receive(env.context, q, p.srqn, &r):
        not_ready(q)
        return False
    q.taken = 1
    q.receive_index = r.index
    q.receive_room = r.length
    if r.status:
        q.received = 0
        broken(q, env, r.status, FF_NAK_REMOTE_OPERATION)
        return False
    return True


cdef void accept(roce_qp *q, const roce_packet *p, uint32_t packets) noexcept nogil:
    """The request is executed: the next one is expected."""
    q.epsn = ff_psn_add(q.epsn, packets)
    if p.traits & FF_IS_LAST:
        q.msn = (q.msn + 1) & FF_PSN_MASK
        q.receiving = ROCE_BETWEEN
    else:
        q.receiving = ROCE_SEND if p.traits & FF_IS_SEND else ROCE_WRITE
    if p.ackreq and not p.traits & (FF_HAS_ATOMICETH) and p.opcode & FF_OPERATION_MASK != FF_READ_REQUEST:
        answer(q, FF_AETH_ACK | FF_AETH_NO_CREDITS)


cdef void send_request(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    cdef int status
    if not take(q, env, p):
        return
    if p.traits & FF_IS_FIRST:
        q.received = 0
    if not cut_taken(q, p):
        invalid(q, env)
        return
    if p.size > q.receive_room - q.received:
        broken(q, env, IBV_WC_LOC_LEN_ERR, FF_NAK_INVALID_REQUEST)
        return
    status = env.put_receive(env.context, q, q.receive_index, q.received, p.payload, p.size) if p.size else 0
    if status:
        broken(q, env, <uint8_t>status, FF_NAK_REMOTE_OPERATION)
        return
    q.received += p.size
    if p.traits & FF_HAS_IETH and env.invalidate(env.context, q, p.inv_rkey):
        forbidden(q, env)        # 9.4.1.1: a key that the requester may not invalidate
        return
    accept(q, p, 1)
    if p.traits & FF_IS_LAST:
        finish(q, env, p, IBV_WC_SUCCESS)


cdef bint open_write(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    """The RETH of a FIRST or ONLY. False: refused."""
    if p.length > FF_ROCE_MAX_MESSAGE:
        invalid(q, env)
        return False
    if p.length and env.check_remote(env.context, q, p.rkey, p.addr, p.length, IBV_ACCESS_REMOTE_WRITE):
        forbidden(q, env)        # 9.7.4.1: an empty WRITE's key is not looked at
        return False
    q.write_addr = p.addr
    q.write_rkey = p.rkey
    q.write_left = p.length
    q.received = 0
    return True


cdef void write_request(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    cdef bint last = (p.traits & FF_IS_LAST) != 0
    if not q.access & IBV_ACCESS_REMOTE_WRITE:
        invalid(q, env)
        return
    if p.traits & FF_HAS_IMM and not take(q, env, p):
        return
    if p.traits & FF_IS_FIRST and not open_write(q, env, p):
        return
    if not cut_taken(q, p) or p.size > q.write_left or last != (p.size == q.write_left):
        invalid(q, env)          # 9.7.4.1: the RETH's length is what the packets carry
        return
    if p.size and env.put_remote(env.context, q, q.write_rkey, q.write_addr, p.payload, p.size, last):
        forbidden(q, env)
        return
    q.write_addr += p.size
    q.write_left -= p.size
    q.received += p.size
    accept(q, p, 1)
    if p.traits & FF_HAS_IMM:
        finish(q, env, p, IBV_WC_SUCCESS)


cdef inline roce_resource *resource(const roce_qp *q, const roce_env *env, uint32_t number) noexcept nogil:
    return &env.resource[q.handle * ROCE_RESOURCES + (number & (ROCE_RESOURCES - 1))]


cdef roce_resource *new_resource(roce_qp *q, const roce_env *env) noexcept nogil:
    """A slot for a READ or atomic; the oldest is forgotten. NULL: the requester has more outstanding than was agreed.
    A response to a duplicate that is still to be sent is given up: by asking for more the requester shows that it has
    what it asked for before."""
    cdef roce_resource *r
    cdef uint32_t limit = min(q.max_dest_rd_atomic, <uint32_t>ROCE_RESOURCES)
    if limit == 0:
        return NULL
    if q.resource_count >= limit:
        r = resource(q, env, q.resource_next - q.resource_count)
        if r.pending:
            if not r.again:
                return NULL
            r.pending = 0
            q.pending -= 1
        q.resource_count -= 1
    r = resource(q, env, q.resource_next)
    q.resource_next = (q.resource_next + 1) & (ROCE_RESOURCES - 1)
    q.resource_count += 1
    memset(r, 0, sizeof(roce_resource))
    return r


cdef void remember(roce_qp *q, const roce_packet *p, roce_resource *r, uint32_t packets) noexcept nogil:
    r.first_psn = r.emit_start = r.emit_psn = q.epsn
    r.emit_end = ff_psn_add(q.epsn, packets)
    r.packets = packets
    r.rkey = p.rkey
    r.length = p.length
    r.srqn = p.srqn
    r.operation = p.opcode & FF_OPERATION_MASK
    r.pending = 1
    q.pending += 1
    accept(q, p, packets)
    r.msn = q.msn


cdef void read_request(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    cdef roce_resource *r
    if not q.access & IBV_ACCESS_REMOTE_READ or p.length > FF_ROCE_MAX_MESSAGE or not cut_sends(q, p.filler):
        invalid(q, env)
        return
    if p.length and env.check_remote(env.context, q, p.rkey, p.addr, p.length, IBV_ACCESS_REMOTE_READ):
        forbidden(q, env)
        return
    r = new_resource(q, env)
    if r == NULL:
        invalid(q, env)          # 9.7.4.1: too many outstanding
        return
    r.addr = p.addr
    remember(q, p, r, ff_packets_of(p.length, cut_unit_size(q, p.filler)))
    r.unit = p.filler


cdef void atomic_request(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    cdef roce_resource *r
    cdef uint64_t original = 0
    if not q.access & IBV_ACCESS_REMOTE_ATOMIC or p.addr & 7:
        invalid(q, env)          # 9.4.5: the address is a multiple of 8
        return
    if env.check_remote(env.context, q, p.rkey, p.addr, 8, IBV_ACCESS_REMOTE_ATOMIC):
        forbidden(q, env)
        return
    r = new_resource(q, env)
    if r == NULL:
        invalid(q, env)
        return
    if env.atomic(env.context, q, p.rkey, p.addr, p.opcode & FF_OPERATION_MASK, p.swap_add, p.compare, &original):
        forbidden(q, env)
        return
    r.addr = original
    remember(q, p, r, 1)


cdef bint follows(const roce_qp *q, const roce_packet *p) noexcept nogil:
    """9.7.4.1: whether the opcode may come after the last one."""
    if p.traits & FF_IS_FIRST:
        return q.receiving == ROCE_BETWEEN
    return q.receiving == (ROCE_SEND if p.traits & FF_IS_SEND else ROCE_WRITE)


cdef void execute(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    q.nak = ROCE_NAK_NONE
    if q.ack_due and q.syndrome & FF_AETH_KIND:
        q.ack_due = 0            # a NAK that was not sent yet, about the packet that is here now
    if not follows(q, p) or (p.traits & FF_HAS_XRCETH and q.receiving != ROCE_BETWEEN and p.srqn != q.srqn and q.taken):
        invalid(q, env)
    elif p.traits & FF_HAS_XRCETH and not env.select_srq(env.context, q, p.srqn):
        invalid(q, env)          # A14.4: no such SRQ
    elif p.traits & FF_IS_SEND:
        send_request(q, env, p)
    elif p.traits & FF_IS_WRITE:
        write_request(q, env, p)
    elif p.traits & FF_HAS_ATOMICETH:
        atomic_request(q, env, p)
    else:
        read_request(q, env, p)


cdef void catch_up(roce_qp *q, const roce_env *env) noexcept nogil:
    """What was kept behind a gap that is closed now. Ends: each turn takes one out."""
    cdef roce_packet p
    while q.held and not q.failed and q.nak == ROCE_NAK_NONE and held_take(env.held, q.handle, q.epsn, &p):
        q.held -= 1
        execute(q, env, &p)
    if q.held and not q.failed and q.nak == ROCE_NAK_NONE:
        q.nak = ROCE_NAK_SEQUENCE            # there is another gap
        answer(q, FF_AETH_NAK | FF_NAK_SEQUENCE)


# ---- duplicates (9.7.5.1) -----------------------------------------------------------------------------------------

cdef bint repeats(const roce_qp *q, const roce_resource *r, const roce_packet *p, uint32_t at) noexcept nogil:
    """9.4.4: a READ that is asked for again is a part of the one before, packet for packet; p begins at its packet
    `at`."""
    cdef uint32_t size = cut_unit_size(q, r.unit), left = r.length - at * size
    return (p.rkey == r.rkey and p.filler == r.unit and p.addr == r.addr + at * size
            and (p.length == left or (p.length < left and p.length and p.length % size == 0)))


cdef roce_resource *find(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    """The resource that p's request, or the READ that it repeats a part of, made; NULL when it is forgotten."""
    cdef roce_resource *r
    cdef uint32_t i, at
    for i in range(1, q.resource_count + 1):
        r = resource(q, env, q.resource_next - i)
        at = ff_psn_add(p.psn, -r.first_psn)
        if at < r.packets and r.operation == p.opcode & FF_OPERATION_MASK:
            return r if r.operation != FF_READ_REQUEST or repeats(q, r, p, at) else NULL
    return NULL


cdef void duplicate(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    """A request that was executed: answer it again, execute nothing again. An atomic gets its stored result, a READ is
    read anew, anything else is acknowledged together with all that came after it."""
    cdef roce_resource *r
    cdef uint32_t end
    env.counters.duplicates += 1
    if p.traits & (FF_IS_SEND | FF_IS_WRITE):
        if not q.ack_due:
            answer(q, FF_AETH_ACK | FF_AETH_NO_CREDITS)
        return
    r = find(q, env, p)
    if r == NULL:
        return                   # forgotten, or not what was asked for: dropped
    end = ff_psn_add(p.psn, ff_packets_of(p.length, cut_unit_size(q, r.unit)))
    if r.pending and ff_psn_diff(p.psn, r.emit_psn) >= 0 and ff_psn_diff(end, r.emit_end) <= 0:
        return                   # about to be sent anyway
    if not r.pending:
        q.pending += 1
        r.again = 1
        r.emit_end = end
    elif ff_psn_diff(end, r.emit_end) > 0:
        r.emit_end = end
    r.pending = 1
    r.emit_start = r.emit_psn = p.psn


cdef void responder_receive(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    cdef int32_t ahead = ff_psn_diff(p.psn, q.epsn)
    if q.failed:
        env.counters.dropped += 1
    elif ahead == 0:
        execute(q, env, p)
        if q.held:
            catch_up(q, env)
    elif ahead > 0:
        out_of_sequence(q, env, p)
    else:
        duplicate(q, env, p)


cdef bint responder_receive_run(roce_qp *q, const roce_env *env, const roce_packet *p, uint32_t count,
                                uint32_t stride) noexcept nogil:
    cdef uint64_t total = <uint64_t>count * p.size
    cdef bint send = (p.traits & FF_IS_SEND) != 0
    if q.failed or q.held or q.nak != ROCE_NAK_NONE or q.epsn != p.psn or p.size == 0 or (q.ack_due and q.syndrome & FF_AETH_KIND):
        return False
    if send and (q.receiving != ROCE_SEND or not q.taken or total > q.receive_room - q.received):
        return False
    if not send and (q.receiving != ROCE_WRITE or not q.access & IBV_ACCESS_REMOTE_WRITE or total >= q.write_left):
        return False
    if env.put_run(env.context, q, p, count, stride):
        return False
    q.received += <uint32_t>total
    if not send:
        q.write_addr += total
        q.write_left -= <uint32_t>total
    accept(q, p, count)
    return True


# ---- answering ------------------------------------------------------------------------------------------------------

cdef void head(const roce_qp *q, roce_out *out, uint8_t operation, uint32_t psn, uint32_t msn) noexcept nogil:
    memset(out, 0, sizeof(roce_out))
    out.head.opcode = q.transport | operation
    out.head.pkey = q.pkey
    out.head.qpn = q.dest_qpn
    out.head.psn = psn
    out.head.syndrome = FF_AETH_ACK | FF_AETH_NO_CREDITS
    out.head.msn = msn


cdef uint32_t compose(const roce_qp *q, const roce_resource *r, roce_out *out) noexcept nogil:
    """The packet at r.emit_psn."""
    cdef uint32_t size = cut_unit_size(q, r.unit), offset = ff_psn_add(r.emit_psn, -r.first_psn) * size
    cdef bint first = r.emit_psn == r.emit_start, last = ff_psn_add(r.emit_psn, 1) == r.emit_end
    if r.operation != FF_READ_REQUEST:
        head(q, out, FF_ATOMIC_ACKNOWLEDGE, r.emit_psn, r.msn)
        out.head.original = r.addr
        return last
    if last:
        head(q, out, FF_READ_RESPONSE_ONLY if first else FF_READ_RESPONSE_LAST, r.emit_psn, r.msn)
    else:
        head(q, out, FF_READ_RESPONSE_FIRST if first else FF_READ_RESPONSE_MIDDLE, r.emit_psn, r.msn)
    out.head.size = min(size, r.length - offset)
    out.head.filler = cut_read_filler(r.unit, first, last, (out.head.size + 3) & ~<uint32_t>3)
    out.source = ROCE_FROM_REMOTE if out.head.size else ROCE_NO_PAYLOAD
    out.head.srqn = r.srqn       # XRC: the memory is of this one's PD, whatever SRQ an open SEND goes to. Not on the wire
    out.rkey = r.rkey
    out.addr = r.addr + offset
    return last


cdef uint32_t middle_of(const roce_resource *r, uint32_t budget) noexcept nogil:
    """How many packets from emit_psn on are MIDDLE ones of a READ's response."""
    if r.operation != FF_READ_REQUEST or r.emit_psn == r.emit_start:
        return 0
    return min(budget, <uint32_t>ff_psn_diff(r.emit_end, r.emit_psn) - 1)


cdef int respond(roce_qp *q, const roce_env *env, roce_resource *r, uint32_t *budget) noexcept nogil:
    """Send r's response as far as the budget goes. ROCE_IDLE when all of it is sent."""
    cdef roce_out out
    cdef bint last
    cdef uint32_t run
    cdef int result
    while budget[0]:
        last = compose(q, r, &out)
        run = middle_of(r, budget[0])
        if run > 1:
            result = env.emit_run(env.context, q, &out, run)
            if result > 0:
                env.counters.packets_sent += result
                budget[0] -= result
                r.emit_psn = ff_psn_add(r.emit_psn, result)
                continue
            result = ROCE_NO_ROOM if result == 0 else -result
        else:
            result = env.emit(env.context, q, &out)
        if result == ROCE_NO_ROOM:
            return ROCE_FULL
        if result > 0:           # the memory region is gone since the request was checked
            q.epsn = r.emit_psn
            forbidden(q, env)
            drop_responses(q, env)
            return ROCE_IDLE
        env.counters.packets_sent += 1
        budget[0] -= 1
        r.emit_psn = ff_psn_add(r.emit_psn, 1)
        if last:
            r.pending = r.again = 0
            q.pending -= 1
            return ROCE_IDLE
    return ROCE_MORE


cdef void drop_responses(roce_qp *q, const roce_env *env) noexcept nogil:
    cdef uint32_t i
    for i in range(ROCE_RESOURCES):
        resource(q, env, i).pending = 0
    q.pending = 0


cdef void say_what_is_held(roce_qp *q, const roce_env *env, roce_out *out, uint8_t *bits) noexcept nogil:
    out.head.size = held_map(env.held, q.handle, q.ack_psn, q.held, bits)
    if out.head.size == 0:
        held_drop(env.held, q.handle)        # what is left lies behind: a peer that contradicts itself
        q.held = 0
        return
    out.head.opcode = FF_SELECTIVE_NAK
    out.source = ROCE_FROM_HERE
    out.bytes = bits


cdef int acknowledge(roce_qp *q, const roce_env *env) noexcept nogil:
    cdef roce_out out
    cdef bint nak = (q.syndrome & FF_AETH_KIND) != FF_AETH_ACK
    cdef uint8_t bits[HELD_MAP_BYTES]
    head(q, &out, FF_ACKNOWLEDGE, q.ack_psn if nak else ff_psn_add(q.epsn, -1), q.msn)
    out.head.syndrome = q.syndrome
    if q.held and q.syndrome == FF_AETH_NAK | FF_NAK_SEQUENCE:
        say_what_is_held(q, env, &out, bits)
    if env.emit(env.context, q, &out) == ROCE_NO_ROOM:
        return ROCE_FULL
    q.ack_due = 0
    env.counters.packets_sent += 1
    if not nak:
        env.counters.acks_sent += 1
    elif q.syndrome & FF_AETH_KIND == FF_AETH_RNR:
        env.counters.rnrs_sent += 1
    else:
        env.counters.naks_sent += 1
    return ROCE_IDLE


cdef int responder_send(roce_qp *q, const roce_env *env, uint32_t budget) noexcept nogil:
    cdef uint32_t i
    cdef roce_resource *r
    cdef int turn
    for i in range(q.resource_count, 0, -1):     # oldest first: responses and ACKs go out in PSN order (9.7.5.1)
        if not q.pending:
            break
        r = resource(q, env, q.resource_next - i)
        if r.pending:
            turn = respond(q, env, r, &budget)
            if turn != ROCE_IDLE:
                return turn
    if not q.ack_due:
        return ROCE_IDLE
    if budget == 0:
        return ROCE_MORE
    return acknowledge(q, env)
