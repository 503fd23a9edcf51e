"""The send queue's ring, as both ways to post (post.pyx, post_wr.pyx) use it: inline, for they are the hot path."""

from libc.stdint cimport uint32_t

from ffcore.shm cimport (FF_WQE_FENCE, FF_WQE_SIGNALED, FF_WQE_SOLICITED, ff_fence, ff_load32_acquire, ff_load64,
                         ff_or64, ff_wqe)
from ffl.kernel cimport likely
from ffl.objects cimport ffl_qp
from ffl.session.session_api cimport wake_if_armed
from ffl.ibv cimport IBV_SEND_FENCE, IBV_SEND_SIGNALED, IBV_SEND_SOLICITED, ibv_mw_bind_info

# Rare. ENOMEM, unless the queue is full because nobody is there to empty it: EIO. In post.pyx.
cdef extern int ff_queue_full(ffl_qp *qp) noexcept nogil


cdef inline void ring_bell(ffl_qp *qp) noexcept nogil:
    """The router leaves a hot QP's bit set, and looks at the ring again after clearing it: a set bit needs nothing."""
    ff_fence()                # WQEs before bell; pairs with the router's, after clearing the bit and before that look
    if likely(ff_load64(qp.bell) & qp.bell_bit):
        return
    ff_or64(qp.bell, qp.bell_bit)
    ff_or64(&qp.session.qp_summary, qp.summary_bit)
    wake_if_armed(qp.session, qp.event_fd)


cdef inline uint32_t ff_flags(uint32_t flags) noexcept nogil:
    return ((FF_WQE_SIGNALED if flags & IBV_SEND_SIGNALED else 0)
            | (FF_WQE_SOLICITED if flags & IBV_SEND_SOLICITED else 0)
            | (FF_WQE_FENCE if flags & IBV_SEND_FENCE else 0))


cdef inline bint sq_has_room(ffl_qp *qp, uint32_t index) noexcept nogil:
    """A slot is free when a completion at or behind it has been polled, as on any NIC: so programs that stop at ENOMEM
    cannot overrun a CQ of their queue's size."""
    if likely(index - qp.sq_free <= qp.sq_mask):
        return True
    qp.sq_free = ff_load32_acquire(&qp.sq_polled)            # pairs with the release in consume
    return index - qp.sq_free <= qp.sq_mask


cdef inline void put_bind(ff_wqe *wqe, uint32_t rkey, const ibv_mw_bind_info *info) noexcept nogil:
    """What BIND_MW says: without an MR the window is bound to nothing. The router judges it."""
    wqe.count = 0
    wqe.rkey = rkey
    wqe.remote_addr = info.addr
    wqe.bind_length = info.length
    wqe.bind_lkey = info.mr.lkey if info.mr != NULL else 0
    wqe.bind_access = info.mw_access_flags
