"""The command slot: one request at a time, under a mutex; a short spin, then sleep; a dead router is an error."""

from libc cimport errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, strerror

from ffcore.control cimport (FF_CMD_CLOSE_CONTEXT, FF_CMD_CREATE_CHANNEL, FF_CMD_DESTROY_CHANNEL, FF_NO_HANDLE, ff_cmd_handle,
                             ff_reply_handle)
from ffcore.shm cimport (FF_FLAG_SLOW_YIELD, FF_PAYLOAD_OFFSET, ff_a32, ff_command_slot, ff_fd_note, ff_load32,
                         ff_load32_acquire, ff_pause, ff_store32, ff_store32_release)
from ffl.kernel cimport fail, futex_wait, now_ns, sched_yield
from ffl.session.lock cimport ff_mutex_lock, ff_mutex_unlock
from ffl.session.log_api cimport FF_LOG_DEBUG, FF_LOG_WARN, ff_log
from ffl.objects cimport ffl_context
from ffl.memory.api cimport ff_fork_look
from ffl.session.session_api cimport ff_session_get, ff_session_look, ffl_session, wake_if_armed
from ffl.session.socket cimport close, ff_receive

cdef extern from "ffl/session/verb_names.h" nogil:
    const char *ff_verb_of(uint16_t op)

cdef enum:
    SPINS = 100               # about 2 µs: a router on another core that polls
    YIELD_NS = 50000          # then yield, for a router on this core or one that has to wake up: a wake-up costs less
    SLICE_NS = 100000000      # then sleep, and look after the router ten times a second

cdef ff_a32 mutex


cdef int await_reply(ffl_session *s, uint32_t seq) noexcept nogil:
    cdef ff_command_slot *slot = &s.shared.command
    cdef uint64_t until = 0
    cdef uint32_t round = 0
    cdef uint32_t seen = ff_load32_acquire(&slot.reply_seq)      # pairs with the router's release of the reply
    while seen != seq:
        round += 1
        if round < SPINS:
            ff_pause()
        elif round == SPINS:
            until = 0 if ff_load32(&s.shared.flags) & FF_FLAG_SLOW_YIELD else now_ns() + YIELD_NS
        elif now_ns() < until:
            sched_yield()
        else:
            futex_wait(&slot.reply_seq, seen, SLICE_NS)
            if ff_load32_acquire(&slot.reply_seq) != seq and ff_session_look():
                return errno.EIO
        seen = ff_load32_acquire(&slot.reply_seq)
    return 0


cdef void report(uint16_t op, int error) noexcept nogil:
    """Wrong arguments are the program's own affair; what the host refuses is for whoever runs the program. EACCES, whom one may not
    reach, the verb tells, which knows the address."""
    if error == errno.ENOMEM:
        ff_log(FF_LOG_WARN, b"%s: a limit of this container is reached (`freeflow doctor` says more)", ff_verb_of(op))
    elif error == errno.EPERM:
        ff_log(FF_LOG_WARN, b"%s: this host's policy forbids it (`freeflow doctor` says more)", ff_verb_of(op))
    else:
        ff_log(FF_LOG_DEBUG, b"%s (%u): %s", ff_verb_of(op), op, strerror(error))


cdef int exchange(uint16_t op, const void *request, uint32_t size, void *reply, uint32_t reply_size,
                  uint32_t *seq) noexcept nogil:
    """The mutex is held, and the session is there."""
    cdef ffl_session *s = ff_session_get()
    cdef ff_command_slot *slot = &s.shared.command
    cdef int error
    seq[0] = ff_load32(&slot.request_seq) + 1                    # only this side writes it, under the mutex
    slot.op = op
    slot.size = <uint16_t>size
    if size:
        memcpy(slot.request, request, size)
    ff_store32_release(&slot.request_seq, seq[0])                # pairs with the router's acquire
    ff_store32(&s.shared.command_bell, 1)                        # ordered by the fence of wake_if_armed
    wake_if_armed(s.shared, s.event_fd)
    error = await_reply(s, seq[0])
    if error == 0:
        error = slot.status
    if reply_size and error != errno.EIO:                        # some answers say why not
        memcpy(reply, slot.reply, reply_size)
    if error:
        report(op, error)
    return error


