"""Posting by ibv_wr_start ... ibv_wr_complete: each call writes straight into the slot of its WQE, and completing
publishes them all. Aborting leaves no trace, for a slot is nobody's before its sequence number is stored.

wr_start takes the send queue's lock and wr_complete or wr_abort gives it back: a batch belongs to one thread. An error
is kept until wr_complete, which then posts nothing and returns it (man 3 ibv_wr_post); qp.wr_wqe is NULL meanwhile, and
whatever is written goes nowhere.
"""

from libc cimport errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ffcore.shm cimport (FF_OP_BIND_MW, FF_OP_CMP_SWP, FF_OP_FETCH_ADD, FF_OP_LOCAL_INV, FF_OP_READ, FF_OP_SEND,
                         FF_OP_SEND_IMM, FF_OP_SEND_INV, FF_OP_WRITE, FF_OP_WRITE_IMM, FF_WQE_INLINE, ff_store32_release,
                         ff_wqe, ff_wqe_srqn)
from ffl.memory.api cimport ff_gate_pass
from ffl.kernel cimport likely
from ffl.session.lock cimport spin_lock, spin_unlock
from ffl.objects cimport ffl_qp
from ffl.verbs.post_ring cimport ff_flags, ff_queue_full, put_bind, ring_bell, sq_has_room
from ffl.ibv cimport (IBV_MW_TYPE_2, IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP, IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD,
                        IBV_QP_EX_WITH_BIND_MW,
                        IBV_QP_EX_WITH_LOCAL_INV, IBV_QP_EX_WITH_RDMA_READ, IBV_QP_EX_WITH_RDMA_WRITE,
                        IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM, IBV_QP_EX_WITH_SEND, IBV_QP_EX_WITH_SEND_WITH_IMM,
                        IBV_QP_EX_WITH_SEND_WITH_INV, IBV_QPS_RTR, ibv_ah, ibv_data_buf, ibv_mw, ibv_mw_bind_info,
                        ibv_qp_ex, ibv_sge)


cdef inline ff_wqe *slot_of(ffl_qp *qp, uint32_t index) noexcept nogil:
    return <ff_wqe *>(qp.sq + <size_t>(index & qp.sq_mask) * qp.sq_stride)


cdef void refuse(ffl_qp *qp, int error) noexcept nogil:
    """The batch's first error counts."""
    if qp.wr_error == 0:
        qp.wr_error = error
    qp.wr_wqe = NULL


# ---- the batch ----

cdef void wr_start(ibv_qp_ex *handed) noexcept nogil:
    cdef ffl_qp *qp = <ffl_qp *>handed
    spin_lock(&qp.sq_lock)
    qp.wr_index = qp.sq_index
    qp.wr_error = 0
    qp.wr_wqe = NULL          # a setter before the first wr_send writes nowhere
    if not likely(handed.qp_base.state > IBV_QPS_RTR):
        refuse(qp, errno.EINVAL)


cdef int wr_complete(ibv_qp_ex *handed) noexcept nogil:
    cdef ffl_qp *qp = <ffl_qp *>handed
    cdef uint32_t index = qp.sq_index
    cdef int error = qp.wr_error
    ff_gate_pass()
    if likely(error == 0 and index != qp.wr_index):
        while index != qp.wr_index:
            index += 1
            ff_store32_release(&slot_of(qp, index - 1).seq, index)     # publishes the slot; pairs with the router's acquire
        qp.sq_index = index
        ring_bell(qp)
    spin_unlock(&qp.sq_lock)
    return error


cdef void wr_abort(ibv_qp_ex *handed) noexcept nogil:
    spin_unlock(&(<ffl_qp *>handed).sq_lock)


# ---- one work request ----

cdef inline ff_wqe *begin(ibv_qp_ex *handed, uint8_t opcode) noexcept nogil:
    """The next slot, as a message of no bytes; NULL after an error."""
    cdef ffl_qp *qp = <ffl_qp *>handed
    cdef ff_wqe *wqe
    if not likely(qp.wr_error == 0):
        return NULL
    if not likely(sq_has_room(qp, qp.wr_index)):
        refuse(qp, ff_queue_full(qp))
        return NULL
    wqe = slot_of(qp, qp.wr_index)
    qp.wr_index += 1
    qp.wr_wqe = wqe
    wqe.opcode = opcode
    wqe.flags = <uint8_t>(ff_flags(handed.wr_flags) | qp.sq_flags)
    wqe.count = 0
    wqe.wr_id = handed.wr_id
    return wqe


