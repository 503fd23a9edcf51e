"""How many packets a QP's turn may have."""

from libc.stdint cimport uint32_t, uint64_t

from ffcore.roce cimport ff_immdt, ff_packets_of, ff_reth
from ffr.nic.roce.protocol.cut cimport cut_room
from ffr.nic.roce.protocol.qp cimport roce_qp
from ffr.nic.roce.tables cimport ROCE_QUANTUM, roce_nic
from ffr.objects.qp cimport FFR_BATCH, FFR_TURN_BYTES
from ffr.objects.rates cimport rates_bound


cdef inline uint32_t quantum(const roce_qp *q) noexcept nogil:
    """A message of that length is one turn."""
    if q.carries:
        return ff_packets_of(ROCE_QUANTUM + sizeof(ff_reth) + sizeof(ff_immdt), cut_room(q))
    return ROCE_QUANTUM // q.mtu


cdef inline uint32_t turn_packets(roce_nic *n, uint32_t index) noexcept nogil:
    """A quantum, or what its rates leave of it: one at least."""
    cdef const roce_qp *q = &n.tables.qp[index]
    cdef uint64_t bytes = FFR_TURN_BYTES
    cdef uint32_t wqes = FFR_BATCH, most = quantum(q)
    if not n.router.rated:
        return most
    rates_bound(n.router, index, &bytes, &wqes)
    if wqes < FFR_BATCH:
        most = min(most, wqes)
    return max(<uint32_t>1, min(most, <uint32_t>(bytes // (cut_room(q) if q.carries else q.mtu))))
