from libc.errno cimport EAGAIN, EBUSY, EINVAL, ENOMEM
from libc.stdint cimport uint64_t

from ffcore.control cimport (FF_QP_OPENED, FF_XRCD_CREATE, FF_XRCD_EXCLUSIVE, FF_XRCD_FILE, ff_cmd_handle,
                             ff_cmd_open_qp, ff_cmd_open_xrcd, ff_reply_handle)
from ffr.objects.events cimport events_forget
from ffr.handlers.base cimport owns_channel, owns_opener, owns_qp, owns_xrcd
from ffr.handlers.qp_record cimport qp_begin, qp_free
from ffr.ibv cimport IBV_QPS_RESET, IBV_QPT_XRC_RECV
from ffr.objects.qp cimport qp_set_state
from ffr.state cimport (FFR_NONE, FFR_OPENER, FFR_OPENERS_QP, FFR_QP, FFR_QPS, FFR_XRCD, ffr_opener, ffr_qp,
                        ffr_session, ffr_xrcd, object_free, object_move, object_new)


# ---- domains ----

cdef bint shares(ffr_router *r, uint32_t mine, uint32_t theirs) noexcept nogil:
    """Two sessions of one container."""
    cdef const ffr_session *s = &r.state.session[theirs]
    return not s.closing and s.share == r.state.session[mine].share


cdef uint64_t domain_of(ffr_router *r, uint32_t session, const ff_cmd_open_xrcd *c) noexcept nogil:
    """The domain that the file stands for; 0: none yet. A session may claim any file, so a file tells nothing across
    containers. Bound: FFR_XRCDS, once per ibv_open_xrcd."""
    cdef const ffr_xrcd *x
    cdef uint32_t i
    for i in range(r.state.table.fresh[FFR_XRCD]):
        x = &r.state.xrcd[i]
        if x.o.used and x.flags & FF_XRCD_FILE and x.inode == c.inode and x.device == c.device \
                and shares(r, session, x.o.session):
            return x.domain
    return 0


