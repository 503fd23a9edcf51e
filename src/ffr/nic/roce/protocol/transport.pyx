from ffcore.roce cimport *

from ffr.nic.roce.protocol.requester cimport ROCE_IDLE, requester_receive, requester_send
from ffr.nic.roce.protocol.responder cimport responder_due, responder_receive, responder_receive_run, responder_send
from ffr.nic.roce.protocol.unreliable cimport uc_receive, ud_receive


cdef enum:
    MEMBERSHIP = 0x8000       # of a P_Key: full or limited (10.9.1.2)


cdef void transport_start(roce_qp *q, uint32_t tenant, uint32_t to_tenant) noexcept nogil:
    if q.routed:
        q.pkey = transport_name(tenant, to_tenant, q.qpn, q.dest_qpn)
        q.peer_pkey = transport_name(to_tenant, tenant, q.dest_qpn, q.qpn)
        q.pkey_mask = 0xFFFF
    else:
        q.pkey, q.peer_pkey, q.pkey_mask = FF_DEFAULT_PKEY, FF_DEFAULT_PKEY, 0xFFFF & ~MEMBERSHIP


cdef uint16_t transport_name(uint32_t tenant, uint32_t to_tenant, uint32_t qpn, uint32_t to_qpn) noexcept nogil:
    cdef uint64_t mixed = (<uint64_t>tenant << 32 | qpn) * <uint64_t>0x9E3779B97F4A7C15
    mixed = (mixed ^ mixed >> 29 ^ (<uint64_t>to_tenant << 32 | to_qpn)) * <uint64_t>0xD6E8FEB86659FD93
    mixed = (mixed ^ mixed >> 32) * <uint64_t>0x9E3779B97F4A7C15
    return <uint16_t>(mixed >> 48)


cdef inline bint speaks(const roce_qp *q, uint8_t opcode) noexcept nogil:
    cdef uint8_t transport = opcode & FF_TRANSPORT_MASK
    if transport == q.transport:
        return True
    if opcode == FF_SELECTIVE_NAK:
        return q.selective
    return transport == FF_ROUTED_UC and q.transport == FF_UC and q.routed


cdef inline bint without_filler(const roce_qp *q, roce_packet *p) noexcept nogil:
    """Of the payload, what belongs to the message (ffr/nic/roce/protocol/cut.pxd). Others' reserved bits say nothing, 9.2. False: filler
    where no router puts it."""
    cdef uint32_t words = p.filler if q.routed else 0
    if p.opcode & FF_OPERATION_MASK == FF_READ_REQUEST and words:
        return True              # says how the response is to be cut
    p.filler = 0
    if words == 0:
        return True
    if p.traits & FF_IS_FIRST or words * sizeof(uint32_t) >= p.size:
        return False
    if not p.traits & FF_IS_LAST and not (p.traits & FF_IS_RESPONSE and words == 1):
        return False
    p.size -= words * sizeof(uint32_t)
    return True


cdef void transport_receive(roce_qp *q, roce_path *path, const roce_env *env, roce_packet *p, uint64_t now) noexcept nogil:
    env.counters.packets_received += 1
    if not speaks(q, p.opcode) or (p.pkey ^ q.peer_pkey) & q.pkey_mask or not without_filler(q, p):
        env.counters.dropped += 1            # 9.6.1: not this QP's transport, not its partition
    elif q.transport == FF_UD:
        ud_receive(q, env, p)
    elif q.transport == FF_UC:
        uc_receive(q, env, p)
    elif p.traits & FF_IS_RESPONSE:
        requester_receive(q, path, env, p, now)
    else:
        responder_receive(q, env, p)


cdef bint transport_receive_run(roce_qp *q, const roce_env *env, const roce_packet *p, uint32_t count,
                                uint32_t stride) noexcept nogil:
    if not q.routed or p.opcode & FF_TRANSPORT_MASK != q.transport or (p.pkey ^ q.peer_pkey) & q.pkey_mask or p.filler:
        return False
    if not responder_receive_run(q, env, p, count, stride):
        return False
    env.counters.packets_received += count
    return True


cdef int transport_respond(roce_qp *q, const roce_env *env, uint32_t budget) noexcept nogil:
    return responder_send(q, env, budget) if responder_due(q) else ROCE_IDLE


cdef int transport_request(roce_qp *q, roce_path *path, const roce_env *env, uint64_t now,
                           uint32_t budget) noexcept nogil:
    return requester_send(q, path, env, now, budget)
