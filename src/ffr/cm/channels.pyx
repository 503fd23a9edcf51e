from libc.errno cimport ENOMEM
from libc.string cimport memset

from ffcore.cm cimport FF_CM_MAGIC, ff_cm_name, ff_cm_name_put
from ffr.cm.state cimport FFR_CM_CHANNELS, ffr_cm_channel, ffr_cm_head, ffr_cm_tables
from ffr.cm.talk cimport talk_end, talk_hear
from ffr.nic.base cimport nic_take_mads
from ffr.state cimport FFR_CM_CHANNEL, FFR_CM_EVENT, FFR_CM_GROUP, FFR_CM_ID, FFR_NONE, ffr_session, object_at, object_free, object_move, object_new


cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef extern from "<sys/random.h>" nogil:
    ssize_t getrandom(void *at, size_t size, unsigned int flags)

cdef extern from "ffr/handlers/pass_fd.h" nogil:
    int ffr_channel_pair(int *mine, int *theirs)

cdef extern from "ffr/reactor/loop.h" nogil:
    enum:
        FFR_TAG_CM
    int ffr_epoll_add(int epoll, int fd, uint32_t tag, uint32_t session)


cdef enum:
    ENDS = 64                 # ids and channels ended in a pass


cdef void cm_begin(ffr_router *r) noexcept:
    nic_take_mads(talk_hear)
    memset(&r.state.cm, 0xff, sizeof(ffr_cm_tables))         # FFR_NONE
    r.state.cm.waiting = 0
    r.state.cm.tick = 0
    r.state.cm.random = r.state.epoch | 1    # never 0


cdef int begin(ffr_router *r, uint32_t channel, int mine, int theirs) noexcept nogil:
    cdef ffr_cm_channel *c = &r.state.cm_channel[channel]
    cdef ff_cm_name name
    cdef ffr_cm_head head = c.o
    memset(c, 0, sizeof(ffr_cm_channel))
    c.o = head
    c.fd = mine
    c.event = c.last_event = c.id = FFR_NONE
    if getrandom(c.secret, 16, 0) != 16:
        return ENOMEM
    name.magic = FF_CM_MAGIC
    name.channel = channel
    name.secret[0], name.secret[1] = c.secret[0], c.secret[1]
    if ff_cm_name_put(theirs, &name):
        return ENOMEM
    return ENOMEM if ffr_epoll_add(r.epoll, mine, FFR_TAG_CM, channel) else 0


cdef int channel_open(ffr_router *r, uint32_t session, uint32_t *channel, int *descriptor) noexcept nogil:
    cdef int mine, error = ffr_channel_pair(&mine, descriptor)
    if error:
        return error
    channel[0] = object_new(r, FFR_CM_CHANNEL, session)
    error = ENOMEM if channel[0] == FFR_NONE else begin(r, channel[0], mine, descriptor[0])
    if error:
        if channel[0] != FFR_NONE:
            object_free(r, FFR_CM_CHANNEL, channel[0])
        close(mine)
        close(descriptor[0])
    return error


cdef uint32_t channel_find(ffr_router *r, uint32_t session, uint32_t channel, const uint64_t *secret) noexcept nogil:
    cdef ffr_cm_channel *c = &r.state.cm_channel[channel]
    if channel >= FFR_CM_CHANNELS or not c.o.used or c.closing:
        return FFR_NONE
    if r.state.session[c.o.session].share != r.state.session[session].share:
        return FFR_NONE
    return channel if c.secret[0] == secret[0] and c.secret[1] == secret[1] else <uint32_t>FFR_NONE


cdef void retire(ffr_router *r, uint32_t channel) noexcept nogil:
    """Without ids. Its events were theirs."""
    close(r.state.cm_channel[channel].fd)    # which takes it out of the epoll
    object_free(r, FFR_CM_CHANNEL, channel)


cdef void channel_hang_up(ffr_router *r, uint32_t channel) noexcept nogil:
    cdef ffr_cm_channel *c = &r.state.cm_channel[channel]
    if channel >= FFR_CM_CHANNELS or not c.o.used or c.closing:
        return
    c.closing = 1
    c.closing_next = r.state.cm.closing
    r.state.cm.closing = channel


cdef void close_channel(ffr_router *r, uint32_t channel) noexcept nogil:
    """Bound: its ids, which have gone before, each as one of its session's objects."""
    cdef ffr_cm_channel *c = &r.state.cm_channel[channel]
    cdef uint32_t *at = &r.state.cm.closing
    while c.closing and at[0] != channel:    # bound: channels that close at a time
        at = &r.state.cm_channel[at[0]].closing_next
    if c.closing:
        at[0] = c.closing_next
    while c.id != FFR_NONE:
        talk_end(r, c.id)
    retire(r, channel)


cdef uint32_t heir_of(ffr_router *r, uint32_t session) noexcept nogil:
    cdef const ffr_session *s
    cdef uint32_t i
    for i in range(r.live_count):            # bound: FFR_SESSIONS, for each object of those that end
        s = &r.state.session[r.live[i]]
        if r.live[i] != session and s.used and not s.closing and s.share == r.state.session[session].share:
            return r.live[i]
    return FFR_NONE


cdef bint inherited(ffr_router *r, int kind, uint32_t index) noexcept nogil:
    cdef uint32_t heir = heir_of(r, object_at(r.state, kind, index).session)
    if heir != FFR_NONE:
        object_move(r, kind, index, heir)
    return heir != FFR_NONE


cdef void cm_id_leave(ffr_router *r, uint32_t id) noexcept nogil:
    if not inherited(r, FFR_CM_ID, id):
        talk_end(r, id)


cdef void cm_event_leave(ffr_router *r, uint32_t event) noexcept nogil:
    """Its id has moved to another session: ids go first, and take their events along."""
    object_move(r, FFR_CM_EVENT, event, r.state.cm_id[r.state.cm_event[event].id].o.session)


cdef void cm_group_leave(ffr_router *r, uint32_t group) noexcept nogil:
    """As an event."""
    object_move(r, FFR_CM_GROUP, group, r.state.cm_id[r.state.cm_group[group].id].o.session)


cdef void cm_channel_leave(ffr_router *r, uint32_t channel) noexcept nogil:
    if not inherited(r, FFR_CM_CHANNEL, channel):
        close_channel(r, channel)


cdef int channels_poll(ffr_router *r) noexcept nogil:
    cdef uint32_t channel = r.state.cm.closing
    cdef int n = 0
    while channel != FFR_NONE and n < ENDS:
        if r.state.cm_channel[channel].id != FFR_NONE:
            talk_end(r, r.state.cm_channel[channel].id)
        else:
            r.state.cm.closing = r.state.cm_channel[channel].closing_next
            retire(r, channel)
            channel = r.state.cm.closing
        n += 1
    return n
