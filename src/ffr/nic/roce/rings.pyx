"""As everywhere in the router: what lies in shared memory is copied, then checked, then used; registered memory is
touched by guarded copies alone; bytes of a message that programs may poll on are stored last."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ffcore.engine cimport ff_engine_move, ff_engine_parts, ff_move, ff_parts, ff_segment
from ffcore.icrc cimport ff_icrc_of, ff_icrc_write
from ffcore.roce cimport (FF_BTH_ACKREQ, FF_BTH_FILLER, FF_COMPARE_SWAP, FF_ICRC_SIZE, FF_IS_RESPONSE, FF_IS_SEND,
                          FF_IS_WRITE, FF_ROCE_MAX_HEADERS, FF_UC, FF_XRC, ff_bth, ff_psn_add, ff_put24)
from ffcore.shm cimport (FF_CQE_SOLICITED, FF_MAX_SGE, FF_OP_LAST, FF_OP_LOCAL_INV, FF_OP_READ, FF_RECV_HEADER, FF_WQE_HEADER,
                         FF_WQE_INLINE, ff_guest_cmp_swp, ff_guest_fetch_add, ff_load32_acquire, ff_recv_wqe, ff_sge,
                         ff_wqe, ff_wqe_srqn)
from ffr.mem.guard cimport FFR_FAULT, guarded
from ffr.ibv cimport (IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_READ,
                      IBV_ACCESS_REMOTE_WRITE, IBV_QPS_RTR, IBV_QPS_SQE, IBV_WC_LOC_LEN_ERR, IBV_WC_LOC_PROT_ERR,
                      IBV_WC_LOC_QP_OP_ERR, IBV_WC_RECV, IBV_WC_RECV_RDMA_WITH_IMM, IBV_WC_REM_ACCESS_ERR,
                      IBV_WC_SUCCESS)
from ffr.mem.keys cimport resolve, resolve_in, resolve_list
from ffr.mem.windows cimport window_of, window_operation, window_unbind
from ffr.nic.roce.tables cimport roce_peer, roce_resolved
from ffr.nic.roce.link.stream cimport STREAM_LENGTH, STREAM_RUN, frame_begin, stream_frame, stream_payload, stream_send
from ffr.nic.roce.marks cimport marks_count
from ffr.nic.roce.packets cimport packet_end
from ffr.objects.qp cimport qp_error, qp_established, qp_event, qp_received, qp_sent, qp_sq_slot
from ffr.nic.roce.protocol.held cimport HELD_PACKETS, held_init
from ffr.nic.roce.protocol.qp cimport *
from ffr.nic.roce.protocol.message cimport asks, reliable
from ffr.nic.roce.protocol.requester cimport requester_stop
from ffr.nic.roce.protocol.responder cimport responder_flush
from ffr.nic.roce.udp cimport udp_commit_all, udp_room, udp_room_for
from ffr.nic.roce.protocol.wire cimport roce_emit, roce_zeros
from ffr.objects.rq cimport rq_hold, rq_of, rq_ready, rq_slot
from ffr.objects.srq cimport xrc_pd, xrc_select
from ffr.state cimport FFR_FAR, FFR_FAR_MORE, FFR_NONE, ffr_mr, ffr_qp, ffr_rq


cdef enum:
    AT_ONCE = 8               # packets of a run: 12 KB, twice, stay in the first-level cache
    MANY = 8                  # send WQEs under way: their program need not wake up for each one that completes


cdef inline ffr_qp *qp_of(roce_nic *n, const roce_qp *q) noexcept nogil:
    return &n.router.state.qp[q.handle]


cdef void rings_forget(roce_nic *n) noexcept nogil:
    n.send.qp = n.receive.qp = n.write.qp = FFR_NONE


# ---- bytes ----------------------------------------------------------------------------------------------------------

cdef int gather(roce_resolved *from_, uint64_t offset, uint8_t *to, uint64_t size) noexcept nogil:
    """Copies a part of a resolved list into a packet. 0 or FFR_FAULT."""
    cdef ff_segment packet
    cdef ff_move m
    m.source, m.source_count = from_.segment, from_.count
    # the packet's segment begins where the part does, so that one offset serves both sides
    packet.at = to - offset
    packet.length = offset + size
    m.to, m.to_count = &packet, 1
    m.start, m.length, m.last = offset, size, False
    return guarded(ff_engine_move, &m)


cdef int scatter(const uint8_t *bytes, uint64_t size, const roce_resolved *to, uint64_t offset, bint last) noexcept nogil:
    """Copies a packet's bytes to a place of a resolved list, the message's last byte last. 0 or FFR_FAULT."""
    cdef ff_segment packet
    cdef ff_move m
    packet.at = <uint8_t *>bytes - offset
    packet.length = offset + size
    m.source, m.source_count = &packet, 1
    m.to, m.to_count = <ff_segment *>to.segment, to.count
    m.start, m.length, m.last = offset, size, last
    return guarded(ff_engine_move, &m)


# ---- send WQEs ------------------------------------------------------------------------------------------------------

cdef uint8_t resolve_send(roce_nic *n, const ffr_qp *q, ff_wqe *w, const ff_wqe *slot) noexcept nogil:
    """The memory of the copied WQE into n.send; SGEs beyond the first are still to be copied. A status."""
    cdef roce_resolved *s = &n.send
    s.count = 0
    s.length = 0
    if w.opcode >= FF_OP_LAST or not (q.opcodes >> w.opcode) & 1:
        return IBV_WC_LOC_QP_OP_ERR
    if w.opcode >= FF_OP_LOCAL_INV:
        return IBV_WC_SUCCESS                 # names keys, no SGEs
    if w.flags & FF_WQE_INLINE:
        if w.count > q.cap.max_inline or w.opcode >= FF_OP_READ:
            return IBV_WC_LOC_QP_OP_ERR
        s.segment[0].at = <uint8_t *>slot.sge
        s.segment[0].length = w.count
        s.count = 1 if w.count else 0
        s.length = w.count
        return IBV_WC_SUCCESS
    if w.count > q.cap.max_send_sge:
        return IBV_WC_LOC_QP_OP_ERR
    if w.count > 1:
        memcpy(&w.sge[1], &slot.sge[1], (w.count - 1) * sizeof(ff_sge))
    if resolve_list(n.router, q.pd, w.sge, w.count, IBV_ACCESS_LOCAL_WRITE if w.opcode >= FF_OP_READ else 0,
                    s.segment, &s.count, &s.length):
        return IBV_WC_LOC_PROT_ERR
    return IBV_WC_SUCCESS if s.length <= <uint64_t>0x80000000 else IBV_WC_LOC_LEN_ERR


cdef bint peek_send(void *context, roce_qp *q, uint32_t index, roce_send *w) noexcept nogil:
    cdef roce_nic *n = <roce_nic *>context
    cdef ffr_qp *qp = qp_of(n, q)
    cdef const ff_wqe *slot = qp_sq_slot(n.router, qp, index)
    cdef uint64_t raw[70]                     # FF_WQE_HEADER + FF_MAX_SGE SGEs
    cdef ff_wqe *copy = <ff_wqe *>raw
    if ff_load32_acquire(&slot.seq) != index + 1:            # pairs with the release in post_send
        return False
    memcpy(copy, slot, FF_WQE_HEADER + sizeof(ff_sge))
    memset(w, 0, sizeof(roce_send))
    w.status = resolve_send(n, qp, copy, slot)
    n.send.qp = q.handle
    n.send.index = index
    w.opcode = copy.opcode
    w.flags = copy.flags
    w.length = <uint32_t>n.send.length
    w.rkey = copy.rkey
    w.imm = copy.imm
    w.srqn = ff_wqe_srqn(copy)[0] if q.transport == FF_XRC else 0
    w.remote_addr = copy.remote_addr
    if copy.opcode >= FF_OP_READ:
        w.compare_add = copy.compare_add
        w.swap = copy.swap
    return True


cdef bint resolved(roce_nic *n, roce_qp *q, uint32_t index, uint64_t end) noexcept nogil:
    """Whether n.send holds this WQE's memory, up to `end` at least; reads the WQE again when it does not."""
    cdef roce_send w
    if n.send.qp != q.handle or n.send.index != index:
        if not peek_send(n, q, index, &w) or w.status:
            return False
    return end <= n.send.length


