from libc.errno cimport EACCES, EINVAL, ENOMEM

from ffcore.control cimport ff_cmd_create_ah, ff_cmd_handle, ff_reply_handle
from ffcore.grh cimport ff_gid_is_multicast
from ffr.handlers.base cimport owns_ah
from ffr.objects.memory cimport pd_context
from ffr.objects.reach cimport reach_deny, reach_to
from ffr.state cimport FFR_AH, FFR_NONE, ffr_session, has_gid, object_free, object_new


cdef int create_ah(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    """Whether somebody has the address is found out when a datagram is sent there: it may come and go."""
    cdef const ff_cmd_create_ah *c = <const ff_cmd_create_ah *>body
    cdef ffr_session *s = &r.state.session[session]
    cdef uint32_t index, context = pd_context(r, session, c.pd)
    if context == FFR_NONE:
        return EINVAL
    if not c.attr.is_global or c.attr.port_num != 1 or not has_gid(s, c.attr.sgid_index):
        return EINVAL                        # RoCE has no LIDs: an address is a GID
    if not ff_gid_is_multicast(c.attr.dgid) and not reach_to(r, session, c.attr.dgid):
        reach_deny(r, session, c.attr.dgid, False)
        return EACCES
    if s.count[FFR_AH] >= s.limit.max_ah:
        return ENOMEM
    index = object_new(r, FFR_AH, session)
    if index == FFR_NONE:
        return ENOMEM
    r.state.ah[index].pd = c.pd
    r.state.ah[index].context = context
    r.state.ah[index].attr = c.attr
    r.state.pd[c.pd].o.references += 1
    (<ff_reply_handle *>reply).handle = index
    return 0


cdef void ah_free(ffr_router *r, uint32_t index) noexcept nogil:
    r.state.pd[r.state.ah[index].pd].o.references -= 1
    object_free(r, FFR_AH, index)


cdef int destroy_ah(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    if not owns_ah(r, session, index):
        return EINVAL
    ah_free(r, index)
    return 0
