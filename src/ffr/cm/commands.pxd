"""The commands of rdma/rdma_user_cm.h, as Linux answers them. `body` is a private copy of what the program wrote after the
command's header, zeroed behind its `size` bytes; `reply` is private and zeroed."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

ctypedef struct cm_call:
    uint32_t session           # who asks
    uint32_t channel
    uint32_t size              # bytes of body
    uint32_t room              # bytes that the program has for the reply
    uint32_t other             # MIGRATE_ID: the channel that it comes from, or FFR_NONE
    const void *body
    void *reply
    uint32_t reply_size        # filled in
    uint32_t withdrawn         # filled in: events that the descriptor told of, and that are no more

# 0 or an errno.
cdef int cm_command(ffr_router *r, uint32_t command, cm_call *call) noexcept nogil
