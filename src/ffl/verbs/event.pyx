"""Completion channels and events. A channel's descriptor carries one message per event; its hang-up is the router's
end, so whoever waits is told at once."""

from libc cimport errno
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free

from ffcore.control cimport FF_CMD_CREATE_CHANNEL, FF_CMD_DESTROY_CHANNEL, ff_cmd_handle, ff_reply_handle
from ffcore.shm cimport ff_a32, ff_event, ff_exchange32, ff_load32
from ffl.session.call_api cimport ff_call_channel, ff_call_end_of
from ffl.session.handles_api cimport ff_handle_acknowledge, ff_handle_take_async, ff_handle_take_comp
from ffl.kernel cimport fail
from ffl.objects cimport FFL_CQ, FFL_QP, FFL_SRQ, context_of, ffl_channel, ffl_cq, ffl_qp, ffl_srq
from ffl.session.retired_api cimport ff_retire
from ffl.session.session_api cimport ff_session_look
from ffl.session.socket cimport close, read
from ffl.ibv cimport (IBV_EVENT_COMM_EST, IBV_EVENT_CQ_ERR, IBV_EVENT_DEVICE_FATAL, IBV_EVENT_PATH_MIG,
                        IBV_EVENT_PATH_MIG_ERR, IBV_EVENT_QP_ACCESS_ERR, IBV_EVENT_QP_FATAL,
                        IBV_EVENT_QP_LAST_WQE_REACHED, IBV_EVENT_QP_REQ_ERR, IBV_EVENT_SQ_DRAINED,
                        IBV_EVENT_SRQ_ERR, IBV_EVENT_SRQ_LIMIT_REACHED, ibv_async_event, ibv_comp_channel, ibv_context,
                        ibv_cq, ibv_event_type, ibv_qp, ibv_srq)


# ---- completion channels ----

cdef public ibv_comp_channel *ffv_ibv_create_comp_channel(ibv_context *context) noexcept nogil:
    cdef ffl_channel *channel = <ffl_channel *>calloc(1, sizeof(ffl_channel))
    cdef ff_cmd_handle request
    cdef ff_reply_handle reply
    cdef int error
    if channel == NULL:
        return NULL
    request.handle = context_of(context).handle
    error = ff_call_channel(context_of(context), FF_CMD_CREATE_CHANNEL, &request, sizeof(request), &reply, sizeof(reply),
                            &channel.base.fd)
    if error:
        free(channel)
        fail(error)
        return NULL
    channel.handle = reply.handle
    channel.base.context = context
    return &channel.base


cdef public int ffv_ibv_destroy_comp_channel(ibv_comp_channel *handed) noexcept nogil:
    cdef ffl_channel *channel = <ffl_channel *>handed
    cdef int error
    if ff_load32(<ff_a32 *>&handed.refcnt):          # CQs; whoever races with their creation gets the router's EBUSY
        return fail(errno.EBUSY)
    error = ff_call_end_of(context_of(handed.context), FF_CMD_DESTROY_CHANNEL, channel.handle)
    if error:
        return fail(error)
    close(handed.fd)
    handed.fd = -1
    ff_retire(channel, &channel.handle)
    return 0


cdef int next_event(int fd, ff_event *event) noexcept nogil:
    """1; 0 on hang-up; -1 and errno: EINTR, or EAGAIN where the application has made the descriptor non-blocking."""
    cdef ssize_t got = read(fd, event, sizeof(ff_event))     # not recv: what a kernel's channel needs, sandboxes allow
    if got < 0:
        return 0 if errno.errno == errno.ECONNRESET else -1
    return 1 if got == sizeof(ff_event) else 0


cdef public int ffv_ibv_get_cq_event(ibv_comp_channel *channel, ibv_cq **cq, void **cq_context) noexcept nogil:
    cdef ff_event event
    cdef ibv_cq *found = NULL
    cdef int got
    while found == NULL:                             # an event whose CQ is destroyed is nobody's
        got = next_event(channel.fd, &event)
        if got < 0:
            return -1
        if got == 0:
            ff_session_look()
            fail(errno.EIO)
            return -1
        found = <ibv_cq *>ff_handle_take_comp(event.handle, channel)
    cq[0] = found
    cq_context[0] = found.cq_context
    return 0


cdef public void ffv_ibv_ack_cq_events(ibv_cq *cq, unsigned int count) noexcept nogil:
    if count:
        ff_handle_acknowledge(&(<ffl_cq *>cq).tracked.comp_owed, count)


# ---- asynchronous events ----

cdef bint names_qp(uint32_t type) noexcept nogil:
    return type in (IBV_EVENT_QP_FATAL, IBV_EVENT_QP_REQ_ERR, IBV_EVENT_QP_ACCESS_ERR, IBV_EVENT_COMM_EST,
                    IBV_EVENT_SQ_DRAINED, IBV_EVENT_PATH_MIG, IBV_EVENT_PATH_MIG_ERR, IBV_EVENT_QP_LAST_WQE_REACHED)


cdef bint names_srq(uint32_t type) noexcept nogil:
    return type == IBV_EVENT_SRQ_LIMIT_REACHED or type == IBV_EVENT_SRQ_ERR


cdef bint fill(ibv_async_event *to, const ff_event *event) noexcept nogil:
    """False: it names an object that is destroyed."""
    to.event_type = <ibv_event_type>event.type
    if event.type == IBV_EVENT_CQ_ERR:
        to.element.cq = <ibv_cq *>ff_handle_take_async(FFL_CQ, event.handle)
        return to.element.cq != NULL
    if names_qp(event.type):
        to.element.qp = <ibv_qp *>ff_handle_take_async(FFL_QP, event.handle)
        return to.element.qp != NULL
    if names_srq(event.type):
        to.element.srq = <ibv_srq *>ff_handle_take_async(FFL_SRQ, event.handle)
        return to.element.srq != NULL
    to.element.port_num = event.handle               # ports; what names nothing has 0 there
    return True


cdef int hung_up(ibv_context *context, ibv_async_event *event) noexcept nogil:
    """DEVICE_FATAL once, then EIO, so that a loop over events comes to an end."""
    ff_session_look()
    if ff_exchange32(&context_of(context).fatal_told, 1):
        fail(errno.EIO)
        return -1
    event.element.port_num = 0
    event.event_type = IBV_EVENT_DEVICE_FATAL
    return 0


cdef public int ffv_ibv_get_async_event(ibv_context *context, ibv_async_event *event) noexcept nogil:
    cdef ff_event message
    cdef int got
    while True:
        got = next_event(context.async_fd, &message)
        if got < 0:
            return -1
        if got == 0:
            return hung_up(context, event)
        if fill(event, &message):
            return 0


cdef public void ffv_ibv_ack_async_event(ibv_async_event *event) noexcept nogil:
    if event.event_type == IBV_EVENT_CQ_ERR:
        ff_handle_acknowledge(&(<ffl_cq *>event.element.cq).tracked.async_owed, 1)
    elif names_qp(event.event_type):
        ff_handle_acknowledge(&(<ffl_qp *>event.element.qp).tracked.async_owed, 1)
    elif names_srq(event.event_type):
        ff_handle_acknowledge(&(<ffl_srq *>event.element.srq).tracked.async_owed, 1)
