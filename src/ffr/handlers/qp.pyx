from libc.errno cimport EACCES, EBUSY, EINVAL, ENOMEM, EOPNOTSUPP
from libc.stdint cimport uint64_t

from ffcore.control cimport (FF_NO_HANDLE, FF_QP_OPENED, ff_cap, ff_cmd_create_qp, ff_cmd_handle, ff_cmd_modify_qp, ff_qp_attr,
                             ff_reply_create_qp, ff_reply_query_qp, ff_reply_state)
from ffcore.shm cimport (FF_MAX_INLINE, FF_MAX_SGE, FF_QPS_PER_SESSION, FF_RECV_HEADER, FF_WQE_HEADER, ff_and64,
                         ff_qp_shared, ff_session, ff_sge)
from ffr.objects.events cimport events_forget
from ffr.handlers.base cimport owns_cq, owns_qp, owns_srq, power_of_2
from ffr.objects.memory cimport pd_context
from ffr.handlers.qp_record cimport opcodes_of, qp_begin
from ffr.handlers.transitions cimport transition_check
from ffr.handlers.xrc cimport create_target, qp_adopt, qp_named, qp_unopen
from ffr.ibv cimport (IBV_ACCESS_HUGETLB, IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_MW_BIND, IBV_ACCESS_ON_DEMAND,
                      IBV_ACCESS_RELAXED_ORDERING, IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_READ, IBV_ACCESS_REMOTE_WRITE,
                      IBV_ACCESS_ZERO_BASED, IBV_EVENT_SQ_DRAINED, IBV_MTU_256, IBV_MTU_4096, IBV_QPS_ERR, IBV_QPS_RESET,
                      IBV_QPS_RTR, IBV_QPS_RTS, IBV_QPS_SQD, IBV_QPT_DRIVER, IBV_QPT_RAW_PACKET, IBV_QPT_XRC_RECV,
                      IBV_QPT_XRC_SEND, IBV_QP_ACCESS_FLAGS, IBV_QP_ALT_PATH, IBV_QP_AV, IBV_QP_CUR_STATE, IBV_QP_DEST_QPN,
                      IBV_QP_EN_SQD_ASYNC_NOTIFY, IBV_QP_MAX_DEST_RD_ATOMIC, IBV_QP_MAX_QP_RD_ATOMIC, IBV_QP_MIN_RNR_TIMER,
                      IBV_QP_PATH_MIG_STATE, IBV_QP_PATH_MTU, IBV_QP_PKEY_INDEX, IBV_QP_PORT, IBV_QP_QKEY, IBV_QP_RETRY_CNT,
                      IBV_QP_RNR_RETRY, IBV_QP_RQ_PSN, IBV_QP_SQ_PSN, IBV_QP_STATE, IBV_QP_TIMEOUT, IBV_SRQT_BASIC)
from ffr.mem.region cimport object_with_ring, pages_of
from ffr.nic.base cimport nic_enter, nic_for, nic_mtu
from ffr.objects.qp cimport qp_activate, qp_error, qp_event, qp_reset, qp_set_state, qp_unlist
from ffr.objects.reach cimport reach_both, reach_deny
from ffr.objects.srq cimport srq_feed
from ffr.state cimport FFR_MAX_RD_ATOMIC, FFR_MAX_WR, FFR_NONE, FFR_QP, FFR_RUN, ffr_qp, ffr_session, has_gid


cdef enum:
    PSN_MASK = 0xffffff
    QP_ACCESS = (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC)
    FLUSH = 3 << 8  # IBV_ACCESS_FLUSH_GLOBAL and _PERSISTENT of newer headers: programs set them on any QP, and never flush
    # What only an MR has a use for: programs hand a QP the flags of their MRs.
    MR_ACCESS = (IBV_ACCESS_MW_BIND | IBV_ACCESS_ZERO_BASED | IBV_ACCESS_ON_DEMAND | IBV_ACCESS_HUGETLB
                 | IBV_ACCESS_RELAXED_ORDERING | FLUSH)


# ---- create ----

cdef uint32_t round_up(uint32_t n, uint32_t to) noexcept nogil:
    return (n + to - 1) // to * to


