"""Polling by ibv_start_poll, ibv_next_poll and ibv_end_poll: fields are read from a copy of the completion.

start_poll takes the CQ's lock when it finds something, end_poll gives it back. The ring's slot and the queue's are free
as soon as a completion is the current one, as with ibv_poll_cq.
"""

from libc cimport errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec

from ffcore.shm cimport FF_CQE_DEAD, ff_cqe, ff_load32
from ffl.verbs.cq_ring cimport consume, ff_cq_idle, ff_cq_turn, next_cqe, sl_of, wc_flags_of
from ffl.memory.api cimport ff_gate_pass
from ffl.kernel cimport likely
from ffl.session.lock cimport spin_lock, spin_unlock
from ffl.objects cimport ffl_cq
from ffl.ibv cimport (IBV_WC_EX_WITH_BYTE_LEN, IBV_WC_EX_WITH_COMPLETION_TIMESTAMP,
                        IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK, IBV_WC_EX_WITH_DLID_PATH_BITS,
                        IBV_WC_EX_WITH_IMM, IBV_WC_EX_WITH_QP_NUM, IBV_WC_EX_WITH_SL, IBV_WC_EX_WITH_SLID,
                        IBV_WC_EX_WITH_SRC_QP, ibv_cq_ex, ibv_poll_cq_attr, ibv_wc_opcode, ibv_wc_status)


# ---- the cursor ----

cdef inline int take(ffl_cq *cq) noexcept nogil:
    """The next completion becomes the current one: 0, or ENOENT. Under the lock."""
    cdef ff_cqe *cqe
    while True:                                      # bound: the ring's length, where all of it is dead
        cqe = next_cqe(cq)
        if cqe == NULL:
            if ff_load32(&cq.turning) and ff_cq_turn(cq):
                continue
            return errno.ENOENT
        if likely(not cqe.flags & FF_CQE_DEAD):
            break
        consume(cq, cqe)
    cq.current = cqe[0]
    cq.base.status = <ibv_wc_status>cqe.status
    cq.base.wr_id = cqe.wr_id
    consume(cq, cqe)                                 # at once: who handles a completion may post in its place
    ff_gate_pass()
    return 0


cdef inline void leave(ffl_cq *cq) noexcept nogil:
    if not cq.single_threaded:
        spin_unlock(&cq.lock)


cdef int start_poll(ibv_cq_ex *handed, ibv_poll_cq_attr *attr) noexcept nogil:
    """0: there is a completion, and end_poll has to follow. ENOENT, EINVAL or EIO: there is none, and it must not."""
    cdef ffl_cq *cq = <ffl_cq *>handed
    if not likely(attr == NULL or attr.comp_mask == 0):
        return errno.EINVAL
    if next_cqe(cq) == NULL and likely(ff_load32(&cq.turning) == 0):
        return errno.EIO if ff_cq_idle(cq) else errno.ENOENT
    if not cq.single_threaded:
        spin_lock(&cq.lock)
    if likely(take(cq) == 0):
        return 0
    leave(cq)
    return errno.ENOENT


cdef int next_poll(ibv_cq_ex *handed) noexcept nogil:
    return take(<ffl_cq *>handed)


cdef void end_poll(ibv_cq_ex *handed) noexcept nogil:
    leave(<ffl_cq *>handed)


# ---- what the current completion says ----

cdef inline ff_cqe *current(ibv_cq_ex *cq) noexcept nogil:
    return &(<ffl_cq *>cq).current


cdef ibv_wc_opcode read_opcode(ibv_cq_ex *cq) noexcept nogil:
    return <ibv_wc_opcode>current(cq).opcode


cdef uint32_t read_vendor_err(ibv_cq_ex *cq) noexcept nogil:
    return current(cq).vendor_err


cdef unsigned int read_wc_flags(ibv_cq_ex *cq) noexcept nogil:
    return wc_flags_of(current(cq))


cdef uint32_t read_byte_len(ibv_cq_ex *cq) noexcept nogil:
    return current(cq).byte_len


cdef uint32_t read_imm_data(ibv_cq_ex *cq) noexcept nogil:
    """ibv_wc_read_invalidated_rkey comes here too."""
    return current(cq).imm


cdef uint32_t read_qp_num(ibv_cq_ex *cq) noexcept nogil:
    return current(cq).qpn


cdef uint32_t read_src_qp(ibv_cq_ex *cq) noexcept nogil:
    return current(cq).src_qpn


cdef uint32_t read_slid(ibv_cq_ex *cq) noexcept nogil:
    return 0                                         # RoCE has no LIDs


cdef uint8_t read_sl(ibv_cq_ex *cq) noexcept nogil:
    return sl_of(current(cq))


cdef uint8_t read_dlid_path_bits(ibv_cq_ex *cq) noexcept nogil:
    return 0


cdef uint64_t read_completion_ts(ibv_cq_ex *cq) noexcept nogil:
    """In ticks of the device's clock (ibv_query_rt_values_ex), which counts nanoseconds."""
    return current(cq).timestamp_ns


cdef uint64_t clock_ns(int clock) noexcept nogil:
    cdef timespec now
    clock_gettime(clock, &now)
    return <uint64_t>now.tv_sec * 1000000000 + <uint64_t>now.tv_nsec


cdef uint64_t read_completion_wallclock_ns(ibv_cq_ex *cq) noexcept nogil:
    """As old as it is by the device's clock, counted back from the time of day."""
    return clock_ns(CLOCK_REALTIME) - (clock_ns(CLOCK_MONOTONIC) - current(cq).timestamp_ns)


cdef public void ff_cq_ex_begin(ffl_cq *cq, uint64_t wc_flags) noexcept nogil:
    """The pointers that verbs.h's inline functions call. Fields that were not asked for have none (NULL)."""
    cdef ibv_cq_ex *v = &cq.base
    v.start_poll = start_poll
    v.next_poll = next_poll
    v.end_poll = end_poll
    v.read_opcode = read_opcode
    v.read_vendor_err = read_vendor_err
    v.read_wc_flags = read_wc_flags
    if wc_flags & IBV_WC_EX_WITH_BYTE_LEN:
        v.read_byte_len = read_byte_len
    if wc_flags & IBV_WC_EX_WITH_IMM:
        v.read_imm_data = read_imm_data
    if wc_flags & IBV_WC_EX_WITH_QP_NUM:
        v.read_qp_num = read_qp_num
    if wc_flags & IBV_WC_EX_WITH_SRC_QP:
        v.read_src_qp = read_src_qp
    if wc_flags & IBV_WC_EX_WITH_SLID:
        v.read_slid = read_slid
    if wc_flags & IBV_WC_EX_WITH_SL:
        v.read_sl = read_sl
    if wc_flags & IBV_WC_EX_WITH_DLID_PATH_BITS:
        v.read_dlid_path_bits = read_dlid_path_bits
    if wc_flags & IBV_WC_EX_WITH_COMPLETION_TIMESTAMP:
        v.read_completion_ts = read_completion_ts
    if wc_flags & IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK:
        v.read_completion_wallclock_ns = read_completion_wallclock_ns
