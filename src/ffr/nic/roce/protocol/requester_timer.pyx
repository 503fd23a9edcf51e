"""Time passes without an answer: probes, the standard's ACK timer, and the end of an RNR wait."""

from ffr.ibv cimport IBV_WC_RETRY_EXC_ERR
from libc.string cimport memset

from ffr.nic.roce.protocol.message cimport record
from ffr.nic.roce.protocol.qp cimport ROCE_SENT, roce_out, roce_send
from ffr.nic.roce.protocol.requester cimport charge, compose, fail_oldest, load, requester_stop, rewind, set_timer, settle
from ffr.nic.roce.protocol.window cimport path_probe_ns, path_silent


cdef void probe(roce_qp *q, roce_path *path, const roce_env *env, uint64_t now) noexcept nogil:
    """Send the oldest packet again and leave the rest as it is. If only the answer was late or lost, the next one
    tells so and nothing is sent twice but this; if the packet was lost, its ACK alone comes back (see acknowledged).
    Not the standard's timer: it counts no retry."""
    cdef roce_send w
    cdef roce_out out
    q.probe_ns = now + path_probe_ns(path, q.probes + 1, q.ack_timeout_ns)
    q.probes += q.probes < 255
    env.counters.probes += 1
    if record(q, q.sq_done).status or not load(q, env, q.sq_done, &w):
        settle(q, env)
        return
    memset(&out, 0, sizeof(roce_out))
    compose(q, record(q, q.sq_done), &w, q.sq_done, q.una, &out)
    out.head.ackreq = 1
    if env.emit(env.context, q, &out) == ROCE_SENT:
        env.counters.packets_sent += 1
        env.counters.retransmitted += 1
        q.timed_ns = 0
        q.probed = 1
        q.probed_psn = q.una


cdef void timed_out(roce_qp *q, roce_path *path, const roce_env *env, uint64_t now) noexcept nogil:
    """The standard's ACK timer (9.7.6.1.3): retry, or give up."""
    env.counters.timeouts += 1
    if q.retries == 0:
        fail_oldest(q, env, IBV_WC_RETRY_EXC_ERR)
        return
    q.retries -= 1
    path_silent(path, q.ack_timeout_ns, now)
    rewind(q)
    q.limit = 1
    q.ack_ns = now + q.ack_timeout_ns
    q.probe_ns = now + path_probe_ns(path, q.probes, q.ack_timeout_ns)


cdef void requester_timer(roce_qp *q, roce_path *path, const roce_env *env, uint64_t now) noexcept nogil:
    if q.failed:
        requester_stop(q, path)
        return
    if q.wait_ns and now >= q.wait_ns:
        q.wait_ns = 0
    if q.ack_ns and now >= q.ack_ns:
        timed_out(q, path, env, now)
    elif q.probe_ns and now >= q.probe_ns:
        probe(q, path, env, now)
    charge(q, path)
    set_timer(q)