cdef inline ff_wqe *begin_remote(ibv_qp_ex *qp, uint8_t opcode, uint32_t rkey, uint64_t remote_addr) noexcept nogil:
    cdef ff_wqe *wqe = begin(qp, opcode)
    if likely(wqe != NULL):
        wqe.rkey = rkey
        wqe.remote_addr = remote_addr
    return wqe


cdef inline void begin_with(ibv_qp_ex *qp, uint8_t opcode, uint32_t imm) noexcept nogil:
    cdef ff_wqe *wqe = begin(qp, opcode)
    if likely(wqe != NULL):
        wqe.imm = imm


cdef void wr_send(ibv_qp_ex *qp) noexcept nogil:
    begin(qp, FF_OP_SEND)


cdef void wr_send_imm(ibv_qp_ex *qp, uint32_t imm_data) noexcept nogil:
    begin_with(qp, FF_OP_SEND_IMM, imm_data)


cdef void wr_send_inv(ibv_qp_ex *qp, uint32_t invalidate_rkey) noexcept nogil:
    begin_with(qp, FF_OP_SEND_INV, invalidate_rkey)


cdef void wr_local_inv(ibv_qp_ex *qp, uint32_t invalidate_rkey) noexcept nogil:
    begin_with(qp, FF_OP_LOCAL_INV, invalidate_rkey)


cdef void wr_bind_mw(ibv_qp_ex *qp, ibv_mw *mw, uint32_t rkey, const ibv_mw_bind_info *bind_info) noexcept nogil:
    cdef ff_wqe *wqe = begin(qp, FF_OP_BIND_MW)
    if not likely(wqe != NULL):
        return
    if mw.type != IBV_MW_TYPE_2:
        refuse(<ffl_qp *>qp, errno.EINVAL)
        return
    put_bind(wqe, rkey, bind_info)


cdef void wr_rdma_write(ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr) noexcept nogil:
    begin_remote(qp, FF_OP_WRITE, rkey, remote_addr)


cdef void wr_rdma_write_imm(ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr, uint32_t imm_data) noexcept nogil:
    cdef ff_wqe *wqe = begin_remote(qp, FF_OP_WRITE_IMM, rkey, remote_addr)
    if likely(wqe != NULL):
        wqe.imm = imm_data


cdef void wr_rdma_read(ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr) noexcept nogil:
    begin_remote(qp, FF_OP_READ, rkey, remote_addr)


cdef void wr_atomic_cmp_swp(ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr, uint64_t compare,
                            uint64_t swap) noexcept nogil:
    cdef ff_wqe *wqe = begin_remote(qp, FF_OP_CMP_SWP, rkey, remote_addr)
    if likely(wqe != NULL):
        wqe.compare_add = compare
        wqe.swap = swap


cdef void wr_atomic_fetch_add(ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr, uint64_t add) noexcept nogil:
    cdef ff_wqe *wqe = begin_remote(qp, FF_OP_FETCH_ADD, rkey, remote_addr)
    if likely(wqe != NULL):
        wqe.compare_add = add


cdef void wr_absent(ibv_qp_ex *qp) noexcept nogil:
    """Of every operation that the QP was not created with. It looks at none of its further arguments."""
    refuse(<ffl_qp *>qp, errno.EINVAL)


# ---- where to ----

cdef void wr_set_ud_addr(ibv_qp_ex *handed, ibv_ah *ah, uint32_t remote_qpn, uint32_t remote_qkey) noexcept nogil:
    cdef ff_wqe *wqe = (<ffl_qp *>handed).wr_wqe
    if likely(wqe != NULL):
        wqe.ah = ah.handle
        wqe.remote_qpn = remote_qpn
        wqe.qkey = remote_qkey


cdef void wr_set_xrc_srqn(ibv_qp_ex *handed, uint32_t remote_srqn) noexcept nogil:
    cdef ff_wqe *wqe = (<ffl_qp *>handed).wr_wqe
    if likely(wqe != NULL):
        ff_wqe_srqn(wqe)[0] = remote_srqn


# ---- what ----

cdef void wr_set_sge(ibv_qp_ex *handed, uint32_t lkey, uint64_t addr, uint32_t length) noexcept nogil:
    cdef ffl_qp *qp = <ffl_qp *>handed
    cdef ff_wqe *wqe = qp.wr_wqe
    if not likely(wqe != NULL and qp.max_send_sge):
        refuse(qp, errno.EINVAL)
        return
    wqe.count = 1
    wqe.sge[0].addr = addr
    wqe.sge[0].length = length
    wqe.sge[0].lkey = lkey


