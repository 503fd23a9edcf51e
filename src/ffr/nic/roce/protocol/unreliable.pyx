"""UC keeps PSNs only to notice that a message is no longer whole; UD's packets stand alone."""

from ffcore.grh cimport ff_grh, ff_grh_cqe_flags
from ffcore.roce cimport *
from ffcore.shm cimport FF_CQE_GRH, FF_CQE_IMM, FF_CQE_INV, FF_CQE_SOLICITED
from ffr.ibv cimport IBV_ACCESS_REMOTE_WRITE, IBV_WC_SUCCESS
from libc.string cimport memset

from ffr.nic.roce.protocol.cut cimport cut_taken
from ffr.nic.roce.protocol.qp cimport *


cdef void complete(roce_qp *q, const roce_env *env, const roce_packet *p, uint8_t status, uint32_t length,
                   uint8_t flags) noexcept nogil:
    cdef roce_received done
    memset(&done, 0, sizeof(done))
    done.index = q.receive_index
    done.length = length
    done.status = status
    done.write = (p.traits & FF_IS_WRITE) != 0
    done.imm = p.inv_rkey if p.traits & FF_HAS_IETH else p.imm
    done.src_qpn = p.src_qpn if p.traits & FF_HAS_DETH else q.dest_qpn
    done.flags = (flags | (FF_CQE_IMM if p.traits & FF_HAS_IMM else 0) | (FF_CQE_INV if p.traits & FF_HAS_IETH else 0)
                  | (FF_CQE_SOLICITED if p.solicited else 0))
    q.taken = 0
    env.complete_receive(env.context, q, &done)


cdef void fail(roce_qp *q, const roce_env *env, const roce_packet *p, uint8_t status) noexcept nogil:
    """The receive WQE's memory is not there: a local error, so the QP goes to ERR."""
    complete(q, env, p, status, 0, 0)
    q.failed = 1
    env.fail(env.context, q, -1)


cdef bint take(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    """A receive WQE for this message. One that a message given up has taken serves the next (9.8.2)."""
    cdef roce_receive r
    if q.taken:
        return True
    memset(&r, 0, sizeof(r))
    if not env.take_receive(env.context, q, 0, &r):
        return False
    q.taken = 1
    q.receive_index = r.index
    q.receive_room = r.length
    if r.status:
        fail(q, env, p, r.status)
        return False
    return True


# ---- UC -------------------------------------------------------------------------------------------------------------

cdef bint uc_send(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    """False: the message is given up."""
    cdef int status
    if p.traits & FF_IS_FIRST:
        q.received = 0
    if not cut_taken(q, p) or not take(q, env, p) or p.size > q.receive_room - q.received:
        return False
    status = env.put_receive(env.context, q, q.receive_index, q.received, p.payload, p.size) if p.size else 0
    if status:
        fail(q, env, p, <uint8_t>status)
        return False
    q.received += p.size
    if p.traits & FF_HAS_IETH and env.invalidate(env.context, q, p.inv_rkey):
        return False                     # a key that the requester may not invalidate
    if p.traits & FF_IS_LAST:
        complete(q, env, p, IBV_WC_SUCCESS, q.received, 0)
    return True


cdef bint uc_write(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    cdef bint last = (p.traits & FF_IS_LAST) != 0
    if not q.access & IBV_ACCESS_REMOTE_WRITE:
        return False
    if p.traits & FF_IS_FIRST:
        if p.length > FF_ROCE_MAX_MESSAGE or (p.length and env.check_remote(
                env.context, q, p.rkey, p.addr, p.length, IBV_ACCESS_REMOTE_WRITE)):
            return False
        q.write_addr = p.addr
        q.write_rkey = p.rkey
        q.write_left = p.length
        q.received = 0
    if not cut_taken(q, p) or p.size > q.write_left or last != (p.size == q.write_left):
        return False
    if p.traits & FF_HAS_IMM and not take(q, env, p):
        return False
    if p.size and env.put_remote(env.context, q, q.write_rkey, q.write_addr, p.payload, p.size, last):
        return False
    q.write_addr += p.size
    q.write_left -= p.size
    q.received += p.size
    if p.traits & FF_HAS_IMM:
        complete(q, env, p, IBV_WC_SUCCESS, q.received, 0)
    return True


cdef void uc_receive(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    cdef bint whole
    if q.failed:
        env.counters.dropped += 1
        return
    if p.psn != q.epsn:
        env.counters.out_of_sequence += 1
        if ff_psn_diff(p.psn, q.epsn) < 0:
            env.counters.dropped += 1    # late or twice: nothing is delivered a second time
            return
        q.receiving = ROCE_SKIP          # 9.8.2: the open message is lost
    q.epsn = ff_psn_add(p.psn, 1)
    if p.traits & FF_IS_FIRST:
        whole = True                     # a new message, whatever was open
    else:
        whole = q.receiving == (ROCE_SEND if p.traits & FF_IS_SEND else ROCE_WRITE)
    if whole:
        whole = uc_send(q, env, p) if p.traits & FF_IS_SEND else uc_write(q, env, p)
    if not whole:
        env.counters.dropped += 1
        q.receiving = ROCE_SKIP
    elif p.traits & FF_IS_LAST:
        q.receiving = ROCE_BETWEEN
    else:
        q.receiving = ROCE_SEND if p.traits & FF_IS_SEND else ROCE_WRITE


# ---- UD -------------------------------------------------------------------------------------------------------------

cdef void ud_receive(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil:
    cdef int status = 0
    if q.failed or p.qkey != q.qkey or p.size > q.mtu or not take(q, env, p):
        env.counters.dropped += 1        # 9.8.3: a wrong Q_Key, no receive WQE
        return
    if p.size + FF_GRH_SIZE > q.receive_room:
        env.counters.dropped += 1        # the receive WQE stays for a packet that fits
        return
    if p.grh != NULL:
        status = env.put_receive(env.context, q, q.receive_index, 0, p.grh, FF_GRH_SIZE)
    if status == 0 and p.size:
        status = env.put_receive(env.context, q, q.receive_index, FF_GRH_SIZE, p.payload, p.size)
    if status:
        fail(q, env, p, <uint8_t>status)
        return
    complete(q, env, p, IBV_WC_SUCCESS, FF_GRH_SIZE + p.size,
             ff_grh_cqe_flags(<const ff_grh *>p.grh) if p.grh != NULL else <uint8_t>FF_CQE_GRH)
