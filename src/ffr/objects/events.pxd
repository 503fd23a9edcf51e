"""Asynchronous events: none is lost because its program does not read.

What the channel's socket does not take waits in a list of its context's, in order, and is sent as the program reads. What
waits already is not queued again: an object has one place for each kind of event, so the lists are bounded by the objects.
An object that ends takes along what waits of it.
"""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

# One message on a channel. False when the socket is full: the application does not read. Where it has closed its end, nothing
# is owed.
cdef bint send_event(ffr_router *r, uint32_t channel, uint32_t type, uint32_t handle) noexcept nogil

# An asynchronous event of a context: what it is of, type says. Lost only when its container has all the records it may have.
cdef void async_event(ffr_router *r, uint32_t context, uint32_t type, uint32_t handle) noexcept nogil

# Sends what waits; called while r.events_pending.
cdef void events_retry(ffr_router *r) noexcept nogil

# The end of an object (its record's .owed, which is not 0), and of a context.
cdef void events_forget(ffr_router *r, uint32_t context, uint32_t *owed) noexcept nogil
cdef void events_drop(ffr_router *r, uint32_t context) noexcept nogil
