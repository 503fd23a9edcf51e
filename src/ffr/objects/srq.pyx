from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from ffcore.shm cimport FF_RECV_HEADER, ff_a32, ff_load32_acquire, ff_sge, ff_store32_release
from ffr.objects.events cimport async_event
from ffr.ibv cimport IBV_EVENT_SRQ_LIMIT_REACHED, IBV_SRQT_XRC
from ffr.mem.region cimport ring_free
from ffr.state cimport FFR_SRQS


cdef ffr_srq *srq_find(ffr_router *r, uint32_t srqn) noexcept nogil:
    cdef ffr_srq *s = &r.state.srq[srqn & (FFR_SRQS - 1)]
    return s if s.o.used and s.srqn == srqn else NULL


cdef inline ff_recv_wqe *slot_at(ffr_router *r, const ffr_srq *s, uint32_t index) noexcept nogil:
    """The slot of a WQE; one that is posted already, while a resize is under way, may lie in the ring to come."""
    cdef uint64_t ring = s.rq.ring
    cdef uint32_t entries = s.rq.entries
    if s.next_pages and index - s.turn < s.next_entries:     # both wrap: an index before the turn is far away
        ring, entries = s.next_ring, s.next_entries
    return <ff_recv_wqe *>(r.view[s.o.session].control + ring + <uint64_t>(index & (entries - 1)) * s.rq.stride)


cdef inline ffr_srq *feeder(ffr_router *r, const ffr_rq *rq) noexcept nogil:
    return srq_find(r, rq.srqn) if rq.srqn else NULL


cdef bint srq_ready(ffr_router *r, const ffr_rq *rq) noexcept nogil:
    cdef const ffr_srq *s
    if rq.held:
        return True
    s = feeder(r, rq)
    # The acquire pairs with the release of seq in post_srq_recv.
    return s != NULL and ff_load32_acquire(&slot_at(r, s, s.rq.index).seq) == s.rq.index + 1


cdef ff_recv_wqe *srq_slot(ffr_router *r, const ffr_rq *rq) noexcept nogil:
    cdef const ffr_srq *s
    if rq.held:
        return <ff_recv_wqe *>r.state.held[rq.qp].wqe
    s = feeder(r, rq)
    return slot_at(r, s, s.rq.index)


cdef void taken(ffr_router *r, ffr_srq *s) noexcept nogil:
    s.rq.index += 1
    srq_turn(r, s)
    ff_store32_release(<ff_a32 *>(r.view[s.o.session].control + s.rq.done), s.rq.index)
    if s.limit:
        srq_check_limit(r, s)


cdef void srq_hold(ffr_router *r, ffr_rq *rq) noexcept nogil:
    cdef ffr_srq *s = feeder(r, rq)
    cdef ff_recv_wqe *slot
    cdef ff_recv_wqe *copy = <ff_recv_wqe *>r.state.held[rq.qp].wqe
    if s == NULL:
        return
    slot = slot_at(r, s, s.rq.index)
    memcpy(copy, slot, FF_RECV_HEADER)
    memcpy(copy.sge, slot.sge, min(copy.count, s.rq.max_sge) * sizeof(ff_sge))   # who reads it refuses a larger count
    r.state.held[rq.qp].generation = s.generation
    rq.held = 1
    taken(r, s)


cdef void srq_advance(ffr_router *r, ffr_rq *rq) noexcept nogil:
    cdef ffr_srq *s
    if rq.held:
        rq.held = 0
        return
    s = feeder(r, rq)
    if s != NULL:
        taken(r, s)


cdef bint srq_is_held(ffr_router *r, const ffr_rq *rq) noexcept nogil:
    cdef const ffr_srq *s = feeder(r, rq)
    return rq.held != 0 and s != NULL and s.generation == r.state.held[rq.qp].generation


cdef void srq_feed(ffr_rq *rq, const ffr_srq *s) noexcept nogil:
    rq.srqn = s.srqn
    rq.session, rq.pd, rq.max_sge = s.o.session, s.rq.pd, s.rq.max_sge


cdef void srq_check_limit(ffr_router *r, ffr_srq *s) noexcept nogil:
    """WQEs are published in order, so one slot tells whether `limit` of them are left."""
    cdef uint32_t last = s.rq.index + s.limit - 1
    if s.limit == 0 or ff_load32_acquire(&slot_at(r, s, last).seq) == last + 1:
        return
    s.limit = 0
    async_event(r, s.context, IBV_EVENT_SRQ_LIMIT_REACHED, <uint32_t>(s - r.state.srq))


cdef void srq_turn(ffr_router *r, ffr_srq *s) noexcept nogil:
    if s.next_pages == 0 or s.rq.index != s.turn:
        return
    if s.ring_pages:
        ring_free(r, s.o.session, s.rq.ring, s.ring_pages)
    s.rq.ring, s.rq.entries, s.ring_pages = s.next_ring, s.next_entries, s.next_pages
    s.next_pages = 0


cdef const ffr_srq *xrc_find(ffr_router *r, const ffr_qp *q, uint32_t srqn) noexcept nogil:
    cdef const ffr_srq *s = srq_find(r, srqn)
    return s if s != NULL and s.type == IBV_SRQT_XRC and s.domain == q.domain else NULL


cdef uint32_t xrc_pd(ffr_router *r, const ffr_qp *q, uint32_t srqn) noexcept nogil:
    cdef const ffr_srq *s = xrc_find(r, q, srqn)
    return s.rq.pd if s != NULL else <uint32_t>FFR_NONE


cdef bint xrc_select(ffr_router *r, ffr_qp *q, uint32_t srqn) noexcept nogil:
    cdef const ffr_srq *s
    if q.rq.held:
        if srq_is_held(r, &q.rq):            # a long message keeps to the SRQ that it began with
            return True
        q.rq.held = 0                        # destroyed meanwhile, and its WQEs with it
    s = xrc_find(r, q, srqn)
    if s == NULL:
        return False
    srq_feed(&q.rq, s)
    q.pd = s.rq.pd
    q.recv_cq = s.cq
    return True
