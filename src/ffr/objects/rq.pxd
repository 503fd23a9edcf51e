"""Receive queues, a QP's own or an SRQ's: where the next receive WQE of a QP lies, and handing it back.

A NIC asks rq_ready, copies what is in rq_slot, checks it, and ends with qp_received or leaves it for the next message.
A message that takes more than one step calls rq_hold as soon as it has begun: from an SRQ, others take meanwhile.
"""

from libc.stdint cimport uint32_t, uint64_t

from ffcore.shm cimport ff_a32, ff_load32_acquire, ff_recv_wqe, ff_store32_release
from ffr.objects.srq cimport srq_advance, srq_hold, srq_ready, srq_slot
from ffr.state cimport ffr_qp, ffr_router, ffr_rq


cdef inline ffr_rq *rq_of(ffr_router *r, ffr_qp *q) noexcept nogil:
    """The queue that feeds a QP. Without entries it stands for an SRQ, or for none."""
    return &q.rq

cdef inline ff_recv_wqe *rq_slot(ffr_router *r, const ffr_rq *rq) noexcept nogil:
    """The next receive WQE. Only when there is one."""
    if rq.entries == 0:
        return srq_slot(r, rq)
    return <ff_recv_wqe *>(r.view[rq.session].control + rq.ring + <uint64_t>(rq.index & (rq.entries - 1)) * rq.stride)

cdef inline bint rq_ready(ffr_router *r, const ffr_rq *rq) noexcept nogil:
    """Is there a receive WQE? The acquire pairs with the release of seq in post_recv."""
    if rq.entries == 0:
        return srq_ready(r, rq)
    return ff_load32_acquire(&rq_slot(r, rq).seq) == rq.index + 1

cdef inline bint rq_is_owed(ffr_router *r, const ffr_rq *rq) noexcept nogil:
    """Has the QP a receive WQE that nobody else can complete? Those of an SRQ that it has not taken are not its own."""
    return rq.held != 0 if rq.entries == 0 else rq_ready(r, rq)

cdef inline void rq_hold(ffr_router *r, ffr_rq *rq) noexcept nogil:
    """The message goes on: the WQE, which is there, is the QP's until it completes. Nothing to do on a queue of its own."""
    if rq.entries == 0 and not rq.held:
        srq_hold(r, rq)

cdef inline void rq_advance(ffr_router *r, ffr_rq *rq) noexcept nogil:
    """The WQE has been used: its slot is the application's again."""
    rq.index += 1
    if rq.entries == 0:
        srq_advance(r, rq)
        return
    ff_store32_release(<ff_a32 *>(r.view[rq.session].control + rq.done), rq.index)
