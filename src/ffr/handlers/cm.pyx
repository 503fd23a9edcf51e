from libc.errno cimport EINVAL, ENOENT, ENOMEM
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

from ffcore.control cimport FF_CM_BODY, ff_cmd_cm, ff_reply_cm, ff_reply_handle
from ffcore.shm cimport ff_fd_note
from ffr.cm.channels cimport channel_find, channel_open
from ffr.cm.commands cimport cm_call as call_of, cm_command
from ffr.cm.abi cimport RDMA_USER_CM_CMD_MIGRATE_ID
from ffr.state cimport FFR_NONE, ffr_session


cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef extern from "ffr/handlers/pass_fd.h" nogil:
    int ffr_pass_fd(int sock, const void *note, size_t length, int fd)

cdef enum:
    SECRET = 16


cdef int cm_open(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef ffr_session *s = &r.state.session[session]
    cdef ff_fd_note note
    cdef uint32_t channel
    cdef int descriptor, error = channel_open(r, session, &channel, &descriptor)
    if error:
        return ENOMEM
    note.request_seq = s.request_seq
    note.handle = channel
    error = ffr_pass_fd(s.sock, &note, sizeof(note), descriptor)
    close(descriptor)                        # if it was not passed on, the channel hangs up, and ends
    (<ff_reply_handle *>reply).handle = channel
    return ENOMEM if error else 0


cdef int cm_call(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_cm *c = <const ff_cmd_cm *>body
    cdef ff_reply_cm *out = <ff_reply_cm *>reply
    cdef uint64_t secret[2]
    cdef call_of call
    cdef uint8_t copy[FF_CM_BODY]
    cdef int error
    call.channel = channel_find(r, session, c.channel, c.secret)
    if call.channel == FFR_NONE:
        return ENOENT
    if c.size > FF_CM_BODY:
        return EINVAL
    memcpy(copy, c.body, c.size)
    memset(copy + c.size, 0, FF_CM_BODY - c.size)
    call.session = session
    call.size = c.size
    call.room = c.room
    call.other = FFR_NONE
    if c.command == RDMA_USER_CM_CMD_MIGRATE_ID:
        memcpy(secret, c.body + FF_CM_BODY - SECRET, SECRET)
        call.other = channel_find(r, session, c.other, secret)
    call.body = copy
    call.reply = out.body
    call.reply_size = call.withdrawn = 0
    error = cm_command(r, c.command, &call)
    out.size = 0 if error else min(call.reply_size, call.room)
    out.withdrawn = call.withdrawn
    return error
