"""The flat tables: allocation, free lists, and the lists of what a session owns."""

from libc.string cimport memset


cdef ffr_object *object_at(ffr_state *state, int kind, uint32_t index) noexcept nogil:
    """The object's head. The index has been checked, or comes from a table."""
    return <ffr_object *>(<char *>state + ffr_places[kind].at + <uint64_t>index * ffr_places[kind].size)


cdef uint32_t object_context(ffr_state *state, int kind, uint32_t index) noexcept nogil:
    if ffr_places[kind].context == 0:
        return FFR_NO_CONTEXT
    return (<uint32_t *>(<char *>object_at(state, kind, index) + ffr_places[kind].context))[0]


cdef uint32_t capacity(const ffr_router *r, int kind) noexcept nogil:
    return r.channel_room if kind == FFR_CHANNEL else ffr_places[kind].capacity


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
