"""What a driver calls for a QP of any transport. See qp.pxd for state and contract."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from ffr.nic.roce.protocol.qp cimport roce_env, roce_qp
from ffr.nic.roce.protocol.window cimport roce_path
from ffr.nic.roce.protocol.wire cimport roce_packet


# transport, qpn, dest_qpn and routed are known, and between routers both tenants: so is which packets are the peer's.
cdef void transport_start(roce_qp *q, uint32_t tenant, uint32_t to_tenant) noexcept nogil
# What a packet between routers says, in the P_Key's field, of whose it is: its sender's tenant and QP, and whom they are meant
# for. Both routers make it of what they know themselves, so tenants that agree to name each other's QPs do not meet.
cdef uint16_t transport_name(uint32_t tenant, uint32_t to_tenant, uint32_t qpn, uint32_t to_qpn) noexcept nogil
# A packet (checksum good, from the peer that the QP is connected to) that names this QP; it is consumed.
cdef void transport_receive(roce_qp *q, roce_path *path, const roce_env *env, roce_packet *p, uint64_t now) noexcept nogil
# `count` MIDDLE packets of an RC QP between routers, equal but for PSNs, which follow one another, and payloads, which are
# `stride` bytes apart; p is the first, and asks for an ACK if one of them does. False: they are to be given to
# transport_receive one by one; nothing has happened but that payloads may lie where they belong already.
cdef bint transport_receive_run(roce_qp *q, const roce_env *env, const roce_packet *p, uint32_t count,
                                uint32_t stride) noexcept nogil
# Sending is in two parts, because answers do not wait for their turn and requests do. Both send up to `budget` packets;
# their result is enum roce_turn. A driver that shares a path among QPs asks each for requests in turn, a quantum at a
# time, and lets a QP that the window stopped (ROCE_BLOCKED) wait behind those that waited before it: the shares are even.
cdef int transport_respond(roce_qp *q, const roce_env *env, uint32_t budget) noexcept nogil
cdef int transport_request(roce_qp *q, roce_path *path, const roce_env *env, uint64_t now,
                           uint32_t budget) noexcept nogil