cdef int open_xrcd(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_open_xrcd *c = <const ff_cmd_open_xrcd *>body
    cdef ffr_session *s = &r.state.session[session]
    cdef uint64_t domain = 0
    cdef uint32_t index
    cdef ffr_xrcd *x
    if not owns_channel(r, session, c.context, True):
        return EINVAL
    if c.flags & FF_XRCD_FILE:
        domain = domain_of(r, session, c)
        if domain == 0 and not c.flags & FF_XRCD_CREATE:
            return EAGAIN                    # as the kernel has it
        if domain and c.flags & FF_XRCD_EXCLUSIVE:
            return EINVAL
    if s.count[FFR_XRCD] >= s.limit.max_xrcd:
        return ENOMEM
    index = object_new(r, FFR_XRCD, session)
    if index == FFR_NONE:
        return ENOMEM
    if domain == 0:
        r.state.domains += 1
        domain = r.state.domains
    x = &r.state.xrcd[index]
    x.context, x.flags, x.domain = c.context, c.flags, domain
    x.device, x.inode = c.device, c.inode
    (<ff_reply_handle *>reply).handle = index
    return 0


cdef void xrcd_free(ffr_router *r, uint32_t index) noexcept nogil:
    object_free(r, FFR_XRCD, index)


cdef int close_xrcd(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    if not owns_xrcd(r, session, index):
        return EINVAL
    if r.state.xrcd[index].o.references:
        return EBUSY
    xrcd_free(r, index)
    return 0


# ---- XRC_RECV QPs ----

cdef bint no_more_qps(const ffr_session *s) noexcept nogil:
    return s.count[FFR_QP] + s.count[FFR_OPENER] >= s.limit.max_qp


cdef int create_target(ffr_router *r, uint32_t session, const ff_cmd_create_qp *c, ff_reply_create_qp *a) noexcept nogil:
    cdef uint32_t index
    cdef ffr_qp *q
    if not owns_xrcd(r, session, c.xrcd):
        return EINVAL
    if no_more_qps(&r.state.session[session]):
        return ENOMEM
    index = object_new(r, FFR_QP, session)
    if index == FFR_NONE:
        return ENOMEM
    qp_begin(r, index, IBV_QPT_XRC_RECV)
    q = &r.state.qp[index]
    q.xrcd = c.xrcd
    q.domain = r.state.xrcd[c.xrcd].domain
    q.context = r.state.xrcd[c.xrcd].context
    r.state.xrcd[c.xrcd].o.references += 1
    qp_set_state(r, index, IBV_QPS_RESET)
    a.handle = index
    a.qpn = q.qpn
    return 0


cdef uint32_t qp_named(ffr_router *r, uint32_t session, uint32_t handle) noexcept nogil:
    if handle & FF_QP_OPENED:
        handle &= ~FF_QP_OPENED
        return r.state.opener[handle].qp if owns_opener(r, session, handle) else <uint32_t>FFR_NONE
    return handle if owns_qp(r, session, handle) else <uint32_t>FFR_NONE


cdef uint32_t openers_of(ffr_router *r, const ffr_qp *q) noexcept nogil:
    cdef uint32_t at = q.opener, n = 0
    while at != FFR_NONE:                    # bound: FFR_OPENERS_QP
        at = r.state.opener[at].next
        n += 1
    return n


cdef int open_qp(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_open_qp *c = <const ff_cmd_open_qp *>body
    cdef ffr_qp *q = &r.state.qp[c.qpn & (FFR_QPS - 1)]
    cdef ffr_opener *o
    cdef uint32_t index
    if not owns_xrcd(r, session, c.xrcd):
        return EINVAL
    if not q.o.used or q.qpn != c.qpn or q.type != IBV_QPT_XRC_RECV or q.domain != r.state.xrcd[c.xrcd].domain:
        return EINVAL
    if no_more_qps(&r.state.session[session]) or openers_of(r, q) >= FFR_OPENERS_QP:
        return ENOMEM
    index = object_new(r, FFR_OPENER, session)
    if index == FFR_NONE:
        return ENOMEM
    o = &r.state.opener[index]
    o.qp = c.qpn & (FFR_QPS - 1)
    o.xrcd = c.xrcd
    o.context = r.state.xrcd[c.xrcd].context
    o.owed = 0
    o.next = q.opener
    q.opener = index
    r.state.xrcd[c.xrcd].o.references += 1
    (<ff_reply_handle *>reply).handle = FF_QP_OPENED | index
    return 0


cdef void qp_adopt(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    cdef const ffr_opener *o
    if q.opener == FFR_NONE:
        qp_free(r, index)
        return
    o = &r.state.opener[q.opener]
    r.state.xrcd[q.xrcd].o.references -= 1
    r.state.xrcd[o.xrcd].o.references += 1
    q.xrcd, q.context = o.xrcd, o.context
    object_move(r, FFR_QP, index, o.o.session)
    r.qp_stats[index].session = o.o.session


cdef void opener_free(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_opener *o = &r.state.opener[index]
    cdef ffr_qp *q = &r.state.qp[o.qp]
    cdef uint32_t *link = &q.opener
    if o.owed:
        events_forget(r, o.context, &o.owed)
    while link[0] != index:                  # bound: FFR_OPENERS_QP
        link = &r.state.opener[link[0]].next
    link[0] = o.next
    if q.orphan:
        qp_adopt(r, o.qp)                    # first: it may hold the domain that this handle has
    r.state.xrcd[o.xrcd].o.references -= 1
    object_free(r, FFR_OPENER, index)


cdef int qp_unopen(ffr_router *r, uint32_t session, uint32_t opener) noexcept nogil:
    if not owns_opener(r, session, opener):
        return EINVAL
    opener_free(r, opener)
    return 0
