"""Creating, modifying, querying and destroying queue pairs. The router judges states and attributes."""

from libc cimport errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from ffcore.control cimport (FF_CMD_CREATE_QP, FF_CMD_DESTROY_QP, FF_CMD_MODIFY_QP, FF_CMD_QUERY_QP, FF_NO_HANDLE,
                             ff_cap, ff_cmd_create_qp, ff_cmd_handle, ff_cmd_modify_qp, ff_qp_attr, ff_reply_create_qp,
                             ff_reply_query_qp, ff_reply_state)
from ffcore.shm cimport FF_WQE_SIGNALED, ff_load32_acquire, ff_qp_shared, ff_session, ff_store32
from ffl.verbs.ah_attr cimport ah_in, ah_out
from ffl.session.call_api cimport ff_call, ff_call_end_of
from ffl.verbs.data_path_api cimport ff_purge_cq, ff_wr_begin_with
from ffl.verbs.domain_api cimport FF_MEMORY_QP, ff_memory_free, ff_memory_new, ff_memory_undo, ffl_memory
from ffl.session.handles_api cimport ff_handle_put, ff_handle_retire
from ffl.kernel cimport fail
from ffl.session.log_api cimport FF_LOG_WARN, ff_log
from ffl.objects cimport FFL_CONNECTED, FFL_DATAGRAM, FFL_QP, FFL_XRC, context_of, ffl_cq, ffl_qp
from ffl.verbs.qp_api cimport ff_create_xrc_recv, ff_gid_explain, ff_reach_explain
from ffl.session.session_api cimport ff_session_get
from ffl.ibv cimport (IBV_QP_AV, IBV_QP_INIT_ATTR_CREATE_FLAGS, IBV_QP_INIT_ATTR_PD,
                        IBV_QP_INIT_ATTR_SEND_OPS_FLAGS, IBV_QP_STATE, IBV_QPS_RESET, IBV_QPT_UC,
                        IBV_QPT_UD, IBV_QPT_XRC_RECV, IBV_QPT_XRC_SEND, IBV_WR_ATOMIC_CMP_AND_SWP,
                        IBV_WR_ATOMIC_FETCH_AND_ADD, IBV_WR_BIND_MW, IBV_WR_LOCAL_INV, IBV_WR_RDMA_READ,
                        IBV_WR_RDMA_WRITE, IBV_WR_RDMA_WRITE_WITH_IMM, IBV_WR_SEND, IBV_WR_SEND_WITH_IMM,
                        IBV_WR_SEND_WITH_INV, IBV_WR_TSO, ibv_context, ibv_ece,
                        ibv_mig_state, ibv_mtu, ibv_pd, ibv_qp, ibv_qp_attr, ibv_qp_cap, ibv_qp_ex, ibv_qp_init_attr,
                        ibv_qp_init_attr_ex, ibv_qp_state, ibv_qp_type)

cdef enum:
    UD_OPCODES = (1 << IBV_WR_SEND) | (1 << IBV_WR_SEND_WITH_IMM)
    UC_OPCODES = (UD_OPCODES | (1 << IBV_WR_RDMA_WRITE) | (1 << IBV_WR_RDMA_WRITE_WITH_IMM) | (1 << IBV_WR_LOCAL_INV)
                  | (1 << IBV_WR_BIND_MW) | (1 << IBV_WR_SEND_WITH_INV))
    RC_OPCODES = (UC_OPCODES | (1 << IBV_WR_RDMA_READ) | (1 << IBV_WR_ATOMIC_CMP_AND_SWP)
                  | (1 << IBV_WR_ATOMIC_FETCH_AND_ADD))


cdef inline ibv_qp *shown(ffl_qp *qp) noexcept nogil:
    return <ibv_qp *>&qp.base


# ---- attributes, between verbs' structs and the commands' ----

cdef void cap_out(ff_cap *to, const ibv_qp_cap *cap) noexcept nogil:
    to.max_send_wr = cap.max_send_wr
    to.max_recv_wr = cap.max_recv_wr
    to.max_send_sge = cap.max_send_sge
    to.max_recv_sge = cap.max_recv_sge
    to.max_inline = cap.max_inline_data


cdef void cap_in(ibv_qp_cap *to, const ff_cap *cap) noexcept nogil:
    to.max_send_wr = cap.max_send_wr
    to.max_recv_wr = cap.max_recv_wr
    to.max_send_sge = cap.max_send_sge
    to.max_recv_sge = cap.max_recv_sge
    to.max_inline_data = cap.max_inline


