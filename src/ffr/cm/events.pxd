"""Events that wait for their program, and how it learns of them: a byte a piece in its descriptor, which so polls as readable
while there is one. The program's library takes the byte, then asks for the event."""

from libc.stdint cimport uint32_t

from ffr.cm.abi cimport rdma_ucm_event_resp
from ffr.state cimport ffr_router

# Of an id: `body` is filled in but for uid and id. fresh: the id that it brings; group: the membership that it is about; or
# FFR_NONE. False: there is no room for more.
cdef bint event_put(ffr_router *r, uint32_t id, uint32_t fresh, uint32_t group, const rdma_ucm_event_resp *body) noexcept nogil
# The oldest of a channel: True, and *body.
cdef bint event_take(ffr_router *r, uint32_t channel, rdma_ucm_event_resp *body) noexcept nogil
# An id's events (a membership's, when `group` is not FFR_NONE) are gone. How many bytes too many lie in the descriptor now.
# *fresh: the first of the ids that nobody will hear of (linked by `listener`), or FFR_NONE.
cdef uint32_t events_withdraw(ffr_router *r, uint32_t id, uint32_t group, uint32_t *fresh) noexcept nogil
# An id that a request made ends before its program has heard of it: so does the request. (A byte too many lies in the descriptor.)
cdef void event_unask(ffr_router *r, uint32_t fresh) noexcept nogil
# They go on to another channel.
cdef uint32_t events_move(ffr_router *r, uint32_t id, uint32_t channel) noexcept nogil
# Tells what could not be told before.
cdef void events_tell(ffr_router *r, uint32_t channel) noexcept nogil