cdef int put_send(void *context, roce_qp *q, uint32_t index, uint32_t offset, const uint8_t *data,
                  uint32_t size) noexcept nogil:
    cdef roce_nic *n = <roce_nic *>context
    if not resolved(n, q, index, <uint64_t>offset + size):
        return IBV_WC_LOC_PROT_ERR
    if scatter(data, size, &n.send, offset, offset + size == n.send.length) == FFR_FAULT:
        return fault(n, q, IBV_WC_LOC_PROT_ERR)
    n.router.session_stats[qp_of(n, q).o.session].rx_bytes += size
    return 0


cdef int local_operation(void *context, roce_qp *q, uint32_t index, const roce_send *wqe) noexcept nogil:
    cdef roce_nic *n = <roce_nic *>context
    cdef ff_wqe w
    memcpy(&w, qp_sq_slot(n.router, qp_of(n, q), index), FF_WQE_HEADER)
    n.write.qp = FFR_NONE                     # its key may be voided
    w.opcode = wqe.opcode                     # as it was judged; the program may write there again
    return window_operation(n.router, qp_of(n, q), &w)


cdef void complete_send(void *context, roce_qp *q, uint32_t index, const roce_message *m, uint8_t status) noexcept nogil:
    cdef roce_nic *n = <roce_nic *>context
    cdef ffr_qp *qp = qp_of(n, q)
    cdef uint64_t raw[8]
    cdef ff_wqe *w = <ff_wqe *>raw
    w.wr_id = qp_sq_slot(n.router, qp, index).wr_id          # the program's own: nothing to check
    w.opcode = m.opcode
    w.flags = m.flags
    if status == IBV_WC_SUCCESS:
        n.router.stats.wqes += 1
        n.router.stats.bytes += m.length
        if m.opcode < FF_OP_READ:
            n.router.session_stats[qp.o.session].tx_messages += 1
            n.router.session_stats[qp.o.session].tx_bytes += m.length
            n.router.qp_stats[q.handle].tx_messages += 1
            n.router.qp_stats[q.handle].tx_bytes += m.length
        elif m.opcode == FF_OP_READ:
            n.router.session_stats[qp.o.session].reads += 1
        else:
            n.router.session_stats[qp.o.session].atomics += 1
    if q.sq_next - q.sq_done >= MANY:
        n.router.far = FFR_FAR_MORE
    qp_sent(n.router, q.handle, w, status, m.length)
    n.router.far = FFR_FAR


