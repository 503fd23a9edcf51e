"""Port spaces: of each container, and in it of each space of librdmacm's (TCP, UDP, IPOIB, IB)."""

from libc.stdint cimport uint16_t, uint32_t

from ffr.cm.state cimport cm_address
from ffr.state cimport ffr_router

# Gives the id, whose address is set but for what is 0 in it, its port: 0, EADDRINUSE or EADDRNOTAVAIL.
cdef int port_bind(ffr_router *r, uint32_t id) noexcept nogil
cdef void port_release(ffr_router *r, uint32_t id) noexcept nogil
# May it listen where it is bound? 0 or EADDRINUSE.
cdef int port_listen(ffr_router *r, uint32_t id) noexcept nogil
# Who listens at an address, or FFR_NONE.
cdef uint32_t port_listener(ffr_router *r, uint32_t share, uint16_t space, const cm_address *at) noexcept nogil

cdef bint address_any(const cm_address *a) noexcept nogil
cdef bint address_loopback(const cm_address *a) noexcept nogil
