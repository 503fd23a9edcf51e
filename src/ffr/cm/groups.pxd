"""Memberships in multicast groups. The QP is attached by librdmacm, with the group's GID."""

from libc.stdint cimport uint32_t, uint64_t

from ffr.cm.state cimport cm_address
from ffr.state cimport ffr_router

# 0 or an errno; *handle is the program's to leave by. The event tells the group's GID.
cdef int group_join(ffr_router *r, uint32_t id, uint64_t uid, const cm_address *at, uint32_t *handle) noexcept nogil
# How many bytes too many lie in the channel's descriptor.
cdef uint32_t group_leave(ffr_router *r, uint32_t group) noexcept nogil
# All that an id has joined, whose events are gone.
cdef void groups_leave(ffr_router *r, uint32_t id) noexcept nogil