# ---- receive WQEs ---------------------------------------------------------------------------------------------------

cdef uint8_t load_receive(roce_nic *n, roce_qp *q) noexcept nogil:
    """The memory of the QP's next receive WQE, which is there, into n.receive. A status."""
    cdef ffr_rq *rq = rq_of(n.router, qp_of(n, q))
    cdef ff_recv_wqe *slot = rq_slot(n.router, rq)
    cdef uint64_t raw[66]                     # FF_RECV_HEADER + FF_MAX_SGE SGEs
    cdef ff_recv_wqe *recv = <ff_recv_wqe *>raw
    if n.receive.qp == q.handle and n.receive.index == rq.index:
        return IBV_WC_SUCCESS
    n.receive.qp = FFR_NONE
    memcpy(recv, slot, FF_RECV_HEADER)
    if recv.count > rq.max_sge:
        return IBV_WC_LOC_QP_OP_ERR
    memcpy(recv.sge, slot.sge, recv.count * sizeof(ff_sge))
    if resolve_list(n.router, rq.pd, recv.sge, recv.count, IBV_ACCESS_LOCAL_WRITE, n.receive.segment,
                    &n.receive.count, &n.receive.length):
        return IBV_WC_LOC_PROT_ERR
    n.receive.qp = q.handle
    n.receive.index = rq.index
    return IBV_WC_SUCCESS