cdef uint32_t lay_out(const ff_cap *cap, ff_reply_create_qp *a) noexcept nogil:
    """Grants the caps and lays the rings out behind struct ff_qp_shared; offsets count from there. ff_cap is checked. Returns
    how many pages that takes."""
    cdef uint32_t payload = max(cap.max_send_sge * <uint32_t>sizeof(ff_sge), cap.max_inline)
    a.cap = cap[0]
    a.sq_entries = power_of_2(max(cap.max_send_wr, <uint32_t>1))
    a.sq_stride = round_up(FF_WQE_HEADER + max(payload, <uint32_t>sizeof(ff_sge)), 64)
    a.cap.max_inline = max(cap.max_inline, min(a.sq_stride - FF_WQE_HEADER, <uint32_t>FF_MAX_INLINE))
    a.rq_entries = power_of_2(cap.max_recv_wr) if cap.max_recv_wr else 0
    a.cap.max_send_wr = a.sq_entries if cap.max_send_wr else 0   # what the rings have room for is granted
    a.cap.max_recv_wr = a.rq_entries
    a.rq_stride = round_up(FF_RECV_HEADER + max(cap.max_recv_sge, <uint32_t>1) * <uint32_t>sizeof(ff_sge), 32)
    a.sq_offset = sizeof(ff_qp_shared)
    a.rq_offset = a.sq_offset + <uint64_t>a.sq_entries * a.sq_stride
    return pages_of(a.rq_offset + <uint64_t>a.rq_entries * a.rq_stride)


cdef int check_create(ffr_router *r, uint32_t session, const ff_cmd_create_qp *c) noexcept nogil:
    cdef const ff_cap *cap = &c.cap
    cdef bint receives = c.type != IBV_QPT_XRC_SEND
    cdef uint32_t context = pd_context(r, session, c.pd)
    if context == FFR_NONE or not owns_cq(r, session, c.send_cq):
        return EINVAL
    if context != r.state.cq[c.send_cq].context:
        return EINVAL                        # a context that is closed takes its CQs with it
    if receives and not (owns_cq(r, session, c.recv_cq) and r.state.cq[c.recv_cq].context == context):
        return EINVAL
    if opcodes_of(c.type) == 0:              # types that other devices have, and types that nobody has
        return EOPNOTSUPP if c.type == IBV_QPT_RAW_PACKET or c.type == IBV_QPT_DRIVER else EINVAL
    if receives and c.srq != FF_NO_HANDLE and not (
            owns_srq(r, session, c.srq) and r.state.srq[c.srq].type == IBV_SRQT_BASIC
            and r.state.srq[c.srq].context == context):
        return EINVAL
    if cap.max_send_wr > FFR_MAX_WR or cap.max_recv_wr > FFR_MAX_WR or cap.max_inline > FF_MAX_INLINE:
        return EINVAL
    if cap.max_send_sge > FF_MAX_SGE or cap.max_recv_sge > FF_MAX_SGE:
        return EINVAL
    if r.state.session[session].count[FFR_QP] >= r.state.session[session].limit.max_qp:
        return ENOMEM
    return 0


cdef uint32_t bell_new(ffr_session *s) noexcept nogil:
    """A free doorbell bit. The count is below max_qp <= FF_QPS_PER_SESSION, so there is one."""
    cdef uint32_t bit
    for bit in range(FF_QPS_PER_SESSION):
        if s.bell_qp[bit] == FFR_NONE:
            return bit
    return FFR_NONE


cdef void attach(ffr_router *r, uint32_t index, const ff_cmd_create_qp *c, const ff_reply_create_qp *a) noexcept nogil:
    """The QP uses these from now on."""
    cdef ffr_qp *q = &r.state.qp[index]
    q.pd, q.send_cq = c.pd, c.send_cq
    r.state.pd[q.pd].o.references += 1
    r.state.cq[q.send_cq].o.references += 1
    if c.type == IBV_QPT_XRC_SEND:
        return
    q.recv_cq = c.recv_cq
    r.state.cq[q.recv_cq].o.references += 1
    if c.srq != FF_NO_HANDLE:
        srq_feed(&q.rq, &r.state.srq[c.srq])
        r.state.srq[c.srq].o.references += 1
        return
    q.rq.ring, q.rq.entries, q.rq.stride = a.rq_offset, a.rq_entries, a.rq_stride
    q.rq.done = a.offset + <uint64_t>&(<ff_qp_shared *>NULL).rq_done
    q.rq.max_sge, q.rq.session, q.rq.pd = a.cap.max_recv_sge, q.o.session, c.pd


cdef void wish(const ff_cmd_create_qp *c, ff_cap *cap) noexcept nogil:
    """What it has no receive queue for is not granted."""
    cap[0] = c.cap
    if c.srq != FF_NO_HANDLE or c.type == IBV_QPT_XRC_SEND:
        cap.max_recv_wr = cap.max_recv_sge = 0


