"""A thread runs this, without the GIL, for the router's life; stand-ins on the other cores where those are few."""

from libc.errno cimport ECONNRESET
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from ffcore.shm cimport (FF_FLAG_OVERSUBSCRIBED, FF_FLAG_SLOW_YIELD, ff_cas32, ff_fence, ff_load32, ff_load32_acquire,
                         ff_pause, ff_session, ff_store32, ff_store32_release, ff_store64)
from ffr.cm.channels cimport channel_hang_up
from ffr.cm.timers cimport timer_next
from ffr.objects.cq cimport cq_notify_retry
from ffr.objects.events cimport async_event, events_retry
from ffr.ibv cimport IBV_EVENT_GID_CHANGE, IBV_EVENT_PORT_ACTIVE, IBV_EVENT_PORT_ERR
from ffr.reactor.load cimport YIELD_MAX_NS, judge_load, timed_yield
from ffr.handlers.table cimport answer_later
from ffr.mem.mappings cimport mapping_take_unwanted
from ffr.nic.base cimport nics_deadline
from ffr.objects.qp cimport qp_rest
from ffr.reactor.rounds cimport attach, pass_once
from ffr.reactor.rates cimport rates_obey
from ffr.reactor.reach cimport reach_obey
from ffr.reactor.state cimport (ADMIN_ATTACH, ADMIN_GIDS, ADMIN_LIMITS, ADMIN_MAPPED, ADMIN_NONE, ADMIN_PORT, ADMIN_RATES, ADMIN_REACH, ADMIN_TAKEN, ADMIN_WANTED,
                                DROPPED_MAX, STAND_INS_MAX, TAKEN_MAX)
from ffr.state cimport (FFR_CHANNEL, FFR_CQ, FFR_FASTPATH, FFR_LOWCPU, FFR_MR, FFR_NONE, FFR_PD, FFR_QP, ffr_router, ffr_session)


cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from "ffr/reactor/loop.h" nogil:
    enum:
        FFR_EVENTS
        FFR_TAG_CM
        FFR_TAG_SOCKET
        FFR_TAG_WAKE
    uint64_t ffr_now_ns()
    int ffr_epoll_wait(int epoll, uint64_t timeout_ns, uint32_t *tags, uint32_t *sessions)
    void ffr_eventfd_drain(int fd)
    ctypedef struct cpu_set_t:
        pass
    void ffr_pin(int cpu, const cpu_set_t *everywhere)
    int ffr_first_cpu(cpu_set_t *everywhere)
    void ffr_slice(uint64_t ns)
    void ffr_futex_nap(void *word, uint32_t value, long ns)
    void ffr_futex_rouse(void *word, int count)


cdef enum:
    THE_PORT = 1
    CHORES_NS = 1000000       # hang-ups, flags and probes: every millisecond
    RETRY_NS = 10000000       # a sleeping router tries channels again that were full
    TOTALS_NS = 100000000     # object counts into the counters
    SLOW_SPIN_NS = 20000      # a slow host: look for this long before sleeping, so that a stream does not pay per message
    SLICE_NS = 100000         # a reactor thread's turn on a contended core
    FAR_NS = 5000000          # a router that talked to another one so lately needs no stand-ins: they would take its core
    NAP_NS = 100000000        # a stand-in that sleeps looks around this often


# ---- between passes ----

cdef void tell_contexts(ffr_router *r, const ffr_session *s, uint32_t type) noexcept nogil:
    """An event of the port. Bound: the session's channels."""
    cdef uint32_t channel = s.first[FFR_CHANNEL]
    while channel != FFR_NONE:
        if r.state.channel[channel].is_async:
            async_event(r, channel, type, THE_PORT)
        channel = r.state.channel[channel].o.next


cdef void change_gids(ffr_loop *l, ffr_session *s) noexcept nogil:
    """Connections keep the addresses that they were made with."""
    memcpy(s.gid, l.admin_gid, sizeof(s.gid))
    s.gid_count = l.admin_gid_count
    tell_contexts(l.r, s, IBV_EVENT_GID_CHANGE)


cdef void change_port(ffr_loop *l, ffr_session *s) noexcept nogil:
    memcpy(s.link_mtu, l.admin_mtu, sizeof(s.link_mtu))
    if s.port_down != l.admin_error:
        s.port_down = l.admin_error
        tell_contexts(l.r, s, IBV_EVENT_PORT_ERR if s.port_down else IBV_EVENT_PORT_ACTIVE)


