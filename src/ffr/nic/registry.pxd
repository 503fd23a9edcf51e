"""All NICs, and which one carries a QP."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ffcore.control cimport ff_ah_attr
from ffr.nic.base cimport ffr_nic
from ffr.state cimport ffr_router

cdef ffr_nic *nic_at(uint32_t index) noexcept nogil

# The backend for a QP whose address vector is known; called when the QP becomes RTR.
cdef uint32_t nic_for(ffr_router *r, uint32_t qp) noexcept nogil

# The largest path_mtu towards that address, bytes: 4096 within a host, what the underlay carries to other hosts, and what
# the container's own interface carries to foreign peers.
cdef uint32_t nic_mtu(ffr_router *r, uint32_t session, const ff_ah_attr *to) noexcept nogil

# A MAD of 256 bytes to a peer's QP1, from a GID of this host. Nobody waits for it: what is lost is sent again.
cdef void nic_mad(ffr_router *r, const uint8_t *sgid, const uint8_t *dgid, uint8_t traffic_class, const uint8_t *mad) noexcept nogil

# For every NIC that wants to know.
cdef void nic_enter(ffr_router *r, uint32_t qp, uint32_t before) noexcept nogil
cdef void nic_leave(ffr_router *r, uint32_t qp, bint gone) noexcept nogil
cdef int nics_poll(ffr_router *r) noexcept nogil
cdef uint64_t nics_deadline(ffr_router *r) noexcept nogil
