"""Rates as the control thread gives them: buckets by number, and which of them a session's QPs draw from."""

import threading

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from ffcore.shm cimport ff_load64
from ffr.rates cimport FFR_BUCKETS, FFR_SESSION_BUCKETS, ffr_bucket, ffr_rates_ask
from ffr.reactor.state cimport ADMIN_RATES
from ffr.state cimport FFR_NONE, FFR_QP

BUCKETS = FFR_BUCKETS


# ---- the reactor's side ----

cdef void rates_obey(ffr_router *r) noexcept nogil:
    """A clock that a slow rate has moved far ahead says nothing to a fast one: all begin anew, once per change."""
    cdef const ffr_rates_ask *ask = r.rates.ask
    cdef ffr_bucket *bucket
    cdef uint32_t i
    r.rated = 1
    if ask.number:
        bucket = &r.rates.bucket[ask.number]
        bucket.bytes_per_s, bucket.ops_per_s = ask.bytes_per_s, ask.ops_per_s
        bucket.clock.bytes_ns = bucket.clock.ops_ns = r.now_ns
        for i in range(r.state.table.fresh[FFR_QP]):
            r.state.qp[i].clock.bytes_ns = r.state.qp[i].clock.ops_ns = r.now_ns
    if ask.session != FFR_NONE:
        for i in range(FFR_SESSION_BUCKETS):
            r.state.session[ask.session].bucket[i] = ask.bucket[i]


# ---- the control thread's side ----

cdef class Rates:
    """Calls raise TimeoutError when the reactor does not answer; then nothing has changed."""

    cdef ffr_router *r
    cdef object reactor, lock

    def __cinit__(self, reactor):
        """reactor: a Reactor, whose state this is a part of."""
        self.reactor = reactor
        self.r = <ffr_router *>PyCapsule_GetPointer(reactor.router, "ffr_router")
        self.lock = threading.Lock()

    cdef _ask(self, ffr_rates_ask *ask):
        with self.lock:
            self.r.rates.ask = ask
            self.reactor._ask(ADMIN_RATES, 0)

    def set_bucket(self, uint32_t number, uint64_t bytes_per_s, uint64_t ops_per_s):
        """number: 1 to BUCKETS - 1. 0 of a rate: any. Raises ValueError."""
        cdef ffr_rates_ask ask
        if not 0 < number < FFR_BUCKETS:
            raise ValueError(f"bucket {number}: 1 to {FFR_BUCKETS - 1}")
        memset(&ask, 0, sizeof(ask))
        ask.session = FFR_NONE
        ask.number, ask.bytes_per_s, ask.ops_per_s = number, bytes_per_s, ops_per_s
        self._ask(&ask)

    def set_session(self, uint32_t session, buckets):
        """buckets: the numbers of its container's, its tenant's and its QPs' rates; 0: none."""
        cdef ffr_rates_ask ask
        cdef uint32_t i
        memset(&ask, 0, sizeof(ask))
        ask.session = session
        for i in range(FFR_SESSION_BUCKETS):
            ask.bucket[i] = buckets[i]
        self._ask(&ask)

    def held_s(self, uint32_t number):
        """How long QPs have waited for that bucket, one after the other, seconds."""
        return ff_load64(&self.r.rates.bucket[number % FFR_BUCKETS].held_ns) / 1e9
