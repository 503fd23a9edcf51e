from libc.errno cimport EBUSY, EINVAL, ENOMEM, EOPNOTSUPP
from libc.stdint cimport uint64_t
from libc.string cimport memset

from ffcore.control cimport (FF_SRQ_LIMIT, FF_SRQ_MAX_WR, ff_cmd_create_srq, ff_cmd_handle, ff_cmd_modify_srq,
                             ff_reply_create_srq, ff_reply_modify_srq, ff_reply_query_srq)
from ffcore.shm cimport FF_MAX_SGE, FF_RECV_HEADER, ff_sge, ff_srq_shared
from ffr.objects.events cimport events_forget
from ffr.handlers.base cimport owns_cq, owns_srq, owns_xrcd, power_of_2
from ffr.objects.memory cimport pd_context
from ffr.ibv cimport IBV_SRQT_BASIC, IBV_SRQT_XRC
from ffr.mem.region cimport object_with_ring, pages_of, ring_alloc, ring_free
from ffr.objects.srq cimport srq_check_limit, srq_turn
from ffr.state cimport FFR_MAX_WR, FFR_NONE, FFR_SRQ, ffr_session, ffr_srq, object_free


cdef uint32_t stride_of(uint32_t max_sge) noexcept nogil:
    """As of a QP's receive queue: whole cache lines, or halves."""
    return (FF_RECV_HEADER + max_sge * <uint32_t>sizeof(ff_sge) + 31) // 32 * 32


cdef int check_create(ffr_router *r, uint32_t session, const ff_cmd_create_srq *c) noexcept nogil:
    cdef const ffr_session *s = &r.state.session[session]
    cdef uint32_t context = pd_context(r, session, c.pd)
    if c.type != IBV_SRQT_BASIC and c.type != IBV_SRQT_XRC:
        return EOPNOTSUPP
    if context == FFR_NONE or not 1 <= c.max_wr <= FFR_MAX_WR or c.max_sge > FF_MAX_SGE:
        return EINVAL
    if c.type == IBV_SRQT_XRC and not (      # a context that is closed takes its CQs and domains with it
            owns_xrcd(r, session, c.xrcd) and r.state.xrcd[c.xrcd].context == context
            and owns_cq(r, session, c.cq) and r.state.cq[c.cq].context == context):
        return EINVAL
    return ENOMEM if s.count[FFR_SRQ] >= s.limit.max_srq else 0


cdef void attach(ffr_router *r, ffr_srq *s, const ff_cmd_create_srq *c) noexcept nogil:
    s.type = c.type
    s.context = pd_context(r, s.o.session, c.pd)
    s.rq.pd = c.pd
    r.state.pd[c.pd].o.references += 1
    s.cq = s.xrcd = FFR_NONE
    if c.type != IBV_SRQT_XRC:
        return
    s.cq, s.xrcd, s.domain = c.cq, c.xrcd, r.state.xrcd[c.xrcd].domain
    r.state.cq[s.cq].o.references += 1
    r.state.xrcd[s.xrcd].o.references += 1


cdef int create_srq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    """Its limit is not armed yet, whatever the program has written there (man 3 ibv_create_srq)."""
    cdef const ff_cmd_create_srq *c = <const ff_cmd_create_srq *>body
    cdef ff_reply_create_srq *a = <ff_reply_create_srq *>reply
    cdef uint32_t index, pages, generation
    cdef ffr_srq *s
    cdef int error = check_create(r, session, c)
    if error:
        return error
    a.max_sge = max(c.max_sge, <uint32_t>1)
    a.entries, a.stride = power_of_2(c.max_wr), stride_of(a.max_sge)
    pages = pages_of(sizeof(ff_srq_shared) + <uint64_t>a.entries * a.stride)
    index = object_with_ring(r, FFR_SRQ, session, pages, &a.offset)
    if index == FFR_NONE:
        return ENOMEM
    s = &r.state.srq[index]
    generation = s.generation + 1
    if index == 0 and not generation & 0xff: # no SRQ has number 0
        generation += 1
    memset(<char *>s + sizeof(s.o), 0, sizeof(ffr_srq) - sizeof(s.o))
    s.generation = generation
    s.srqn = (generation & 0xff) << 16 | index
    s.offset, s.pages = a.offset, pages
    a.ring = a.offset + sizeof(ff_srq_shared)
    s.rq.ring, s.rq.entries, s.rq.stride = a.ring, a.entries, a.stride
    s.rq.done = a.offset + <uint64_t>&(<ff_srq_shared *>NULL).done
    s.rq.max_sge, s.rq.session = a.max_sge, session
    attach(r, s, c)
    a.handle = index
    a.srqn = s.srqn
    return 0