cdef void change_limits(ffr_loop *l, ffr_session *s, uint32_t number) noexcept nogil:
    """Between two commands, so each sees one set of limits. What is beyond the new ones stays."""
    s.limit = l.admin_limit
    (<ff_session *>l.r.view[number].control).pinned_limit = s.limit.pinned_bytes


cdef void hand_out(ffr_loop *l) noexcept nogil:
    """What the mapper is to do next."""
    cdef ffr_router *r = l.r
    l.taken_count = l.dropped_count = 0
    while r.asked_count and l.taken_count < TAKEN_MAX:
        r.asked_count -= 1
        l.taken_session[l.taken_count] = r.asked[r.asked_count]
        l.taken[l.taken_count] = r.later[r.asked[r.asked_count]]
        l.taken_count += 1
    while l.dropped_count < DROPPED_MAX and mapping_take_unwanted(r, &l.dropped[l.dropped_count]):
        l.dropped_count += 1


cdef void obey(ffr_loop *l) noexcept nogil:
    cdef uint32_t op = ff_load32_acquire(&l.admin)
    cdef ffr_session *s
    if op == ADMIN_NONE or not ff_cas32(&l.admin, op, ADMIN_TAKEN):
        return                               # withdrawn: who asked has given up
    s = &l.r.state.session[l.admin_session]
    if op == ADMIN_ATTACH:
        attach(l, l.admin_session)
    elif op == ADMIN_WANTED:
        hand_out(l)
    elif op == ADMIN_REACH:
        reach_obey(l.r)
    elif op == ADMIN_RATES:
        rates_obey(l.r)
    elif s.used and not s.closing:
        if op == ADMIN_GIDS:
            change_gids(l, s)
        elif op == ADMIN_PORT:
            change_port(l, s)
        elif op == ADMIN_LIMITS:
            change_limits(l, s, l.admin_session)
        elif op == ADMIN_MAPPED:
            answer_later(l.r, l.admin_session, l.found)
        else:
            s.closing = l.admin_error
    ff_store32_release(&l.admin, ADMIN_NONE)


cdef int take_events(ffr_loop *l, uint64_t timeout_ns) noexcept nogil:
    """Waits for doorbells, hang-ups and wake-ups. The number of events."""
    cdef uint32_t tags[FFR_EVENTS]
    cdef uint32_t sessions[FFR_EVENTS]
    cdef int n = ffr_epoll_wait(l.r.epoll, timeout_ns, tags, sessions), i
    for i in range(n):
        if tags[i] == FFR_TAG_SOCKET and not l.r.state.session[sessions[i]].closing:
            l.r.state.session[sessions[i]].closing = ECONNRESET
        elif tags[i] == FFR_TAG_CM:
            channel_hang_up(l.r, sessions[i])
        elif tags[i] == FFR_TAG_WAKE:
            ffr_eventfd_drain(l.r.wake)
    return n


cdef void chores(ffr_loop *l) noexcept nogil:
    cdef ffr_router *r = l.r
    cdef ffr_session *s
    cdef uint32_t i, n
    l.last_chores_ns = r.now_ns
    take_events(l, 0)
    judge_load(l)
    if not r.flags:
        timed_yield(l)                       # a probe: hogs that are no sessions of ours
    if r.notify_pending:
        cq_notify_retry(r)
    if r.events_pending:
        events_retry(r)
    if r.now_ns - l.last_totals_ns < TOTALS_NS:
        return
    l.last_totals_ns = r.now_ns
    for i in range(r.live_count):
        n = r.live[i]
        s = &r.state.session[n]
        r.session_stats[n].qps = s.count[FFR_QP]
        r.session_stats[n].cqs = s.count[FFR_CQ]
        r.session_stats[n].mrs = s.count[FFR_MR]
        r.session_stats[n].pds = s.count[FFR_PD]
        r.session_stats[n].pinned_bytes = s.pinned


cdef uint64_t next_deadline(ffr_router *r) noexcept nogil:
    cdef uint64_t deadline = min(nics_deadline(r), timer_next(r))
    cdef uint32_t i, index = r.waiting.head
    for i in range(r.waiting.count):
        deadline = min(deadline, r.state.qp[index].deadline_ns)
        index = r.state.qp[index].list_next
    return deadline


