"""Marks between routers (ffr/nic/roce/protocol/marks.pxd): who waits for them, and when they leave."""

from libc.stdint cimport uint32_t

from ffr.nic.roce.tables cimport roce_nic, roce_peer


# Whether a packet that nobody acknowledges may be sent to a peer now. Foreign peers know no marks.
cdef bint marks_allow(roce_nic *n, roce_peer *p) noexcept nogil
# So many were put into the arena: at most MARKS_EVERY.
cdef void marks_count(roce_nic *n, roce_peer *p, uint32_t packets) noexcept nogil
