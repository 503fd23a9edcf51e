from ffr.nic.roce.tables cimport ROCE_TICK_BITS, ROCE_WHEEL, roce_side
from ffr.state cimport FFR_NONE


cdef void wheel_unlink(roce_tables *t, uint32_t index) noexcept nogil:
    cdef roce_side *s = &t.side[index]
    if not s.wheel_slot:
        return
    if s.wheel_prev == FFR_NONE:
        t.wheel[s.wheel_slot - 1] = s.wheel_next
    else:
        t.side[s.wheel_prev].wheel_next = s.wheel_next
    if s.wheel_next != FFR_NONE:
        t.side[s.wheel_next].wheel_prev = s.wheel_prev
    s.wheel_slot = 0
    t.wheel_count -= 1


cdef void wheel_link(roce_tables *t, uint32_t index, uint64_t at) noexcept nogil:
    """Into the slot of its time, or the farthest one; from there it is put on again."""
    cdef roce_side *s = &t.side[index]
    cdef uint64_t tick = max((at >> ROCE_TICK_BITS) + 1, t.now_tick)
    cdef uint32_t slot = min(tick, t.now_tick + ROCE_WHEEL - 1) & (ROCE_WHEEL - 1)
    s.wheel_slot = slot + 1
    s.wheel_prev = FFR_NONE
    s.wheel_next = t.wheel[slot]
    if s.wheel_next != FFR_NONE:
        t.side[s.wheel_next].wheel_prev = index
    t.wheel[slot] = index
    t.wheel_count += 1


cdef inline uint32_t ahead(const roce_tables *t, uint32_t slot) noexcept nogil:
    """How many slots lie before this one."""
    return (slot - <uint32_t>t.now_tick) & (ROCE_WHEEL - 1)


cdef void watch(roce_tables *t, uint32_t index) noexcept nogil:
    cdef roce_side *s = &t.side[index]
    cdef uint64_t at = t.qp[index].timer, tick
    if at == 0:
        return
    if s.wheel_slot:
        tick = max((at >> ROCE_TICK_BITS) + 1, t.now_tick)
        if tick - t.now_tick >= ahead(t, s.wheel_slot - 1):
            return
        wheel_unlink(t, index)
    wheel_link(t, index, at)


cdef uint64_t wheel_deadline(const roce_tables *t) noexcept nogil:
    cdef uint32_t i
    for i in range(ROCE_WHEEL if t.wheel_count else 0):
        if t.wheel[(t.now_tick + i) & (ROCE_WHEEL - 1)] != FFR_NONE:
            return (t.now_tick + i) << ROCE_TICK_BITS
    return <uint64_t>-1
