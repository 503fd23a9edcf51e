from libc.errno cimport EPIPE, errno
from libc.stdint cimport uint8_t

from ffr.cm.ids cimport id_migrate
from ffr.cm.state cimport ffr_cm_channel, ffr_cm_event, ffr_cm_id
from ffr.state cimport FFR_CM_EVENT, FFR_NONE, object_free, object_new


cdef extern from "<sys/socket.h>" nogil:
    ssize_t send(int fd, const void *data, size_t length, int flags)
    enum:
        MSG_DONTWAIT
        MSG_NOSIGNAL


cdef bint tell(ffr_cm_channel *c) noexcept nogil:
    cdef uint8_t byte = 1
    return send(c.fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 or errno == EPIPE


cdef void events_tell(ffr_router *r, uint32_t channel) noexcept nogil:
    cdef ffr_cm_channel *c = &r.state.cm_channel[channel]
    while c.untold and tell(c):              # bound: what a socket takes
        c.untold -= 1


cdef void append(ffr_router *r, uint32_t channel, uint32_t event) noexcept nogil:
    cdef ffr_cm_channel *c = &r.state.cm_channel[channel]
    r.state.cm_event[event].channel = channel
    r.state.cm_event[event].next = FFR_NONE
    if c.event == FFR_NONE:
        c.event = event
    else:
        r.state.cm_event[c.last_event].next = event
    c.last_event = event
    c.untold += 1
    events_tell(r, channel)


cdef bint event_put(ffr_router *r, uint32_t id, uint32_t fresh, uint32_t group, const rdma_ucm_event_resp *body) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef uint32_t event
    cdef ffr_cm_event *e
    if a.uid == 0:                           # the program has not accepted it: it learns of its end when it tries
        return True
    event = object_new(r, FFR_CM_EVENT, a.o.session)
    if event == FFR_NONE:
        return False
    e = &r.state.cm_event[event]
    e.id = id
    e.fresh = fresh
    e.group = group
    e.body = body[0]
    e.body.uid = r.state.cm_group[group].uid if group != FFR_NONE else a.uid
    e.body.id = fresh if fresh != FFR_NONE else group if group != FFR_NONE else id
    append(r, a.channel, event)
    return True


cdef bint event_take(ffr_router *r, uint32_t channel, rdma_ucm_event_resp *body) noexcept nogil:
    cdef ffr_cm_channel *c = &r.state.cm_channel[channel]
    cdef uint32_t event = c.event
    cdef ffr_cm_event *e = &r.state.cm_event[event]
    if event == FFR_NONE:
        return False
    body[0] = e.body
    r.state.cm_id[e.id].reported += 1
    if e.group != FFR_NONE:
        r.state.cm_group[e.group].reported += 1
    if e.fresh != FFR_NONE:
        r.state.cm_id[e.id].room += 1
        r.state.cm_id[e.fresh].listener = FFR_NONE
        id_migrate(r, e.fresh, channel)      # its listener may have moved here since
    c.event = e.next
    if c.event == FFR_NONE:
        c.last_event = FFR_NONE
    object_free(r, FFR_CM_EVENT, event)
    events_tell(r, channel)
    return True


cdef bint concerns(const ffr_cm_event *e, uint32_t id, uint32_t group, uint32_t fresh) noexcept nogil:
    return e.id == id and (group == FFR_NONE or e.group == group) and (fresh == FFR_NONE or e.fresh == fresh)


cdef uint32_t extract(ffr_router *r, uint32_t id, uint32_t group, uint32_t fresh, uint32_t *taken) noexcept nogil:
    """Takes the events out of their channel's list, into one of their own. How many bytes in the descriptor were theirs."""
    cdef ffr_cm_channel *c = &r.state.cm_channel[r.state.cm_id[id].channel]
    cdef uint32_t at = c.event, before = FFR_NONE, next, n = 0, hidden
    cdef uint32_t *end = taken
    taken[0] = FFR_NONE
    while at != FFR_NONE:                    # bound: what waits in the channel
        next = r.state.cm_event[at].next
        if concerns(&r.state.cm_event[at], id, group, fresh):
            if before == FFR_NONE:
                c.event = next
            else:
                r.state.cm_event[before].next = next
            if c.last_event == at:
                c.last_event = before
            r.state.cm_event[at].next = FFR_NONE
            end[0] = at
            end = &r.state.cm_event[at].next
            n += 1
        else:
            before = at
        at = next
    hidden = min(n, c.untold)
    c.untold -= hidden
    return n - hidden


cdef uint32_t events_withdraw(ffr_router *r, uint32_t id, uint32_t group, uint32_t *fresh) noexcept nogil:
    cdef uint32_t at, next, brings
    cdef uint32_t told = extract(r, id, group, FFR_NONE, &at)
    fresh[0] = FFR_NONE
    while at != FFR_NONE:
        next = r.state.cm_event[at].next
        brings = r.state.cm_event[at].fresh
        if brings != FFR_NONE:
            r.state.cm_id[brings].listener = fresh[0]
            fresh[0] = brings
        object_free(r, FFR_CM_EVENT, at)
        at = next
    return told


cdef void event_unask(ffr_router *r, uint32_t fresh) noexcept nogil:
    cdef uint32_t at, listener = r.state.cm_id[fresh].listener
    extract(r, listener, FFR_NONE, fresh, &at)
    object_free(r, FFR_CM_EVENT, at)
    r.state.cm_id[listener].room += 1
    r.state.cm_id[fresh].listener = FFR_NONE


cdef uint32_t events_move(ffr_router *r, uint32_t id, uint32_t channel) noexcept nogil:
    cdef uint32_t at, next
    cdef uint32_t told = extract(r, id, FFR_NONE, FFR_NONE, &at)
    while at != FFR_NONE:
        next = r.state.cm_event[at].next
        append(r, channel, at)
        at = next
    return told
