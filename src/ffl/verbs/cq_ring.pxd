"""The completion ring, as both ways to poll (cq_poll.pyx, cq_poll_ex.pyx) use it: inline, for they are the hot path."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ffcore.shm cimport (FF_CQE_DEAD, FF_CQE_GRH, FF_CQE_IMM, FF_CQE_INV, FF_CQE_IPV4, FF_QPS_PER_SESSION, ff_cqe,
                         ff_load32_acquire, ff_store32_release)
from ffl.kernel cimport likely
from ffl.objects cimport ffl_cq, ffl_qp
from ffl.ibv cimport IBV_WC_GRH, IBV_WC_RECV, IBV_WC_WITH_IMM, IBV_WC_WITH_INV

cdef enum:
    # What NICs whose completions have no other place for it put into a RoCE v2 datagram's service level (IBTA A17.4.5.1
    # wants it told): that UDP carried it, and which IP. UCX reads it to find the addresses in the GRH.
    OVER_UDP = 8
    OVER_IPV6 = 1
    OVER_IPV4 = 2

# After an empty poll: give way to the router, and now and then see whether it is still there. 0, or -1 and errno EIO.
cdef extern int ff_cq_idle(ffl_cq *cq) noexcept nogil                # cq_poll.pyx
# Under the lock, on an empty ring, while cq.turning: true when the ring was exchanged for the next one.
cdef extern bint ff_cq_turn(ffl_cq *cq) noexcept nogil               # cq_resize.pyx
# Makes it an extended CQ. wc_flags: IBV_WC_EX_WITH_x.
cdef extern void ff_cq_ex_begin(ffl_cq *cq, uint64_t wc_flags) noexcept nogil     # cq_poll_ex.pyx


cdef inline ff_cqe *next_cqe(ffl_cq *cq) noexcept nogil:
    """The next completion, or NULL."""
    cdef ff_cqe *cqe = &cq.ring[cq.index & cq.mask]
    # The acquire pairs with the router's release of the line.
    return cqe if ff_load32_acquire(&cqe.seq) == cq.index + 1 else NULL


cdef inline unsigned int wc_flags_of(const ff_cqe *cqe) noexcept nogil:
    return ((IBV_WC_WITH_IMM if cqe.flags & FF_CQE_IMM else 0) | (IBV_WC_GRH if cqe.flags & FF_CQE_GRH else 0)
            | (IBV_WC_WITH_INV if cqe.flags & FF_CQE_INV else 0))


cdef inline uint8_t sl_of(const ff_cqe *cqe) noexcept nogil:
    if likely(not cqe.flags & FF_CQE_GRH):
        return 0
    return <uint8_t>(OVER_UDP | (OVER_IPV4 if cqe.flags & FF_CQE_IPV4 else OVER_IPV6))


cdef inline void consume(ffl_cq *cq, ff_cqe *cqe) noexcept nogil:
    """Frees the CQ's slot, then its queue's slots up to the WQE. In this order: another thread may post into those at
    once, and its completion needs the CQ's slot. The QPN is compared because bells are used again."""
    cdef ffl_qp *qp = cq.qps[cqe.bell & (FF_QPS_PER_SESSION - 1)]
    cdef uint32_t free_to = cqe.queue_index
    cdef bint is_recv = cqe.opcode & IBV_WC_RECV
    if not likely(qp != NULL and qp.qpn == cqe.qpn and not cqe.flags & FF_CQE_DEAD):
        qp = NULL
    cq.index += 1
    ff_store32_release(&cq.shared.consumed[0], cq.index)     # pairs with the router's acquire: the line has been read
    if qp == NULL:
        return
    if is_recv:
        ff_store32_release(&qp.rq_polled, free_to)           # pairs with the acquire in rq_has_room
    else:
        ff_store32_release(&qp.sq_polled, free_to)
