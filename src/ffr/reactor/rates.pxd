"""Rates, changed while the router runs."""

from ffr.state cimport ffr_router


# Do what the control thread has left in r.rates.ask.
cdef void rates_obey(ffr_router *r) noexcept nogil
