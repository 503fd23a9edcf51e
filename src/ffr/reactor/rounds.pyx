"""One pass over everything that may have work: doorbells, active QPs, waiting QPs, NICs. And how sessions come and go."""

from ffcore.shm cimport (ff_and64, ff_load32, ff_load64, ff_session, ff_store32, ff_store32_release)
from ffr.cm.channels cimport channels_poll
from ffr.cm.talk cimport talk_poll
from ffr.handlers.table cimport answer
from ffr.handlers.teardown cimport close_objects
from ffr.ibv cimport IBV_QPS_ERR, IBV_QPS_RTS, IBV_QPS_SQE
from ffr.nic.base cimport NIC_IDLE, NIC_WORKED, ffr_nic, nic_at, nics_poll
from ffr.objects.qp cimport FFR_BATCH, FFR_TURN_BYTES, qp_activate, qp_flush, qp_rest
from ffr.objects.rates cimport rates_bound, rates_charge, rates_open, rates_until
from ffr.state cimport (FFR_DM, FFR_LATER_NONE, FFR_LIST_WAITING, FFR_MR, FFR_NONE, FFR_RUN, FFR_SESSIONS, FFR_WAIT_RATE, ffr_qp, ffr_ring_list, ffr_router,
                        ffr_session)
from libc.errno cimport ECONNRESET
from libc.stdint cimport uint64_t


cdef extern from "ffr/reactor/loop.h" nogil:
    enum:
        FFR_TAG_SOCKET
        FFR_TAG_DOORBELL
    int ffr_epoll_add(int epoll, int fd, uint32_t tag, uint32_t session)
    void ffr_epoll_remove(int epoll, int fd)
    void ffr_eventfd_add(int fd)
    int ffr_lowest_bit(uint64_t bits)


cdef enum:
    SCAN = 128                # sessions looked at in a pass; more take turns
    BELL_WORDS = 4            # doorbell words that a session may have looked at in a pass: 256 QPs
    TURNS = 256               # active QPs that get a turn in a pass
    WAITERS = 64              # waiting QPs looked at in a pass
    IDLE_PASSES = 64          # empty looks after which a QP leaves the active list
    CLOSE_BUDGET = 64         # objects of a dead session freed in a pass


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
        return end(l, session)
    work = answer(r, session)
    if ff_load64(&shared.qp_summary):
        work += look_at_bells(r, session, shared)
    if work:
        s.active_ns = r.now_ns
        if r.view[session].armed:
            r.view[session].armed = 0
            ff_store32(&shared.armed, 0)     # who reads the old value writes the eventfd once too often: harmless
    return work


cdef int rated_turn(ffr_router *r, uint32_t index) noexcept nogil:
    """A NIC whose packets leave later asks for each QP's rates itself, then."""
    cdef ffr_qp *q = &r.state.qp[index]
    cdef const ffr_nic *nic = nic_at(q.nic)
    cdef uint64_t bytes = r.stats.bytes
    cdef uint32_t first = q.sq_index
    cdef int worked
    if nic.paces:
        return nic.run(r, index)
    if not rates_open(r, index):
        return NIC_WORKED
    rates_bound(r, index, &r.turn_bytes, &r.turn_wqes)
    worked = nic.run(r, index)
    r.turn_bytes, r.turn_wqes = FFR_TURN_BYTES, FFR_BATCH
    rates_charge(r, index, r.stats.bytes - bytes, q.sq_index - first)
    return worked


cdef int turn(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    if q.state == IBV_QPS_RTS:
        return rated_turn(r, index) if r.rated else nic_at(q.nic).run(r, index)
    if q.state == IBV_QPS_ERR or q.state == IBV_QPS_SQE:
        return NIC_WORKED if qp_flush(r, index) else NIC_IDLE
    return NIC_IDLE


cdef inline uint32_t next_turn(ffr_router *r, ffr_ring_list *ring) noexcept nogil:
    """Round robin: whose turn it is, and the list is ready for the turn to change it. FFR_NONE: nobody is left."""
    cdef uint32_t index = ring.head
    if ring.count == 0:
        return FFR_NONE
    ring.head = r.state.qp[index].list_next
    return index


cdef int run_active(ffr_router *r) noexcept nogil:
    cdef uint32_t n = min(r.active.count, <uint32_t>TURNS), i, index
    cdef ffr_qp *q
    cdef int work = 0
    for i in range(n):
        index = next_turn(r, &r.active)
        if index == FFR_NONE:
            break
        q = &r.state.qp[index]
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
        index = next_turn(r, &r.waiting)
        if index == FFR_NONE:
            break
        q = &r.state.qp[index]
        if q.wait == FFR_WAIT_RATE:          # the rate may be another one by now
            q.deadline_ns = rates_until(r, index)
            if q.deadline_ns <= r.now_ns:
                q.wait = FFR_RUN
        elif q.wait == FFR_RUN:              # it has nothing to wait for any more
            pass
        elif nic_at(q.nic).ready(r, index):
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
    if r.state.cm.waiting:
        work += talk_poll(r)
    if r.state.cm.closing != FFR_NONE:
        work += channels_poll(r)
    r.stats.passes += 1
    if work:
        r.stats.busy_passes += 1
    return work


# ---- sessions come and go ----

cdef void attach(ffr_loop *l, uint32_t session) noexcept nogil:
    cdef ffr_router *r = l.r
    cdef ffr_session *s = &r.state.session[session]
    s.used = 1
    r.view[session].far = r.view[session].pushed = r.view[session].owed = 0
    r.view[session].armed = 0                # not what the number's last session left: nobody would ring for us
    r.later[session].state = FFR_LATER_NONE  # nor a command of that one
    r.live[r.live_count] = session
    r.live_count += 1
    ff_store32(&(<ff_session *>r.view[session].control).flags, r.flags)
    ffr_epoll_add(r.epoll, s.event, FFR_TAG_DOORBELL, session)
    if ffr_epoll_add(r.epoll, s.sock, FFR_TAG_SOCKET, session):
        s.closing = ECONNRESET
    r.stats.sessions_opened += 1


cdef int end(ffr_loop *l, uint32_t session) noexcept nogil:
    """A part of its end in each pass. What other processes have imported keeps the number and the mappings."""
    cdef ffr_session *s = &l.r.state.session[session]
    if s.lingers and s.count[FFR_MR] + s.count[FFR_DM]:
        return 0
    if close_objects(l.r, session, FFR_NONE, CLOSE_BUDGET):
        if s.count[FFR_MR] + s.count[FFR_DM] == 0:
            finish(l, session)
        else:
            s.lingers = 1
    return 1


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
