"""A thread runs this, without the GIL, for the router's life; stand-ins on the other cores where those are few."""

from libc.errno cimport ECONNRESET

from ffcore.shm cimport (FF_FLAG_OVERSUBSCRIBED, FF_FLAG_SLOW_YIELD, FF_QP_WORDS, ff_and64, ff_cas32, ff_fence,
                         ff_load32, ff_load32_acquire, ff_load64, ff_pause, ff_session, ff_store32, ff_store32_release,
                         ff_store64)
from ffr.cq cimport cq_notify_retry
from ffr.handlers.table cimport answer
from ffr.handlers.teardown cimport close_objects
from ffr.nic.base cimport NIC_IDLE, NIC_WORKED
from ffr.nic.registry cimport nic_at, nics_deadline, nics_poll
from ffr.qp cimport qp_activate, qp_flush, qp_rest
from ffr.state cimport (FFR_CQ, FFR_FASTPATH, FFR_LIST_WAITING, FFR_LOWCPU, FFR_MR, FFR_NONE, FFR_PD, FFR_QP, FFR_RUN,
                        FFR_SESSIONS, ffr_qp, ffr_session)


cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from "<infiniband/verbs.h>" nogil:
    enum:
        IBV_QPS_RTS
        IBV_QPS_SQE
        IBV_QPS_ERR

cdef extern from "ffr/loop.h" nogil:
    enum:
        FFR_EVENTS
        FFR_TAG_SOCKET
        FFR_TAG_DOORBELL
        FFR_TAG_WAKE
    uint64_t ffr_now_ns()
    int ffr_epoll_add(int epoll, int fd, uint32_t tag, uint32_t session)
    void ffr_epoll_remove(int epoll, int fd)
    int ffr_epoll_wait(int epoll, uint64_t timeout_ns, uint32_t *tags, uint32_t *sessions)
    void ffr_eventfd_add(int fd)
    void ffr_eventfd_drain(int fd)
    int ffr_lowest_bit(uint64_t bits)
    ctypedef struct cpu_set_t:
        pass
    void ffr_pin(int cpu, const cpu_set_t *everywhere)
    int ffr_first_cpu(cpu_set_t *everywhere)
    void ffr_futex_nap(void *word, uint32_t value, long ns)
    void ffr_futex_rouse(void *word, int count)


cdef enum:
    SCAN = 128                # sessions looked at in a pass; more take turns
    BELL_WORDS = 4            # doorbell words that a session may have looked at in a pass: 256 QPs
    TURNS = 256               # active QPs that get a turn in a pass
    WAITERS = 64              # waiting QPs looked at in a pass
    IDLE_PASSES = 64          # empty looks after which a QP leaves the active list
    CLOSE_BUDGET = 64         # objects of a dead session freed in a pass
    CHORES_NS = 1000000       # hang-ups, flags and probes: every millisecond
    RETRY_NS = 10000000       # a sleeping router tries channels again that were full
    TOTALS_NS = 100000000     # object counts into the counters
    ACTIVE_NS = 5000000       # a session that had work within this long counts as polling
    YIELD_MAX_NS = 50000      # a yield that takes longer costs more than a wake-up
    SLOW_SCORE = 2            # so many slow yields close together, and the host is slow
    SLOW_MIN_NS = 10000000    # ... for this long at first, doubled while it stays so
    SLOW_MAX_NS = 320000000
    SLOW_SPIN_NS = 20000      # a slow host: look for this long before sleeping, so that a stream does not pay per message
    NAP_NS = 100000000        # a stand-in that sleeps looks around this often


# ---- one pass ----

