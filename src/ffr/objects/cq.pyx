from libc.string cimport memcpy

from ffcore.shm cimport (FF_ARM_NONE, FF_ARM_NEXT, FF_FLAG_SLOW_YIELD, ff_cq_shared, ff_cqe, ff_exchange32,
                         ff_fence, ff_load32, ff_load32_acquire, ff_session, ff_store32, ff_store32_release)
from ffr.objects.events cimport async_event, send_event
from ffr.ibv cimport IBV_EVENT_CQ_ERR, IBV_WC_SUCCESS
from ffr.state cimport FFR_CQ, FFR_FAR_MORE, FFR_NEAR, FFR_NONE, FFR_OWED, ffr_cq, ffr_router, ffr_view


cdef extern from "ffr/reactor/futex.h" nogil:
    void ffr_futex_wake(void *word)

cdef enum:
    RETRIES = 1024            # CQs looked at in a round of retries
    REFUSALS = 16             # ... which ends when so many sockets were still full: 10 us of calls in vain


cdef inline ff_cq_shared *shared_of(ffr_router *r, ffr_cq *cq) noexcept nogil:
    return <ff_cq_shared *>(r.view[cq.o.session].control + cq.offset)


cdef void notify(ffr_router *r, uint32_t index, ffr_cq *cq) noexcept nogil:
    if send_event(r, cq.channel, 0, index):
        return
    if not cq.notify:                        # at most one event is owed per CQ: it was disarmed
        cq.notify = 1
        r.notify_pending += 1


cdef void cq_notify_retry(ffr_router *r) noexcept nogil:
    """Rare: some channel's socket was full. A part of the table each time, so that a container that never reads its
    channels costs the others nothing they notice."""
    cdef uint32_t n = min(r.state.table.fresh[FFR_CQ], <uint32_t>RETRIES), i, refusals = 0
    cdef ffr_cq *cq
    for i in range(n):
        if refusals == REFUSALS:
            break
        r.notify_cursor += 1
        if r.notify_cursor >= r.state.table.fresh[FFR_CQ]:
            r.notify_cursor = 0
        cq = &r.state.cq[r.notify_cursor]
        if not cq.notify:
            continue
        if send_event(r, cq.channel, 0, r.notify_cursor):
            cq.notify = 0
            r.notify_pending -= 1
        else:
            refusals += 1


cdef void cq_refresh(ffr_router *r, ffr_cq *cq) noexcept nogil:
    cq.consumed = ff_load32_acquire(&shared_of(r, cq).consumed[0])   # pairs with FFL's release after it has read


cdef enum:
    NO_ROOM = 0               # it has overrun before
    ROOM
    OVERRUN                   # just now

cdef int room(ffr_router *r, uint32_t index, ffr_cq *cq) noexcept nogil:
    if cq.overrun:
        return NO_ROOM
    if cq.produced - cq.consumed < cq.entries:
        return ROOM
    cq_refresh(r, cq)
    if cq.produced - cq.consumed < cq.entries:
        return ROOM
    cq.overrun = 1                           # also when the index is impossible: it lies further than the capacity
    async_event(r, cq.context, IBV_EVENT_CQ_ERR, index)
    return OVERRUN


cdef void rouse(ffr_router *r, uint32_t session) noexcept nogil:
    """Wakes who waits for `pushed` to change. Callers have published and fenced."""
    cdef ff_session *shared = <ff_session *>r.view[session].control
    if ff_load32(&shared.sleepers):
        ff_exchange32(&shared.sleepers, 0)
        ffr_futex_wake(&shared.pushed)


cdef void cq_rouse(ffr_router *r) noexcept nogil:
    cdef uint32_t i
    ff_fence()                               # push, fence, look at sleepers; FFL: store it, fence, look again
    for i in range(r.owed_count):
        r.view[r.owed[i]].owed = 0
        rouse(r, r.owed[i])
    r.owed_count = 0


cdef void tell(ffr_router *r, uint32_t session) noexcept nogil:
    """A completion from afar, or the first one that is not: who waits is woken, once a batch where it came in one."""
    cdef ffr_view *view = &r.view[session]
    cdef ff_session *shared = <ff_session *>view.control
    if view.far != (r.far != FFR_NEAR):
        view.far = r.far != FFR_NEAR
        ff_store32(&shared.far, view.far)
    view.pushed += 1
    ff_store32_release(&shared.pushed, view.pushed)          # pairs with FFL's acquire before it looks at its CQs
    if r.far == FFR_FAR_MORE:
        return
    if r.far and r.owed_count < FFR_OWED:
        if not view.owed:
            view.owed = 1
            r.owed[r.owed_count] = session
            r.owed_count += 1
    else:
        ff_fence()
        rouse(r, session)


cdef bint cq_push(ffr_router *r, uint32_t index, ff_cqe *cqe, bint solicited) noexcept nogil:
    cdef ffr_cq *cq = &r.state.cq[index]
    cdef ff_cq_shared *shared
    cdef ff_cqe *slot
    cdef uint32_t armed
    cdef int place = room(r, index, cq)
    if place != ROOM:
        return place == OVERRUN
    shared = shared_of(r, cq)
    slot = <ff_cqe *>(r.view[cq.o.session].control + cq.ring) + (cq.produced & (cq.entries - 1))
    r.state.session[cq.o.session].active_ns = r.now_ns
    cqe.timestamp_ns = r.now_ns
    memcpy(slot, cqe, sizeof(ff_cqe) - sizeof(uint32_t))
    cq.produced += 1
    ff_store32_release(&slot.seq, cq.produced)               # pairs with FFL's acquire in poll_cq
    r.session_stats[cq.o.session].completions += 1
    if cqe.status != IBV_WC_SUCCESS:
        r.session_stats[cq.o.session].completion_errors += 1
    if r.far or r.view[cq.o.session].far:
        tell(r, cq.o.session)
    if cq.channel == FFR_NONE and not r.flags & FF_FLAG_SLOW_YIELD:
        return False
    ff_fence()                               # publish, fence, look at arm and waiters; FFL: store them, fence, look again
    if cq.channel != FFR_NONE:
        armed = ff_load32(&shared.arm)
        if armed != FF_ARM_NONE and (armed == FF_ARM_NEXT or solicited or cqe.status != IBV_WC_SUCCESS):
            if ff_exchange32(&shared.arm, FF_ARM_NONE) != FF_ARM_NONE:
                notify(r, index, cq)
    if r.flags & FF_FLAG_SLOW_YIELD and ff_load32(&shared.waiters):
        ff_exchange32(&shared.waiters, 0)
        ffr_futex_wake(&shared.waiters)
    return False
