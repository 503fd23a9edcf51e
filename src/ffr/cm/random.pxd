"""Numbers that peers should not be able to tell beforehand: PSNs and ports (xorshift64, from the router's random epoch)."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router


cdef inline uint32_t cm_random(ffr_router *r) noexcept nogil:
    r.state.cm.random ^= r.state.cm.random << 13
    r.state.cm.random ^= r.state.cm.random >> 7
    r.state.cm.random ^= r.state.cm.random << 17
    return <uint32_t>(r.state.cm.random >> 32)
