from libc.errno cimport EPIPE, errno

from ffcore.control cimport FF_QP_OPENED
from ffcore.shm cimport ff_event
from ffr.ibv cimport (IBV_EVENT_CQ_ERR, IBV_EVENT_PATH_MIG_ERR, IBV_EVENT_QP_FATAL, IBV_EVENT_QP_LAST_WQE_REACHED,
                      IBV_EVENT_SRQ_ERR, IBV_EVENT_SRQ_LIMIT_REACHED)
from ffr.state cimport FFR_EVENT, FFR_NONE, ffr_channel, ffr_event, object_free, object_new


cdef extern from "<sys/socket.h>" nogil:
    ssize_t send(int fd, const void *data, size_t length, int flags)
    enum:
        MSG_DONTWAIT
        MSG_NOSIGNAL

cdef enum:
    RETRIES = 1024            # records looked at in a round of retries
    REFUSALS = 16             # ... which ends when so many sockets were still full: 10 us of calls in vain


cdef bint send_event(ffr_router *r, uint32_t channel, uint32_t type, uint32_t handle) noexcept nogil:
    cdef ff_event event
    event.type = type
    event.handle = handle
    return send(r.state.channel[channel].fd, &event, sizeof(event), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 or errno == EPIPE


cdef uint32_t *owed_of(ffr_router *r, uint32_t context, uint32_t type, uint32_t handle) noexcept nogil:
    """Where the object that the event is of has its bits; of events of the port, its context."""
    if type == IBV_EVENT_CQ_ERR:
        return &r.state.cq[handle].owed
    if type == IBV_EVENT_SRQ_ERR or type == IBV_EVENT_SRQ_LIMIT_REACHED:
        return &r.state.srq[handle].owed
    if IBV_EVENT_QP_FATAL <= type <= IBV_EVENT_PATH_MIG_ERR or type == IBV_EVENT_QP_LAST_WQE_REACHED:
        if handle & FF_QP_OPENED:
            return &r.state.opener[handle & ~FF_QP_OPENED].owed
        return &r.state.qp[handle].owed
    return &r.state.channel[context].owed


cdef void keep(ffr_router *r, uint32_t context, uint32_t type, uint32_t handle) noexcept nogil:
    cdef ffr_channel *c = &r.state.channel[context]
    cdef uint32_t *owed = owed_of(r, context, type, handle)
    cdef uint32_t index
    if owed[0] >> type & 1:
        return
    index = object_new(r, FFR_EVENT, c.o.session)
    if index == FFR_NONE:
        return
    r.state.event[index].channel = context
    r.state.event[index].type = type
    r.state.event[index].handle = handle
    r.state.event[index].next = FFR_NONE
    if c.event == FFR_NONE:
        c.event = index
    else:
        r.state.event[c.last_event].next = index
    c.last_event = index
    owed[0] |= <uint32_t>1 << type
    r.events_pending += 1


cdef void async_event(ffr_router *r, uint32_t context, uint32_t type, uint32_t handle) noexcept nogil:
    if context == FFR_NONE or not r.state.channel[context].o.used:
        return
    if r.state.channel[context].event != FFR_NONE or not send_event(r, context, type, handle):
        keep(r, context, type, handle)


cdef void remove(ffr_router *r, ffr_channel *c, uint32_t before, uint32_t index) noexcept nogil:
    """`before`: the one before it in the list, or FFR_NONE."""
    cdef ffr_event *e = &r.state.event[index]
    cdef uint32_t *owed = owed_of(r, e.channel, e.type, e.handle)
    owed[0] &= ~(<uint32_t>1 << e.type)
    if before == FFR_NONE:
        c.event = e.next
    else:
        r.state.event[before].next = e.next
    if c.last_event == index:
        c.last_event = before
    object_free(r, FFR_EVENT, index)
    r.events_pending -= 1


cdef bint send_on(ffr_router *r, ffr_channel *c) noexcept nogil:
    """False: its socket is full again. Bound: what a socket takes."""
    while c.event != FFR_NONE:
        if not send_event(r, r.state.event[c.event].channel, r.state.event[c.event].type, r.state.event[c.event].handle):
            return False
        remove(r, c, FFR_NONE, c.event)
    return True


cdef void events_retry(ffr_router *r) noexcept nogil:
    cdef uint32_t fresh = r.state.table.fresh[FFR_EVENT], i, refusals = 0
    cdef ffr_event *e
    for i in range(min(fresh, <uint32_t>RETRIES)):
        if refusals == REFUSALS:
            break
        r.events_cursor += 1
        if r.events_cursor >= fresh:
            r.events_cursor = 0
        e = &r.state.event[r.events_cursor]
        if e.o.used and r.state.channel[e.channel].event == r.events_cursor and not send_on(r, &r.state.channel[e.channel]):
            refusals += 1


cdef void events_forget(ffr_router *r, uint32_t context, uint32_t *owed) noexcept nogil:
    """Rare. Bound: what waits for the context."""
    cdef ffr_channel *c = &r.state.channel[context]
    cdef uint32_t at = c.event, before = FFR_NONE, next
    while at != FFR_NONE and owed[0]:
        next = r.state.event[at].next
        if owed_of(r, context, r.state.event[at].type, r.state.event[at].handle) == owed:
            remove(r, c, before, at)
        else:
            before = at
        at = next


cdef void events_drop(ffr_router *r, uint32_t context) noexcept nogil:
    cdef ffr_channel *c = &r.state.channel[context]
    while c.event != FFR_NONE:
        remove(r, c, FFR_NONE, c.event)