cdef bint select_srq(void *context, roce_qp *q, uint32_t srqn) noexcept nogil:
    cdef roce_nic *n = <roce_nic *>context
    return xrc_select(n.router, qp_of(n, q), srqn)


cdef bint take_receive(void *context, roce_qp *q, uint32_t srqn, roce_receive *w) noexcept nogil:
    """The WQE stays where it is until it completes: a QP has one open message. One of an SRQ becomes the QP's own."""
    cdef roce_nic *n = <roce_nic *>context
    cdef ffr_rq *rq = rq_of(n.router, qp_of(n, q))
    if not rq_ready(n.router, rq):
        n.router.session_stats[qp_of(n, q).o.session].rnr_waits += 1
        return False
    rq_hold(n.router, rq)
    w.index = rq.index
    w.status = load_receive(n, q)
    w.length = <uint32_t>min(n.receive.length, <uint64_t>0xFFFFFFFF) if w.status == IBV_WC_SUCCESS else 0
    return True


cdef int put_receive(void *context, roce_qp *q, uint32_t index, uint32_t offset, const uint8_t *data,
                     uint32_t size) noexcept nogil:
    cdef roce_nic *n = <roce_nic *>context
    cdef uint8_t status = load_receive(n, q)
    if status != IBV_WC_SUCCESS or <uint64_t>offset + size > n.receive.length:
        return IBV_WC_LOC_PROT_ERR
    return fault(n, q, IBV_WC_LOC_PROT_ERR) if scatter(data, size, &n.receive, offset, offset + size == n.receive.length) == FFR_FAULT else 0


cdef void complete_receive(void *context, roce_qp *q, const roce_received *done) noexcept nogil:
    cdef roce_nic *n = <roce_nic *>context
    cdef ffr_qp *qp = qp_of(n, q)
    cdef ffr_rq *rq = rq_of(n.router, qp)
    if qp.state == IBV_QPS_RTR:
        qp_established(n.router, q.handle)
    if done.status == IBV_WC_SUCCESS:
        n.router.session_stats[qp.o.session].rx_messages += 1
        n.router.session_stats[qp.o.session].rx_bytes += done.length
        n.router.qp_stats[q.handle].rx_messages += 1
        n.router.qp_stats[q.handle].rx_bytes += done.length
    qp_received(n.router, q.handle, rq_slot(n.router, rq).wr_id, done.status,
                IBV_WC_RECV_RDMA_WITH_IMM if done.write else IBV_WC_RECV, done.flags & ~<uint8_t>FF_CQE_SOLICITED,
                done.length, done.imm, done.src_qpn, done.flags & FF_CQE_SOLICITED)


# ---- what the peer may use ------------------------------------------------------------------------------------------

cdef int remote(roce_nic *n, roce_qp *q, uint32_t rkey, uint64_t addr, uint64_t length, uint32_t access,
                roce_resolved *out) noexcept nogil:
    out.count = 0
    out.length = length
    if resolve(n.router, qp_of(n, q), rkey, addr, length, access, out.segment, &out.count):
        n.router.session_stats[qp_of(n, q).o.session].access_errors += 1
        return IBV_WC_REM_ACCESS_ERR
    return 0


