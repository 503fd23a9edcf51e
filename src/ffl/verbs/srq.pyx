"""Shared receive queues. Posting is as to a QP's own (post.pyx), but a slot is free again as soon as the router has taken
its WQE for a message of some QP: completions come in another order than that."""

from libc cimport errno
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from ffcore.control cimport (FF_CMD_CREATE_SRQ, FF_CMD_DESTROY_SRQ, FF_CMD_MODIFY_SRQ, FF_CMD_QUERY_SRQ, FF_NO_HANDLE,
                             FF_SRQ_MAX_WR, ff_cmd_create_srq, ff_cmd_handle, ff_cmd_modify_srq, ff_reply_create_srq,
                             ff_reply_modify_srq, ff_reply_query_srq)
from ffcore.shm cimport ff_load32_acquire, ff_recv_wqe, ff_srq_shared, ff_store32_release
from ffl.session.call_api cimport ff_call, ff_call_end_of
from ffl.verbs.domain_api cimport FF_MEMORY_SRQ, ff_memory_free, ff_memory_new, ff_memory_undo, ffl_memory
from ffl.session.handles_api cimport ff_handle_put, ff_handle_retire
from ffl.kernel cimport fail, likely
from ffl.session.lock cimport spin_lock, spin_unlock
from ffl.objects cimport FFL_SRQ, context_of, ffl_srq, ffl_xrcd
from ffl.verbs.post_ring cimport ff_queue_full
from ffl.session.session_api cimport ff_session_get
from ffl.ibv cimport (IBV_SRQT_BASIC, IBV_SRQT_XRC, IBV_SRQ_INIT_ATTR_CQ, IBV_SRQ_INIT_ATTR_PD,
                        IBV_SRQ_INIT_ATTR_TYPE, IBV_SRQ_INIT_ATTR_XRCD, ibv_context, ibv_pd, ibv_recv_wr, ibv_sge,
                        ibv_srq, ibv_srq_attr, ibv_srq_init_attr, ibv_srq_init_attr_ex)


# ---- creating ----

cdef int ask(ibv_pd *pd, ff_cmd_create_srq *request, const ibv_srq_attr *attr, ff_reply_create_srq *reply) noexcept nogil:
    request.pd = pd.handle
    request.max_wr, request.max_sge = attr.max_wr, attr.max_sge
    return ff_call(context_of(pd.context), FF_CMD_CREATE_SRQ, request, sizeof(ff_cmd_create_srq), reply,
                   sizeof(ff_reply_create_srq))


cdef ibv_srq *create(ibv_pd *pd, ff_cmd_create_srq *request, void *srq_context, ibv_srq_attr *attr) noexcept nogil:
    """attr is set to what was granted. Its limit does not count here (man 3 ibv_create_srq)."""
    cdef uint8_t *segment = <uint8_t *>ff_session_get().shared
    cdef ff_reply_create_srq reply
    cdef ffl_memory memory
    cdef ffl_srq *srq = <ffl_srq *>ff_memory_new(pd, sizeof(ffl_srq), FF_MEMORY_SRQ, &memory)
    cdef int error = ask(pd, request, attr, &reply) if srq != NULL else errno.ENOMEM
    if error:
        return <ibv_srq *>ff_memory_undo(&memory, srq, FF_MEMORY_SRQ, error)
    srq.memory = memory
    srq.base.context, srq.base.srq_context, srq.base.pd = pd.context, srq_context, pd
    srq.base.handle = reply.handle
    srq.entries, srq.stride, srq.max_sge, srq.number = reply.entries, reply.stride, reply.max_sge, reply.srqn
    srq.ring = segment + reply.ring
    srq.shared = <ff_srq_shared *>(segment + reply.offset)
    attr.max_wr, attr.max_sge = reply.entries, reply.max_sge
    ff_handle_put(&srq.tracked, srq, FFL_SRQ, reply.handle)
    return &srq.base


cdef public ibv_srq *ffv_ibv_create_srq(ibv_pd *pd, ibv_srq_init_attr *attr) noexcept nogil:
    cdef ff_cmd_create_srq request
    memset(&request, 0, sizeof(request))
    request.type = IBV_SRQT_BASIC
    request.cq = request.xrcd = FF_NO_HANDLE
    return create(pd, &request, attr.srq_context, &attr.attr)


cdef int check_extended(const ibv_srq_init_attr_ex *attr) noexcept nogil:
    cdef uint32_t basic = IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_PD
    cdef uint32_t xrc = basic | IBV_SRQ_INIT_ATTR_XRCD | IBV_SRQ_INIT_ATTR_CQ
    cdef bint is_xrc = attr.comp_mask & IBV_SRQ_INIT_ATTR_TYPE and attr.srq_type == IBV_SRQT_XRC
    if attr.comp_mask & ~xrc:
        return errno.EOPNOTSUPP              # tag matching
    if attr.comp_mask & IBV_SRQ_INIT_ATTR_TYPE and attr.srq_type not in (IBV_SRQT_BASIC, IBV_SRQT_XRC):
        return errno.EOPNOTSUPP
    if not attr.comp_mask & IBV_SRQ_INIT_ATTR_PD or attr.pd == NULL:
        return errno.EINVAL
    if is_xrc and (attr.comp_mask != xrc or attr.xrcd == NULL or attr.cq == NULL):
        return errno.EINVAL
    return 0


