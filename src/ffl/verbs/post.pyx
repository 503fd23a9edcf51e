"""Posting work requests: a WQE is written into its slot, its sequence number publishes it, one fence and the bell
follow each list."""

from libc cimport errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ffcore.shm cimport (FF_OP_BIND_MW, FF_OP_CMP_SWP, FF_OP_FETCH_ADD, FF_OP_LOCAL_INV, FF_OP_READ, FF_OP_SEND,
                         FF_OP_SEND_IMM, FF_OP_SEND_INV, FF_OP_WRITE, FF_OP_WRITE_IMM, FF_WQE_INLINE, ff_fence, ff_load32,
                         ff_load32_acquire, ff_recv_wqe, ff_store32_release, ff_wqe, ff_wqe_srqn)
from ffl.memory.api cimport ff_gate_pass
from ffl.kernel cimport likely, prefetch
from ffl.session.lock cimport spin_lock, spin_unlock
from ffl.objects cimport FFL_CONNECTED, FFL_XRC, ffl_qp
from ffl.verbs.post_ring cimport ff_flags, put_bind, ring_bell, sq_has_room
from ffl.session.session_api cimport ff_session_get, ff_session_look
from ffl.ibv cimport (IBV_MW_TYPE_2, IBV_QPS_ERR, IBV_QPS_RESET, IBV_QPS_RTR, IBV_SEND_INLINE, IBV_WR_ATOMIC_CMP_AND_SWP,
                        IBV_WR_ATOMIC_FETCH_AND_ADD, IBV_WR_BIND_MW, IBV_WR_LOCAL_INV, IBV_WR_RDMA_READ, IBV_WR_RDMA_WRITE, IBV_WR_RDMA_WRITE_WITH_IMM,
                        IBV_WR_SEND, IBV_WR_SEND_WITH_IMM, IBV_WR_SEND_WITH_INV, ibv_qp, ibv_recv_wr, ibv_send_wr, ibv_sge)


cdef public int ff_queue_full(ffl_qp *qp) noexcept nogil:
    return errno.EIO if ff_load32(&ff_session_get().gone) or ff_session_look() else errno.ENOMEM


# ---- send side ----

cdef inline uint32_t ff_opcode(uint32_t opcode) noexcept nogil:
    """A table of nibbles, indexed by IBV_WR_x, that the C compiler folds into one constant."""
    cdef uint64_t table = ((<uint64_t>FF_OP_WRITE << 4 * IBV_WR_RDMA_WRITE)
                           | (<uint64_t>FF_OP_WRITE_IMM << 4 * IBV_WR_RDMA_WRITE_WITH_IMM)
                           | (<uint64_t>FF_OP_SEND << 4 * IBV_WR_SEND)
                           | (<uint64_t>FF_OP_SEND_IMM << 4 * IBV_WR_SEND_WITH_IMM)
                           | (<uint64_t>FF_OP_READ << 4 * IBV_WR_RDMA_READ)
                           | (<uint64_t>FF_OP_CMP_SWP << 4 * IBV_WR_ATOMIC_CMP_AND_SWP)
                           | (<uint64_t>FF_OP_FETCH_ADD << 4 * IBV_WR_ATOMIC_FETCH_AND_ADD)
                           | (<uint64_t>FF_OP_LOCAL_INV << 4 * IBV_WR_LOCAL_INV)
                           | (<uint64_t>FF_OP_BIND_MW << 4 * IBV_WR_BIND_MW)
                           | (<uint64_t>FF_OP_SEND_INV << 4 * IBV_WR_SEND_WITH_INV))
    return (table >> 4 * opcode) & 15


cdef int put_inline(ffl_qp *qp, ff_wqe *wqe, const ibv_send_wr *wr) noexcept nogil:
    """The bytes themselves, so that the application's buffers are its own again at once. lkeys do not matter."""
    cdef uint8_t *out = <uint8_t *>wqe.sge
    cdef uint32_t room = qp.max_inline
    cdef int i
    if wqe.opcode >= FF_OP_READ:                     # READ and atomics have nothing to send
        return errno.EINVAL
    for i in range(wr.num_sge):
        if wr.sg_list[i].length > room:
            return errno.EINVAL
        memcpy(out, <void *>wr.sg_list[i].addr, wr.sg_list[i].length)
        out += wr.sg_list[i].length
        room -= wr.sg_list[i].length
    wqe.count = <uint16_t>(qp.max_inline - room)
    wqe.flags |= FF_WQE_INLINE
    return 0


cdef int put_rare(ff_wqe *wqe, const ibv_send_wr *wr) noexcept nogil:
    """Atomics, and what is done without the peer."""
    if wr.opcode == IBV_WR_BIND_MW:
        if wr.bind_mw.mw == NULL or wr.bind_mw.mw.type != IBV_MW_TYPE_2:
            return errno.EINVAL                      # type 1 has a verb of its own, ibv_bind_mw
        put_bind(wqe, wr.bind_mw.rkey, &wr.bind_mw.bind_info)
        return 0
    wqe.remote_addr = wr.wr.atomic.remote_addr
    wqe.rkey = wr.wr.atomic.rkey
    wqe.compare_add = wr.wr.atomic.compare_add
    wqe.swap = wr.wr.atomic.swap
    return 0


cdef inline int put_target(ff_wqe *wqe, const ibv_send_wr *wr) noexcept nogil:
    """Fields that the opcode has no use for are written too: it is cheaper than to ask."""
    if not likely(wr.opcode <= IBV_WR_RDMA_READ):
        return put_rare(wqe, wr)
    wqe.remote_addr = wr.wr.rdma.remote_addr
    wqe.rkey = wr.wr.rdma.rkey
    return 0


