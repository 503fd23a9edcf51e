"""Probes between routers (ffr/nic/roce/protocol/probe.pxd): when they leave, and the packets that carry them."""

from libc.stdint cimport uint32_t

from ffr.nic.roce.tables cimport roce_nic, roce_peer
from ffr.nic.roce.protocol.wire cimport roce_packet


# Sends those that are due; when the next one is stands in n.probes_ns then.
cdef void probes_send(roce_nic *n) noexcept nogil
# A peer's link carries datagrams of so many bytes.
cdef void probes_begin(roce_nic *n, roce_peer *p, uint32_t wanted) noexcept nogil
# A probe of `size` bytes, or the answer to one, came from this router, and is whole.
cdef void probes_take(roce_nic *n, roce_peer *peer, const roce_packet *p, uint32_t size) noexcept nogil
