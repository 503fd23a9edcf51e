from ffr.cm.channels cimport cm_channel_leave, cm_event_leave, cm_group_leave, cm_id_leave
from ffr.handlers.ah cimport ah_free
from ffr.handlers.channel cimport channel_free
from ffr.handlers.cq cimport cq_free
from ffr.handlers.importing cimport dm_leave, import_free, mr_leave, pd_leave
from ffr.handlers.mcast cimport mcast_free
from ffr.handlers.mw cimport mw_free
from ffr.handlers.qp cimport qp_close
from ffr.handlers.srq cimport srq_free
from ffr.handlers.xrc cimport opener_free, xrcd_free
from ffr.state cimport (FFR_AH, FFR_CHANNEL, FFR_CM_CHANNEL, FFR_CM_EVENT, FFR_CM_GROUP, FFR_CM_ID, FFR_CQ, FFR_DM, FFR_IMPORT, FFR_KINDS, FFR_MCAST, FFR_MR, FFR_MW, FFR_NONE, FFR_OPENER,
                        FFR_PD, FFR_QP, FFR_SRQ, FFR_XRCD, ffr_object, object_at, object_context)

ctypedef void (*end_fn)(ffr_router *r, uint32_t index) noexcept nogil

cdef struct ending:
    int kind
    end_fn end

cdef ending endings[FFR_KINDS]
cdef int endings_count = 0


cdef void then(int kind, end_fn end) noexcept:
    global endings_count
    endings[endings_count] = ending(kind, end)
    endings_count += 1


# Users before what they use: an attachment and an opener name a QP, a QP a CQ, a PD and an SRQ or an XRC domain, an SRQ a CQ,
# a PD and a domain, a window an MR, an MR a PD and device memory, an AH a PD, a CQ a channel. What was imported goes before own
# PDs, since any of those above may use it.
then(FFR_MCAST, mcast_free)
then(FFR_OPENER, opener_free)
then(FFR_QP, qp_close)
then(FFR_SRQ, srq_free)
then(FFR_MW, mw_free)
then(FFR_MR, mr_leave)
then(FFR_DM, dm_leave)
then(FFR_AH, ah_free)
then(FFR_IMPORT, import_free)
then(FFR_CQ, cq_free)
then(FFR_XRCD, xrcd_free)
then(FFR_PD, pd_leave)
then(FFR_CHANNEL, channel_free)
# Events and memberships that nobody inherits have gone with their ids.
then(FFR_CM_ID, cm_id_leave)
then(FFR_CM_EVENT, cm_event_leave)
then(FFR_CM_GROUP, cm_group_leave)
then(FFR_CM_CHANNEL, cm_channel_leave)


cdef bint belongs(ffr_router *r, int kind, uint32_t index, uint32_t context) noexcept nogil:
    """To the context, or to any (FFR_NONE). An MR or DM that has none has been left already to those who have imported it."""
    cdef uint32_t of = object_context(r.state, kind, index)
    return of == context or (context == FFR_NONE and of != FFR_NONE)


cdef bint mine(ffr_router *r, uint32_t session, int kind, uint32_t index) noexcept nogil:
    cdef const ffr_object *o = object_at(r.state, kind, index)
    return o.used and o.session == session


cdef bint close_objects(ffr_router *r, uint32_t session, uint32_t context, int budget) noexcept nogil:
    cdef const ending *e
    cdef uint32_t index, following
    cdef int place
    for place in range(endings_count):
        e = &endings[place]
        index = r.state.session[session].first[e.kind]
        while index != FFR_NONE:             # bound: the session's limits
            following = object_at(r.state, e.kind, index).next
            if belongs(r, e.kind, index, context):
                if budget == 0:
                    return False
                budget -= 1
                e.end(r, index)
            if following != FFR_NONE and not mine(r, session, e.kind, following):
                following = r.state.session[session].first[e.kind]     # it has gone with the other: a listener's request
            index = following
    return True
