"""rdma_cm's two commands: an event channel, and what a program writes to one. See base.pxd; what they mean is src/ffr/cm's."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

cdef int cm_open(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int cm_call(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
