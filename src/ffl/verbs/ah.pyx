"""Address handles: where a datagram goes, and where one came from."""

from libc cimport errno
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from ffcore.control cimport (FF_CMD_CREATE_AH, FF_CMD_DESTROY_AH, FF_CMD_QUERY_GIDS, ff_cmd_create_ah, ff_reply_gids,
                             ff_reply_handle)
from ffcore.grh cimport ff_gid_is_ipv4, ff_gid_is_multicast, ff_grh, ff_grh_fields, ff_grh_read
from ffl.verbs.ah_attr cimport ah_out
from ffl.verbs.qp_api cimport ff_gid_explain, ff_reach_explain
from ffl.session.call_api cimport ff_call, ff_call_end_of, ff_call_new
from ffl.kernel cimport fail
from ffl.objects cimport context_of, ffl_ah
from ffl.session.retired_api cimport ff_retire
from ffl.ibv cimport IBV_WC_GRH, ibv_ah, ibv_ah_attr, ibv_context, ibv_grh, ibv_pd, ibv_wc


cdef public ibv_ah *ffv_ibv_create_ah(ibv_pd *pd, ibv_ah_attr *attr) noexcept nogil:
    cdef ff_cmd_create_ah request
    cdef ff_reply_handle reply
    cdef ffl_ah *ah
    memset(&request, 0, sizeof(request))
    request.pd = pd.handle
    ah_out(&request.attr, attr)
    ah = <ffl_ah *>ff_call_new(context_of(pd.context), sizeof(ffl_ah), FF_CMD_CREATE_AH, &request, sizeof(request), &reply,
                               sizeof(reply))
    if ah == NULL:
        if errno.errno == errno.EINVAL and attr.is_global:
            ff_gid_explain(pd.context, b"ibv_create_ah", attr.grh.sgid_index)
            errno.errno = errno.EINVAL
        elif errno.errno == errno.EACCES:
            ff_reach_explain(b"ibv_create_ah", request.attr.dgid)
            errno.errno = errno.EACCES
        return NULL
    ah.base.context = pd.context
    ah.base.pd = pd
    ah.base.handle = reply.handle
    return &ah.base


cdef public int ffv_ibv_destroy_ah(ibv_ah *ah) noexcept nogil:
    cdef int error = ff_call_end_of(context_of(ah.context), FF_CMD_DESTROY_AH, ah.handle)
    if error:
        return fail(error)
    ff_retire(ah, &ah.handle)
    return 0


# ---- answering ----

cdef int answers_from(const ff_reply_gids *table, const ff_grh_fields *from_) noexcept nogil:
    """The index of the GID that the datagram was sent to; for a group, the first of the sender's kind. -1: none."""
    cdef bint group = ff_gid_is_multicast(from_.dgid)
    cdef bint ipv4 = ff_gid_is_ipv4(from_.sgid)
    cdef uint32_t i
    for i in range(table.count):
        if (ff_gid_is_ipv4(table.gid[i]) == ipv4) if group else memcmp(table.gid[i], from_.dgid, 16) == 0:
            return i
    return -1


cdef public int ffv_ibv_init_ah_from_wc(ibv_context *context, uint8_t port_num, ibv_wc *wc, ibv_grh *grh,
                                        ibv_ah_attr *attr) noexcept nogil:
    """Back to where it came from. 0; or -1 and errno: EINVAL for no GRH, or for one that is none; ENOENT when the
    address that it was sent to is not ours any more."""
    cdef ff_grh_fields from_
    cdef ff_reply_gids table
    cdef int index, error
    memset(attr, 0, sizeof(ibv_ah_attr))
    attr.dlid = wc.slid                              # and sl 0: what wc.sl says is no service level (cq_ring.pxd)
    attr.src_path_bits = wc.dlid_path_bits
    attr.port_num = port_num
    if not wc.wc_flags & IBV_WC_GRH or ff_grh_read(<ff_grh *>grh, &from_):
        fail(errno.EINVAL)
        return -1
    error = ff_call(context_of(context), FF_CMD_QUERY_GIDS, NULL, 0, &table, sizeof(table))
    index = -1 if error else answers_from(&table, &from_)
    if index < 0:
        fail(error if error else errno.ENOENT)
        return -1
    attr.is_global = 1
    memcpy(attr.grh.dgid.raw, from_.sgid, 16)
    attr.grh.sgid_index = <uint8_t>index
    attr.grh.flow_label = from_.flow_label
    attr.grh.traffic_class = from_.traffic_class
    attr.grh.hop_limit = from_.hop_limit
    return 0


cdef public ibv_ah *ffv_ibv_create_ah_from_wc(ibv_pd *pd, ibv_wc *wc, ibv_grh *grh, uint8_t port_num) noexcept nogil:
    cdef ibv_ah_attr attr
    if ffv_ibv_init_ah_from_wc(pd.context, port_num, wc, grh, &attr):
        return NULL
    return ffv_ibv_create_ah(pd, &attr)