cdef void sleep_until_rung(ffr_loop *l) noexcept nogil:
    """Arm every doorbell, look once more, and sleep. Whoever posts afterwards sees `armed` and writes its eventfd."""
    cdef ffr_router *r = l.r
    cdef uint32_t i, n = r.active.count
    cdef uint64_t deadline, timeout
    for i in range(n):
        if not qp_rest(r, r.active.head):
            return
    for i in range(r.live_count):
        if not r.view[r.live[i]].armed:
            r.view[r.live[i]].armed = 1
            ff_store32(&(<ff_session *>r.view[r.live[i]].control).armed, 1)
    ff_fence()                               # arm, fence, look; FFL: ring, fence, look at armed
    if pass_once(l, True) or ff_load32(&l.admin) != ADMIN_NONE:
        return
    deadline = next_deadline(r)
    timeout = TOTALS_NS if r.notify_pending + r.events_pending == 0 else RETRY_NS
    if r.live_count == 0:
        timeout = <uint64_t>10 * TOTALS_NS
    if deadline != <uint64_t>-1:
        timeout = min(timeout, deadline - min(deadline, r.now_ns))
    r.stats.sleeps += 1
    r.stats.asleep = 1
    r.stats.pollers = 0
    if take_events(l, timeout):
        r.stats.wakeups += 1
    r.stats.asleep = 0


# ---- threads ----

cdef inline bint take(ffr_loop *l) noexcept nogil:
    """The token, if nobody has it. Its release by the last holder pairs with this acquire, so state needs no lock."""
    return ff_load32(&l.token) == 0 and ff_cas32(&l.token, 0, 1)


cdef inline void give(ffr_loop *l) noexcept nogil:
    ff_store32_release(&l.token, 0)


cdef void stand(ffr_loop *l, bint wanted, const cpu_set_t *everywhere, int cpu) noexcept nogil:
    """Rouses the stand-ins, or sends them to sleep; the first thread keeps to its own core while they run."""
    if wanted == (ff_load32(&l.standing) != 0) or l.ncpu > STAND_INS_MAX:
        return
    ff_store32_release(&l.standing, wanted)
    if wanted:
        ffr_pin(cpu, everywhere)
        ffr_futex_rouse(&l.standing, STAND_INS_MAX)
    else:
        ffr_pin(-1, everywhere)


cdef void loop_stand_in(ffr_loop *l, int cpu) noexcept nogil:
    cdef ffr_router *r = l.r
    cdef uint64_t before, after
    ffr_pin(cpu, NULL)
    ffr_slice(SLICE_NS)
    while not ff_load32(&l.stop):
        if ff_load32_acquire(&l.standing) == 0:
            ffr_futex_nap(&l.standing, 0, NAP_NS)
            continue
        if take(l):
            r.now_ns = ffr_now_ns()
            if pass_once(l, False):
                l.last_work_ns = r.now_ns
            give(l)
        before = ffr_now_ns()
        sched_yield()
        after = ffr_now_ns()
        if after - before < YIELD_MAX_NS:
            ff_store64(&l.brisk_ns, after)   # a hint


cdef bint first_pass(ffr_loop *l) noexcept nogil:
    """A pass with what only the first thread does. True when there was work."""
    cdef ffr_router *r = l.r
    cdef int work
    r.now_ns = ffr_now_ns()
    if ff_load32(&l.admin) != ADMIN_NONE:
        obey(l)
    work = pass_once(l, False)
    if work:
        l.last_work_ns = r.now_ns
    if r.now_ns - l.last_chores_ns > CHORES_NS:
        chores(l)
    return work != 0


cdef bint may_sleep(ffr_loop *l) noexcept nogil:
    cdef uint32_t polling = ff_load32(&l.polling)
    cdef uint64_t idle = l.r.now_ns - l.last_work_ns
    if polling == FFR_FASTPATH:
        return False
    return (polling == FFR_LOWCPU or idle > l.budget_ns
            or (l.r.flags & FF_FLAG_SLOW_YIELD and idle > SLOW_SPIN_NS))


cdef void loop_run(ffr_loop *l) noexcept nogil:
    cdef ffr_router *r = l.r
    cdef cpu_set_t everywhere
    cdef int cpu = ffr_first_cpu(&everywhere)
    cdef bint crowded = False
    ffr_slice(SLICE_NS)
    while not ff_load32(&l.stop):
        if not take(l):
            sched_yield()                    # a stand-in makes its pass
            continue
        if first_pass(l):
            give(l)
            continue
        crowded = r.flags == FF_FLAG_OVERSUBSCRIBED and r.now_ns < l.stand_until_ns and r.now_ns - r.far_ns > FAR_NS
        if may_sleep(l):
            stand(l, False, &everywhere, cpu)
            sleep_until_rung(l)
            give(l)
            continue
        give(l)
        stand(l, crowded, &everywhere, cpu)
        if r.flags & FF_FLAG_OVERSUBSCRIBED:
            timed_yield(l)
        else:
            ff_pause()