cdef int answered(roce_nic *n, roce_qp *q, const roce_out *out, uint32_t size, roce_resolved *memory) noexcept nogil:
    """What `size` bytes of a READ's response carry: of XRC the memory of the SRQ that the READ named."""
    cdef const ffr_qp *qp = qp_of(n, q)
    if q.transport != FF_XRC:
        return remote(n, q, out.rkey, out.addr, size, IBV_ACCESS_REMOTE_READ, memory)
    memory.count = 0
    memory.length = size
    return resolve_in(n.router, xrc_pd(n.router, qp, out.head.srqn), qp, out.rkey, out.addr, size,
                      IBV_ACCESS_REMOTE_READ, memory.segment, &memory.count)


cdef int fault(roce_nic *n, roce_qp *q, int status) noexcept nogil:
    n.router.stats.faults += 1
    n.router.session_stats[qp_of(n, q).o.session].faults += 1
    return status


cdef int check_remote(void *context, roce_qp *q, uint32_t rkey, uint64_t addr, uint32_t length,
                      uint32_t access) noexcept nogil:
    cdef roce_resolved memory
    return remote(<roce_nic *>context, q, rkey, addr, length, access, &memory)


cdef bint resolved_write(roce_nic *n, roce_qp *q, uint32_t rkey, uint64_t addr, uint32_t size) noexcept nogil:
    """Whether n.write holds the memory of these bytes. What is left of the message is resolved at once, for the packets of
    one batch: rings_forget, and whatever voids keys between packets, ends that."""
    cdef roce_resolved *w = &n.write
    if w.qp == q.handle and n.write_rkey == rkey and addr - n.write_addr < w.length and size <= w.length - (addr - n.write_addr):
        return True
    w.qp = FFR_NONE
    w.count = 0
    w.length = max(q.write_left, size)
    if resolve(n.router, qp_of(n, q), rkey, addr, w.length, IBV_ACCESS_REMOTE_WRITE, w.segment, &w.count):
        w.count = 0              # not all of it any more; these bytes perhaps
        w.length = size
        if resolve(n.router, qp_of(n, q), rkey, addr, size, IBV_ACCESS_REMOTE_WRITE, w.segment, &w.count):
            return False
    w.qp = q.handle
    n.write_rkey = rkey
    n.write_addr = addr
    return True


cdef int put_remote(void *context, roce_qp *q, uint32_t rkey, uint64_t addr, const uint8_t *data, uint32_t size,
                    bint last) noexcept nogil:
    cdef roce_nic *n = <roce_nic *>context
    if not resolved_write(n, q, rkey, addr, size):
        n.router.session_stats[qp_of(n, q).o.session].access_errors += 1
        return IBV_WC_REM_ACCESS_ERR
    n.router.session_stats[qp_of(n, q).o.session].rx_bytes += size
    return fault(n, q, IBV_WC_REM_ACCESS_ERR) if scatter(data, size, &n.write, addr - n.write_addr, last) == FFR_FAULT else 0


cdef int put_run(void *context, roce_qp *q, const roce_packet *p, uint32_t count, uint32_t stride) noexcept nogil:
    cdef roce_nic *n = <roce_nic *>context
    cdef uint64_t total = <uint64_t>count * p.size
    cdef roce_resolved *to = &n.receive if p.traits & FF_IS_SEND else &n.write
    cdef ff_parts s
    if p.traits & FF_IS_SEND:
        if load_receive(n, q) != IBV_WC_SUCCESS or q.received + total > to.length:
            return IBV_WC_LOC_PROT_ERR
        s.start = q.received
    else:
        if not resolved_write(n, q, q.write_rkey, q.write_addr, <uint32_t>total):
            return IBV_WC_REM_ACCESS_ERR
        s.start = q.write_addr - n.write_addr
    s.segment, s.segment_count, s.collect = to.segment, to.count, True
    s.size, s.count = p.size, count
    s.place, s.stride = <uint8_t *>p.payload, stride
    if guarded(ff_engine_parts, &s) == FFR_FAULT:
        return IBV_WC_LOC_PROT_ERR            # the packets come one by one, and say which of them it is
    if p.traits & FF_IS_WRITE:
        n.router.session_stats[qp_of(n, q).o.session].rx_bytes += total
    return 0