cdef int create_qp(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_create_qp *c = <const ff_cmd_create_qp *>body
    cdef ff_reply_create_qp *a = <ff_reply_create_qp *>reply
    cdef ffr_session *s = &r.state.session[session]
    cdef ff_session *shared = <ff_session *>r.view[session].control
    cdef uint32_t index, pages
    cdef ff_cap cap
    cdef ffr_qp *q
    cdef int error
    if c.type == IBV_QPT_XRC_RECV:
        return create_target(r, session, c, a)
    error = check_create(r, session, c)
    if error:
        return error
    wish(c, &cap)
    pages = lay_out(&cap, a)
    a.bell = bell_new(s)
    if a.bell == FFR_NONE:
        return ENOMEM
    index = object_with_ring(r, FFR_QP, session, pages, &a.offset)
    if index == FFR_NONE:
        return ENOMEM
    qp_begin(r, index, c.type)
    q = &r.state.qp[index]
    q.sq_sig_all = c.sq_sig_all
    q.bell = a.bell
    q.context = pd_context(r, session, c.pd)
    q.pages = pages
    q.offset = a.offset
    a.sq_offset += a.offset
    a.rq_offset += a.offset
    q.sq_offset, q.sq_entries, q.sq_stride = a.sq_offset, a.sq_entries, a.sq_stride
    q.cap = a.cap
    attach(r, index, c, a)
    ff_and64(&shared.qp_bell[q.bell >> 6], ~(<uint64_t>1 << (q.bell & 63)))
    s.bell_qp[q.bell] = index
    qp_set_state(r, index, IBV_QPS_RESET)
    a.handle = index
    a.qpn = q.qpn
    return 0


# ---- modify ----

cdef int check_values(const ffr_router *r, const ffr_session *s, uint32_t mask, const ff_qp_attr *a) noexcept nogil:
    """The values that IBTA bounds; only those that mask names."""
    if mask & IBV_QP_PORT and a.port_num != 1:
        return EINVAL
    if mask & IBV_QP_PKEY_INDEX and a.pkey_index != 0:
        return EINVAL
    if mask & IBV_QP_PATH_MTU and not IBV_MTU_256 <= a.path_mtu <= IBV_MTU_4096:
        return EINVAL
    if mask & IBV_QP_AV and (not a.ah.is_global or not has_gid(s, a.ah.sgid_index) or a.ah.port_num not in (0, 1)):
        return EINVAL                        # RoCE has no LIDs: an address is a GID
    if mask & IBV_QP_DEST_QPN and a.dest_qpn > PSN_MASK:
        return EINVAL
    if mask & IBV_QP_TIMEOUT and a.timeout > 31:
        return EINVAL
    if mask & IBV_QP_RETRY_CNT and a.retry_cnt > 7:
        return EINVAL
    if mask & IBV_QP_RNR_RETRY and a.rnr_retry > 7:
        return EINVAL
    if mask & IBV_QP_MIN_RNR_TIMER and a.min_rnr_timer > 31:
        return EINVAL
    if mask & IBV_QP_MAX_QP_RD_ATOMIC and a.max_rd_atomic > FFR_MAX_RD_ATOMIC:
        return EINVAL
    if mask & IBV_QP_MAX_DEST_RD_ATOMIC and a.max_dest_rd_atomic > FFR_MAX_RD_ATOMIC:
        return EINVAL
    if mask & IBV_QP_ACCESS_FLAGS and a.access & ~<uint32_t>(QP_ACCESS | MR_ACCESS):
        return EINVAL
    return 0


cdef void take_values(ff_qp_attr *to, uint32_t mask, const ff_qp_attr *a) noexcept nogil:
    if mask & IBV_QP_ACCESS_FLAGS:
        to.access = a.access & QP_ACCESS
    if mask & IBV_QP_PKEY_INDEX:
        to.pkey_index = a.pkey_index
    if mask & IBV_QP_PORT:
        to.port_num = a.port_num
    if mask & IBV_QP_QKEY:
        to.qkey = a.qkey
    if mask & IBV_QP_AV:
        to.ah = a.ah
    if mask & IBV_QP_PATH_MTU:
        to.path_mtu = a.path_mtu
    if mask & IBV_QP_TIMEOUT:
        to.timeout = a.timeout
    if mask & IBV_QP_RETRY_CNT:
        to.retry_cnt = a.retry_cnt
    if mask & IBV_QP_RNR_RETRY:
        to.rnr_retry = a.rnr_retry
    if mask & IBV_QP_RQ_PSN:
        to.rq_psn = a.rq_psn & PSN_MASK
    if mask & IBV_QP_SQ_PSN:
        to.sq_psn = a.sq_psn & PSN_MASK
    if mask & IBV_QP_MAX_QP_RD_ATOMIC:
        to.max_rd_atomic = a.max_rd_atomic
    if mask & IBV_QP_MAX_DEST_RD_ATOMIC:
        to.max_dest_rd_atomic = a.max_dest_rd_atomic
    if mask & IBV_QP_MIN_RNR_TIMER:
        to.min_rnr_timer = a.min_rnr_timer
    if mask & IBV_QP_DEST_QPN:
        to.dest_qpn = a.dest_qpn
    if mask & IBV_QP_PATH_MIG_STATE:
        to.path_mig_state = a.path_mig_state
    if mask & IBV_QP_ALT_PATH:
        to.alt_ah = a.alt_ah
        to.alt_pkey_index = a.alt_pkey_index
        to.alt_port_num = a.alt_port_num
        to.alt_timeout = a.alt_timeout


cdef uint32_t relevant(uint32_t qp_type, uint32_t mask) noexcept nogil:
    """XRC's halves are modified with all that RC takes, as a rule; each leaves out what the other half has."""
    if qp_type == IBV_QPT_XRC_SEND:
        return mask & ~<uint32_t>(IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER)
    if qp_type == IBV_QPT_XRC_RECV:
        return mask & ~<uint32_t>(IBV_QP_MAX_QP_RD_ATOMIC | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY)
    return mask


cdef int modify_qp(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_modify_qp *c = <const ff_cmd_modify_qp *>body
    cdef uint32_t state, mask, index = qp_named(r, session, c.handle)
    cdef ffr_qp *q
    cdef int error
    if index == FFR_NONE:
        return EINVAL
    q = &r.state.qp[index]
    mask = relevant(q.type, c.mask)
    state = c.attr.qp_state if mask & IBV_QP_STATE else q.state
    if mask & IBV_QP_CUR_STATE and c.attr.cur_qp_state != q.state:
        return EINVAL
    error = transition_check(q.type, q.state, state, mask)
    error = error or check_values(r, &r.state.session[session], mask, &c.attr)
    if error:
        return error
    if mask & IBV_QP_PATH_MTU and mask & IBV_QP_AV and 128 << c.attr.path_mtu > nic_mtu(r, session, &c.attr.ah):
        (<ff_reply_state *>reply).mtu_max = nic_mtu(r, session, &c.attr.ah)
        return EINVAL
    if mask & IBV_QP_AV and not reach_both(r, session, c.attr.ah.dgid):
        reach_deny(r, session, c.attr.ah.dgid, False)
        return EACCES
    take_values(&q.attr, mask, &c.attr)
    q.retries = q.attr.retry_cnt
    q.rnr_retries = q.attr.rnr_retry
    if state == IBV_QPS_RESET:
        qp_reset(r, index)
    elif state == IBV_QPS_ERR:
        qp_error(r, index, False)
    else:
        enter(r, index, state, mask & IBV_QP_EN_SQD_ASYNC_NOTIFY and c.attr.en_sqd_async_notify)
    (<ff_reply_state *>reply).qp_state = q.state
    return 0


cdef void enter(ffr_router *r, uint32_t index, uint32_t state, bint notify) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    cdef uint32_t before = q.state
    if state == before:
        return
    if state == IBV_QPS_RTR:
        q.nic = nic_for(r, index)
        r.qp_stats[index].dest_qpn = q.attr.dest_qpn
    qp_set_state(r, index, state)
    nic_enter(r, index, before)
    if state == IBV_QPS_RTS:
        qp_activate(r, index)                # what was posted in SQD
    elif state == IBV_QPS_SQD:
        # The current WQE stays where it is: SQD stops between packets of a message as it does between messages.
        qp_unlist(r, index)
        q.wait = FFR_RUN
        if notify:
            qp_event(r, index, IBV_EVENT_SQ_DRAINED)


# ---- query and destroy ----

cdef int query_qp(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = qp_named(r, session, (<ff_cmd_handle *>body).handle)
    cdef ff_reply_query_qp *a = <ff_reply_query_qp *>reply
    cdef ffr_qp *q
    if index == FFR_NONE:
        return EINVAL
    q = &r.state.qp[index]
    a.attr = q.attr
    a.attr.qp_state = a.attr.cur_qp_state = q.state
    a.attr.sq_draining = 0
    a.cap = q.cap
    a.sq_sig_all = q.sq_sig_all
    a.type = q.type
    return 0


cdef void qp_close(ffr_router *r, uint32_t index) noexcept nogil:
    """The handle of the QP's maker goes; who has opened the QP keeps it."""
    cdef ffr_qp *q = &r.state.qp[index]
    if q.owed:
        events_forget(r, q.context, &q.owed)
    q.orphan = 1
    qp_adopt(r, index)


cdef int destroy_qp(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    if index & FF_QP_OPENED:
        return qp_unopen(r, session, index & ~FF_QP_OPENED)
    if not owns_qp(r, session, index):
        return EINVAL
    if r.state.qp[index].o.references:       # attached to a multicast group
        return EBUSY
    qp_close(r, index)
    return 0