cdef int put_address(ffl_qp *qp, ff_wqe *wqe, const ibv_send_wr *wr) noexcept nogil:
    """Where each request says where it goes."""
    if qp.target == FFL_XRC:
        if put_target(wqe, wr):
            return errno.EINVAL
        if wqe.opcode < FF_OP_LOCAL_INV:             # else nothing goes to the peer
            ff_wqe_srqn(wqe)[0] = wr.qp_type.xrc.remote_srqn
        return 0
    if wr.wr.ud.ah == NULL:
        return errno.EINVAL
    wqe.ah = wr.wr.ud.ah.handle
    wqe.remote_qpn = wr.wr.ud.remote_qpn
    wqe.qkey = wr.wr.ud.remote_qkey
    return 0


cdef inline int put_wqe(ffl_qp *qp, ff_wqe *wqe, const ibv_send_wr *wr) noexcept nogil:
    """Everything but seq. The slot is ours until then, so a WQE that turns out to be bad leaves no trace."""
    cdef uint32_t opcode = wr.opcode
    cdef int i
    if not likely(opcode < 32 and (qp.opcodes >> opcode) & 1 and <uint32_t>wr.num_sge <= qp.max_send_sge):
        return errno.EINVAL
    wqe.opcode = <uint8_t>ff_opcode(opcode)
    wqe.flags = <uint8_t>(ff_flags(wr.send_flags) | qp.sq_flags)
    wqe.wr_id = wr.wr_id
    wqe.imm = wr.imm_data
    if likely(qp.target == FFL_CONNECTED):
        if not likely(put_target(wqe, wr) == 0):
            return errno.EINVAL
    elif put_address(qp, wqe, wr):
        return errno.EINVAL
    if wr.send_flags & IBV_SEND_INLINE:
        return put_inline(qp, wqe, wr)
    wqe.count = <uint16_t>wr.num_sge
    for i in range(wr.num_sge):
        (<ibv_sge *>wqe.sge)[i] = wr.sg_list[i]      # ff_sge is ibv_sge
    return 0


cdef public int ff_post_send(ibv_qp *handed, ibv_send_wr *wr, ibv_send_wr **bad_wr) noexcept nogil:
    """0; or ENOMEM (full), EINVAL, EIO, with *bad_wr the first that was not posted; those before it were."""
    cdef ffl_qp *qp = <ffl_qp *>handed
    cdef ff_wqe *wqe
    cdef uint32_t index
    cdef int error = 0
    if not likely(handed.state > IBV_QPS_RTR):
        bad_wr[0] = wr
        return errno.EINVAL
    ff_gate_pass()
    spin_lock(&qp.sq_lock)
    index = qp.sq_index
    while wr != NULL:
        if not likely(sq_has_room(qp, index)):
            error = ff_queue_full(qp)
            break
        wqe = <ff_wqe *>(qp.sq + <size_t>(index & qp.sq_mask) * qp.sq_stride)
        error = put_wqe(qp, wqe, wr)
        if not likely(error == 0):
            break
        index += 1
        ff_store32_release(&wqe.seq, index)          # publishes the slot; pairs with the router's acquire
        wr = wr.next
    if likely(index != qp.sq_index):
        qp.sq_index = index
        ring_bell(qp)
    spin_unlock(&qp.sq_lock)
    if not likely(error == 0):
        bad_wr[0] = wr
    return error


# ---- receive side ----

cdef inline bint rq_has_room(ffl_qp *qp, uint32_t index) noexcept nogil:
    if likely(index - qp.rq_free < qp.rq_entries):
        return True
    qp.rq_free = ff_load32_acquire(&qp.rq_polled)            # as in sq_has_room
    return index - qp.rq_free < qp.rq_entries


cdef inline void ring_if_error(ffl_qp *qp) noexcept nogil:
    """A receive WQE waits for a message; only in ERR has the router to come and flush it."""
    ff_fence()                # WQEs before state; pairs with the router's between storing ERR and looking at the ring
    if not likely(ff_load32(&qp.shared.state) != IBV_QPS_ERR):
        ring_bell(qp)


cdef public int ff_post_recv(ibv_qp *handed, ibv_recv_wr *wr, ibv_recv_wr **bad_wr) noexcept nogil:
    cdef ffl_qp *qp = <ffl_qp *>handed
    cdef ff_recv_wqe *wqe
    cdef uint32_t index
    cdef int error = 0
    cdef int i
    prefetch(qp.shared)                              # needed at the end, and written by the router
    if not likely(handed.state != IBV_QPS_RESET and handed.srq == NULL):
        bad_wr[0] = wr
        return errno.EINVAL
    spin_lock(&qp.rq_lock)
    index = qp.rq_index
    while wr != NULL:
        if not likely(<uint32_t>wr.num_sge <= qp.max_recv_sge):
            error = errno.EINVAL
            break
        if not likely(rq_has_room(qp, index)):
            error = ff_queue_full(qp)
            break
        wqe = <ff_recv_wqe *>(qp.rq + <size_t>(index & qp.rq_mask) * qp.rq_stride)
        wqe.count = wr.num_sge
        wqe.wr_id = wr.wr_id
        for i in range(wr.num_sge):
            (<ibv_sge *>wqe.sge)[i] = wr.sg_list[i]
        index += 1
        ff_store32_release(&wqe.seq, index)          # publishes the slot; pairs with the router's acquire
        wr = wr.next
    if likely(index != qp.rq_index):
        qp.rq_index = index
        ring_if_error(qp)
    spin_unlock(&qp.rq_lock)
    if not likely(error == 0):
        bad_wr[0] = wr
    return error
