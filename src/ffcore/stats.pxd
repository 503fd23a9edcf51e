"""Cython's view of stats.h."""

from libc.stdint cimport uint32_t, uint64_t


cdef extern from "ffcore/stats.h" nogil:
    enum:
        FF_STATS_MAGIC
        FF_STATS_VERSION
        FF_STATS_SESSIONS
        FF_STATS_QPS
        FF_STATS_NAME

    ctypedef struct ff_stats_header "struct ff_stats_header":
        uint32_t magic
        uint32_t version
        uint32_t router_pid
        uint32_t ncpu
        uint64_t start_ns
        uint64_t sessions_offset
        uint64_t qps_offset
        uint64_t passes
        uint64_t busy_passes
        uint64_t yields
        uint64_t slow_yields
        uint64_t sleeps
        uint64_t wakeups
        uint64_t commands
        uint64_t wqes
        uint64_t bytes
        uint64_t sessions_opened
        uint64_t sessions_closed
        uint64_t sessions_refused
        uint64_t faults
        uint32_t polling
        uint32_t asleep
        uint32_t pollers
        uint32_t pad
        uint64_t reserved[12]

    ctypedef struct ff_session_stats "struct ff_session_stats":
        uint32_t in_use
        uint32_t session
        uint32_t pid
        uint32_t tenant
        uint32_t qps
        uint32_t cqs
        uint32_t mrs
        uint32_t pds
        uint64_t pinned_bytes
        uint64_t tx_messages
        uint64_t tx_bytes
        uint64_t rx_messages
        uint64_t rx_bytes
        uint64_t reads
        uint64_t atomics
        uint64_t completions
        uint64_t completion_errors
        uint64_t rnr_waits
        uint64_t retries
        uint64_t access_errors
        uint64_t faults
        uint64_t commands
        char container[48]  # FF_STATS_NAME
        uint64_t drops
        uint64_t denied
        uint64_t reserved[1]

    ctypedef struct ff_qp_stats "struct ff_qp_stats":
        uint32_t qpn
        uint32_t session
        uint32_t state
        uint32_t dest_qpn
        uint64_t tx_messages
        uint64_t tx_bytes
        uint64_t rx_messages
        uint64_t rx_bytes
