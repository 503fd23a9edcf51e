from ffcore.roce cimport *

from ffr.roce.requester cimport ROCE_IDLE, requester_receive, requester_send
from ffr.roce.responder cimport responder_due, responder_receive, responder_send
from ffr.roce.unreliable cimport uc_receive, ud_receive


cdef inline bint speaks(const roce_qp *q, uint8_t opcode) noexcept nogil:
    cdef uint8_t transport = opcode & FF_TRANSPORT_MASK
    if transport == q.transport:
        return True
    if opcode == FF_SELECTIVE_NAK:
        return q.selective
    return transport == FF_ROUTED_UC and q.transport == FF_UC and q.routed


cdef void transport_receive(roce_qp *q, roce_path *path, const roce_env *env, const roce_packet *p,
                            uint64_t now) noexcept nogil:
    env.counters.packets_received += 1
    if not speaks(q, p.opcode) or (p.pkey ^ q.pkey) & 0x7FFF:
        env.counters.dropped += 1            # 9.6.1: not this QP's transport, not its partition
    elif q.transport == FF_UD:
        ud_receive(q, env, p)
    elif q.transport == FF_UC:
        uc_receive(q, env, p)
    elif p.traits & FF_IS_RESPONSE:
        requester_receive(q, path, env, p, now)
    else:
        responder_receive(q, env, p)


cdef int transport_respond(roce_qp *q, const roce_env *env, uint32_t budget) noexcept nogil:
    return responder_send(q, env, budget) if responder_due(q) else ROCE_IDLE


cdef int transport_request(roce_qp *q, roce_path *path, const roce_env *env, uint64_t now,
                           uint32_t budget) noexcept nogil:
    return requester_send(q, path, env, now, budget)
