from ffcore.roce cimport ff_psn_add, ff_psn_diff
from ffcore.shm cimport FF_OP_READ

from ffr.nic.roce.protocol.qp cimport roce_message
from ffr.nic.roce.protocol.message cimport cell, record
from ffr.nic.roce.protocol.window cimport path_acked, path_missed


cdef inline bint there(const roce_packet *p, uint32_t i) noexcept nogil:
    return p.payload[i // 8] >> i % 8 & 1


cdef inline bint is_request(const roce_qp *q, const roce_message *m, uint32_t psn) noexcept nogil:
    """Whether a packet has this PSN: those of a READ are its response's, but for the requests that ask for it."""
    return m.opcode != FF_OP_READ or <uint32_t>ff_psn_diff(psn, m.first_psn) % cell(q, m) == 0


cdef void selective_repair(roce_qp *q, roce_path *path, const roce_env *env, const roce_packet *p, uint64_t now,
                           roce_repeat repeat) noexcept nogil:
    """A selective NAK: send again what is missing before the last packet that is there. Once in a round trip each; a
    packet that was lost again is sent with the first report after that."""
    cdef uint32_t i, psn, last = 8 * p.size, index = q.sq_done
    cdef uint32_t lost = 0
    cdef bint room_left = True
    if q.failed or q.una != p.psn:
        return                   # it was overtaken
    while last and not there(p, last - 1):
        last -= 1
    if q.timed_ns and <uint32_t>ff_psn_diff(q.timed_psn, p.psn) < last and there(p, ff_psn_diff(q.timed_psn, p.psn)):
        path_acked(path, 0, now - q.timed_ns, now)
        q.timed_ns = 0
    if q.repaired_ns == 0 or now - q.repaired_ns > path.rtt_ns + path.deviation_ns or ff_psn_diff(q.repaired_psn, q.una) < 0:
        q.repaired_psn = q.una
        q.repaired_ns = now
    q.kept = 0
    for i in range(last):        # bound: what is in flight
        psn = ff_psn_add(p.psn, i)
        if ff_psn_diff(psn, q.send_psn) >= 0:
            break
        q.kept += there(p, i)
        while ff_psn_diff(psn, ff_psn_add(record(q, index).first_psn, record(q, index).packets)) >= 0:
            index += 1           # ends: psn was sent
        if there(p, i) or ff_psn_diff(psn, q.repaired_psn) < 0 or not is_request(q, record(q, index), psn):
            continue
        if psn == q.timed_psn:
            q.timed_ns = 0
        if not room_left or not repeat(q, env, index, psn):
            room_left = False
            if q.failed:
                return
            continue             # the rest with the next report
        q.repaired_psn = ff_psn_add(psn, 1)
        lost += 1
    if lost:
        path_missed(path, lost, now)