cdef struct atomic_call:
    uint8_t *at
    uint64_t swap_add
    uint64_t compare
    uint64_t found
    bint swaps


cdef int do_atomic(void *context) noexcept nogil:
    cdef atomic_call *a = <atomic_call *>context
    if a.swaps:
        a.found = ff_guest_cmp_swp(a.at, a.compare, a.swap_add)
    else:
        a.found = ff_guest_fetch_add(a.at, a.swap_add)
    return 0


cdef int atomic(void *context, roce_qp *q, uint32_t rkey, uint64_t addr, uint8_t operation, uint64_t swap_add,
                uint64_t compare, uint64_t *original) noexcept nogil:
    cdef roce_nic *n = <roce_nic *>context
    cdef roce_resolved memory
    cdef atomic_call call
    if remote(n, q, rkey, addr, 8, IBV_ACCESS_REMOTE_ATOMIC, &memory):
        return IBV_WC_REM_ACCESS_ERR
    if memory.count != 1 or <uint64_t>memory.segment[0].at & 7:      # aligned by its iova, not in the program's memory
        return IBV_WC_REM_ACCESS_ERR
    call.at = memory.segment[0].at
    call.swap_add = swap_add
    call.compare = compare
    call.swaps = operation == FF_COMPARE_SWAP
    if guarded(do_atomic, &call) == FFR_FAULT:
        return fault(n, q, IBV_WC_REM_ACCESS_ERR)
    original[0] = call.found
    return 0


cdef int invalidate(void *context, roce_qp *q, uint32_t rkey) noexcept nogil:
    cdef roce_nic *n = <roce_nic *>context
    cdef ffr_mr *window = window_of(n.router, qp_of(n, q), rkey)
    if window == NULL:
        return IBV_WC_REM_ACCESS_ERR
    n.write.qp = FFR_NONE
    window_unbind(n.router, window)
    return 0


# ---- packets --------------------------------------------------------------------------------------------------------

cdef int fill(roce_nic *n, roce_qp *q, roce_out *out, uint8_t *to) noexcept nogil:
    """The payload. 0 or a status."""
    cdef roce_resolved memory
    if out.source == ROCE_FROM_SEND:
        if not resolved(n, q, out.index, <uint64_t>out.offset + out.head.size):
            return IBV_WC_LOC_PROT_ERR
        return fault(n, q, IBV_WC_LOC_PROT_ERR) if gather(&n.send, out.offset, to, out.head.size) == FFR_FAULT else 0
    if out.source == ROCE_FROM_HERE:
        memcpy(to, out.bytes, out.head.size)
        return 0
    if out.source == ROCE_FROM_REMOTE:
        if answered(n, q, out, out.head.size, &memory):
            return IBV_WC_REM_ACCESS_ERR
        n.router.session_stats[qp_of(n, q).o.session].tx_bytes += out.head.size
        return fault(n, q, IBV_WC_REM_ACCESS_ERR) if gather(&memory, 0, to, out.head.size) == FFR_FAULT else 0
    return 0


cdef int emit(void *context, roce_qp *q, roce_out *out) noexcept nogil:
    cdef roce_nic *n = <roce_nic *>context
    cdef roce_peer *peer = &n.tables.peer[n.tables.side[q.handle].path]
    cdef uint8_t headers[FF_ROCE_MAX_HEADERS]
    cdef uint32_t begin = roce_emit(&out.head, headers), zeros = roce_zeros(&out.head)
    cdef uint32_t end = begin + out.head.size + zeros
    cdef uint16_t ident
    cdef uint8_t *at
    cdef int status
    if n.tables.side[q.handle].streamed:
        return emit_framed(n, q, peer, out, headers, 1)
    at = udp_room(&n.arena, n.tables.socket[peer.socket].fd, &peer.address, end + FF_ICRC_SIZE, &ident)
    if at == NULL:
        return ROCE_NO_ROOM
    status = fill(n, q, out, at + begin)
    if status:
        return status
    memcpy(at, headers, begin)
    memset(at + begin + out.head.size, 0, zeros)
    packet_end(n, &peer.flow, at, end, ident)
    if q.transport == FF_UC:
        marks_count(n, peer, 1)
    return ROCE_SENT


