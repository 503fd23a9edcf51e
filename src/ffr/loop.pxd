"""The reactor's loop: what one pass does, and what happens between passes (poll, yield, sleep)."""

from libc.stdint cimport uint32_t, uint64_t

from ffcore.shm cimport ff_a32
from ffr.state cimport ffr_router


cdef enum admin_op:
    ADMIN_NONE
    ADMIN_ATTACH     # argument: a session whose record and view are complete
    ADMIN_DETACH     # argument: a session to end


ctypedef struct ffr_loop:
    ffr_router *r
    # written by other threads of the process
    ff_a32 stop
    ff_a32 polling            # enum ffr_polling
    ff_a32 admin              # enum admin_op; the loop sets it back to ADMIN_NONE when it is done
    uint32_t admin_session
    uint32_t admin_error
    uint64_t budget_ns        # how long to poll on after the last work
    # the loop's own
    uint32_t ncpu
    uint64_t last_work_ns
    uint64_t last_chores_ns
    uint64_t last_totals_ns
    uint64_t slow_until_ns
    uint64_t slow_span_ns
    uint32_t slow_score
    # sessions that are gone, for the thread that unmaps and closes
    ff_a32 reaped_head
    uint32_t *reaped          # [FFR_SESSIONS]; each session number is in it once at most


cdef void loop_run(ffr_loop *l) noexcept nogil