cdef public ibv_srq *ff_create_srq_ex(ibv_context *context, ibv_srq_init_attr_ex *attr) noexcept nogil:
    cdef ff_cmd_create_srq request
    cdef int error = check_extended(attr)
    if error:
        fail(error)
        return NULL
    memset(&request, 0, sizeof(request))
    request.type = attr.srq_type if attr.comp_mask & IBV_SRQ_INIT_ATTR_TYPE else IBV_SRQT_BASIC
    request.cq = request.xrcd = FF_NO_HANDLE
    if request.type == IBV_SRQT_XRC:
        request.cq = attr.cq.handle
        request.xrcd = (<ffl_xrcd *>attr.xrcd).handle
    return create(attr.pd, &request, attr.srq_context, &attr.attr)


# ---- modifying, querying, destroying ----

cdef public int ffv_ibv_modify_srq(ibv_srq *handed, ibv_srq_attr *attr, int mask) noexcept nogil:
    """Nobody posts while the ring is exchanged: the router is told where the new one begins."""
    cdef ffl_srq *srq = <ffl_srq *>handed
    cdef ff_cmd_modify_srq request
    cdef ff_reply_modify_srq reply
    cdef int error
    memset(&request, 0, sizeof(request))
    request.handle, request.mask = handed.handle, mask
    request.max_wr, request.limit = attr.max_wr, attr.srq_limit
    spin_lock(&srq.lock)
    request.index = srq.index
    error = ff_call(context_of(handed.context), FF_CMD_MODIFY_SRQ, &request, sizeof(request), &reply, sizeof(reply))
    if error == 0 and mask & FF_SRQ_MAX_WR:
        srq.entries = reply.entries
        srq.ring = <uint8_t *>ff_session_get().shared + reply.ring
    spin_unlock(&srq.lock)
    return fail(error) if error else 0


cdef public int ffv_ibv_query_srq(ibv_srq *srq, ibv_srq_attr *attr) noexcept nogil:
    cdef ff_cmd_handle request
    cdef ff_reply_query_srq reply
    cdef int error
    request.handle = srq.handle
    error = ff_call(context_of(srq.context), FF_CMD_QUERY_SRQ, &request, sizeof(request), &reply, sizeof(reply))
    if error:
        return fail(error)
    attr.max_wr, attr.max_sge, attr.srq_limit = reply.max_wr, reply.max_sge, reply.limit
    return 0


cdef public int ff_get_srq_num(ibv_srq *srq, uint32_t *number) noexcept nogil:
    number[0] = (<ffl_srq *>srq).number
    return 0


cdef public int ffv_ibv_destroy_srq(ibv_srq *handed) noexcept nogil:
    cdef ffl_srq *srq = <ffl_srq *>handed
    cdef ffl_memory memory = srq.memory
    cdef int error = ff_call_end_of(context_of(handed.context), FF_CMD_DESTROY_SRQ, handed.handle)
    if error:
        return fail(error)
    ff_handle_retire(&srq.tracked)
    ff_memory_free(&memory, srq, &handed.handle, FF_MEMORY_SRQ)
    return 0


# ---- posting ----

cdef inline bint has_room(ffl_srq *srq, uint32_t index) noexcept nogil:
    if likely(index - srq.free < srq.entries):
        return True
    srq.free = ff_load32_acquire(&srq.shared.done)           # pairs with the router's release after it has copied the WQE
    return index - srq.free < srq.entries


cdef public int ff_post_srq_recv(ibv_srq *handed, ibv_recv_wr *wr, ibv_recv_wr **bad_wr) noexcept nogil:
    cdef ffl_srq *srq = <ffl_srq *>handed
    cdef ff_recv_wqe *wqe
    cdef int error = 0
    cdef int i
    spin_lock(&srq.lock)
    while wr != NULL:
        if not likely(<uint32_t>wr.num_sge <= srq.max_sge):
            error = errno.EINVAL
            break
        if not likely(has_room(srq, srq.index)):
            error = ff_queue_full(NULL)
            break
        wqe = <ff_recv_wqe *>(srq.ring + <size_t>(srq.index & (srq.entries - 1)) * srq.stride)
        wqe.count = wr.num_sge
        wqe.wr_id = wr.wr_id
        for i in range(wr.num_sge):
            (<ibv_sge *>wqe.sge)[i] = wr.sg_list[i]
        srq.index += 1
        ff_store32_release(&wqe.seq, srq.index)              # publishes the slot; pairs with the router's acquire
        wr = wr.next
    spin_unlock(&srq.lock)
    if not likely(error == 0):
        bad_wr[0] = wr
    return error
