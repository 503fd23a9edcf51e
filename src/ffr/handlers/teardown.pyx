from ffr.cm.channels cimport cm_leave
from ffr.objects.events cimport events_drop
from ffr.handlers.ah cimport ah_free
from ffr.handlers.cq cimport cq_free
from ffr.handlers.importing cimport dm_leave, import_free, mr_leave, pd_leave
from ffr.handlers.mcast cimport mcast_free
from ffr.handlers.mw cimport mw_free
from ffr.handlers.qp cimport qp_close
from ffr.handlers.srq cimport srq_free
from ffr.handlers.xrc cimport opener_free, xrcd_free
from ffr.state cimport (FFR_AH, FFR_CHANNEL, FFR_CM_CHANNEL, FFR_CM_EVENT, FFR_CM_GROUP, FFR_CM_ID, FFR_CQ, FFR_DM, FFR_IMPORT, FFR_MCAST, FFR_MR, FFR_MW, FFR_NONE, FFR_OPENER, FFR_PD, FFR_QP,
                        FFR_SRQ, FFR_XRCD, object_at, object_free)


cdef extern from "<unistd.h>" nogil:
    int close(int fd)


# Users before what they use: an attachment and an opener name a QP, a QP a CQ, a PD and an SRQ or an XRC domain, an SRQ a CQ,
# a PD and a domain, a window an MR, an MR a PD and device memory, an AH a PD, a CQ a channel. What was imported goes before own
# PDs, since any of those above may use it.
cdef enum:
    ORDER = 17
    NO_CONTEXT = 0xfffffffe   # of rdma_cm's, which end with their session

cdef int kinds[ORDER]

kinds[:] = [FFR_MCAST, FFR_OPENER, FFR_QP, FFR_SRQ, FFR_MW, FFR_MR, FFR_DM, FFR_AH, FFR_IMPORT, FFR_CQ, FFR_XRCD, FFR_PD, FFR_CHANNEL,
            FFR_CM_ID, FFR_CM_EVENT, FFR_CM_GROUP, FFR_CM_CHANNEL]


cdef uint32_t context_of(ffr_router *r, int kind, uint32_t index) noexcept nogil:
    if kind == FFR_MCAST:
        return r.state.qp[r.state.mcast[index].qp].context
    if kind == FFR_QP:
        return r.state.qp[index].context
    if kind == FFR_AH:
        return r.state.ah[index].context
    if kind == FFR_MR or kind == FFR_MW:
        return r.state.mr[index].context
    if kind == FFR_IMPORT:
        return r.state.imports[index].context
    if kind == FFR_DM:
        return r.state.dm[index].context
    if kind == FFR_CQ:
        return r.state.cq[index].context
    if kind == FFR_PD:
        return r.state.pd[index].context
    if kind == FFR_SRQ:
        return r.state.srq[index].context
    if kind == FFR_XRCD:
        return r.state.xrcd[index].context
    if kind == FFR_OPENER:
        return r.state.opener[index].context
    if kind >= FFR_CM_CHANNEL:
        return NO_CONTEXT
    return r.state.channel[index].context


cdef void free_one(ffr_router *r, int kind, uint32_t index) noexcept nogil:
    if kind == FFR_MCAST:
        mcast_free(r, index)
    elif kind == FFR_QP:
        qp_close(r, index)
    elif kind == FFR_AH:
        ah_free(r, index)
    elif kind == FFR_SRQ:
        srq_free(r, index)
    elif kind == FFR_XRCD:
        xrcd_free(r, index)
    elif kind == FFR_OPENER:
        opener_free(r, index)
    elif kind == FFR_MR:
        mr_leave(r, index)
    elif kind == FFR_MW:
        mw_free(r, index)
    elif kind == FFR_DM:
        dm_leave(r, index)
    elif kind == FFR_CQ:
        cq_free(r, index)
    elif kind == FFR_IMPORT:
        import_free(r, index)
    elif kind == FFR_PD:
        pd_leave(r, index)
    elif kind >= FFR_CM_CHANNEL:
        cm_leave(r, kind, index)
    else:
        if kind == FFR_CHANNEL:
            events_drop(r, index)
            close(r.state.channel[index].fd)
        object_free(r, kind, index)


cdef bint belongs(ffr_router *r, int kind, uint32_t index, uint32_t context) noexcept nogil:
    """To the context, or to any (FFR_NONE). An MR or DM that has none has been left already to those who have imported it."""
    cdef uint32_t of = context_of(r, kind, index)
    return of == context or (context == FFR_NONE and of != FFR_NONE)


cdef bint close_objects(ffr_router *r, uint32_t session, uint32_t context, int budget) noexcept nogil:
    cdef uint32_t index, following
    cdef int place, kind
    for place in range(ORDER):
        kind = kinds[place]
        index = r.state.session[session].first[kind]
        while index != FFR_NONE:             # bound: the session's limits
            following = object_at(r.state, kind, index).next
            if belongs(r, kind, index, context):
                if budget == 0:
                    return False
                budget -= 1
                free_one(r, kind, index)
            index = following
    return True
