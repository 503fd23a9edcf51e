"""Cython's view of rates.h."""

from libc.stdint cimport uint32_t, uint64_t

from ffcore.shm cimport ff_a64


cdef extern from "ffr/rates.h" nogil:
    enum:
        FFR_BUCKETS
        FFR_SESSION_BUCKETS
        FFR_BUCKET_CONTAINER
        FFR_BUCKET_TENANT
        FFR_BUCKET_QP
    ctypedef struct ffr_clock "struct ffr_clock":
        uint64_t bytes_ns, ops_ns
    ctypedef struct ffr_bucket "struct ffr_bucket":
        uint64_t bytes_per_s, ops_per_s
        ffr_clock clock
        ff_a64 held_ns
    ctypedef struct ffr_rates_ask "struct ffr_rates_ask":
        uint32_t number
        uint64_t bytes_per_s, ops_per_s
        uint32_t session
        uint32_t bucket[FFR_SESSION_BUCKETS]
    ctypedef struct ffr_rates "struct ffr_rates":
        ffr_rates_ask *ask
        ffr_bucket bucket[FFR_BUCKETS]
