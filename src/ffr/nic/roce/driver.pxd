"""The roce NIC: QPs whose peer is on another host. It drives the state machines of ffr/nic/roce/protocol between the rings and
memory of sessions (nic/roce/rings.pyx) and UDP sockets (ffr/nic/roce/udp.pyx).
"""

from libc.stdint cimport uint32_t, uint64_t

from ffcore.control cimport ff_ah_attr
from ffr.state cimport ffr_router

# The NIC contract (base.pxd).
cdef bint roce_reaches(ffr_router *r, uint32_t qp) noexcept nogil
cdef uint32_t roce_mtu(ffr_router *r, uint32_t session, const ff_ah_attr *to) noexcept nogil
cdef int roce_run(ffr_router *r, uint32_t qp) noexcept nogil
cdef void roce_enter(ffr_router *r, uint32_t qp, uint32_t before) noexcept nogil
cdef void roce_leave(ffr_router *r, uint32_t qp, bint gone) noexcept nogil
cdef int roce_poll(ffr_router *r) noexcept nogil
cdef uint64_t roce_deadline(ffr_router *r) noexcept nogil
