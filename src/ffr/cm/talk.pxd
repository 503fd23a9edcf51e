"""Conversations between ids: messages are carried, within this router or over a wire, and events are told."""

from libc.stdint cimport uint8_t, uint32_t

from ffr.cm.machine cimport cm_step
from ffr.cm.state cimport cm_message
from ffr.state cimport ffr_router

# What a step of the id's machine has brought: sent, told, and its timer set.
cdef void talk_carry(ffr_router *r, uint32_t id, cm_step *step) noexcept nogil
# Begins a conversation with a REQ or SIDR_REQ. 0 or an errno.
cdef int talk_connect(ffr_router *r, uint32_t id, cm_message *message) noexcept nogil
# The id ends, with its events and with the ids that only they told of. How many bytes too many lie in its channel's
# descriptor.
cdef uint32_t talk_end(ffr_router *r, uint32_t id) noexcept nogil
# Hang up; both sides are told.
cdef void talk_part(ffr_router *r, uint32_t id) noexcept nogil
# Service ID of an id, or of where it connects to.
cdef void talk_address(ffr_router *r, uint32_t id, cm_message *message) noexcept nogil
# An event without parameters.
cdef void talk_tell(ffr_router *r, uint32_t id, int event, int status) noexcept nogil
# A MAD came in: its sender's GID and ours.
cdef void talk_hear(ffr_router *r, const uint8_t *mad, const uint8_t *sgid, const uint8_t *dgid) noexcept nogil
# Timers. The number of those that were due.
cdef int talk_poll(ffr_router *r) noexcept nogil
