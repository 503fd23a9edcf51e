"""Packets of UC and UD that wait for a receive WQE, for a while, once: see PATIENCE_NS in nic/message.pxd. A NIC has
a buffer for this; a router needs it more, since the receiver may be waiting for the core that the router runs on.

RC needs none: its responder says RNR.
"""

from libc.stdint cimport uint8_t, uint32_t

from ffr.nic.roce.tables cimport roce_nic
from ffr.nic.roce.protocol.wire cimport roce_packet


# Must this packet wait: for a receive WQE, or behind others that do?
cdef bint backlog_needed(roce_nic *n, uint32_t qp, const roce_packet *p) noexcept nogil
# Keep a copy of the packet, of `size` bytes before its ICRC. False: there is no room for it.
cdef bint backlog_put(roce_nic *n, uint32_t qp, const roce_packet *p, const uint8_t *bytes, uint32_t size) noexcept nogil
# Deliver what can be delivered, and drop what has waited too long. How many packets.
cdef int backlog_serve(roce_nic *n) noexcept nogil
# The QP goes, or is in error.
cdef void backlog_drop(roce_nic *n, uint32_t qp) noexcept nogil
