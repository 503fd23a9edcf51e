"""Memory windows: making and freeing them. What binds and invalidates them is a WQE (mem/windows.pyx)."""

from libc.errno cimport EINVAL, ENOMEM

from ffcore.control cimport ff_cmd_alloc_mw, ff_cmd_handle, ff_reply_reg_mr
from ffr.handlers.base cimport owns_mw
from ffr.objects.memory cimport pd_context
from ffr.handlers.pd_mr cimport key_object
from ffr.ibv cimport IBV_MW_TYPE_1, IBV_MW_TYPE_2
from ffr.mem.windows cimport window_unbind
from ffr.state cimport FFR_MW, FFR_NONE, FFR_WINDOW_1, FFR_WINDOW_2, ffr_session, object_free


cdef int alloc_mw(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_alloc_mw *c = <const ff_cmd_alloc_mw *>body
    cdef ffr_session *s = &r.state.session[session]
    if pd_context(r, session, c.pd) == FFR_NONE or (c.type != IBV_MW_TYPE_1 and c.type != IBV_MW_TYPE_2):
        return EINVAL
    if s.count[FFR_MW] >= s.limit.max_mr:
        return ENOMEM
    if key_object(r, FFR_MW, session, c.pd, FFR_WINDOW_1 if c.type == IBV_MW_TYPE_1 else FFR_WINDOW_2,
                  <ff_reply_reg_mr *>reply) == FFR_NONE:
        return ENOMEM
    return 0


cdef void mw_free(ffr_router *r, uint32_t index) noexcept nogil:
    window_unbind(r, &r.state.mr[index])
    r.state.pd[r.state.mr[index].pd].o.references -= 1
    object_free(r, FFR_MW, index)


cdef int dealloc_mw(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    if not owns_mw(r, session, index):
        return EINVAL
    mw_free(r, index)
    return 0
