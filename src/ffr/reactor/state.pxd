"""The reactor's own state: what its threads share, and what the loop, its rounds and its judgement of the load go by."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ffcore.shm cimport FF_GID_TABLE, ff_a32, ff_a64
from ffcore.stats cimport ff_stats_header
from ffr.state cimport ffr_later, ffr_limits, ffr_mapped, ffr_router


cdef enum:
    STAND_INS_MAX = 4         # cores; where there are more, one is nearly always free

cdef enum:
    NEIGHBOURS_MAX = 8
    TAKEN_MAX = 8             # at a time; who asks, asks until there are no more
    DROPPED_MAX = 64

cdef enum admin_op:
    ADMIN_NONE
    ADMIN_ATTACH     # argument: a session whose record and view are complete
    ADMIN_DETACH     # argument: a session to end
    ADMIN_GIDS       # arguments: a session, and its new GID table
    ADMIN_PORT       # arguments: a session, whether its port is down (admin_error), and its links' MTUs
    ADMIN_LIMITS     # arguments: a session, and its new limits
    ADMIN_REACH      # arguments: of ffr_router.reach.ask
    ADMIN_RATES      # arguments: of ffr_router.rates.ask
    ADMIN_WANTED     # the loop says what is to be mapped and unmapped: taken, dropped
    ADMIN_MAPPED     # arguments: a session, and what has been mapped for its command (found)
    ADMIN_TAKEN      # the loop is at it: too late to withdraw


ctypedef struct ffr_loop:
    ffr_router *r
    # written by other threads of the process
    ff_a32 stop
    ff_a32 polling            # enum ffr_polling
    ff_a32 admin              # enum admin_op; the loop takes it, and sets it back to ADMIN_NONE when it is done
    uint32_t admin_session
    uint32_t admin_error
    uint32_t admin_gid_count
    uint8_t admin_gid[FF_GID_TABLE][16]
    uint32_t admin_mtu[FF_GID_TABLE]
    ffr_limits admin_limit
    ffr_later *found          # kept says afterwards whose the mappings are
    uint32_t taken_count
    uint32_t taken_session[TAKEN_MAX]
    ffr_later taken[TAKEN_MAX]
    uint32_t dropped_count
    ffr_mapped dropped[DROPPED_MAX]
    uint64_t budget_ns        # how long to poll on after the last work
    const ff_stats_header *neighbour[NEIGHBOURS_MAX]   # other routers of this machine, as labs have them
    ff_a32 neighbours
    # one thread at a time makes a pass: the one that holds the token
    ff_a32 token
    ff_a32 standing           # 1: the stand-ins run; also the futex word that they sleep on
    ff_a64 brisk_ns           # when a yield of some thread was last quick
    # the loop's own
    uint32_t ncpu
    uint64_t last_work_ns
    uint64_t last_chores_ns
    uint64_t last_totals_ns
    uint64_t stand_until_ns   # a yield was slow lately: stand-ins are worth their cost
    uint64_t stand_span_ns
    uint64_t last_slow_ns
    uint64_t slow_until_ns
    uint64_t crowd_until_ns   # too many polled lately
    uint64_t slow_span_ns
    uint32_t slow_score
    # sessions that are gone, for the thread that unmaps and closes
    ff_a32 reaped_head
    uint32_t *reaped          # [FFR_SESSIONS]; each session number is in it once at most
