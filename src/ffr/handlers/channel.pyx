from libc.errno cimport EAGAIN, EBUSY, EINVAL, ENOMEM, errno
from libc.string cimport memcpy

from ffcore.control cimport ff_cmd_handle, ff_reply_handle
from ffcore.shm cimport ff_fd_note
from ffr.handlers.base cimport owns_channel
from ffr.objects.events cimport events_drop
from ffr.state cimport FFR_CHANNEL, FFR_NONE, ffr_channel, ffr_session, object_free, object_new


cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef extern from "ffr/handlers/pass_fd.h" nogil:
    int ffr_channel_pair(int *mine, int *theirs)
    int ffr_pass_fd(int sock, const void *note, size_t length, int fd)


cdef int channel_new(ffr_router *r, uint32_t session, uint32_t context, uint32_t *index) noexcept nogil:
    """A channel of the session, the application's end sent to it. 0 or an errno."""
    cdef ffr_session *s = &r.state.session[session]
    cdef ffr_channel *channel
    cdef ff_fd_note note
    cdef int mine, theirs, error
    if s.count[FFR_CHANNEL] >= s.limit.max_channels:
        return ENOMEM
    error = ffr_channel_pair(&mine, &theirs)
    if error:
        return error
    index[0] = object_new(r, FFR_CHANNEL, session)
    if index[0] == FFR_NONE:
        close(mine)
        close(theirs)
        return ENOMEM
    note.request_seq = s.request_seq
    note.handle = index[0]
    error = ffr_pass_fd(s.sock, &note, sizeof(note), theirs)
    close(theirs)
    if error:                                # EAGAIN: a session that asks and never reads
        close(mine)
        object_free(r, FFR_CHANNEL, index[0])
        return ENOMEM if error == EAGAIN else error
    channel = &r.state.channel[index[0]]
    channel.fd = mine
    channel.is_async = 0
    channel.event = channel.last_event = FFR_NONE
    channel.owed = 0
    channel.context = context
    return 0


cdef int context_new(ffr_router *r, uint32_t session, uint64_t group, const uint64_t *secret,
                     ff_reply_context *reply) noexcept nogil:
    cdef uint32_t index
    cdef int error = channel_new(r, session, FFR_NONE, &index)
    cdef ffr_channel *c
    if error:
        return error
    c = &r.state.channel[index]
    c.is_async = 1
    c.context = index
    c.group = group
    memcpy(c.secret, secret, SECRET)
    r.state.session[session].contexts += 1
    reply.handle = index
    memcpy(reply.secret, secret, SECRET)
    return 0


cdef int create_channel(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t context = (<ff_cmd_handle *>body).handle, index
    cdef int error
    if not owns_channel(r, session, context, True):
        return EINVAL
    error = channel_new(r, session, context, &index)
    if error:
        return error
    (<ff_reply_handle *>reply).handle = index
    return 0


cdef void channel_free(ffr_router *r, uint32_t index) noexcept nogil:
    events_drop(r, index)                    # a context's; a completion channel has none that wait
    close(r.state.channel[index].fd)
    object_free(r, FFR_CHANNEL, index)


cdef int destroy_channel(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    if not owns_channel(r, session, index, False):
        return EINVAL
    if r.state.channel[index].o.references:
        return EBUSY
    channel_free(r, index)
    return 0
