from libc.errno cimport EAGAIN, EINVAL
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from ffcore.control cimport ff_cmd_handle, ff_reply_context, ff_reply_device, ff_reply_gids, ff_reply_held, ff_reply_port
from ffcore.shm cimport FF_MAX_INLINE, FF_MAX_SGE
from ffr.handlers.base cimport owns_channel
from ffr.handlers.channel cimport SECRET, context_new
from ffr.handlers.cq cimport cqe_max
from ffr.handlers.teardown cimport close_objects
from ffr.ibv cimport IBV_MTU_4096, IBV_PORT_ACTIVE, IBV_PORT_DOWN
from ffr.state cimport (FFR_CQ, FFR_MAX_RD_ATOMIC, FFR_MAX_WR, FFR_MCAST_QPS, FFR_MR, FFR_PD, FFR_QP, FFR_SRQ, ffr_session,
                        ffr_share)


cdef extern from "<sys/random.h>" nogil:
    ssize_t getrandom(void *at, size_t size, unsigned int flags)


cdef enum:
    LOCAL_SPEED_MBPS = 100000


cdef int open_context(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint64_t secret[2]
    if getrandom(secret, SECRET, 0) != SECRET:       # complete: so few bytes always are
        return EAGAIN
    r.state.groups += 1
    return context_new(r, session, r.state.groups, secret, <ff_reply_context *>reply)


cdef int close_context(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    """Takes with it whatever the application left open in this context."""
    cdef uint32_t context = (<ff_cmd_handle *>body).handle
    if not owns_channel(r, session, context, True):
        return EINVAL
    close_objects(r, session, context, -1)
    r.state.session[session].contexts -= 1
    return 0


cdef int query_device(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef ffr_session *s = &r.state.session[session]
    cdef ff_reply_device *d = <ff_reply_device *>reply
    d.guid = s.guid
    # Of private memory, which has to find a place in the segment: all of it but the library's pool (an eighth) and what a range
    # that begins and ends in the middle of a window reserves beside it (two windows, a thirty-second at most).
    d.max_mr_size = min(s.limit.pinned_bytes, s.memory_size // 32 * 27)
    d.max_qp = s.limit.max_qp
    d.max_qp_wr = FFR_MAX_WR
    d.max_sge = FF_MAX_SGE
    d.max_sge_rd = FF_MAX_SGE
    d.max_cq = s.limit.max_cq
    d.max_cqe = cqe_max(s)
    d.max_mr = s.limit.max_mr
    d.max_pd = s.limit.max_pd
    d.max_qp_rd_atom = FFR_MAX_RD_ATOMIC
    d.max_qp_init_rd_atom = FFR_MAX_RD_ATOMIC
    d.max_inline = FF_MAX_INLINE
    d.max_ah = s.limit.max_ah
    d.max_srq = s.limit.max_srq
    d.max_srq_wr = FFR_MAX_WR
    d.max_srq_sge = FF_MAX_SGE
    d.max_mcast_qp = FFR_MCAST_QPS
    d.max_mcast_attached = s.limit.max_mcast
    d.max_dm = s.limit.dm_bytes
    return 0


cdef int query_port(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef ff_reply_port *p = <ff_reply_port *>reply
    p.state = IBV_PORT_DOWN if r.state.session[session].port_down else IBV_PORT_ACTIVE
    p.max_mtu = IBV_MTU_4096
    p.active_mtu = IBV_MTU_4096
    while 128 << p.active_mtu > r.port_mtu:
        p.active_mtu -= 1
    p.gid_count = r.state.session[session].gid_count
    p.speed_mbps = LOCAL_SPEED_MBPS
    p.qkey_violations = r.state.session[session].qkey_violations
    return 0


cdef int query_held(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef ffr_share *share = &r.state.share[r.state.session[session].share]
    cdef ff_reply_held *h = <ff_reply_held *>reply
    h.pds, h.cqs, h.qps = share.held[<int>FFR_PD], share.held[<int>FFR_CQ], share.held[<int>FFR_QP]
    h.mrs, h.srqs = share.held[<int>FFR_MR], share.held[<int>FFR_SRQ]
    return 0


cdef int query_gids(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef ff_reply_gids *g = <ff_reply_gids *>reply
    g.count = r.state.session[session].gid_count
    memcpy(g.gid, r.state.session[session].gid, sizeof(g.gid))
    return 0
