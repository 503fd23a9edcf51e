"""Device memory is a run of pages of the control segment: the router's own, mapped on both sides, within a limit, and
there from its allocation on. So the program copies to and from it without a command, as to a NIC's BAR."""

from libc.errno cimport EBUSY, EINVAL, ENOMEM
from libc.stdint cimport uint64_t

from ffcore.control cimport (ff_cmd_alloc_dm, ff_cmd_handle, ff_cmd_part, ff_cmd_reg_dm_mr, ff_reply_alloc_dm,
                             ff_reply_query_dm, ff_reply_reg_mr)
from ffcore.shm cimport FF_PAGE
from ffr.handlers.base cimport owns_channel, owns_dm, owns_pd
from ffr.handlers.pd_mr cimport bad_access, key_object
from ffr.mem.region cimport ring_alloc, ring_free
from ffr.state cimport (FFR_ACCESS_LOCAL, FFR_DEVICE, FFR_DM, FFR_MR, FFR_NONE, ffr_dm, ffr_mr, ffr_session, object_free,
                        object_new)


cdef int alloc_dm(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_alloc_dm *c = <const ff_cmd_alloc_dm *>body
    cdef ff_reply_alloc_dm *a = <ff_reply_alloc_dm *>reply
    cdef ffr_session *s = &r.state.session[session]
    cdef uint32_t index, pages
    cdef uint64_t offset
    if not owns_channel(r, session, c.context, True) or c.length == 0:
        return EINVAL
    if c.length > s.limit.dm_bytes - s.dm_bytes:             # never negative
        return ENOMEM
    pages = <uint32_t>((c.length + FF_PAGE - 1) // FF_PAGE)
    offset = ring_alloc(r, session, pages)
    if offset == 0:
        return ENOMEM
    index = object_new(r, FFR_DM, session)
    if index == FFR_NONE:
        ring_free(r, session, offset, pages)
        return ENOMEM
    r.state.dm[index].context = c.context
    r.state.dm[index].pages = pages
    r.state.dm[index].offset = offset
    r.state.dm[index].length = c.length
    s.dm_bytes += c.length
    a.handle = index
    a.offset = offset
    return 0


cdef void dm_free(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_dm *dm = &r.state.dm[index]
    ring_free(r, dm.o.session, dm.offset, dm.pages)
    r.state.session[dm.o.session].dm_bytes -= dm.length
    object_free(r, FFR_DM, index)


cdef int free_dm(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    if not owns_dm(r, session, index):
        return EINVAL
    if r.state.dm[index].o.references:       # MRs
        return EBUSY
    dm_free(r, index)
    return 0


cdef int query_dm(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    """For who imports it."""
    cdef const ff_cmd_part *c = <const ff_cmd_part *>body
    if not owns_dm(r, session, c.handle) or r.state.dm[c.handle].context != c.of:
        return EINVAL
    (<ff_reply_query_dm *>reply).offset = r.state.dm[c.handle].offset
    (<ff_reply_query_dm *>reply).length = r.state.dm[c.handle].length
    return 0


cdef int reg_dm_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_reg_dm_mr *c = <const ff_cmd_reg_dm_mr *>body
    cdef ffr_session *s = &r.state.session[session]
    cdef const ffr_dm *dm
    cdef ffr_mr *mr
    cdef uint32_t index
    if not owns_pd(r, session, c.pd) or not owns_dm(r, session, c.dm) or bad_access(c.access):
        return EINVAL
    dm = &r.state.dm[c.dm]
    # A context that is closed takes its objects with it, and the MR goes with its PD.
    if c.offset > dm.length or c.length > dm.length - c.offset or dm.context != r.state.pd[c.pd].context:
        return EINVAL
    if s.count[FFR_MR] >= s.limit.max_mr:
        return ENOMEM
    index = key_object(r, FFR_MR, session, c.pd, FFR_DEVICE, <ff_reply_reg_mr *>reply)
    if index == FFR_NONE:
        return ENOMEM
    mr = &r.state.mr[index]
    mr.access = c.access | <uint32_t>FFR_ACCESS_LOCAL
    mr.of = c.dm
    mr.offset = dm.offset + c.offset
    mr.length = c.length
    r.state.dm[c.dm].o.references += 1
    return 0
