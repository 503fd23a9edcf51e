"""The QPs' timers: a wheel of slots (ROCE_WHEEL of ROCE_TICK_BITS), by QP index. The driver turns it."""

from libc.stdint cimport uint32_t, uint64_t

from ffr.nic.roce.tables cimport roce_tables


# See to a QP's timer. One that has moved on or gone stays where it is: its slot will tell.
cdef void watch(roce_tables *t, uint32_t index) noexcept nogil
# Off the wheel.
cdef void wheel_unlink(roce_tables *t, uint32_t index) noexcept nogil
# When the next slot that is not empty is due; -1: all are.
cdef uint64_t wheel_deadline(const roce_tables *t) noexcept nogil
