from libc.stdint cimport uint64_t

from ffr.cm.state cimport FFR_CM_WHEEL, ffr_cm_id
from ffr.state cimport FFR_NONE


cdef enum:
    TICK_BITS = 24            # 16.8 ms, 4.3 s a turn: later deadlines look again when their slot comes


cdef void timer_stop(ffr_router *r, uint32_t id) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    if not a.wheel_slot:
        return
    if a.wheel_prev == FFR_NONE:
        r.state.cm.wheel[a.wheel_slot - 1] = a.wheel_next
    else:
        r.state.cm_id[a.wheel_prev].wheel_next = a.wheel_next
    if a.wheel_next != FFR_NONE:
        r.state.cm_id[a.wheel_next].wheel_prev = a.wheel_prev
    a.wheel_slot = 0
    r.state.cm.waiting -= 1


cdef void timer_set(ffr_router *r, uint32_t id) noexcept nogil:
    """Slots before `tick` have been looked at, so a deadline goes into one of the turn from there on, after its time."""
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef uint64_t tick
    cdef uint32_t slot
    timer_stop(r, id)
    if not a.c.deadline_ns:
        return
    if r.state.cm.waiting == 0:
        r.state.cm.tick = r.now_ns >> TICK_BITS
    tick = (a.c.deadline_ns >> TICK_BITS) + 1
    slot = min(max(tick, r.state.cm.tick), r.state.cm.tick + FFR_CM_WHEEL - 2) % FFR_CM_WHEEL
    a.wheel_slot = slot + 1
    a.wheel_prev = FFR_NONE
    a.wheel_next = r.state.cm.wheel[slot]
    if a.wheel_next != FFR_NONE:
        r.state.cm_id[a.wheel_next].wheel_prev = id
    r.state.cm.wheel[slot] = id
    r.state.cm.waiting += 1


cdef uint32_t timer_due(ffr_router *r) noexcept nogil:
    """Bound: a turn of the wheel; those of a slot that are not due yet are taken along to a later one."""
    cdef uint64_t now = r.now_ns >> TICK_BITS
    cdef uint32_t id
    if r.state.cm.waiting == 0:
        return FFR_NONE
    if now > r.state.cm.tick + FFR_CM_WHEEL:
        r.state.cm.tick = now - FFR_CM_WHEEL
    while r.state.cm.tick <= now:
        id = r.state.cm.wheel[r.state.cm.tick % FFR_CM_WHEEL]
        if id == FFR_NONE:
            r.state.cm.tick += 1
            continue
        timer_stop(r, id)
        if r.state.cm_id[id].c.deadline_ns <= r.now_ns:
            return id
        r.state.cm.tick += 1                 # so that it does not come back to this slot
        timer_set(r, id)
        r.state.cm.tick -= 1
    return FFR_NONE


cdef uint64_t timer_next(ffr_router *r) noexcept nogil:
    cdef uint64_t tick = r.state.cm.tick
    cdef uint32_t i
    if r.state.cm.waiting == 0:
        return <uint64_t>-1
    for i in range(FFR_CM_WHEEL):
        if r.state.cm.wheel[(tick + i) % FFR_CM_WHEEL] != FFR_NONE:
            return (tick + i) << TICK_BITS
    return <uint64_t>-1
