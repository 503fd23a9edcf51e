"""The handler contract: one function per command of control.h.

A handler runs in the reactor thread, without the GIL. `body` is a private copy of the request (FF_COMMAND_BODY bytes,
whatever the container wrote: check everything), `reply` is private too and zeroed. It returns 0 or the errno that
verbs documents, and does a bounded amount of work. FFR_LATER: another thread has been asked for something (r.later), and
the same handler is called again, with the same request, when it has answered.

PDs, MRs and DMs may be imported, so that whether a session has one is more than whose it is: objects/memory.pxd.
"""

from libc.stdint cimport uint32_t

from ffr.objects.memory cimport is_window
from ffr.state cimport (FFR_AHS, FFR_CQS, FFR_CHANNELS, FFR_MRS, FFR_OPENERS, FFR_QPS, FFR_SRQS, FFR_XRCDS, ffr_router)


cdef enum:
    FFR_LATER = -1


cdef inline uint32_t power_of_2(uint32_t n) noexcept nogil:
    """The smallest that is not less. n <= FFR_MAX_CQE: 20 turns."""
    cdef uint32_t p = 1
    while p < n:
        p *= 2
    return p


cdef inline bint owns_qp(ffr_router *r, uint32_t session, uint32_t handle) noexcept nogil:
    return (handle < FFR_QPS and r.state.qp[handle].o.used and r.state.qp[handle].o.session == session
            and not r.state.qp[handle].orphan)

cdef inline bint owns_cq(ffr_router *r, uint32_t session, uint32_t handle) noexcept nogil:
    return handle < FFR_CQS and r.state.cq[handle].o.used and r.state.cq[handle].o.session == session

cdef inline bint owns_mw(ffr_router *r, uint32_t session, uint32_t handle) noexcept nogil:
    return (handle < FFR_MRS and r.state.mr[handle].o.used and r.state.mr[handle].o.session == session
            and is_window(&r.state.mr[handle]))

cdef inline bint owns_ah(ffr_router *r, uint32_t session, uint32_t handle) noexcept nogil:
    return handle < FFR_AHS and r.state.ah[handle].o.used and r.state.ah[handle].o.session == session

cdef inline bint owns_srq(ffr_router *r, uint32_t session, uint32_t handle) noexcept nogil:
    return handle < FFR_SRQS and r.state.srq[handle].o.used and r.state.srq[handle].o.session == session

cdef inline bint owns_xrcd(ffr_router *r, uint32_t session, uint32_t handle) noexcept nogil:
    return handle < FFR_XRCDS and r.state.xrcd[handle].o.used and r.state.xrcd[handle].o.session == session

cdef inline bint owns_opener(ffr_router *r, uint32_t session, uint32_t handle) noexcept nogil:
    return handle < FFR_OPENERS and r.state.opener[handle].o.used and r.state.opener[handle].o.session == session

cdef inline bint owns_channel(ffr_router *r, uint32_t session, uint32_t handle, bint is_async) noexcept nogil:
    return (handle < FFR_CHANNELS and r.state.channel[handle].o.used and r.state.channel[handle].o.session == session
            and r.state.channel[handle].is_async == is_async)
