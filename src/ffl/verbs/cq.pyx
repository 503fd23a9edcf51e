"""Creating and destroying completion queues. Resizing: cq_resize.pyx."""

from libc cimport errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from ffcore.control cimport FF_CMD_CREATE_CQ, FF_CMD_DESTROY_CQ, FF_NO_HANDLE, ff_cmd_create_cq, ff_reply_create_cq
from ffcore.shm cimport ff_a32, ff_add32, ff_cq_shared
from ffl.session.call_api cimport ff_call, ff_call_end_of
from ffl.verbs.cq_ring cimport ff_cq_ex_begin
from ffl.verbs.domain_api cimport FF_MEMORY_CQ, ff_domain_is_parent, ff_memory_free, ff_memory_new, ff_memory_undo, ffl_memory
from ffl.session.handles_api cimport ff_handle_put, ff_handle_retire
from ffl.kernel cimport fail
from ffl.objects cimport FFL_CQ, context_of, ffl_channel, ffl_context, ffl_cq
from ffl.session.session_api cimport ff_session_get
from ffl.ibv cimport (IBV_CQ_INIT_ATTR_MASK_FLAGS, IBV_CQ_INIT_ATTR_MASK_PD, IBV_CREATE_CQ_ATTR_SINGLE_THREADED,
                        IBV_WC_EX_WITH_COMPLETION_TIMESTAMP, IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK,
                        IBV_WC_STANDARD_FLAGS, ibv_comp_channel, ibv_context, ibv_cq, ibv_cq_ex, ibv_cq_init_attr_ex,
                        ibv_pd)

cdef enum:
    WC_FLAGS = (IBV_WC_STANDARD_FLAGS | IBV_WC_EX_WITH_COMPLETION_TIMESTAMP
                | IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK)


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


cdef int ask(ibv_context *context, const ibv_cq_init_attr_ex *attr, ff_reply_create_cq *reply) noexcept nogil:
    cdef ff_cmd_create_cq request
    if attr.cqe < 1 or <int>attr.cqe < 0 or attr.comp_vector >= <uint32_t>context.num_comp_vectors:
        return errno.EINVAL
    memset(&request, 0, sizeof(request))
    request.context = context_of(context).handle
    request.cqe = attr.cqe
    request.channel = FF_NO_HANDLE if attr.channel == NULL else (<ffl_channel *>attr.channel).handle
    return ff_call(context_of(context), FF_CMD_CREATE_CQ, &request, sizeof(request), reply, sizeof(ff_reply_create_cq))


cdef ffl_cq *create(ibv_context *context, const ibv_cq_init_attr_ex *attr, ibv_pd *domain) noexcept nogil:
    cdef ff_reply_create_cq reply
    cdef ffl_memory memory
    cdef ffl_cq *cq = <ffl_cq *>ff_memory_new(domain, sizeof(ffl_cq), FF_MEMORY_CQ, &memory)
    cdef int error = ask(context, attr, &reply) if cq != NULL else errno.ENOMEM
    if error:
        return <ffl_cq *>ff_memory_undo(&memory, cq, FF_MEMORY_CQ, error)
    cq.memory = memory
    shown(cq).context = context
    shown(cq).channel = attr.channel
    shown(cq).cq_context = attr.cq_context
    if attr.channel != NULL:
        ff_add32(<ff_a32 *>&attr.channel.refcnt, 1)
    attach(cq, &reply)
    return cq


cdef public ibv_cq *ffv_ibv_create_cq(ibv_context *context, int cqe, void *cq_context, ibv_comp_channel *channel,
                                      int comp_vector) noexcept nogil:
    cdef ibv_cq_init_attr_ex attr
    memset(&attr, 0, sizeof(attr))
    attr.cqe = <uint32_t>cqe
    attr.cq_context = cq_context
    attr.channel = channel
    attr.comp_vector = <uint32_t>comp_vector
    return <ibv_cq *>create(context, &attr, NULL)            # the visible part comes first


cdef int check_extended(const ibv_cq_init_attr_ex *attr) noexcept nogil:
    """What a caller may ask for and FreeFlow has not is EOPNOTSUPP; what nobody may ask for is EINVAL."""
    if attr.comp_mask & ~<uint32_t>(IBV_CQ_INIT_ATTR_MASK_FLAGS | IBV_CQ_INIT_ATTR_MASK_PD):
        return errno.EINVAL
    if attr.comp_mask & IBV_CQ_INIT_ATTR_MASK_PD and not ff_domain_is_parent(attr.parent_domain):
        return errno.EINVAL
    if attr.wc_flags & ~<uint64_t>WC_FLAGS:
        return errno.EOPNOTSUPP
    if attr.comp_mask & IBV_CQ_INIT_ATTR_MASK_FLAGS and attr.flags & ~<uint32_t>IBV_CREATE_CQ_ATTR_SINGLE_THREADED:
        return errno.EOPNOTSUPP
    return 0


cdef public ibv_cq_ex *ff_create_cq_ex(ibv_context *context, ibv_cq_init_attr_ex *attr) noexcept nogil:
    cdef int error = check_extended(attr)
    cdef ffl_cq *cq
    if error:
        fail(error)
        return NULL
    cq = create(context, attr, attr.parent_domain if attr.comp_mask & IBV_CQ_INIT_ATTR_MASK_PD else NULL)
    if cq == NULL:
        return NULL
    if attr.comp_mask & IBV_CQ_INIT_ATTR_MASK_FLAGS and attr.flags & IBV_CREATE_CQ_ATTR_SINGLE_THREADED:
        cq.single_threaded = 1
    ff_cq_ex_begin(cq, attr.wc_flags)
    return &cq.base


cdef public int ffv_ibv_destroy_cq(ibv_cq *handed) noexcept nogil:
    cdef ffl_cq *cq = <ffl_cq *>handed
    cdef ffl_memory memory = cq.memory
    cdef int error = ff_call_end_of(context_of(handed.context), FF_CMD_DESTROY_CQ, handed.handle)
    if error:
        return fail(error)
    ff_handle_retire(&cq.tracked)
    if handed.channel != NULL:
        ff_add32(<ff_a32 *>&handed.channel.refcnt, <uint32_t>-1)
    ff_memory_free(&memory, cq, &handed.handle, FF_MEMORY_CQ)
    return 0
