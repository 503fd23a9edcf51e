"""The rules of reach, changed while the router runs."""

from ffr.state cimport ffr_router


# Do what the control thread has left in r.reach.ask.
cdef void reach_obey(ffr_router *r) noexcept nogil
