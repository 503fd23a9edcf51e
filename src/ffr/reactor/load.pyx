"""How the host is: how many poll, what a yield costs, and so how everybody should wait. docs/design.md, "Polling"."""

from libc.stdint cimport uint32_t, uint64_t

from ffcore.shm cimport (FF_FLAG_OVERSUBSCRIBED, FF_FLAG_SLOW_YIELD, ff_load32, ff_load32_acquire, ff_load64, ff_session,
                         ff_store32)
from ffr.reactor.state cimport STAND_INS_MAX
from ffr.state cimport ffr_router


cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from "ffr/reactor/loop.h" nogil:
    uint64_t ffr_now_ns()


cdef enum:
    ACTIVE_NS = 5000000       # a session that had work within this long counts as polling
    CROWD_NS = 20000000       # too many poll: believed for so long, since neighbours sleep now and then between packets
    SLOW_SCORE = 4            # so many slow yields close together, and the host is slow
    SLOW_CLOSE_NS = 20000000  # ... no further apart than this
    SLOW_MIN_NS = 10000000    # ... for this long at first, doubled while it stays so
    SLOW_MAX_NS = 320000000


cdef void publish_flags(ffr_router *r, uint32_t flags) noexcept nogil:
    cdef uint32_t i
    if flags == r.flags:
        return
    r.flags = flags
    for i in range(r.live_count):
        ff_store32(&(<ff_session *>r.view[r.live[i]].control).flags, flags)


cdef void judge_load(ffr_loop *l) noexcept nogil:
    """How many poll, and what a yield costs, decide how the others should wait."""
    cdef ffr_router *r = l.r
    cdef uint32_t i, pollers = 1, flags = 0
    for i in range(r.live_count):
        if r.now_ns - r.state.session[r.live[i]].active_ns < ACTIVE_NS:
            pollers += 1
    r.stats.pollers = pollers
    for i in range(ff_load32_acquire(&l.neighbours)):        # pairs with the release in set_neighbours
        pollers += l.neighbour[i].pollers
    if pollers > l.ncpu:
        l.crowd_until_ns = r.now_ns + CROWD_NS
    if r.now_ns < l.crowd_until_ns:
        flags = FF_FLAG_OVERSUBSCRIBED
    if r.now_ns < l.slow_until_ns:
        flags = FF_FLAG_OVERSUBSCRIBED | FF_FLAG_SLOW_YIELD
    publish_flags(r, flags)


cdef uint64_t span_after(uint64_t span_ns, uint64_t until_ns, uint64_t now_ns) noexcept nogil:
    """How long what was found now is believed: twice as long as the last time, when that is not long past."""
    return SLOW_MIN_NS if now_ns > until_ns + span_ns else min(span_ns * 2, <uint64_t>SLOW_MAX_NS)


cdef void timed_yield(ffr_loop *l) noexcept nogil:
    """Gives the core away, and judges what that costs. One slow yield: somebody on this core does not yield, and the
    stand-ins come. Several: every core has somebody like that, unless a stand-in's yields are quick."""
    cdef ffr_router *r = l.r
    cdef uint64_t before = ffr_now_ns(), after, busy = r.stats.busy_passes
    sched_yield()
    after = ffr_now_ns()
    r.stats.yields += 1
    if after - before < (FAR_YIELD_MAX_NS if after - r.far_ns < ACTIVE_NS else <uint64_t>YIELD_MAX_NS):
        return
    r.stats.slow_yields += 1
    if after > l.stand_until_ns:
        l.stand_span_ns = span_after(l.stand_span_ns, l.stand_until_ns, after)
    l.stand_until_ns = after + l.stand_span_ns
    if after - ff_load64(&l.brisk_ns) < BRISK_NS or (r.stats.busy_passes - busy) * YIELD_MAX_NS > after - before:
        return
    if r.flags == FF_FLAG_OVERSUBSCRIBED and l.ncpu <= STAND_INS_MAX and ff_load32(&l.standing) == 0:
        return                               # they come first
    if before - l.last_slow_ns > SLOW_CLOSE_NS:
        l.slow_score = 0
    l.last_slow_ns = after
    l.slow_score += 1
    if l.slow_score < SLOW_SCORE:
        return
    l.slow_score = 0
    l.slow_span_ns = span_after(l.slow_span_ns, l.slow_until_ns, after)
    l.slow_until_ns = after + l.slow_span_ns
