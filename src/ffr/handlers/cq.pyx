from libc.errno cimport EBUSY, EINVAL, ENOMEM
from libc.stdint cimport uint64_t

from ffcore.control cimport FF_NO_HANDLE, ff_cmd_create_cq, ff_cmd_handle, ff_reply_create_cq
from ffcore.shm cimport FF_CQ_LANES, FF_LINE, FF_PAGE, ff_cq_shared, ff_cqe
from ffr.handlers.base cimport owns_channel, owns_cq
from ffr.mem.region cimport ring_alloc, ring_free
from ffr.state cimport FFR_CQ, FFR_MAX_CQE, FFR_NONE, ffr_cq, ffr_session, object_free, object_new


cdef uint32_t cqe_max(const ffr_session *s) noexcept nogil:
    cdef uint32_t entries = FFR_MAX_CQE
    while entries * <uint64_t>sizeof(ff_cqe) > s.control_size // 4:      # bound: 20 turns
        entries //= 2
    return entries


cdef int create_cq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_create_cq *c = <const ff_cmd_create_cq *>body
    cdef ff_reply_create_cq *a = <ff_reply_create_cq *>reply
    cdef ffr_session *s = &r.state.session[session]
    cdef uint32_t entries = 1, index, pages
    cdef ffr_cq *cq
    if not owns_channel(r, session, c.context, True):
        return EINVAL
    if c.channel != FF_NO_HANDLE and not owns_channel(r, session, c.channel, False):
        return EINVAL
    if c.cqe == 0 or c.cqe > cqe_max(s):
        return EINVAL
    if s.count[FFR_CQ] >= s.limit.max_cq:
        return ENOMEM
    while entries < c.cqe:                   # bound: 20 turns
        entries *= 2
    pages = <uint32_t>((sizeof(ff_cq_shared) + <uint64_t>entries * FF_CQ_LANES * sizeof(ff_cqe) + FF_PAGE - 1) // FF_PAGE)
    a.offset = ring_alloc(r, session, pages)
    if a.offset == 0:
        return ENOMEM
    index = object_new(r, FFR_CQ, session)
    if index == FFR_NONE:
        ring_free(r, session, a.offset, pages)
        return ENOMEM
    cq = &r.state.cq[index]
    cq.channel = c.channel if c.channel != FF_NO_HANDLE else FFR_NONE
    cq.context = c.context
    cq.entries = entries
    cq.produced = cq.consumed = 0
    cq.overrun = cq.notify = 0
    cq.pages = pages
    cq.offset = a.offset
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
    if cq.channel != FFR_NONE:
        r.state.channel[cq.channel].o.references -= 1
    ring_free(r, cq.o.session, cq.offset, cq.pages)
    object_free(r, FFR_CQ, index)


cdef int destroy_cq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    if not owns_cq(r, session, index):
        return EINVAL
    if r.state.cq[index].o.references:
        return EBUSY
    cq_free(r, index)
    return 0
