from libc.errno cimport EINVAL, ENOMEM
from libc.string cimport memcpy

from ffcore.control cimport ff_cmd_mcast
from ffcore.grh cimport ff_gid_is_multicast
from ffr.handlers.base cimport owns_qp
from ffr.ibv cimport IBV_QPT_UD
from ffr.objects.mcast cimport mcast_link, mcast_next, mcast_unlink
from ffr.state cimport FFR_MCAST, FFR_MCAST_QPS, FFR_NONE, ffr_mcast, ffr_session, object_free, object_new


cdef bint sensible(ffr_router *r, uint32_t session, const ff_cmd_mcast *c) noexcept nogil:
    return owns_qp(r, session, c.qp) and r.state.qp[c.qp].type == IBV_QPT_UD and ff_gid_is_multicast(c.gid)


cdef uint32_t find(ffr_router *r, const ff_cmd_mcast *c, uint32_t *attached) noexcept nogil:
    """This QP's attachment to the group, or FFR_NONE; then *attached is how many others have."""
    cdef uint32_t index = mcast_next(r, c.gid, FFR_NONE)
    attached[0] = 0
    while index != FFR_NONE and r.state.mcast[index].qp != c.qp:
        attached[0] += 1
        index = mcast_next(r, c.gid, index)
    return index


cdef int attach_mcast(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    """A QP that is attached already gets one copy all the same (ibv_attach_mcast(3)), and is detached by one call."""
    cdef const ff_cmd_mcast *c = <const ff_cmd_mcast *>body
    cdef ffr_session *s = &r.state.session[session]
    cdef uint32_t index, attached
    if not sensible(r, session, c):
        return EINVAL
    if find(r, c, &attached) != FFR_NONE:
        return 0
    if attached >= FFR_MCAST_QPS or s.count[FFR_MCAST] >= s.limit.max_mcast:
        return ENOMEM
    index = object_new(r, FFR_MCAST, session)
    if index == FFR_NONE:
        return ENOMEM
    r.state.mcast[index].qp = c.qp
    r.state.mcast[index].context = r.state.qp[c.qp].context
    memcpy(r.state.mcast[index].gid, c.gid, 16)
    mcast_link(r, index)
    r.state.qp[c.qp].o.references += 1
    return 0


cdef void mcast_free(ffr_router *r, uint32_t index) noexcept nogil:
    mcast_unlink(r, index)
    r.state.qp[r.state.mcast[index].qp].o.references -= 1
    object_free(r, FFR_MCAST, index)


cdef int detach_mcast(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_mcast *c = <const ff_cmd_mcast *>body
    cdef uint32_t index, attached
    if not sensible(r, session, c):
        return EINVAL
    index = find(r, c, &attached)
    if index == FFR_NONE:
        return EINVAL
    mcast_free(r, index)
    return 0