cdef void attr_out(ff_qp_attr *to, const ibv_qp_attr *attr) noexcept nogil:
    """Every field; the mask says which of them count."""
    to.qp_state = attr.qp_state
    to.cur_qp_state = attr.cur_qp_state
    to.path_mtu = attr.path_mtu
    to.path_mig_state = attr.path_mig_state
    to.qkey = attr.qkey
    to.rq_psn = attr.rq_psn
    to.sq_psn = attr.sq_psn
    to.dest_qpn = attr.dest_qp_num
    to.access = attr.qp_access_flags
    to.rate_limit = attr.rate_limit
    ah_out(&to.ah, &attr.ah_attr)
    ah_out(&to.alt_ah, &attr.alt_ah_attr)
    to.pkey_index = attr.pkey_index
    to.alt_pkey_index = attr.alt_pkey_index
    to.en_sqd_async_notify = attr.en_sqd_async_notify
    to.sq_draining = attr.sq_draining
    to.max_rd_atomic = attr.max_rd_atomic
    to.max_dest_rd_atomic = attr.max_dest_rd_atomic
    to.min_rnr_timer = attr.min_rnr_timer
    to.port_num = attr.port_num
    to.timeout = attr.timeout
    to.retry_cnt = attr.retry_cnt
    to.rnr_retry = attr.rnr_retry
    to.alt_port_num = attr.alt_port_num
    to.alt_timeout = attr.alt_timeout


cdef void attr_in(ibv_qp_attr *to, const ff_qp_attr *attr) noexcept nogil:
    to.qp_state = <ibv_qp_state>attr.qp_state
    to.cur_qp_state = <ibv_qp_state>attr.cur_qp_state
    to.path_mtu = <ibv_mtu>attr.path_mtu
    to.path_mig_state = <ibv_mig_state>attr.path_mig_state
    to.qkey = attr.qkey
    to.rq_psn = attr.rq_psn
    to.sq_psn = attr.sq_psn
    to.dest_qp_num = attr.dest_qpn
    to.qp_access_flags = attr.access
    to.rate_limit = attr.rate_limit
    ah_in(&to.ah_attr, &attr.ah)
    ah_in(&to.alt_ah_attr, &attr.alt_ah)
    to.pkey_index = attr.pkey_index
    to.alt_pkey_index = attr.alt_pkey_index
    to.en_sqd_async_notify = attr.en_sqd_async_notify
    to.sq_draining = attr.sq_draining
    to.max_rd_atomic = attr.max_rd_atomic
    to.max_dest_rd_atomic = attr.max_dest_rd_atomic
    to.min_rnr_timer = attr.min_rnr_timer
    to.port_num = attr.port_num
    to.timeout = attr.timeout
    to.retry_cnt = attr.retry_cnt
    to.rnr_retry = attr.rnr_retry
    to.alt_port_num = attr.alt_port_num
    to.alt_timeout = attr.alt_timeout


# ---- creating ----

