"""Multicast groups: attaching a UD queue pair to one, and detaching it."""

from libc.stdint cimport uint16_t
from libc.string cimport memcpy

from ffcore.control cimport FF_CMD_ATTACH_MCAST, FF_CMD_DETACH_MCAST, ff_cmd_mcast
from ffl.session.call_api cimport ff_call
from ffl.kernel cimport fail
from ffl.objects cimport context_of
from ffl.ibv cimport ibv_gid, ibv_qp


cdef int ask(ibv_qp *qp, const ibv_gid *gid, uint16_t op) noexcept nogil:
    cdef ff_cmd_mcast request
    cdef int error
    request.qp = qp.handle
    memcpy(request.gid, gid.raw, 16)
    error = ff_call(context_of(qp.context), op, &request, sizeof(request), NULL, 0)
    return fail(error) if error else 0


cdef public int ffv_ibv_attach_mcast(ibv_qp *qp, const ibv_gid *gid, uint16_t lid) noexcept nogil:
    """RoCE has no LIDs: lid says nothing."""
    return ask(qp, gid, FF_CMD_ATTACH_MCAST)


cdef public int ffv_ibv_detach_mcast(ibv_qp *qp, const ibv_gid *gid, uint16_t lid) noexcept nogil:
    return ask(qp, gid, FF_CMD_DETACH_MCAST)
