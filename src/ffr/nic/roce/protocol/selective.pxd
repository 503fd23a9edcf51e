"""The requester's side of selective retransmission between routers: held.pxd has the responder's."""

from libc.stdint cimport uint32_t, uint64_t

from ffr.nic.roce.protocol.qp cimport roce_env, roce_qp
from ffr.nic.roce.protocol.window cimport roce_path
from ffr.nic.roce.protocol.wire cimport roce_packet


# Send the packet of WQE `index` with this PSN once more. False: not now, or the WQE has failed.
ctypedef bint (*roce_repeat)(roce_qp *q, const roce_env *env, uint32_t index, uint32_t psn) noexcept nogil
# A selective NAK came; everything before its PSN is acknowledged already.
cdef void selective_repair(roce_qp *q, roce_path *path, const roce_env *env, const roce_packet *p, uint64_t now,
                           roce_repeat repeat) noexcept nogil
