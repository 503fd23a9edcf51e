"""Rates: asked before a QP's turn, charged after it. Where nobody has a rate one word is asked (ffr_router.rated)."""

from libc.stdint cimport uint32_t, uint64_t

from ffr.state cimport ffr_router


cdef enum:
    RATES_BURST_NS = 1000000  # what may be made up for of a time in which nothing was sent: 1 ms
    RATES_TURN_NS = 500000    # a turn is no longer than this at the rate
    RATES_LEAST = 1024        # ... but a packet

# The QP may have a turn. False: it waits (FFR_WAIT_RATE).
cdef bint rates_open(ffr_router *r, uint32_t qp) noexcept nogil
# When it may: a time that is over, or not.
cdef uint64_t rates_until(const ffr_router *r, uint32_t qp) noexcept nogil
# What a turn of it may move at most: less than `bytes` and `wqes` say, perhaps.
cdef void rates_bound(const ffr_router *r, uint32_t qp, uint64_t *bytes, uint32_t *wqes) noexcept nogil
# So much was moved.
cdef void rates_charge(ffr_router *r, uint32_t qp, uint64_t bytes, uint64_t wqes) noexcept nogil