cdef int look_at_bells(ffr_router *r, uint32_t session, ff_session *shared) noexcept nogil:
    """Takes QPs whose bits are set into the active list; the bits stay set while they are there."""
    cdef ffr_session *s = &r.state.session[session]
    cdef uint64_t summary = ff_load64(&shared.qp_summary)    # a hint: the ands below order
    cdef uint64_t word, stray
    cdef uint32_t w, bit, qp
    cdef int n = 0
    while summary and n < BELL_WORDS:
        w = ffr_lowest_bit(summary)
        summary &= summary - 1
        ff_and64(&shared.qp_summary, ~(<uint64_t>1 << w))    # clear, then look at the word; FFL: word, then summary
        word = ff_load64(&shared.qp_bell[w])
        stray = 0
        while word:                          # 64 turns at most
            bit = ffr_lowest_bit(word)
            word &= word - 1
            qp = s.bell_qp[w * 64 + bit]
            if qp == FFR_NONE:
                stray |= <uint64_t>1 << bit
            else:
                qp_activate(r, qp)
        if stray:
            ff_and64(&shared.qp_bell[w], ~stray)
        n += 1
    return n


cdef int look_at(ffr_loop *l, uint32_t session) noexcept nogil:
    cdef ffr_router *r = l.r
    cdef ffr_session *s = &r.state.session[session]
    cdef ff_session *shared = <ff_session *>r.view[session].control
    cdef int work
    if s.closing:
        if close_objects(r, session, FFR_NONE, CLOSE_BUDGET):
            finish(l, session)
        return 1
    work = answer(r, session)
    if ff_load64(&shared.qp_summary):
        work += look_at_bells(r, session, shared)
    if work:
        s.active_ns = r.now_ns
        if r.view[session].armed:
            r.view[session].armed = 0
            ff_store32(&shared.armed, 0)     # who reads the old value writes the eventfd once too often: harmless
    return work


