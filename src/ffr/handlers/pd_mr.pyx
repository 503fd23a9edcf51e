from libc.errno cimport EBUSY, EFAULT, EINVAL, ENOENT, ENOMEM
from libc.stdint cimport uint64_t

from ffcore.control cimport (ff_cmd_handle, ff_cmd_part, ff_cmd_reg_mr, ff_cmd_rereg_mr, ff_reply_dereg_mr, ff_reply_handle,
                             ff_reply_reg_mr, FF_WHY_READ_ONLY)
from ffr.handlers.base cimport owns_channel
from ffr.handlers.placing cimport check_place, is_read_only, lies_at, place, take_extents, undo_place
from ffr.ibv cimport (IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_WRITE,
                      IBV_REREG_MR_CHANGE_ACCESS, IBV_REREG_MR_CHANGE_PD, IBV_REREG_MR_CHANGE_TRANSLATION)
from ffr.mem.keys cimport key_find, key_new
from ffr.objects.memory cimport imports_drop, is_window, mr_context, mr_displace, mr_free, pd_context
from ffr.state cimport (FFR_ACCESS_LOCAL, FFR_ENDED, FFR_MR, FFR_MRS, FFR_NONE, FFR_NOTHING, FFR_PAGES, FFR_PD, ffr_mr,
                        ffr_router, ffr_session, object_free, object_new)