cdef inline void put_headers(uint8_t *at, const uint8_t *headers, uint32_t size, uint32_t psn, bint asking) noexcept nogil:
    """The headers of a run's packet: those of its first one, but for what differs."""
    memcpy(at, headers, size)
    ff_put24((<ff_bth *>at).psn, psn)
    (<ff_bth *>at).ack &= FF_BTH_FILLER
    if asking and asks(psn):
        (<ff_bth *>at).ack |= FF_BTH_ACKREQ


cdef int emit_run(void *context, roce_qp *q, roce_out *out, uint32_t count) noexcept nogil:
    """Some at a time are copied, then summed up: a sum right behind its copy waits for the copy's stores, and one that is
    far behind for the second-level cache."""
    cdef roce_nic *n = <roce_nic *>context
    cdef roce_peer *peer = &n.tables.peer[n.tables.side[q.handle].path]
    cdef uint8_t headers[FF_ROCE_MAX_HEADERS]
    cdef uint32_t begin = roce_emit(&out.head, headers), end = begin + out.head.size + roce_zeros(&out.head), i, done = 0
    cdef bint asking = reliable(q) and not out.head.traits & FF_IS_RESPONSE
    cdef roce_resolved memory
    cdef roce_resolved *source = &n.send
    cdef uint16_t ident, size = <uint16_t>(end + FF_ICRC_SIZE)
    cdef uint8_t *at
    cdef ff_parts s
    if n.tables.side[q.handle].streamed:
        return emit_framed(n, q, peer, out, headers, count)
    at = udp_room_for(&n.arena, n.tables.socket[peer.socket].fd, &peer.address, size, &count, &ident)
    if count == 0:
        return 0
    if out.source == ROCE_FROM_REMOTE:
        source = &memory
        if answered(n, q, out, count * out.head.size, source):
            return -IBV_WC_REM_ACCESS_ERR
        n.router.session_stats[qp_of(n, q).o.session].tx_bytes += count * out.head.size
    elif not resolved(n, q, out.index, out.offset + <uint64_t>count * out.head.size):
        return -IBV_WC_LOC_PROT_ERR
    s.segment, s.segment_count, s.collect = source.segment, source.count, False
    s.size, s.stride = out.head.size, size
    while done < count:
        s.start = (0 if source == &memory else out.offset) + done * s.size
        s.place, s.count = at + begin, min(count - done, <uint32_t>AT_ONCE)
        if guarded(ff_engine_parts, &s) == FFR_FAULT:
            return -fault(n, q, IBV_WC_REM_ACCESS_ERR if source == &memory else IBV_WC_LOC_PROT_ERR)
        for i in range(s.count):
            put_headers(at + i * size, headers, begin, ff_psn_add(out.head.psn, done + i), asking)
            memset(at + i * size + begin + s.size, 0, end - begin - s.size)
        for i in range(s.count):
            ff_icrc_write(at + end, ff_icrc_of(&peer.flow, <uint16_t>(ident + done + i), at, size))
            at += size
        done += s.count
    udp_commit_all(&n.arena, size, count)
    if q.transport == FF_UC:
        marks_count(n, peer, count)
    return <int>count


