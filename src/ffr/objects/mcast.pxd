"""Multicast groups: which QPs are attached to a GID. A group exists as long as somebody is attached to it."""

from libc.stdint cimport uint8_t, uint32_t

from ffr.state cimport ffr_router

# The first attachment to the group after `previous` (FFR_NONE: the first of all), or FFR_NONE. At most FFR_MCAST_QPS.
cdef uint32_t mcast_next(ffr_router *r, const uint8_t *gid, uint32_t previous) noexcept nogil

cdef void mcast_link(ffr_router *r, uint32_t index) noexcept nogil       # qp and gid are filled in
cdef void mcast_unlink(ffr_router *r, uint32_t index) noexcept nogil
