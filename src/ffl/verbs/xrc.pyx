"""XRC: domains, and the receiving QPs, which have neither queues nor a protection domain: every request names an SRQ of
the domain, and that has those."""

from libc cimport errno
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from ffcore.control cimport (FF_CMD_CLOSE_XRCD, FF_CMD_CREATE_QP, FF_CMD_OPEN_QP, FF_CMD_OPEN_XRCD, FF_NO_HANDLE,
                             FF_XRCD_CREATE, FF_XRCD_EXCLUSIVE, FF_XRCD_FILE, ff_cmd_create_qp, ff_cmd_open_qp,
                             ff_cmd_open_xrcd, ff_reply_create_qp, ff_reply_handle)
from ffl.session.call_api cimport ff_call, ff_call_end_of, ff_call_new
from ffl.verbs.domain_api cimport FF_MEMORY_QP, ff_memory_new, ff_memory_undo, ffl_memory
from ffl.session.handles_api cimport ff_handle_put
from ffl.kernel cimport fail, file_identity
from ffl.objects cimport FFL_QP, context_of, ffl_qp, ffl_xrcd
from ffl.session.retired_api cimport ff_retire
from ffl.ibv cimport (IBV_QPS_RESET, IBV_QPS_UNKNOWN, IBV_QPT_XRC_RECV, IBV_QP_INIT_ATTR_PD,
                        IBV_QP_INIT_ATTR_XRCD, IBV_QP_OPEN_ATTR_CONTEXT, IBV_QP_OPEN_ATTR_NUM,
                        IBV_QP_OPEN_ATTR_RESERVED, IBV_QP_OPEN_ATTR_TYPE, IBV_QP_OPEN_ATTR_XRCD,
                        IBV_XRCD_INIT_ATTR_FD, IBV_XRCD_INIT_ATTR_OFLAGS, IBV_XRCD_INIT_ATTR_RESERVED, ibv_context,
                        ibv_qp, ibv_qp_init_attr_ex, ibv_qp_open_attr, ibv_qp_state, ibv_xrcd, ibv_xrcd_init_attr)


cdef extern from "<fcntl.h>" nogil:
    enum:
        O_CREAT
        O_EXCL


# ---- domains ----

cdef int name_domain(ff_cmd_open_xrcd *request, ibv_context *context, const ibv_xrcd_init_attr *attr) noexcept nogil:
    """The file's identity goes to the router, not its descriptor, of which the router takes none."""
    cdef uint32_t needed = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS
    if attr.comp_mask >= IBV_XRCD_INIT_ATTR_RESERVED:
        return errno.EOPNOTSUPP
    if attr.comp_mask != needed:
        return errno.EINVAL
    memset(request, 0, sizeof(ff_cmd_open_xrcd))
    request.context = context_of(context).handle
    request.flags = ((FF_XRCD_CREATE if attr.oflags & O_CREAT else 0)
                     | (FF_XRCD_EXCLUSIVE if attr.oflags & O_EXCL else 0))
    if attr.fd != -1:
        request.flags |= FF_XRCD_FILE
        if file_identity(attr.fd, &request.device, &request.inode):
            return errno.EBADF
    return 0


cdef public ibv_xrcd *ff_open_xrcd(ibv_context *context, ibv_xrcd_init_attr *attr) noexcept nogil:
    cdef ff_cmd_open_xrcd request
    cdef ff_reply_handle reply
    cdef ffl_xrcd *xrcd
    cdef int error = name_domain(&request, context, attr)
    if error:
        fail(error)
        return NULL
    xrcd = <ffl_xrcd *>ff_call_new(context_of(context), sizeof(ffl_xrcd), FF_CMD_OPEN_XRCD, &request, sizeof(request), &reply,
                                   sizeof(reply))
    if xrcd == NULL:
        return NULL
    xrcd.base.context = context
    xrcd.handle = reply.handle
    return &xrcd.base


cdef public int ff_close_xrcd(ibv_xrcd *xrcd) noexcept nogil:
    cdef int error = ff_call_end_of(context_of(xrcd.context), FF_CMD_CLOSE_XRCD, (<ffl_xrcd *>xrcd).handle)
    if error:
        return fail(error)
    ff_retire(xrcd, &(<ffl_xrcd *>xrcd).handle)
    return 0


# ---- receiving QPs ----