cdef int emit_framed(roce_nic *n, roce_qp *q, roce_peer *peer, roce_out *out, const uint8_t *headers,
                     uint32_t count) noexcept nogil:
    """As emit (count is 1) and emit_run, over the stream that leads to the peer. Where there is none the packets are lost, as
    on a wire that is down: the QP's timers say how long it waits for another."""
    cdef bint one = count == 1, asking = reliable(q) and not out.head.traits & FF_IS_RESPONSE
    cdef stream_frame frame[STREAM_RUN]
    cdef roce_resolved memory
    cdef stream_payload from_
    cdef uint32_t i, zeros = roce_zeros(&out.head)
    cdef int sent, status
    count = min(count, <uint32_t>STREAM_RUN)
    status = payload_of(n, q, out, count, &memory, &from_)
    if status:
        return status if one else -status
    for i in range(count):
        frame_begin(&frame[i], headers, out.head.headers, out.head.size, zeros)
        frame[i].offset = from_.offset + <uint64_t>i * out.head.size
        if not one:
            put_headers(frame[i].headers + STREAM_LENGTH, headers, out.head.headers, ff_psn_add(out.head.psn, i), asking)
    sent = stream_send(n, peer.stream, frame, count, &from_)
    if sent < 0:
        status = fault(n, q, IBV_WC_REM_ACCESS_ERR if out.source == ROCE_FROM_REMOTE else IBV_WC_LOC_PROT_ERR)
        return status if one else -status
    if out.source == ROCE_FROM_REMOTE:
        n.router.session_stats[qp_of(n, q).o.session].tx_bytes += <uint64_t>sent * out.head.size
    if one:
        return ROCE_SENT if sent else ROCE_NO_ROOM
    return sent


cdef int payload_of(roce_nic *n, roce_qp *q, roce_out *out, uint32_t count, roce_resolved *memory,
                    stream_payload *from_) noexcept nogil:
    """Where the payload of these packets lies. 0 or a status."""
    cdef uint64_t size = <uint64_t>count * out.head.size
    from_.offset = 0
    from_.count = 1
    from_.segment = &from_.own
    from_.own.at = NULL
    from_.own.length = 0
    if out.source == ROCE_FROM_SEND:
        if not resolved(n, q, out.index, out.offset + size):
            return IBV_WC_LOC_PROT_ERR
        from_.segment, from_.count, from_.offset = n.send.segment, n.send.count, out.offset
    elif out.source == ROCE_FROM_REMOTE:
        if answered(n, q, out, <uint32_t>size, memory):
            return IBV_WC_REM_ACCESS_ERR
        from_.segment, from_.count = memory.segment, memory.count
    elif out.source == ROCE_FROM_HERE:
        from_.own.at, from_.own.length = <uint8_t *>out.bytes, size
    return 0


cdef void failed(void *context, roce_qp *q, int event) noexcept nogil:
    cdef roce_nic *n = <roce_nic *>context
    cdef ffr_qp *qp = qp_of(n, q)
    requester_stop(q, &n.tables.peer[n.tables.side[q.handle].path].window)
    responder_flush(q, &n.env)
    if event >= 0:
        qp_event(n.router, q.handle, event)
    if qp.state == IBV_QPS_SQE:
        q.failed = 0                          # an unreliable QP goes on receiving
    else:
        qp_error(n.router, q.handle, False)


cdef void rings_env(roce_nic *n) noexcept nogil:
    n.env.context = n
    n.env.counters = &n.counters
    n.env.resource = n.tables.resource
    n.env.held = &n.kept
    held_init(&n.kept, HELD_PACKETS)
    n.env.peek_send = peek_send
    n.env.emit = emit
    n.env.emit_run = emit_run
    n.env.put_send = put_send
    n.env.local_operation = local_operation
    n.env.complete_send = complete_send
    n.env.select_srq = select_srq
    n.env.take_receive = take_receive
    n.env.put_receive = put_receive
    n.env.complete_receive = complete_receive
    n.env.check_remote = check_remote
    n.env.put_remote = put_remote
    n.env.put_run = put_run
    n.env.atomic = atomic
    n.env.invalidate = invalidate
    n.env.fail = failed
