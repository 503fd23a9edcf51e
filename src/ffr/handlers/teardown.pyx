from ffr.handlers.cq cimport cq_free
from ffr.handlers.pd_mr cimport mr_free
from ffr.handlers.qp cimport qp_free
from ffr.state cimport (FFR_CHANNEL, FFR_CQ, FFR_KINDS, FFR_MR, FFR_NONE, FFR_PD, FFR_QP, ffr_session, object_at,
                        object_free)


cdef extern from "<unistd.h>" nogil:
    int close(int fd)


cdef enum:
    ORDER = 5


cdef int kind_at(int place) noexcept nogil:
    """Users before what they use: a QP names a CQ and a PD, an MR a PD, a CQ a channel."""
    if place == 0:
        return FFR_QP
    if place == 1:
        return FFR_MR
    if place == 2:
        return FFR_CQ
    if place == 3:
        return FFR_PD
    return FFR_CHANNEL


cdef uint32_t context_of(ffr_router *r, int kind, uint32_t index) noexcept nogil:
    if kind == FFR_QP:
        return r.state.qp[index].context
    if kind == FFR_MR:
        return r.state.pd[r.state.mr[index].pd].context
    if kind == FFR_CQ:
        return r.state.cq[index].context
    if kind == FFR_PD:
        return r.state.pd[index].context
    return r.state.channel[index].context


cdef void free_one(ffr_router *r, int kind, uint32_t index) noexcept nogil:
    if kind == FFR_QP:
        qp_free(r, index)
    elif kind == FFR_MR:
        mr_free(r, index)
    elif kind == FFR_CQ:
        cq_free(r, index)
    else:
        if kind == FFR_CHANNEL:
            close(r.state.channel[index].fd)
        object_free(r, kind, index)


cdef bint close_objects(ffr_router *r, uint32_t session, uint32_t context, int budget) noexcept nogil:
    cdef uint32_t index, following
    cdef int place, kind
    for place in range(ORDER):
        kind = kind_at(place)
        index = r.state.session[session].first[kind]
        while index != FFR_NONE:             # bound: the session's limits
            following = object_at(r.state, kind, index).next
            if context == FFR_NONE or context_of(r, kind, index) == context:
                if budget == 0:
                    return False
                budget -= 1
                free_one(r, kind, index)
            index = following
    return True
