"""Creating and destroying completion queues."""

from libc cimport errno
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memset

from ffcore.control cimport FF_CMD_CREATE_CQ, FF_CMD_DESTROY_CQ, FF_NO_HANDLE, ff_cmd_create_cq, ff_reply_create_cq
from ffcore.shm cimport FF_LINE, ff_a32, ff_add32, ff_cq_shared
from ffl.call_api cimport ff_call, ff_call_end_of
from ffl.handles_api cimport ff_handle_put, ff_handle_retire
from ffl.kernel cimport fail, posix_memalign
from ffl.objects cimport FFL_CQ, context_of, ffl_channel, ffl_context, ffl_cq
from ffl.session_api cimport ff_session_get
from ffl.verbs cimport ibv_comp_channel, ibv_context, ibv_cq


cdef ibv_cq *shown(ffl_cq *cq) noexcept nogil:
    return <ibv_cq *>&cq.base


cdef void attach(ffl_cq *cq, ff_reply_create_cq *reply) noexcept nogil:
    cq.session = ff_session_get().shared
    cq.shared = <ff_cq_shared *>(<uint8_t *>cq.session + reply.offset)
    cq.ring = cq.shared.cqe
    cq.qps = ff_session_get().qps
    cq.mask = reply.entries - 1
    shown(cq).handle = reply.handle
    shown(cq).cqe = reply.entries
    ff_handle_put(&cq.tracked, cq, FFL_CQ, reply.handle)


cdef public ibv_cq *ffv_ibv_create_cq(ibv_context *context, int cqe, void *cq_context, ibv_comp_channel *channel,
                                      int comp_vector) noexcept nogil:
    cdef ff_cmd_create_cq request
    cdef ff_reply_create_cq reply
    cdef ffl_cq *cq
    cdef int error = 0
    if cqe < 1 or comp_vector < 0 or comp_vector >= context.num_comp_vectors:
        error = errno.EINVAL
    elif posix_memalign(<void **>&cq, FF_LINE, sizeof(ffl_cq)):
        error = errno.ENOMEM
    if error:
        fail(error)
        return NULL
    memset(cq, 0, sizeof(ffl_cq))
    memset(&request, 0, sizeof(request))
    request.context = context_of(context).handle
    request.cqe = cqe
    request.channel = FF_NO_HANDLE if channel == NULL else (<ffl_channel *>channel).handle
    error = ff_call(context_of(context), FF_CMD_CREATE_CQ, &request, sizeof(request), &reply, sizeof(reply))
    if error:
        free(cq)
        fail(error)
        return NULL
    shown(cq).context = context
    shown(cq).channel = channel
    shown(cq).cq_context = cq_context
    if channel != NULL:
        ff_add32(<ff_a32 *>&channel.refcnt, 1)
    attach(cq, &reply)
    return shown(cq)


cdef public int ffv_ibv_destroy_cq(ibv_cq *handed) noexcept nogil:
    cdef ffl_cq *cq = <ffl_cq *>handed
    cdef int error = ff_call_end_of(context_of(handed.context), FF_CMD_DESTROY_CQ, handed.handle)
    if error:
        return fail(error)
    ff_handle_retire(&cq.tracked)
    if handed.channel != NULL:
        ff_add32(<ff_a32 *>&handed.channel.refcnt, <uint32_t>-1)
    free(cq)
    return 0
