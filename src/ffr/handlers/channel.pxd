"""CREATE_CHANNEL, DESTROY_CHANNEL: the socket pairs that carry events. A context is one, too."""

from libc.stdint cimport uint32_t, uint64_t

from ffcore.control cimport ff_reply_context
from ffr.state cimport ffr_router

cdef enum:
    SECRET = 16               # bytes of a context's secret

cdef int create_channel(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int destroy_channel(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef void channel_free(ffr_router *r, uint32_t index) noexcept nogil

# A context of the session, in the group with this secret. 0 or an errno.
cdef int context_new(ffr_router *r, uint32_t session, uint64_t group, const uint64_t *secret,
                     ff_reply_context *reply) noexcept nogil