cdef void attach_rings(ffl_qp *qp, ff_reply_create_qp *reply) noexcept nogil:
    cdef ff_session *session = ff_session_get().shared
    cdef uint8_t *segment = <uint8_t *>session
    qp.session = session
    qp.event_fd = ff_session_get().event_fd
    qp.bell = &session.qp_bell[reply.bell // 64]
    qp.bell_bit = 1ull << (reply.bell % 64)
    qp.summary_bit = 1ull << (reply.bell // 64)
    qp.bell_number = reply.bell
    qp.qpn = reply.qpn
    ff_session_get().qps[reply.bell] = qp
    qp.shared = <ff_qp_shared *>(segment + reply.offset)
    qp.sq = segment + reply.sq_offset
    qp.sq_mask = reply.sq_entries - 1
    qp.sq_stride = reply.sq_stride
    qp.max_send_sge = reply.cap.max_send_sge
    qp.max_inline = reply.cap.max_inline
    qp.rq = segment + reply.rq_offset
    qp.rq_entries = reply.rq_entries
    qp.rq_mask = reply.rq_entries - 1
    qp.rq_stride = reply.rq_stride
    qp.max_recv_sge = reply.cap.max_recv_sge


cdef uint32_t opcodes_of(uint32_t qp_type) noexcept nogil:
    return UD_OPCODES if qp_type == IBV_QPT_UD else UC_OPCODES if qp_type == IBV_QPT_UC else RC_OPCODES


cdef void describe(ffl_qp *qp, ibv_pd *pd, const ibv_qp_init_attr *attr, ff_reply_create_qp *reply) noexcept nogil:
    cdef ibv_qp *visible = shown(qp)
    visible.context = pd.context
    visible.qp_context = attr.qp_context
    visible.pd = pd
    visible.send_cq = attr.send_cq
    if attr.qp_type != IBV_QPT_XRC_SEND:     # which receives nothing, whatever was handed over
        visible.recv_cq = attr.recv_cq
        visible.srq = attr.srq
    visible.handle = reply.handle
    visible.qp_num = reply.qpn
    visible.state = IBV_QPS_RESET
    visible.qp_type = attr.qp_type
    qp.opcodes = opcodes_of(attr.qp_type)
    qp.target = (FFL_DATAGRAM if attr.qp_type == IBV_QPT_UD else FFL_XRC if attr.qp_type == IBV_QPT_XRC_SEND
                 else FFL_CONNECTED)
    qp.sq_sig_all = 1 if attr.sq_sig_all else 0
    qp.sq_flags = FF_WQE_SIGNALED if attr.sq_sig_all else 0


cdef int ask(ibv_pd *pd, const ibv_qp_init_attr *attr, ff_reply_create_qp *reply) noexcept nogil:
    cdef ff_cmd_create_qp request
    cdef bint receives = attr.qp_type != IBV_QPT_XRC_SEND
    if attr.send_cq == NULL or (receives and attr.recv_cq == NULL) or attr.qp_type == IBV_QPT_XRC_RECV:
        return errno.EINVAL                  # XRC_RECV: only create_qp_ex can say its domain
    memset(&request, 0, sizeof(request))
    request.pd = pd.handle
    request.send_cq = attr.send_cq.handle
    request.recv_cq = attr.recv_cq.handle if receives else <uint32_t>FF_NO_HANDLE
    request.srq = attr.srq.handle if receives and attr.srq != NULL else <uint32_t>FF_NO_HANDLE
    request.xrcd = FF_NO_HANDLE
    request.type = attr.qp_type
    request.sq_sig_all = 1 if attr.sq_sig_all else 0
    cap_out(&request.cap, &attr.cap)
    return ff_call(context_of(pd.context), FF_CMD_CREATE_QP, &request, sizeof(request), reply,
                   sizeof(ff_reply_create_qp))


cdef public ibv_qp *ffv_ibv_create_qp(ibv_pd *pd, ibv_qp_init_attr *attr) noexcept nogil:
    """attr.cap is set to what was granted."""
    cdef ff_reply_create_qp reply
    cdef ffl_memory memory
    cdef ffl_qp *qp = <ffl_qp *>ff_memory_new(pd, sizeof(ffl_qp), FF_MEMORY_QP, &memory)
    cdef int error = ask(pd, attr, &reply) if qp != NULL else errno.ENOMEM
    if error:
        return <ibv_qp *>ff_memory_undo(&memory, qp, FF_MEMORY_QP, error)
    qp.memory = memory
    describe(qp, pd, attr, &reply)
    attach_rings(qp, &reply)
    cap_in(&attr.cap, &reply.cap)
    ff_handle_put(&qp.tracked, qp, FFL_QP, reply.handle)
    return shown(qp)


cdef int check_extended(const ibv_qp_init_attr_ex *attr) noexcept nogil:
    cdef uint32_t known = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_CREATE_FLAGS | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS
    # IBV_QP_EX_WITH_x and IBV_WR_x count in the same order up to SEND_WITH_INV; FreeFlow has none of those behind it.
    cdef uint64_t operations = opcodes_of(attr.qp_type) & ((1 << IBV_WR_TSO) - 1)
    if not attr.comp_mask & IBV_QP_INIT_ATTR_PD:
        return errno.EINVAL
    if attr.comp_mask & ~known or (attr.comp_mask & IBV_QP_INIT_ATTR_CREATE_FLAGS and attr.create_flags):
        return errno.EOPNOTSUPP
    if attr.comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS and attr.send_ops_flags & ~operations:
        return errno.EOPNOTSUPP
    return 0


cdef public ibv_qp *ff_create_qp_ex(ibv_context *context, ibv_qp_init_attr_ex *attr) noexcept nogil:
    """The extended struct begins with the plain one."""
    cdef int error
    cdef ibv_qp *qp
    if attr.qp_type == IBV_QPT_XRC_RECV:
        return ff_create_xrc_recv(context, attr)
    error = check_extended(attr)
    if error:
        fail(error)
        return NULL
    qp = ffv_ibv_create_qp(attr.pd, <ibv_qp_init_attr *>attr)
    if qp != NULL and attr.comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS:
        ff_wr_begin_with(<ffl_qp *>qp, attr.send_ops_flags)
    return qp


cdef public ibv_qp_ex *ffv_ibv_qp_to_qp_ex(ibv_qp *qp) noexcept nogil:
    """NULL: not created with send operations (IBV_QP_INIT_ATTR_SEND_OPS_FLAGS)."""
    return <ibv_qp_ex *>qp if (<ffl_qp *>qp).has_wr else NULL


# ---- extended connection establishment: vendors' options. FreeFlow has none, and says so as a provider without them does: librdmacm
# then offers none to the peer ----

cdef public int ffv_ibv_query_ece(ibv_qp *qp, ibv_ece *ece) noexcept nogil:
    memset(ece, 0, sizeof(ibv_ece))
    return fail(errno.EOPNOTSUPP)


cdef public int ffv_ibv_set_ece(ibv_qp *qp, ibv_ece *ece) noexcept nogil:
    return fail(errno.EINVAL) if ece.comp_mask else fail(errno.EOPNOTSUPP)


# ---- modifying, querying, destroying ----

cdef void purge(ffl_qp *qp) noexcept nogil:
    """Completions that nobody polled yet are not delivered any more (IBTA 10.2.4.4)."""
    if shown(qp).send_cq != NULL:
        ff_purge_cq(<ffl_cq *>shown(qp).send_cq, shown(qp).qp_num)
    if shown(qp).recv_cq != NULL and shown(qp).recv_cq != shown(qp).send_cq:
        ff_purge_cq(<ffl_cq *>shown(qp).recv_cq, shown(qp).qp_num)


cdef void restart(ffl_qp *qp) noexcept nogil:
    """RESET: the router has dropped what was posted. Both sides go on from where it says that the rings are free."""
    purge(qp)
    if qp.shared == NULL:                    # XRC_RECV: no rings
        return
    qp.sq_index = qp.sq_free = ff_load32_acquire(&qp.shared.sq_done)     # pairs with its release before the reply
    qp.rq_index = qp.rq_free = ff_load32_acquire(&qp.shared.rq_done)
    ff_store32(&qp.sq_polled, qp.sq_index)
    ff_store32(&qp.rq_polled, qp.rq_index)


cdef public int ffv_ibv_modify_qp(ibv_qp *qp, ibv_qp_attr *attr, int mask) noexcept nogil:
    cdef ff_cmd_modify_qp request
    cdef ff_reply_state reply
    cdef int error
    request.handle = qp.handle
    request.mask = mask
    attr_out(&request.attr, attr)
    reply.mtu_max = 0
    error = ff_call(context_of(qp.context), FF_CMD_MODIFY_QP, &request, sizeof(request), &reply, sizeof(reply))
    if error and reply.mtu_max:
        ff_log(FF_LOG_WARN, b"ibv_modify_qp: path_mtu %u is more than the way to that peer carries: %u at most. Give both"
               b" ends that one (perftest: -m %u), or raise the interface's MTU", 128 << attr.path_mtu, reply.mtu_max,
               reply.mtu_max)
    elif error == errno.EINVAL and mask & IBV_QP_AV and attr.ah_attr.is_global:
        ff_gid_explain(qp.context, b"ibv_modify_qp", attr.ah_attr.grh.sgid_index)
    elif error == errno.EACCES:
        ff_reach_explain(b"ibv_modify_qp", request.attr.ah.dgid)
    if error:
        return fail(error)
    qp.state = <ibv_qp_state>reply.qp_state
    if mask & IBV_QP_STATE and qp.state == IBV_QPS_RESET:
        restart(<ffl_qp *>qp)
    return 0


cdef public int ffv_ibv_query_qp(ibv_qp *qp, ibv_qp_attr *attr, int mask, ibv_qp_init_attr *init) noexcept nogil:
    """Everything is answered, whatever the mask asks for."""
    cdef ff_cmd_handle request
    cdef ff_reply_query_qp reply
    cdef int error
    request.handle = qp.handle
    error = ff_call(context_of(qp.context), FF_CMD_QUERY_QP, &request, sizeof(request), &reply, sizeof(reply))
    if error:
        return fail(error)
    memset(attr, 0, sizeof(ibv_qp_attr))
    attr_in(attr, &reply.attr)
    cap_in(&attr.cap, &reply.cap)
    qp.state = attr.qp_state
    memset(init, 0, sizeof(ibv_qp_init_attr))
    init.qp_context = qp.qp_context
    init.send_cq = qp.send_cq
    init.recv_cq = qp.recv_cq
    init.srq = qp.srq
    init.cap = attr.cap
    init.qp_type = qp.qp_type
    init.sq_sig_all = (<ffl_qp *>qp).sq_sig_all
    return 0


cdef public int ffv_ibv_destroy_qp(ibv_qp *handed) noexcept nogil:
    cdef ffl_qp *qp = <ffl_qp *>handed
    cdef ffl_memory memory = qp.memory
    cdef int error = ff_call_end_of(context_of(handed.context), FF_CMD_DESTROY_QP, handed.handle)
    if error:
        return fail(error)
    purge(qp)
    if ff_session_get().qps[qp.bell_number] == qp:   # else the router has given its bell to another already
        ff_session_get().qps[qp.bell_number] = NULL
    ff_handle_retire(&qp.tracked)
    ff_memory_free(&memory, qp, &handed.handle, FF_MEMORY_QP)
    return 0
