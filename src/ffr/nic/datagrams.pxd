"""A UD QP's turn. Each datagram says where it goes; which NIC takes it there, they are asked in their order (base.pxd). Its
sender sees success as soon as it is on its way."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

# Of the NIC contract: all UD QPs are given to this entry of the table.
cdef bint datagrams_reach(ffr_router *r, uint32_t qp) noexcept nogil
cdef int datagrams_run(ffr_router *r, uint32_t qp) noexcept nogil
cdef bint datagrams_ready(ffr_router *r, uint32_t qp) noexcept nogil
cdef void datagrams_expired(ffr_router *r, uint32_t qp) noexcept nogil
cdef void datagrams_enter(ffr_router *r, uint32_t qp, uint32_t before) noexcept nogil
cdef void datagrams_leave(ffr_router *r, uint32_t qp, bint gone) noexcept nogil