cdef int alloc_pd(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t context = (<ff_cmd_handle *>body).handle, index
    cdef ffr_session *s = &r.state.session[session]
    if not owns_channel(r, session, context, True):
        return EINVAL
    if s.count[FFR_PD] >= s.limit.max_pd:
        return ENOMEM
    index = object_new(r, FFR_PD, session)
    if index == FFR_NONE:
        return ENOMEM
    r.state.pd[index].context = context
    r.state.pd[index].importer = FFR_NONE
    (<ff_reply_handle *>reply).handle = index
    return 0


cdef int dealloc_pd(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    if pd_context(r, session, index) == FFR_NONE:
        return EINVAL
    if r.state.pd[index].o.references:
        return EBUSY
    imports_drop(r, FFR_PD, index)
    object_free(r, FFR_PD, index)
    return 0


# ---- memory regions ----

cdef uint32_t key_object(ffr_router *r, int kind, uint32_t session, uint32_t pd, uint32_t behind,
                         ff_reply_reg_mr *reply) noexcept nogil:
    """A new object with a key (FFR_MR or FFR_MW), of no memory yet; FFR_NONE when the table is full."""
    cdef uint32_t index = object_new(r, kind, session)
    cdef ffr_mr *mr
    if index == FFR_NONE:
        return index
    mr = &r.state.mr[index]
    mr.pd = pd
    mr.behind = behind
    mr.access = 0
    mr.extents = 0
    mr.block = mr.of = mr.importer = mr.mapping = FFR_NONE
    mr.context = pd_context(r, session, pd)
    mr.qpn = 0
    mr.iova = mr.length = mr.offset = mr.shift = mr.pinned = mr.addr = 0
    mr.key = key_new(r, index)
    r.state.pd[pd].o.references += 1
    reply.handle = index
    reply.lkey = reply.rkey = mr.key
    return index


cdef bint bad_access(uint32_t access) noexcept nogil:
    """IBTA 11.2.8.2: what a peer may change, the owner may change too."""
    return access & (IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC) and not access & IBV_ACCESS_LOCAL_WRITE


cdef int reg_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_reg_mr *c = <const ff_cmd_reg_mr *>body
    cdef ffr_session *s = &r.state.session[session]
    cdef place where
    cdef uint32_t index
    cdef int error
    if pd_context(r, session, c.pd) == FFR_NONE or bad_access(c.access):
        return EINVAL
    error = ENOMEM if s.count[FFR_MR] >= s.limit.max_mr else check_place(s, c, s.pinned, <ff_reply_reg_mr *>reply)
    if error:
        return error
    error = take_extents(r, session, c, c.access, &where, <ff_reply_reg_mr *>reply)
    if error:
        return error
    index = key_object(r, FFR_MR, session, c.pd, FFR_PAGES, <ff_reply_reg_mr *>reply)
    if index == FFR_NONE:
        undo_place(r, session, c, &where)
        return ENOMEM
    r.state.mr[index].access = c.access | <uint32_t>FFR_ACCESS_LOCAL
    lies_at(r, &r.state.mr[index], c, &where)
    return 0


cdef int check_rereg(ffr_router *r, uint32_t session, const ff_cmd_rereg_mr *c, ff_reply_reg_mr *reply) noexcept nogil:
    cdef const ffr_mr *mr = &r.state.mr[c.handle]
    if mr_context(r, session, c.handle) == FFR_NONE or mr.o.session != session or mr.behind != FFR_PAGES:
        return EINVAL
    if mr.o.references:                      # windows are bound to it
        return EBUSY
    if c.flags & IBV_REREG_MR_CHANGE_PD and pd_context(r, session, c.to.pd) == FFR_NONE:
        return EINVAL
    if not c.flags & IBV_REREG_MR_CHANGE_ACCESS:
        return 0
    if bad_access(c.to.access):
        return EINVAL
    if c.to.access & IBV_ACCESS_LOCAL_WRITE and not c.flags & IBV_REREG_MR_CHANGE_TRANSLATION and is_read_only(r, mr):
        reply.why = FF_WHY_READ_ONLY         # who means it pins the range anew
        return EFAULT
    return 0


cdef int rereg_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    """All of it or nothing: an MR whose change is refused is what it was. A message that is under way is resolved anew
    in its next turn, so it meets the new one."""
    cdef const ff_cmd_rereg_mr *c = <const ff_cmd_rereg_mr *>body
    cdef ffr_session *s = &r.state.session[session]
    cdef ffr_mr *mr = &r.state.mr[c.handle % FFR_MRS]
    cdef place where
    cdef uint32_t access = c.to.access if c.flags & IBV_REREG_MR_CHANGE_ACCESS else mr.access
    cdef int error = check_rereg(r, session, c, <ff_reply_reg_mr *>reply)
    if error == 0 and c.flags & IBV_REREG_MR_CHANGE_TRANSLATION:
        error = check_place(s, &c.to, s.pinned - mr.pinned, <ff_reply_reg_mr *>reply)
        if error == 0:
            error = take_extents(r, session, &c.to, access, &where, <ff_reply_reg_mr *>reply)
        if error == 0:
            mr_displace(r, mr)
            lies_at(r, mr, &c.to, &where)
    if error:
        return error
    if c.flags & IBV_REREG_MR_CHANGE_PD:
        r.state.pd[mr.pd].o.references -= 1
        r.state.pd[c.to.pd].o.references += 1
        mr.pd = c.to.pd
        mr.context = pd_context(r, session, mr.pd)
    if c.flags & IBV_REREG_MR_CHANGE_ACCESS:
        mr.access = c.to.access | <uint32_t>FFR_ACCESS_LOCAL
    return 0


cdef int alloc_null_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t pd = (<ff_cmd_handle *>body).handle, index
    cdef ffr_session *s = &r.state.session[session]
    if pd_context(r, session, pd) == FFR_NONE:
        return EINVAL
    if s.count[FFR_MR] >= s.limit.max_mr:
        return ENOMEM
    index = key_object(r, FFR_MR, session, pd, FFR_NOTHING, <ff_reply_reg_mr *>reply)
    if index == FFR_NONE:
        return ENOMEM
    r.state.mr[index].access = IBV_ACCESS_LOCAL_WRITE | <uint32_t>FFR_ACCESS_LOCAL
    r.state.mr[index].length = <uint64_t>-1
    (<ff_reply_reg_mr *>reply).rkey = 0      # peers have no use for it
    return 0


cdef void end_for(ffr_router *r, uint32_t index) noexcept nogil:
    """Who has imported the MR deregisters it. Its key is void; but the pages are another process's, and that alone can
    take them back."""
    cdef ffr_mr *mr = &r.state.mr[index]
    if mr.behind != FFR_PAGES or mr.context == FFR_NONE:
        mr_free(r, index)
        return
    r.state.pd[mr.pd].o.references -= 1
    imports_drop(r, FFR_MR, index)
    mr.behind = FFR_ENDED
    mr.key = 0


cdef int dereg_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    if mr_context(r, session, index) == FFR_NONE:
        return EINVAL
    if r.state.mr[index].o.references:       # windows are bound to it
        return EBUSY
    if r.state.mr[index].o.session != session:
        end_for(r, index)
        return 0
    (<ff_reply_dereg_mr *>reply).addr = r.state.mr[index].addr
    (<ff_reply_dereg_mr *>reply).length = r.state.mr[index].pinned
    mr_free(r, index)
    return 0


cdef int reclaim_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    cdef const ffr_mr *mr = &r.state.mr[index % FFR_MRS]
    if index >= FFR_MRS or not mr.o.used or mr.o.session != session or mr.behind != FFR_ENDED:
        return EINVAL
    (<ff_reply_dereg_mr *>reply).addr = mr.addr
    (<ff_reply_dereg_mr *>reply).length = mr.pinned
    mr_free(r, index)
    return 0


cdef int query_key(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    """For who knows only its on-demand MRs."""
    cdef const ff_cmd_part *c = <const ff_cmd_part *>body
    cdef const ffr_mr *mr
    if pd_context(r, session, c.of) == FFR_NONE:
        return EINVAL
    mr = key_find(r, c.of, c.handle)
    if mr == NULL:
        return ENOENT
    return EINVAL if is_window(mr) else 0
