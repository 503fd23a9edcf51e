"""Event channels: what a program has as a descriptor of /dev/infiniband/rdma_cm."""

from libc.stdint cimport uint32_t, uint64_t

from ffr.state cimport ffr_router

# When the router starts, its tables are empty.
cdef void cm_begin(ffr_router *r) noexcept
# A new one of that session: 0 or an errno. *descriptor: the program's end, to be closed when it is passed on.
cdef int channel_open(ffr_router *r, uint32_t session, uint32_t *channel, int *descriptor) noexcept nogil
# The channel, if whoever asks is of the same container and knows its secret; FFR_NONE.
cdef uint32_t channel_find(ffr_router *r, uint32_t session, uint32_t channel, const uint64_t *secret) noexcept nogil
# The session that an object (FFR_CM_...) is of ends: ids, then events and memberships, then channels. They go on to another one
# of the container's, for a fork's child may have the descriptor; if nobody has, it hangs up soon. Without another they end.
cdef void cm_id_leave(ffr_router *r, uint32_t id) noexcept nogil
cdef void cm_event_leave(ffr_router *r, uint32_t event) noexcept nogil
cdef void cm_group_leave(ffr_router *r, uint32_t group) noexcept nogil
cdef void cm_channel_leave(ffr_router *r, uint32_t channel) noexcept nogil
# Its last descriptor was closed: its end begins, and goes on in channels_poll.
cdef void channel_hang_up(ffr_router *r, uint32_t channel) noexcept nogil
# A part of the ends that are under way. How many ids were ended.
cdef int channels_poll(ffr_router *r) noexcept nogil
