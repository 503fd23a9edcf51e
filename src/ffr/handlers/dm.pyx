"""Device memory is a run of pages of the control segment: the router's own, mapped on both sides, within a limit, and
there from its allocation on. So the program copies to and from it without a command, as to a NIC's BAR."""

from libc.errno cimport EBUSY, EFAULT, EINVAL, ENOMEM
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from ffcore.control cimport (ff_cmd_alloc_dm, ff_cmd_copy_dm, ff_cmd_handle, ff_cmd_reg_dm_mr, ff_reply_alloc_dm,
                             ff_reply_reg_mr)
from ffcore.shm cimport FF_PAYLOAD_OFFSET, FF_PAYLOAD_SIZE
from ffr.handlers.base cimport owns_channel
from ffr.handlers.pd_mr cimport bad_access, key_object
from ffr.mem.region cimport object_with_ring, pages_of
from ffr.objects.memory cimport dm_context, dm_free, imports_drop, pd_context
from ffr.state cimport (FFR_ACCESS_LOCAL, FFR_DEVICE, FFR_DM, FFR_DMS, FFR_MR, FFR_NONE, ffr_dm, ffr_mr, ffr_session)


cdef int alloc_dm(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_alloc_dm *c = <const ff_cmd_alloc_dm *>body
    cdef ff_reply_alloc_dm *a = <ff_reply_alloc_dm *>reply
    cdef ffr_session *s = &r.state.session[session]
    cdef uint32_t index, pages
    if not owns_channel(r, session, c.context, True) or c.length == 0:
        return EINVAL
    if s.dm_bytes > s.limit.dm_bytes or c.length > s.limit.dm_bytes - s.dm_bytes:   # the limit may have been lowered
        return ENOMEM
    pages = pages_of(c.length)
    index = object_with_ring(r, FFR_DM, session, pages, &a.offset)
    if index == FFR_NONE:
        return ENOMEM
    r.state.dm[index].context = c.context
    r.state.dm[index].pages = pages
    r.state.dm[index].offset = a.offset
    r.state.dm[index].length = c.length
    r.state.dm[index].group = r.state.channel[c.context].group
    r.state.dm[index].importer = FFR_NONE
    r.state.dm[index].ended = 0
    s.dm_bytes += c.length
    a.handle = index
    return 0


cdef int free_dm(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    cdef ffr_dm *dm = &r.state.dm[index % FFR_DMS]
    if dm_context(r, session, index) == FFR_NONE:
        return EINVAL
    if dm.o.references:                      # MRs
        return EBUSY
    if dm.o.session == session or dm.context == FFR_NONE:
        dm_free(r, index)
        return 0
    dm.ended = 1                             # its maker has it mapped, and would write into what is there next
    imports_drop(r, FFR_DM, index)
    return 0


cdef int reclaim_dm(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    cdef const ffr_dm *dm = &r.state.dm[index % FFR_DMS]
    if index >= FFR_DMS or not dm.o.used or dm.o.session != session or not dm.ended:
        return EINVAL
    dm_free(r, index)
    return 0


cdef int copy_dm(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    """An importer has no mapping of it: it lies among the rings of its maker."""
    cdef const ff_cmd_copy_dm *c = <const ff_cmd_copy_dm *>body
    cdef const ffr_dm *dm = &r.state.dm[c.dm % FFR_DMS]
    cdef uint8_t *payload = r.view[session].control + FF_PAYLOAD_OFFSET
    cdef uint8_t *at
    if dm_context(r, session, c.dm) == FFR_NONE or c.length > FF_PAYLOAD_SIZE:
        return EINVAL
    if c.offset > dm.length or c.length > dm.length - c.offset:
        return EFAULT
    at = r.view[dm.o.session].control + dm.offset + c.offset
    if c.to_dm:
        memcpy(at, payload, c.length)
    else:
        memcpy(payload, at, c.length)
    return 0


cdef int reg_dm_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_reg_dm_mr *c = <const ff_cmd_reg_dm_mr *>body
    cdef ffr_session *s = &r.state.session[session]
    cdef const ffr_dm *dm
    cdef ffr_mr *mr
    cdef uint32_t index
    index = dm_context(r, session, c.dm)     # a context that is closed takes its objects with it
    if index == FFR_NONE or pd_context(r, session, c.pd) != index or bad_access(c.access):
        return EINVAL
    dm = &r.state.dm[c.dm]
    if c.offset > dm.length or c.length > dm.length - c.offset:
        return EINVAL
    if s.count[FFR_MR] >= s.limit.max_mr:
        return ENOMEM
    index = key_object(r, FFR_MR, session, c.pd, FFR_DEVICE, <ff_reply_reg_mr *>reply)
    if index == FFR_NONE:
        return ENOMEM
    mr = &r.state.mr[index]
    mr.access = c.access | <uint32_t>FFR_ACCESS_LOCAL
    mr.of = c.dm
    mr.offset = dm.offset + c.offset
    mr.length = c.length
    r.state.dm[c.dm].o.references += 1
    return 0
