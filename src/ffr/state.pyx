"""The flat tables: allocation, free lists, and the lists of what a session owns."""

from libc.string cimport memset

from ffr.cm.state cimport FFR_CM_CHANNELS, FFR_CM_EVENTS, FFR_CM_GROUPS, FFR_CM_IDS


cdef ffr_object *object_at(ffr_state *state, int kind, uint32_t index) noexcept nogil:
    """The object's head. The index has been checked, or comes from a table."""
    if kind == FFR_QP:
        return &state.qp[index].o
    if kind == FFR_CQ:
        return &state.cq[index].o
    if kind == FFR_MR or kind == FFR_MW:
        return &state.mr[index].o
    if kind == FFR_PD:
        return &state.pd[index].o
    if kind == FFR_AH:
        return &state.ah[index].o
    if kind == FFR_MCAST:
        return &state.mcast[index].o
    if kind == FFR_SRQ:
        return &state.srq[index].o
    if kind == FFR_XRCD:
        return &state.xrcd[index].o
    if kind == FFR_OPENER:
        return &state.opener[index].o
    if kind == FFR_DM:
        return &state.dm[index].o
    if kind == FFR_IMPORT:
        return &state.imports[index].o
    if kind == FFR_EVENT:
        return &state.event[index].o
    if kind == FFR_CM_CHANNEL:
        return <ffr_object *>&state.cm_channel[index].o
    if kind == FFR_CM_ID:
        return <ffr_object *>&state.cm_id[index].o
    if kind == FFR_CM_EVENT:
        return <ffr_object *>&state.cm_event[index].o
    if kind == FFR_CM_GROUP:
        return <ffr_object *>&state.cm_group[index].o
    return &state.channel[index].o


cdef uint32_t capacity(const ffr_router *r, int kind) noexcept nogil:
    if kind == FFR_QP:
        return FFR_QPS
    if kind == FFR_CQ:
        return FFR_CQS
    if kind == FFR_MR:
        return FFR_MRS
    if kind == FFR_PD:
        return FFR_PDS
    if kind == FFR_AH:
        return FFR_AHS
    if kind == FFR_MCAST:
        return FFR_MCASTS
    if kind == FFR_SRQ:
        return FFR_SRQS
    if kind == FFR_XRCD:
        return FFR_XRCDS
    if kind == FFR_OPENER:
        return FFR_OPENERS
    if kind == FFR_DM:
        return FFR_DMS
    if kind == FFR_IMPORT:
        return FFR_IMPORTS
    if kind == FFR_EVENT:
        return FFR_EVENT_RECORDS
    if kind == FFR_CM_CHANNEL:
        return FFR_CM_CHANNELS
    if kind == FFR_CM_ID:
        return FFR_CM_IDS
    if kind == FFR_CM_EVENT:
        return FFR_CM_EVENTS
    if kind == FFR_CM_GROUP:
        return FFR_CM_GROUPS
    return r.channel_room


cdef int table_of(int kind) noexcept nogil:
    """Where its indices come from: keys of windows and of MRs share one table."""
    return FFR_MR if kind == FFR_MW else kind


cdef void enlist(ffr_router *r, int kind, uint32_t index, uint32_t session) noexcept nogil:
    cdef ffr_object *o = object_at(r.state, kind, index)
    cdef ffr_session *s = &r.state.session[session]
    o.session = session
    o.prev = FFR_NONE
    o.next = s.first[kind]
    if o.next != FFR_NONE:
        object_at(r.state, kind, o.next).prev = index
    s.first[kind] = index
    s.count[kind] += 1
    r.state.share[s.share].held[table_of(kind)] += 1


cdef void strike(ffr_router *r, int kind, uint32_t index) noexcept nogil:
    cdef ffr_object *o = object_at(r.state, kind, index)
    cdef ffr_session *s = &r.state.session[o.session]
    if o.prev != FFR_NONE:
        object_at(r.state, kind, o.prev).next = o.next
    else:
        s.first[kind] = o.next
    if o.next != FFR_NONE:
        object_at(r.state, kind, o.next).prev = o.prev
    s.count[kind] -= 1
    r.state.share[s.share].held[table_of(kind)] -= 1


cdef uint32_t object_new(ffr_router *r, int kind, uint32_t session) noexcept nogil:
    """A fresh object on its session's list, its head filled in; FFR_NONE when the table is full, or when its container
    holds as many already as there are left: so no container can take them all from the others."""
    cdef ffr_tables *table = &r.state.table
    cdef int place = table_of(kind)
    cdef uint32_t index = table.free[place]
    cdef ffr_object *o
    if r.state.share[r.state.session[session].share].held[place] >= capacity(r, place) - table.used[place]:
        return FFR_NONE
    if index != FFR_NONE:
        o = object_at(r.state, kind, index)
        table.free[place] = o.next
    else:                                    # there is one: not all are used
        index = table.fresh[place]
        table.fresh[place] += 1
        o = object_at(r.state, kind, index)
    table.used[place] += 1
    o.used = 1
    o.references = 0
    enlist(r, kind, index, session)
    return index


cdef void object_move(ffr_router *r, int kind, uint32_t index, uint32_t session) noexcept nogil:
    strike(r, kind, index)
    enlist(r, kind, index, session)


cdef void object_free(ffr_router *r, int kind, uint32_t index) noexcept nogil:
    cdef ffr_object *o = object_at(r.state, kind, index)
    strike(r, kind, index)
    o.used = 0
    r.state.table.used[table_of(kind)] -= 1
    o.next = r.state.table.free[table_of(kind)]
    r.state.table.free[table_of(kind)] = index
