from libc.stdint cimport uint64_t

from ffcore.roce cimport FF_OPERATION_MASK, FF_PROBE, FF_PROBED, FF_ROCE_MAX_PACKET
from ffr.nic.roce.packets cimport router_say
from ffr.nic.roce.protocol.probe cimport probe_answered, probe_begin, probe_heard, probe_left


cdef void ask(roce_nic *n, roce_peer *p) noexcept nogil:
    router_say(n, p, FF_PROBE, p.probe.wanted, p.probe.wanted)   # where there is no room: as if it had been lost
    probe_left(&p.probe, n.router.now_ns)


cdef void probes_send(roce_nic *n) noexcept nogil:
    cdef uint64_t next_ns = <uint64_t>-1, now = n.router.now_ns
    cdef roce_peer *p
    cdef uint32_t i
    for i in range(1, n.tables.peers):           # bound: ROCE_PATHS; ten times a second at most
        p = &n.tables.peer[i]
        if not p.probe.wanted or not p.gids:
            continue
        if p.probe.due_ns <= now:
            ask(n, p)
        next_ns = min(next_ns, p.probe.due_ns)
    n.probes_ns = next_ns


cdef void probes_begin(roce_nic *n, roce_peer *p, uint32_t wanted) noexcept nogil:
    probe_begin(&p.probe, wanted, n.router.now_ns)
    n.probes_ns = min(n.probes_ns, p.probe.due_ns)


cdef void probes_take(roce_nic *n, roce_peer *peer, const roce_packet *p, uint32_t size) noexcept nogil:
    if p.opcode & FF_OPERATION_MASK == FF_PROBED:
        probe_answered(&peer.probe, p.psn, n.router.now_ns)
    elif p.psn == size and size <= FF_ROCE_MAX_PACKET:           # longer ones no router sends
        router_say(n, peer, FF_PROBED, p.psn, 0)
        probe_heard(&peer.probe, size, n.router.now_ns)
    n.probes_ns = min(n.probes_ns, peer.probe.due_ns) if peer.probe.wanted else n.probes_ns
