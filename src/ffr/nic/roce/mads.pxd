"""MADs, as datagrams between QP1s: to routers with the GRH, to foreign peers as the standard has them."""

from libc.stdint cimport uint8_t, uint32_t

from ffr.state cimport ffr_router

# The NIC contract (base.pxd).
cdef bint roce_send_mad(ffr_router *r, const uint8_t *sgid, const uint8_t *dgid, const uint8_t *mad) noexcept nogil
