"""Completions: how the router publishes a CQE, tells a channel, and notices an overrun."""

from libc.stdint cimport uint32_t

from ffcore.shm cimport ff_cqe
from ffr.state cimport ffr_cq, ffr_router

# Publishes *cqe (all but seq and timestamp) on the CQ. `solicited` counts for a CQ armed for solicited events; an
# error completion counts always. True: it had no room, and is in error from now on (IBTA 11.6.3.1): so is every QP that
# uses it, which is the caller's to say.
cdef bint cq_push(ffr_router *r, uint32_t cq, ff_cqe *cqe, bint solicited) noexcept nogil

# Wakes those who wait for completions that came over a wire (ffr_router.owed), after a batch of them.
cdef void cq_rouse(ffr_router *r) noexcept nogil

# Looks again how far the application has read.
cdef void cq_refresh(ffr_router *r, ffr_cq *cq) noexcept nogil

# Retries the channel events that a full socket held back; called while r.notify_pending.
cdef void cq_notify_retry(ffr_router *r) noexcept nogil