cdef void wr_set_sge_list(ibv_qp_ex *handed, size_t num_sge, const ibv_sge *sg_list) noexcept nogil:
    cdef ffl_qp *qp = <ffl_qp *>handed
    cdef ff_wqe *wqe = qp.wr_wqe
    if not likely(wqe != NULL and num_sge <= qp.max_send_sge):
        refuse(qp, errno.EINVAL)
        return
    wqe.count = <uint16_t>num_sge
    memcpy(wqe.sge, sg_list, num_sge * sizeof(ibv_sge))      # ff_sge is ibv_sge


cdef void wr_set_inline_data_list(ibv_qp_ex *handed, size_t num_buf, const ibv_data_buf *buf_list) noexcept nogil:
    """READ and atomics have nothing to send, so they have no inline data."""
    cdef ffl_qp *qp = <ffl_qp *>handed
    cdef ff_wqe *wqe = qp.wr_wqe
    cdef uint8_t *out
    cdef size_t room = qp.max_inline, i
    if not likely(wqe != NULL and wqe.opcode < FF_OP_READ):
        refuse(qp, errno.EINVAL)
        return
    out = <uint8_t *>wqe.sge
    for i in range(num_buf):
        if buf_list[i].length > room:
            refuse(qp, errno.EINVAL)
            return
        memcpy(out, buf_list[i].addr, buf_list[i].length)
        out += buf_list[i].length
        room -= buf_list[i].length
    wqe.count = <uint16_t>(qp.max_inline - room)
    wqe.flags |= FF_WQE_INLINE


cdef void wr_set_inline_data(ibv_qp_ex *qp, void *addr, size_t length) noexcept nogil:
    cdef ibv_data_buf one
    one.addr = addr
    one.length = length
    wr_set_inline_data_list(qp, 1, &one)


# ---- creation ----

cdef inline void *chosen(uint64_t operations, uint64_t flag, void *function) noexcept nogil:
    return function if operations & flag else <void *>wr_absent


cdef void fill_operations(ibv_qp_ex *v, uint64_t operations) noexcept nogil:
    (<void **>&v.wr_send)[0] = chosen(operations, IBV_QP_EX_WITH_SEND, <void *>wr_send)
    (<void **>&v.wr_send_imm)[0] = chosen(operations, IBV_QP_EX_WITH_SEND_WITH_IMM, <void *>wr_send_imm)
    (<void **>&v.wr_send_inv)[0] = chosen(operations, IBV_QP_EX_WITH_SEND_WITH_INV, <void *>wr_send_inv)
    (<void **>&v.wr_local_inv)[0] = chosen(operations, IBV_QP_EX_WITH_LOCAL_INV, <void *>wr_local_inv)
    (<void **>&v.wr_rdma_write)[0] = chosen(operations, IBV_QP_EX_WITH_RDMA_WRITE, <void *>wr_rdma_write)
    (<void **>&v.wr_rdma_write_imm)[0] = chosen(operations, IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM,
                                                <void *>wr_rdma_write_imm)
    (<void **>&v.wr_rdma_read)[0] = chosen(operations, IBV_QP_EX_WITH_RDMA_READ, <void *>wr_rdma_read)
    (<void **>&v.wr_atomic_cmp_swp)[0] = chosen(operations, IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP,
                                                <void *>wr_atomic_cmp_swp)
    (<void **>&v.wr_atomic_fetch_add)[0] = chosen(operations, IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD,
                                                  <void *>wr_atomic_fetch_add)
    (<void **>&v.wr_bind_mw)[0] = chosen(operations, IBV_QP_EX_WITH_BIND_MW, <void *>wr_bind_mw)
    (<void **>&v.wr_send_tso)[0] = <void *>wr_absent
    (<void **>&v.wr_atomic_write)[0] = <void *>wr_absent


cdef public void ff_wr_begin_with(ffl_qp *qp, uint64_t operations) noexcept nogil:
    """Sets the pointers that verbs.h's inline functions call. operations: IBV_QP_EX_WITH_x, which the transport has."""
    cdef ibv_qp_ex *v = &qp.base.v
    fill_operations(v, operations)
    v.wr_start = wr_start
    v.wr_complete = wr_complete
    v.wr_abort = wr_abort
    v.wr_set_ud_addr = wr_set_ud_addr
    v.wr_set_xrc_srqn = wr_set_xrc_srqn
    v.wr_set_inline_data = wr_set_inline_data
    v.wr_set_inline_data_list = wr_set_inline_data_list
    v.wr_set_sge = wr_set_sge
    v.wr_set_sge_list = wr_set_sge_list
    qp.has_wr = 1
