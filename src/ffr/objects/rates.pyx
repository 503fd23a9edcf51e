from libc.stdint cimport uint64_t

from ffcore.shm cimport ff_load64, ff_store64
from ffr.objects.qp cimport qp_wait
from ffr.rates cimport FFR_BUCKET_QP, FFR_SESSION_BUCKETS, ffr_bucket, ffr_clock
from ffr.state cimport FFR_WAIT_RATE, ffr_qp, ffr_session


cdef enum:
    SECOND = 1000000000


cdef inline ffr_bucket *bucket_of(const ffr_router *r, const ffr_qp *q, uint32_t which) noexcept nogil:
    """NULL: it has no such rate."""
    cdef uint32_t number = r.state.session[q.o.session].bucket[which]
    return &r.rates.bucket[number] if number else NULL


cdef inline ffr_clock *clock_of(ffr_qp *q, ffr_bucket *bucket, uint32_t which) noexcept nogil:
    return &q.clock if which == FFR_BUCKET_QP else &bucket.clock


cdef uint64_t rates_until(const ffr_router *r, uint32_t qp) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[qp]
    cdef ffr_bucket *bucket
    cdef const ffr_clock *clock
    cdef uint64_t until = 0
    cdef uint32_t i
    for i in range(FFR_SESSION_BUCKETS):
        bucket = bucket_of(r, q, i)
        if bucket == NULL:
            continue
        clock = clock_of(q, bucket, i)
        if bucket.bytes_per_s:
            until = max(until, clock.bytes_ns)
        if bucket.ops_per_s:
            until = max(until, clock.ops_ns)
    return until


cdef bint rates_open(ffr_router *r, uint32_t qp) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[qp]
    cdef ffr_bucket *bucket
    cdef uint64_t until = rates_until(r, qp)
    cdef uint32_t i
    if until <= r.now_ns:
        return True
    for i in range(FFR_SESSION_BUCKETS if q.wait != FFR_WAIT_RATE else 0):
        bucket = bucket_of(r, q, i)
        if bucket != NULL and max(clock_of(q, bucket, i).bytes_ns, clock_of(q, bucket, i).ops_ns) == until:
            ff_store64(&bucket.held_ns, ff_load64(&bucket.held_ns) + until - r.now_ns)
    qp_wait(r, qp, FFR_WAIT_RATE, until)
    return False


cdef void rates_bound(const ffr_router *r, uint32_t qp, uint64_t *bytes, uint32_t *wqes) noexcept nogil:
    cdef ffr_bucket *bucket
    cdef uint32_t i
    for i in range(FFR_SESSION_BUCKETS):
        bucket = bucket_of(r, &r.state.qp[qp], i)
        if bucket == NULL:
            continue
        if bucket.bytes_per_s:
            bytes[0] = min(bytes[0], max(<uint64_t>RATES_LEAST, bucket.bytes_per_s // (SECOND // RATES_TURN_NS)))
        if bucket.ops_per_s:
            wqes[0] = <uint32_t>min(<uint64_t>wqes[0], max(<uint64_t>1, bucket.ops_per_s // (SECOND // RATES_TURN_NS)))


cdef inline void advance(uint64_t *clock_ns, uint64_t amount, uint64_t per_s, uint64_t now_ns) noexcept nogil:
    """amount: of a turn, or of a READ, less than 2^32 bytes: the product fits."""
    if per_s:
        clock_ns[0] = max(clock_ns[0], now_ns - min(now_ns, <uint64_t>RATES_BURST_NS)) + amount * SECOND // per_s


cdef void rates_charge(ffr_router *r, uint32_t qp, uint64_t bytes, uint64_t wqes) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[qp]
    cdef ffr_bucket *bucket
    cdef uint32_t i
    for i in range(FFR_SESSION_BUCKETS):
        bucket = bucket_of(r, q, i)
        if bucket == NULL:
            continue
        advance(&clock_of(q, bucket, i).bytes_ns, bytes, bucket.bytes_per_s, r.now_ns)
        advance(&clock_of(q, bucket, i).ops_ns, wqes, bucket.ops_per_s, r.now_ns)
