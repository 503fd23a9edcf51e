from libc.errno cimport EINVAL, ENOMEM
from libc.stdint cimport uint64_t

from ffcore.control cimport ff_cmd_import, ff_cmd_part, ff_reply_context, ff_reply_import_dm, ff_reply_import_mr
from ffr.handlers.base cimport owns_channel
from ffr.handlers.channel cimport context_new
from ffr.objects.memory cimport dm_unused, import_drop, importers, is_window, mr_unused, pd_context
from ffr.state cimport (FFR_CHANNEL, FFR_DM, FFR_DMS, FFR_ENDED, FFR_IMPORT, FFR_IMPORTERS, FFR_MR, FFR_MRS, FFR_NONE,
                        FFR_NOTHING, FFR_PD, FFR_PDS, ffr_channel, ffr_dm, ffr_mr, ffr_pd, ffr_session, object_free,
                        object_move, object_new)


# ---- importing ----

cdef int import_new(ffr_router *r, uint32_t session, uint32_t context, int kind, uint32_t object) noexcept nogil:
    """Once for each context, however often the program asks: it does not say when it has unimported it."""
    cdef const ffr_session *s = &r.state.session[session]
    cdef uint32_t *first = importers(r, kind, object)
    cdef uint32_t at = first[0], index, n = 0
    while at != FFR_NONE:                    # bound: FFR_IMPORTERS
        if r.state.imports[at].context == context:
            return 0
        at = r.state.imports[at].next
        n += 1
    if n >= FFR_IMPORTERS or s.count[FFR_IMPORT] >= s.limit.max_mr:
        return ENOMEM
    index = object_new(r, FFR_IMPORT, session)
    if index == FFR_NONE:
        return ENOMEM
    r.state.imports[index].context = context
    r.state.imports[index].kind = kind
    r.state.imports[index].object = object
    r.state.imports[index].next = first[0]
    first[0] = index
    return 0


cdef bint is_secret(const ffr_channel *c, const ff_cmd_import *i) noexcept nogil:
    """Both halves always: how long it takes tells nothing of how much was right."""
    return ((c.secret[0] ^ i.secret[0]) | (c.secret[1] ^ i.secret[1])) == 0


cdef int import_context(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    """A further context of the group whose secret it is, if one of them is open in this container. Bound: FFR_CHANNELS, once
    per ibv_import_device."""
    cdef const ffr_channel *c
    cdef const ffr_session *theirs
    cdef uint32_t i, share = r.state.session[session].share
    for i in range(r.state.table.fresh[FFR_CHANNEL]):
        c = &r.state.channel[i]
        if not c.o.used or not c.is_async or not is_secret(c, <const ff_cmd_import *>body):
            continue
        theirs = &r.state.session[c.o.session]
        if theirs.share == share and not theirs.closing:
            return context_new(r, session, c.group, c.secret, <ff_reply_context *>reply)
    return EINVAL


cdef bint may_import(ffr_router *r, uint32_t session, uint32_t context, uint64_t group) noexcept nogil:
    return owns_channel(r, session, context, True) and r.state.channel[context].group == group


cdef int import_pd(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_part *c = <const ff_cmd_part *>body
    cdef const ffr_pd *pd = &r.state.pd[c.handle % FFR_PDS]
    if c.handle >= FFR_PDS or not pd.o.used or not may_import(r, session, c.of, r.state.channel[pd.context].group):
        return EINVAL
    if pd.o.session == session:
        return 0 if pd.context == c.of else EINVAL
    return import_new(r, session, c.of, FFR_PD, c.handle)


cdef int import_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    """Into a PD that the session has, and the MR is in."""
    cdef const ff_cmd_part *c = <const ff_cmd_part *>body
    cdef ff_reply_import_mr *a = <ff_reply_import_mr *>reply
    cdef const ffr_mr *mr = &r.state.mr[c.handle % FFR_MRS]
    cdef uint32_t context = pd_context(r, session, c.of)
    cdef int error = 0
    if context == FFR_NONE or c.handle >= FFR_MRS or not mr.o.used or is_window(mr) or mr.behind == FFR_ENDED:
        return EINVAL
    if mr.pd != c.of or (mr.o.session == session and mr.context != context):
        return EINVAL
    if mr.o.session != session:
        error = import_new(r, session, context, FFR_MR, c.handle)
    a.lkey = mr.key
    a.rkey = mr.key if mr.behind != FFR_NOTHING else 0
    a.length = mr.length
    return error


cdef int import_dm(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_part *c = <const ff_cmd_part *>body
    cdef ff_reply_import_dm *a = <ff_reply_import_dm *>reply
    cdef const ffr_dm *dm = &r.state.dm[c.handle % FFR_DMS]
    if c.handle >= FFR_DMS or not dm.o.used or dm.ended or not may_import(r, session, c.of, dm.group):
        return EINVAL
    a.length = dm.length
    if dm.o.session != session:
        return import_new(r, session, c.of, FFR_DM, c.handle)
    a.offset = dm.offset
    return 0 if dm.context == c.of else EINVAL


# ---- ends ----

cdef void import_free(ffr_router *r, uint32_t index) noexcept nogil:
    cdef uint32_t kind = r.state.imports[index].kind, object = r.state.imports[index].object
    import_drop(r, index)
    if kind == FFR_MR:
        mr_unused(r, object)
    elif kind == FFR_DM:
        dm_unused(r, object)


cdef void pd_leave(ffr_router *r, uint32_t index) noexcept nogil:
    """What its own context made in it is gone already; what others made in it, they made as importers."""
    cdef ffr_pd *pd = &r.state.pd[index]
    cdef uint32_t heir = pd.importer
    if heir == FFR_NONE:
        object_free(r, FFR_PD, index)
        return
    pd.context = r.state.imports[heir].context
    object_move(r, FFR_PD, index, r.state.imports[heir].o.session)
    import_drop(r, heir)


cdef void mr_leave(ffr_router *r, uint32_t index) noexcept nogil:
    r.state.mr[index].context = FFR_NONE
    mr_unused(r, index)


cdef void dm_leave(ffr_router *r, uint32_t index) noexcept nogil:
    r.state.dm[index].context = FFR_NONE
    dm_unused(r, index)
