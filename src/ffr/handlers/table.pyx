from libc.errno cimport EOPNOTSUPP
from libc.string cimport memcpy, memset

from ffcore.control cimport (FF_CMD_ALLOC_DM, FF_CMD_ALLOC_MW, FF_CMD_ALLOC_NULL_MR, FF_CMD_ALLOC_PD, FF_CMD_ATTACH_MCAST, FF_CMD_CLOSE_CONTEXT, FF_CMD_CREATE_AH,
                             FF_CMD_CREATE_CHANNEL, FF_CMD_CREATE_CQ, FF_CMD_CREATE_QP, FF_CMD_DEALLOC_MW, FF_CMD_DEALLOC_PD,
                             FF_CMD_DEREG_MR, FF_CMD_DESTROY_AH, FF_CMD_DESTROY_CHANNEL, FF_CMD_DESTROY_CQ,
                             FF_CMD_DESTROY_QP, FF_CMD_DETACH_MCAST, FF_CMD_FREE_DM, FF_CMD_LAST, FF_CMD_MODIFY_QP, FF_CMD_OPEN_CONTEXT,
                             FF_CMD_QUERY_DEVICE, FF_CMD_QUERY_GIDS, FF_CMD_QUERY_PORT, FF_CMD_QUERY_QP,
                             FF_CMD_REG_DM_MR, FF_CMD_REG_MR, FF_CMD_REREG_MR, FF_CMD_RESIZE_CQ, FF_CMD_CLOSE_XRCD,
                             FF_CMD_CREATE_SRQ, FF_CMD_DESTROY_SRQ, FF_CMD_MODIFY_SRQ, FF_CMD_OPEN_QP, FF_CMD_OPEN_XRCD,
                             FF_CMD_QUERY_HELD, FF_CMD_QUERY_SRQ, FF_CMD_IMPORT_CONTEXT, FF_CMD_IMPORT_PD, FF_CMD_IMPORT_MR, FF_CMD_IMPORT_DM,
                             FF_CMD_COPY_DM, FF_CMD_RECLAIM_MR, FF_CMD_RECLAIM_DM, FF_CMD_QUERY_KEY, FF_CMD_CM_CALL, FF_CMD_CM_OPEN,
                             ff_body)
from ffcore.shm cimport (FF_COMMAND_BODY, ff_command_slot, ff_exchange32, ff_load32, ff_load32_acquire, ff_session,
                         ff_store32_release)
from ffr.handlers.ah cimport create_ah, destroy_ah
from ffr.handlers.base cimport FFR_LATER
from ffr.handlers.channel cimport create_channel, destroy_channel
from ffr.handlers.cm cimport cm_call, cm_open
from ffr.handlers.cq cimport create_cq, destroy_cq, resize_cq
from ffr.handlers.device cimport close_context, open_context, query_device, query_gids, query_held, query_port
from ffr.handlers.dm cimport alloc_dm, copy_dm, free_dm, reclaim_dm, reg_dm_mr
from ffr.handlers.importing cimport import_context, import_dm, import_mr, import_pd
from ffr.handlers.mcast cimport attach_mcast, detach_mcast
from ffr.handlers.mw cimport alloc_mw, dealloc_mw
from ffr.handlers.pd_mr cimport (alloc_null_mr, alloc_pd, dealloc_pd, dereg_mr, query_key, reclaim_mr, reg_mr,
                                 rereg_mr)
from ffr.handlers.qp cimport create_qp, destroy_qp, modify_qp, query_qp
from ffr.handlers.srq cimport create_srq, destroy_srq, modify_srq, query_srq
from ffr.handlers.xrc cimport close_xrcd, open_qp, open_xrcd
from ffr.state cimport FFR_LATER_ASKED, FFR_LATER_MAPPED, FFR_LATER_NONE, ffr_later, ffr_session


cdef extern from "ffr/reactor/futex.h" nogil:
    void ffr_futex_wake(void *word)


