"""Every command and its handler, in one table."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_later, ffr_router

# Answers the command in the session's slot, if there is a new one. True when there was.
cdef bint answer(ffr_router *r, uint32_t session) noexcept nogil

# Answers the command that waited for this. found.ticket: which one; found.kept afterwards: its mappings are the reactor's.
cdef void answer_later(ffr_router *r, uint32_t session, ffr_later *found) noexcept nogil
