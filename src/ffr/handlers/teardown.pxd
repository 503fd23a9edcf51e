"""The end of a context or of a session: everything that it owned goes with it."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

# Frees objects of the session that belong to context (FFR_NONE: all), at most `budget` of them (negative: no bound
# other than what the session owns). True when none is left.
cdef bint close_objects(ffr_router *r, uint32_t session, uint32_t context, int budget) noexcept nogil