cdef int resize(ffr_router *r, ffr_srq *s, const ff_cmd_modify_srq *c, ff_reply_modify_srq *a) noexcept nogil:
    """What is posted from now on stands in a new ring, and the one before serves until it is empty: nothing is copied."""
    cdef uint32_t posted = c.index - s.rq.index, pages
    if not 1 <= c.max_wr <= FFR_MAX_WR or posted > s.rq.entries or posted > c.max_wr:
        return EINVAL                        # the second: an index that cannot be
    if s.next_pages:
        return EBUSY                         # the resize before has not come to its end
    a.entries = power_of_2(c.max_wr)
    pages = pages_of(<uint64_t>a.entries * s.rq.stride)
    a.ring = ring_alloc(r, s.o.session, pages)
    if a.ring == 0:
        return ENOMEM
    s.next_ring, s.next_entries, s.next_pages, s.turn = a.ring, a.entries, pages, c.index
    srq_turn(r, s)
    return 0


cdef int modify_srq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    """A limit that lies above what is posted now is reached at once, so that arming again misses nothing."""
    cdef const ff_cmd_modify_srq *c = <const ff_cmd_modify_srq *>body
    cdef ffr_srq *s
    cdef uint32_t max_wr
    cdef int error
    if not owns_srq(r, session, c.handle) or c.mask & ~<uint32_t>(FF_SRQ_LIMIT | FF_SRQ_MAX_WR):
        return EINVAL
    s = &r.state.srq[c.handle]
    max_wr = c.max_wr if c.mask & FF_SRQ_MAX_WR else s.next_entries if s.next_pages else s.rq.entries
    if c.mask & FF_SRQ_LIMIT and c.limit > max_wr:
        return EINVAL
    if c.mask & FF_SRQ_MAX_WR:
        error = resize(r, s, c, <ff_reply_modify_srq *>reply)
        if error:
            return error
    if c.mask & FF_SRQ_LIMIT:
        s.limit = c.limit
        srq_check_limit(r, s)
    return 0


cdef int query_srq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    cdef ff_reply_query_srq *a = <ff_reply_query_srq *>reply
    cdef const ffr_srq *s
    if not owns_srq(r, session, index):
        return EINVAL
    s = &r.state.srq[index]
    a.max_wr = s.next_entries if s.next_pages else s.rq.entries
    a.max_sge = s.rq.max_sge
    a.limit = s.limit                        # 0 once it has been reached
    return 0


cdef void srq_free(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_srq *s = &r.state.srq[index]
    if s.owed:
        events_forget(r, s.context, &s.owed)
    r.state.pd[s.rq.pd].o.references -= 1
    if s.cq != FFR_NONE:
        r.state.cq[s.cq].o.references -= 1
        r.state.xrcd[s.xrcd].o.references -= 1
    if s.next_pages:
        ring_free(r, s.o.session, s.next_ring, s.next_pages)
    if s.ring_pages:
        ring_free(r, s.o.session, s.rq.ring, s.ring_pages)
    ring_free(r, s.o.session, s.offset, s.pages)
    object_free(r, FFR_SRQ, index)


cdef int destroy_srq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    if not owns_srq(r, session, index):
        return EINVAL
    if r.state.srq[index].o.references:
        return EBUSY
    srq_free(r, index)
    return 0
