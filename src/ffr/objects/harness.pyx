"""Rates for tests, in a time that they make: the sessions and QPs of a Reactor that does not run."""

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport uint32_t, uint64_t

from ffr.objects.qp cimport FFR_BATCH, FFR_TURN_BYTES, qp_unlist
from ffr.objects.rates cimport rates_bound, rates_charge, rates_open, rates_until
from ffr.rates cimport FFR_SESSION_BUCKETS
from ffr.state cimport FFR_RUN, ffr_router


cdef class Rates:
    cdef ffr_router *r
    cdef object reactor

    def __cinit__(self, reactor):
        self.reactor = reactor
        self.r = <ffr_router *>PyCapsule_GetPointer(reactor.router, "ffr_router")

    def bucket(self, uint32_t number, uint64_t bytes_per_s=0, uint64_t ops_per_s=0):
        self.r.rates.bucket[number].bytes_per_s, self.r.rates.bucket[number].ops_per_s = bytes_per_s, ops_per_s

    def qp(self, uint32_t qp, uint32_t session, buckets=(0, 0, 0)):
        """The QP is that session's, whose buckets these are."""
        self.r.state.qp[qp].o.session = session
        for i in range(FFR_SESSION_BUCKETS):
            self.r.state.session[session].bucket[i] = buckets[i]

    def turn(self, uint32_t qp, uint64_t now_ns, uint64_t wanted=1 << 30, uint32_t wqes=1 << 30):
        """Bytes and work requests of its turn now; None: it waits. wanted, wqes: what it has."""
        cdef uint64_t bytes = FFR_TURN_BYTES
        cdef uint32_t batch = FFR_BATCH
        self.r.now_ns = now_ns
        if not rates_open(self.r, qp):
            return None
        self.r.state.qp[qp].wait = FFR_RUN
        qp_unlist(self.r, qp)
        rates_bound(self.r, qp, &bytes, &batch)
        bytes, batch = min(bytes, wanted), min(batch, wqes)
        rates_charge(self.r, qp, bytes, batch)
        return bytes, batch

    def until(self, uint32_t qp):
        return rates_until(self.r, qp)
