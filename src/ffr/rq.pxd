"""Receive queues, a QP's own or an SRQ's: where the next receive WQE lies, and handing it back."""

from libc.stdint cimport uint32_t, uint64_t

from ffcore.shm cimport ff_a32, ff_load32_acquire, ff_recv_wqe, ff_store32_release
from ffr.state cimport ffr_qp, ffr_router, ffr_rq


cdef inline ffr_rq *rq_of(ffr_router *r, ffr_qp *q) noexcept nogil:
    """The queue that feeds a QP."""
    return &q.rq

cdef inline ff_recv_wqe *rq_slot(ffr_router *r, const ffr_rq *rq) noexcept nogil:
    """The slot of the next receive WQE. Only when rq.entries is not 0."""
    return <ff_recv_wqe *>(r.view[rq.session].control + rq.ring + <uint64_t>(rq.index & (rq.entries - 1)) * rq.stride)

cdef inline bint rq_ready(ffr_router *r, const ffr_rq *rq) noexcept nogil:
    """Is there a receive WQE? The acquire pairs with the release of seq in post_recv."""
    return rq.entries != 0 and ff_load32_acquire(&rq_slot(r, rq).seq) == rq.index + 1

cdef inline void rq_advance(ffr_router *r, ffr_rq *rq) noexcept nogil:
    """The WQE has been used: its slot is the application's again."""
    rq.index += 1
    ff_store32_release(<ff_a32 *>(r.view[rq.session].control + rq.done), rq.index)