ctypedef int (*handler)(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil

cdef handler handlers[FF_CMD_LAST]

handlers[FF_CMD_OPEN_CONTEXT] = open_context
handlers[FF_CMD_CLOSE_CONTEXT] = close_context
handlers[FF_CMD_QUERY_DEVICE] = query_device
handlers[FF_CMD_QUERY_PORT] = query_port
handlers[FF_CMD_QUERY_GIDS] = query_gids
handlers[FF_CMD_QUERY_HELD] = query_held
handlers[FF_CMD_ALLOC_PD] = alloc_pd
handlers[FF_CMD_DEALLOC_PD] = dealloc_pd
handlers[FF_CMD_REG_MR] = reg_mr
handlers[FF_CMD_REREG_MR] = rereg_mr
handlers[FF_CMD_DEREG_MR] = dereg_mr
handlers[FF_CMD_ALLOC_NULL_MR] = alloc_null_mr
handlers[FF_CMD_ALLOC_DM] = alloc_dm
handlers[FF_CMD_FREE_DM] = free_dm
handlers[FF_CMD_REG_DM_MR] = reg_dm_mr
handlers[FF_CMD_ALLOC_MW] = alloc_mw
handlers[FF_CMD_DEALLOC_MW] = dealloc_mw
handlers[FF_CMD_IMPORT_CONTEXT] = import_context
handlers[FF_CMD_IMPORT_PD] = import_pd
handlers[FF_CMD_IMPORT_MR] = import_mr
handlers[FF_CMD_IMPORT_DM] = import_dm
handlers[FF_CMD_COPY_DM] = copy_dm
handlers[FF_CMD_RECLAIM_MR] = reclaim_mr
handlers[FF_CMD_RECLAIM_DM] = reclaim_dm
handlers[FF_CMD_QUERY_KEY] = query_key
handlers[FF_CMD_CREATE_CHANNEL] = create_channel
handlers[FF_CMD_DESTROY_CHANNEL] = destroy_channel
handlers[FF_CMD_CREATE_CQ] = create_cq
handlers[FF_CMD_RESIZE_CQ] = resize_cq
handlers[FF_CMD_DESTROY_CQ] = destroy_cq
handlers[FF_CMD_CREATE_QP] = create_qp
handlers[FF_CMD_MODIFY_QP] = modify_qp
handlers[FF_CMD_QUERY_QP] = query_qp
handlers[FF_CMD_DESTROY_QP] = destroy_qp
handlers[FF_CMD_CREATE_AH] = create_ah
handlers[FF_CMD_DESTROY_AH] = destroy_ah
handlers[FF_CMD_ATTACH_MCAST] = attach_mcast
handlers[FF_CMD_DETACH_MCAST] = detach_mcast
handlers[FF_CMD_CREATE_SRQ] = create_srq
handlers[FF_CMD_MODIFY_SRQ] = modify_srq
handlers[FF_CMD_QUERY_SRQ] = query_srq
handlers[FF_CMD_DESTROY_SRQ] = destroy_srq
handlers[FF_CMD_OPEN_XRCD] = open_xrcd
handlers[FF_CMD_CLOSE_XRCD] = close_xrcd
handlers[FF_CMD_OPEN_QP] = open_qp
handlers[FF_CMD_CM_OPEN] = cm_open
handlers[FF_CMD_CM_CALL] = cm_call


cdef void put(ffr_router *r, uint32_t session, uint32_t seq, int status, const ff_body *reply) noexcept nogil:
    cdef ff_command_slot *slot = &(<ff_session *>r.view[session].control).command
    slot.status = status
    memcpy(slot.reply, reply.bytes, FF_COMMAND_BODY)
    ff_store32_release(&slot.reply_seq, seq)                 # pairs with the acquire in FFL's call
    ffr_futex_wake(&slot.reply_seq)
    r.stats.commands += 1
    r.session_stats[session].commands += 1


cdef void answer_later(ffr_router *r, uint32_t session, ffr_later *found) noexcept nogil:
    """What a command had to wait for is there: its handler is asked again."""
    cdef ffr_later *later = &r.later[session]
    cdef ff_body reply
    cdef uint32_t i
    if later.state != FFR_LATER_ASKED or later.ticket != found.ticket:
        return                               # of a command that has been answered, or of an earlier session of that number
    memset(reply.bytes, 0, FF_COMMAND_BODY)
    later.state = FFR_LATER_MAPPED
    later.error, later.why = found.error, found.why
    for i in range(later.extents):
        later.mapping[i], later.mapped[i] = found.mapping[i], found.mapped[i]
    i = <uint32_t>handlers[later.op](r, session, later.request.bytes, reply.bytes)
    later.state = FFR_LATER_NONE
    found.kept = later.kept
    put(r, session, later.seq, <int>i, &reply)


cdef bint answer(ffr_router *r, uint32_t session) noexcept nogil:
    cdef ffr_session *s = &r.state.session[session]
    cdef ff_session *shared = <ff_session *>r.view[session].control
    cdef ff_command_slot *slot = &shared.command
    cdef ff_body request
    cdef ff_body reply
    cdef uint32_t seq, op
    cdef int status = EOPNOTSUPP
    if not ff_load32(&shared.command_bell):  # a hint; the exchange orders
        return False
    ff_exchange32(&shared.command_bell, 0)
    seq = ff_load32_acquire(&slot.request_seq)               # pairs with the release in FFL's call
    if seq == s.request_seq or r.later[session].state != FFR_LATER_NONE:
        return False                         # nothing new; or new before the last is answered, which no library does
    op = slot.op
    memcpy(request.bytes, slot.request, FF_COMMAND_BODY)
    memset(reply.bytes, 0, FF_COMMAND_BODY)
    s.request_seq = seq
    if op < FF_CMD_LAST and handlers[op] != NULL:
        status = handlers[op](r, session, request.bytes, reply.bytes)
    if status == FFR_LATER:
        r.later[session].seq = seq
        r.later[session].op = op
        memcpy(r.later[session].request.bytes, request.bytes, FF_COMMAND_BODY)
    else:
        put(r, session, seq, status, &reply)
    return True