cdef ibv_qp *show(ffl_qp *qp, const ffl_memory *memory, ibv_context *context, void *qp_context, uint32_t handle,
                  uint32_t qpn, ibv_qp_state state) noexcept nogil:
    """No opcodes and no rings, so posting finds no room."""
    cdef ibv_qp *visible = <ibv_qp *>&qp.base
    qp.memory = memory[0]
    visible.context, visible.qp_context = context, qp_context
    visible.handle, visible.qp_num = handle, qpn
    visible.state, visible.qp_type = state, IBV_QPT_XRC_RECV
    qp.qpn = qpn
    ff_handle_put(&qp.tracked, qp, FFL_QP, handle)
    return visible


cdef int ask_recv(const ibv_qp_init_attr_ex *attr, ff_reply_create_qp *reply) noexcept nogil:
    cdef ff_cmd_create_qp request
    if not attr.comp_mask & IBV_QP_INIT_ATTR_XRCD or attr.xrcd == NULL:
        return errno.EINVAL
    if attr.comp_mask & ~<uint32_t>(IBV_QP_INIT_ATTR_XRCD | IBV_QP_INIT_ATTR_PD):
        return errno.EOPNOTSUPP              # it sends nothing, so it has no send operations
    memset(&request, 0, sizeof(request))
    request.pd = request.send_cq = request.recv_cq = request.srq = FF_NO_HANDLE
    request.type = IBV_QPT_XRC_RECV
    request.xrcd = (<ffl_xrcd *>attr.xrcd).handle
    return ff_call(context_of(attr.xrcd.context), FF_CMD_CREATE_QP, &request, sizeof(request), reply,
                   sizeof(ff_reply_create_qp))


cdef public ibv_qp *ff_create_xrc_recv(ibv_context *context, const ibv_qp_init_attr_ex *attr) noexcept nogil:
    """CQs, caps and a PD are not looked at (man 3 ibv_create_qp_ex); librdmacm reads the PD again where it has put it."""
    cdef ff_reply_create_qp reply
    cdef ffl_memory memory
    cdef ibv_qp *visible
    cdef ffl_qp *qp = <ffl_qp *>ff_memory_new(NULL, sizeof(ffl_qp), FF_MEMORY_QP, &memory)
    cdef int error = ask_recv(attr, &reply) if qp != NULL else errno.ENOMEM
    if error:
        return <ibv_qp *>ff_memory_undo(&memory, qp, FF_MEMORY_QP, error)
    visible = show(qp, &memory, context, attr.qp_context, reply.handle, reply.qpn, IBV_QPS_RESET)
    if attr.comp_mask & IBV_QP_INIT_ATTR_PD:
        visible.pd = attr.pd
    return visible


cdef int ask_open(const ibv_qp_open_attr *attr, ff_reply_handle *reply) noexcept nogil:
    cdef uint32_t needed = IBV_QP_OPEN_ATTR_NUM | IBV_QP_OPEN_ATTR_XRCD | IBV_QP_OPEN_ATTR_TYPE
    cdef ff_cmd_open_qp request
    if attr.comp_mask >= IBV_QP_OPEN_ATTR_RESERVED:
        return errno.EOPNOTSUPP
    if attr.comp_mask & needed != needed or attr.xrcd == NULL or attr.qp_type != IBV_QPT_XRC_RECV:
        return errno.EINVAL
    request.xrcd = (<ffl_xrcd *>attr.xrcd).handle
    request.qpn = attr.qp_num
    return ff_call(context_of(attr.xrcd.context), FF_CMD_OPEN_QP, &request, sizeof(request), reply,
                   sizeof(ff_reply_handle))


cdef public ibv_qp *ff_open_qp(ibv_context *context, ibv_qp_open_attr *attr) noexcept nogil:
    """Its state is whatever the other handles have made it: ibv_query_qp tells."""
    cdef ff_reply_handle reply
    cdef ffl_memory memory
    cdef ffl_qp *qp = <ffl_qp *>ff_memory_new(NULL, sizeof(ffl_qp), FF_MEMORY_QP, &memory)
    cdef int error = ask_open(attr, &reply) if qp != NULL else errno.ENOMEM
    if error:
        return <ibv_qp *>ff_memory_undo(&memory, qp, FF_MEMORY_QP, error)
    return show(qp, &memory, context, attr.qp_context if attr.comp_mask & IBV_QP_OPEN_ATTR_CONTEXT else NULL, reply.handle,
                attr.qp_num, IBV_QPS_UNKNOWN)