cdef int turn(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    if q.state == IBV_QPS_RTS:
        return nic_at(q.nic).run(r, index)
    if q.state == IBV_QPS_ERR or q.state == IBV_QPS_SQE:
        return NIC_WORKED if qp_flush(r, index) else NIC_IDLE
    return NIC_IDLE


cdef int run_active(ffr_router *r) noexcept nogil:
    cdef uint32_t n = min(r.active.count, <uint32_t>TURNS), i, index
    cdef ffr_qp *q
    cdef int work = 0
    for i in range(n):
        if r.active.count == 0:
            break
        index = r.active.head
        q = &r.state.qp[index]
        r.active.head = q.list_next          # round robin, before the turn changes the list
        if turn(r, index) == NIC_WORKED:
            q.idle = 0
            r.state.session[q.o.session].active_ns = r.now_ns
            work += 1
        else:
            q.idle += 1
            if q.idle > IDLE_PASSES:
                qp_rest(r, index)
    return work


cdef int run_waiting(ffr_router *r) noexcept nogil:
    cdef uint32_t n = min(r.waiting.count, <uint32_t>WAITERS), i, index
    cdef ffr_qp *q
    cdef int work = 0
    for i in range(n):
        if r.waiting.count == 0:
            break
        index = r.waiting.head
        q = &r.state.qp[index]
        r.waiting.head = q.list_next
        if nic_at(q.nic).ready(r, index):
            q.wait = FFR_RUN
        elif r.now_ns >= q.deadline_ns:
            nic_at(q.nic).expired(r, index)
            work += 1
        if q.wait == FFR_RUN and q.list == FFR_LIST_WAITING:
            qp_activate(r, index)
            work += 1
    return work


cdef int pass_once(ffr_loop *l, bint everyone) noexcept nogil:
    cdef ffr_router *r = l.r
    cdef uint32_t n = r.live_count, i
    cdef int work = 0
    if n > SCAN and not everyone:
        n = SCAN
    for i in range(n):
        if r.live_count == 0:                # finish() shortens the list
            break
        if r.live_cursor >= r.live_count:
            r.live_cursor = 0
        r.live_cursor += 1
        work += look_at(l, r.live[r.live_cursor - 1])
    work += run_active(r)
    if r.waiting.count:
        work += run_waiting(r)
    work += nics_poll(r)
    r.stats.passes += 1
    if work:
        r.stats.busy_passes += 1
    return work


# ---- sessions come and go ----

cdef void attach(ffr_loop *l, uint32_t session) noexcept nogil:
    cdef ffr_router *r = l.r
    cdef ffr_session *s = &r.state.session[session]
    s.used = 1
    r.view[session].armed = 0                # not what the number's last session left: nobody would ring for us
    r.live[r.live_count] = session
    r.live_count += 1
    ff_store32(&(<ff_session *>r.view[session].control).flags, r.flags)
    ffr_epoll_add(r.epoll, s.event, FFR_TAG_DOORBELL, session)
    if ffr_epoll_add(r.epoll, s.sock, FFR_TAG_SOCKET, session):
        s.closing = ECONNRESET
    r.stats.sessions_opened += 1


cdef void finish(ffr_loop *l, uint32_t session) noexcept nogil:
    """Nothing of the session is left but its mappings and descriptors: another thread takes those away."""
    cdef ffr_router *r = l.r
    cdef ffr_session *s = &r.state.session[session]
    cdef uint32_t i, head
    for i in range(r.live_count):
        if r.live[i] == session:
            r.live_count -= 1
            r.live[i] = r.live[r.live_count]
            break
    ffr_epoll_remove(r.epoll, s.event)
    ffr_epoll_remove(r.epoll, s.sock)
    ff_store32_release(&(<ff_session *>r.view[session].control).dead, s.closing)
    s.used = 0
    r.session_stats[session].in_use = 0
    r.stats.sessions_closed += 1
    head = ff_load32(&l.reaped_head)         # ours alone to write
    l.reaped[head % FFR_SESSIONS] = session
    ff_store32_release(&l.reaped_head, head + 1)
    ffr_eventfd_add(r.reaped)


cdef void obey(ffr_loop *l) noexcept nogil:
    cdef uint32_t op = ff_load32_acquire(&l.admin)
    cdef ffr_session *s
    if op == ADMIN_NONE or not ff_cas32(&l.admin, op, ADMIN_TAKEN):
        return                               # withdrawn: who asked has given up
    s = &l.r.state.session[l.admin_session]
    if op == ADMIN_ATTACH:
        attach(l, l.admin_session)
    elif s.used and not s.closing:
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
        elif tags[i] == FFR_TAG_WAKE:
            ffr_eventfd_drain(l.r.wake)
    return n


# ---- between passes ----

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
        flags = FF_FLAG_OVERSUBSCRIBED
    if r.now_ns < l.slow_until_ns:
        flags = FF_FLAG_OVERSUBSCRIBED | FF_FLAG_SLOW_YIELD
    publish_flags(r, flags)


cdef void timed_yield(ffr_loop *l) noexcept nogil:
    """Gives the core away, and judges what that costs. One slow yield is the machine's noise; several mean that every
    core has somebody who does not yield, unless a stand-in's yields are quick."""
    cdef ffr_router *r = l.r
    cdef uint64_t before = ffr_now_ns(), took
    sched_yield()
    took = ffr_now_ns() - before
    r.stats.yields += 1
    if took < YIELD_MAX_NS:
        if l.slow_score and r.stats.yields % 64 == 0:
            l.slow_score -= 1
        return
    r.stats.slow_yields += 1
    if before + took - ff_load64(&l.brisk_ns) < CHORES_NS:
        return
    l.slow_score += 1
    if l.slow_score < SLOW_SCORE:
        return
    l.slow_score = 0
    if before - l.slow_until_ns > l.slow_span_ns:
        l.slow_span_ns = SLOW_MIN_NS         # the last slow time is long past
    else:
        l.slow_span_ns = min(l.slow_span_ns * 2, <uint64_t>SLOW_MAX_NS)
    l.slow_until_ns = before + took + l.slow_span_ns


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
    cdef uint64_t deadline = nics_deadline(r)
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
    timeout = TOTALS_NS if r.notify_pending == 0 else RETRY_NS
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
    while not ff_load32(&l.stop):
        if not take(l):
            sched_yield()                    # a stand-in makes its pass
            continue
        if first_pass(l):
            give(l)
            continue
        crowded = r.flags == FF_FLAG_OVERSUBSCRIBED
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
