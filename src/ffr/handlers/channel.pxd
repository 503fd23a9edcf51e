"""CREATE_CHANNEL, DESTROY_CHANNEL: the socket pairs that carry events."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

cdef int create_channel(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int destroy_channel(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil

# A channel of the session, the application's end sent to it. 0 or an errno.
cdef int channel_new(ffr_router *r, uint32_t session, uint32_t context, uint32_t *index) noexcept nogil
