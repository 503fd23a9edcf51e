"""What a driver calls for a QP of any transport. See qp.pxd for state and contract."""

from libc.stdint cimport uint32_t, uint64_t

from ffr.roce.qp cimport roce_env, roce_qp
from ffr.roce.window cimport roce_path
from ffr.roce.wire cimport roce_packet


# A packet (checksum good, from the peer that the QP is connected to) that names this QP.
cdef void transport_receive(roce_qp *q, roce_path *path, const roce_env *env, const roce_packet *p,
                            uint64_t now) noexcept nogil
# Sending is in two parts, because answers do not wait for their turn and requests do. Both send up to `budget` packets;
# their result is enum roce_turn. A driver that shares a path among QPs asks each for requests in turn, a quantum at a
# time, and lets a QP that the window stopped (ROCE_BLOCKED) wait behind those that waited before it: the shares are even.
cdef int transport_respond(roce_qp *q, const roce_env *env, uint32_t budget) noexcept nogil
cdef int transport_request(roce_qp *q, roce_path *path, const roce_env *env, uint64_t now,
                           uint32_t budget) noexcept nogil
