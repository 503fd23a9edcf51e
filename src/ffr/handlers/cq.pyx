from libc.errno cimport EBUSY, EINVAL, ENOMEM
from libc.stdint cimport uint64_t

from ffcore.control cimport (FF_NO_HANDLE, ff_cmd_create_cq, ff_cmd_handle, ff_cmd_resize_cq, ff_reply_create_cq,
                             ff_reply_resize_cq)
from ffcore.shm cimport FF_CQ_LANES, ff_cq_shared, ff_cqe, ff_load32_acquire
from ffr.objects.cq cimport cq_refresh
from ffr.objects.events cimport events_forget
from ffr.handlers.base cimport owns_channel, owns_cq, power_of_2
from ffr.mem.region cimport object_with_ring, pages_of, ring_alloc, ring_free
from ffr.objects.qp cimport qp_sq_slot
from ffr.state cimport (FFR_CQ, FFR_MAX_CQE, FFR_NONE, FFR_QP, ffr_cq, ffr_qp, ffr_session, object_free)


cdef uint32_t cqe_max(const ffr_session *s) noexcept nogil:
    cdef uint32_t entries = FFR_MAX_CQE
    while entries * <uint64_t>sizeof(ff_cqe) > s.control_size // 4:      # bound: 20 turns
        entries //= 2
    return entries


cdef int create_cq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_create_cq *c = <const ff_cmd_create_cq *>body
    cdef ff_reply_create_cq *a = <ff_reply_create_cq *>reply
    cdef ffr_session *s = &r.state.session[session]
    cdef uint32_t entries, index, pages
    cdef ffr_cq *cq
    if not owns_channel(r, session, c.context, True):
        return EINVAL
    if c.channel != FF_NO_HANDLE and not (owns_channel(r, session, c.channel, False)
                                          and r.state.channel[c.channel].context == c.context):
        return EINVAL                        # a context that is closed takes its channels with it
    if c.cqe == 0 or c.cqe > cqe_max(s):
        return EINVAL
    if s.count[FFR_CQ] >= s.limit.max_cq:
        return ENOMEM
    entries = power_of_2(c.cqe)
    pages = pages_of(sizeof(ff_cq_shared) + <uint64_t>entries * FF_CQ_LANES * sizeof(ff_cqe))
    index = object_with_ring(r, FFR_CQ, session, pages, &a.offset)
    if index == FFR_NONE:
        return ENOMEM
    cq = &r.state.cq[index]
    cq.channel = c.channel if c.channel != FF_NO_HANDLE else FFR_NONE
    cq.context = c.context
    cq.entries = entries
    cq.produced = cq.consumed = 0
    cq.overrun = cq.notify = cq.owed = 0
    cq.pages = pages
    cq.offset = a.offset
    cq.ring = a.offset + sizeof(ff_cq_shared)
    cq.ring_pages = cq.before_pages = 0
    if cq.channel != FFR_NONE:
        r.state.channel[cq.channel].o.references += 1
    a.handle = index
    a.entries = entries
    return 0


cdef void cq_free(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_cq *cq = &r.state.cq[index]
    if cq.notify:
        cq.notify = 0
        r.notify_pending -= 1
    if cq.owed:
        events_forget(r, cq.context, &cq.owed)
    if cq.channel != FFR_NONE:
        r.state.channel[cq.channel].o.references -= 1
    if cq.ring_pages:
        ring_free(r, cq.o.session, cq.ring, cq.ring_pages)
    if cq.before_pages:
        ring_free(r, cq.o.session, cq.before, cq.before_pages)
    ring_free(r, cq.o.session, cq.offset, cq.pages)
    object_free(r, FFR_CQ, index)


cdef uint32_t sends_to_come(ffr_router *r, uint32_t session, uint32_t index, uint32_t limit) noexcept nogil:
    """WQEs posted and not executed yet that may complete on the CQ, counted up to the limit. Bound: limit and the
    session's QPs."""
    cdef uint32_t qp = r.state.session[session].first[FFR_QP], count = 0, at
    cdef ffr_qp *q
    while qp != FFR_NONE and count < limit:
        q = &r.state.qp[qp]
        at = q.sq_index
        while (q.send_cq == index and count < limit and at - q.sq_index < q.sq_entries
               and ff_load32_acquire(&qp_sq_slot(r, q, at).seq) == at + 1):      # pairs with FFL's release
            at += 1
            count += 1
        qp = q.o.next
    return count


cdef int resize_cq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    """The next completion goes into a new ring. The library reads what waits in the one before (src/ffl/verbs/cq_resize.pyx says
    why nothing is lost), so that one is freed by the next resize, which the library does not ask for earlier."""
    cdef const ff_cmd_resize_cq *c = <const ff_cmd_resize_cq *>body
    cdef ff_reply_resize_cq *a = <ff_reply_resize_cq *>reply
    cdef uint32_t pages, waiting
    cdef ffr_cq *cq
    if not owns_cq(r, session, c.handle) or c.cqe == 0 or c.cqe > cqe_max(&r.state.session[session]):
        return EINVAL
    cq = &r.state.cq[c.handle]
    cq_refresh(r, cq)
    waiting = cq.produced - cq.consumed
    if c.cqe < cq.entries and waiting <= c.cqe:
        waiting += sends_to_come(r, session, c.handle, c.cqe - waiting + 1)
    if cq.overrun or waiting > c.cqe:
        return EINVAL
    a.entries = power_of_2(c.cqe)
    a.index = cq.produced
    pages = pages_of(<uint64_t>a.entries * FF_CQ_LANES * sizeof(ff_cqe))
    a.offset = ring_alloc(r, session, pages)
    if a.offset == 0:
        return ENOMEM
    if cq.before_pages:
        ring_free(r, session, cq.before, cq.before_pages)
    cq.before, cq.before_pages = cq.ring, cq.ring_pages
    cq.ring, cq.ring_pages = a.offset, pages
    cq.entries = a.entries
    return 0


cdef int destroy_cq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    if not owns_cq(r, session, index):
        return EINVAL
    if r.state.cq[index].o.references:
        return EBUSY
    cq_free(r, index)
    return 0