cdef int begin(uint32_t generation) noexcept nogil:
    cdef ffl_session *s = ff_session_get()
    ff_fork_look()
    ff_mutex_lock(&mutex)
    if s.shared != NULL and s.generation == generation and ff_load32(&s.gone) == 0:
        return 0
    ff_mutex_unlock(&mutex)
    return errno.EIO


cdef public int ff_call(ffl_context *context, uint16_t op, const void *request, uint32_t size, void *reply,
                        uint32_t reply_size) noexcept nogil:
    cdef uint32_t seq
    cdef int error = begin(context.generation)
    if error == 0:
        error = exchange(op, request, size, reply, reply_size, &seq)
        ff_mutex_unlock(&mutex)
    return error


cdef public void *ff_call_new(ffl_context *context, size_t size, uint16_t op, const void *request, uint32_t request_size,
                              void *reply, uint32_t reply_size) noexcept nogil:
    """Room first: nothing has to be undone at the router."""
    cdef void *made = calloc(1, size)
    cdef int error
    if made == NULL:
        return NULL
    error = ff_call(context, op, request, request_size, reply, reply_size)
    if error:
        free(made)
        fail(error)
        return NULL
    return made


cdef public int ff_call_session(uint16_t op, const void *request, uint32_t size, void *reply,
                                uint32_t reply_size) noexcept nogil:
    cdef uint32_t seq
    cdef int error = begin(ff_session_get().generation)
    if error == 0:
        error = exchange(op, request, size, reply, reply_size, &seq)
        ff_mutex_unlock(&mutex)
    return error


cdef public int ff_call_end_of(ffl_context *context, uint16_t op, uint32_t handle) noexcept nogil:
    cdef ff_cmd_handle request
    cdef int error
    if handle == FF_NO_HANDLE:               # ended before (retired.pyx)
        return errno.EINVAL
    request.handle = handle
    error = ff_call(context, op, &request, sizeof(request), NULL, 0)
    return 0 if error == errno.EIO else error


cdef int take_channel(uint32_t seq, int *fd) noexcept nogil:
    """The descriptor was sent before the reply, so it is there; but this process may have no room for it (EMFILE)."""
    cdef ff_fd_note note
    cdef int got
    while ff_receive(ff_session_get().sock, &note, sizeof(note), fd, 1, &got) == sizeof(note):
        if note.request_seq == seq:
            return 0 if got == 1 else errno.EMFILE
        if got == 1:                                             # of a call that failed later on
            close(fd[0])
    return errno.EIO


cdef public int ff_call_descriptor(uint16_t op, void *reply, uint32_t reply_size, int *fd) noexcept nogil:
    cdef uint32_t seq
    cdef int error = begin(ff_session_get().generation)
    if error:
        return error
    error = exchange(op, NULL, 0, reply, reply_size, &seq)
    if error == 0:
        error = take_channel(seq, fd)
    ff_mutex_unlock(&mutex)
    return error


cdef public int ff_call_channel(ffl_context *context, uint16_t op, const void *request, uint32_t size, void *reply,
                                uint32_t reply_size, int *fd) noexcept nogil:
    cdef ff_cmd_handle end
    cdef uint32_t seq
    cdef int error = begin(context.generation)
    if error:
        return error
    error = exchange(op, request, size, reply, reply_size, &seq)
    if error == 0:
        error = take_channel(seq, fd)
        if error == errno.EMFILE:                                # nobody could use it, so it goes again
            end.handle = (<ff_reply_handle *>reply).handle
            exchange(FF_CMD_DESTROY_CHANNEL if op == FF_CMD_CREATE_CHANNEL else FF_CMD_CLOSE_CONTEXT, &end, sizeof(end), NULL, 0,
                     &seq)
    ff_mutex_unlock(&mutex)
    return error


cdef public int ff_call_begin(ffl_context *context, uint8_t **payload) noexcept nogil:
    cdef int error = begin(context.generation)
    payload[0] = NULL if error else <uint8_t *>ff_session_get().shared + FF_PAYLOAD_OFFSET
    return error


cdef public int ff_call_continue(uint16_t op, const void *request, uint32_t size, void *reply,
                                 uint32_t reply_size) noexcept nogil:
    cdef uint32_t seq
    return exchange(op, request, size, reply, reply_size, &seq)


cdef public void ff_call_end() noexcept nogil:
    ff_mutex_unlock(&mutex)


cdef public void ff_call_child() noexcept nogil:
    ff_store32(&mutex, 0)                                        # whoever held it is not in this process
