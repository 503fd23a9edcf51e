from libc.errno cimport EINVAL, ENOMEM
from libc.string cimport memcpy, memset

from ffr.cm.events cimport event_put, events_withdraw
from ffr.cm.ports cimport address_any
from ffr.cm.abi cimport CM_EV_MULTICAST_JOIN, rdma_ucm_event_resp
from ffr.cm.state cimport ffr_cm_group, ffr_cm_id
from ffr.state cimport FFR_CM_GROUP, FFR_NONE, object_free, object_new


cdef enum:
    MULTICAST_QPN = 0xFFFFFF  # IBTA 10.5.2
    HOP_LIMIT = 1             # as Linux has it: a group is of the link


cdef int group_join(ffr_router *r, uint32_t id, uint64_t uid, const cm_address *at, uint32_t *handle) noexcept nogil:
    """RoCE has no subnet administrator to ask: whoever names a group is in it. Of IPv4 the GID is the mapped address."""
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef rdma_ucm_event_resp body
    cdef uint32_t group
    if not address_any(at) and (at.ip[0] != 0xff if at.family == 6 else at.ip[12] >> 4 != 14):
        return EINVAL
    group = object_new(r, FFR_CM_GROUP, a.o.session)
    if group == FFR_NONE:
        return ENOMEM
    r.state.cm_group[group].id = id
    r.state.cm_group[group].uid = uid
    r.state.cm_group[group].reported = 0
    memset(r.state.cm_group[group].gid, 0, 16)
    if not address_any(at):
        memcpy(r.state.cm_group[group].gid, at.ip, 16)
    memset(&body, 0, sizeof(body))
    body.event = CM_EV_MULTICAST_JOIN
    body.param.ud.qp_num = MULTICAST_QPN
    body.param.ud.qkey = a.qkey
    memcpy(body.param.ud.ah_attr.grh.dgid, r.state.cm_group[group].gid, 16)
    body.param.ud.ah_attr.grh.sgid_index = <unsigned char>a.sgid_index
    body.param.ud.ah_attr.grh.hop_limit = HOP_LIMIT
    body.param.ud.ah_attr.grh.traffic_class = a.traffic_class
    body.param.ud.ah_attr.is_global = 1
    body.param.ud.ah_attr.port_num = 1
    if not event_put(r, id, FFR_NONE, group, &body):
        object_free(r, FFR_CM_GROUP, group)
        return ENOMEM
    a.groups += 1
    handle[0] = group
    return 0


cdef uint32_t group_leave(ffr_router *r, uint32_t group) noexcept nogil:
    cdef uint32_t fresh, told = events_withdraw(r, r.state.cm_group[group].id, group, &fresh)
    group_free(r, group)
    return told


cdef void group_free(ffr_router *r, uint32_t group) noexcept nogil:
    r.state.cm_id[r.state.cm_group[group].id].groups -= 1
    object_free(r, FFR_CM_GROUP, group)


cdef void groups_leave(ffr_router *r, uint32_t id) noexcept nogil:
    """Bound: the session's memberships. Few ids have any."""
    cdef uint32_t at = r.state.session[r.state.cm_id[id].o.session].first[FFR_CM_GROUP], next
    while at != FFR_NONE and r.state.cm_id[id].groups:
        next = r.state.cm_group[at].o.next
        if r.state.cm_group[at].id == id:
            group_free(r, at)
        at = next
