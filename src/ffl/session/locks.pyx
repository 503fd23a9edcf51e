"""What locks do when somebody else holds them."""

from libc.stdint cimport uint32_t

from ffcore.shm cimport ff_a32, ff_cas32, ff_exchange32, ff_load32, ff_pause
from ffl.kernel cimport futex_wait, futex_wake, sched_yield

cdef enum:
    SPINS = 100           # about 2 µs: longer than anybody keeps a ring who is not preempted
    YIELDS = 100
    NAP_NS = 50000        # a holder of lower real-time priority gets nothing from a yield


cdef public void ff_spin_wait(ff_a32 *lock) noexcept nogil:
    cdef uint32_t round = 0
    while True:
        if ff_load32(lock) == 0 and ff_cas32(lock, 0, 1):    # relaxed look: the CAS orders
            return
        round += 1
        if round < SPINS:
            ff_pause()
        elif round < SPINS + YIELDS:
            sched_yield()
        else:
            futex_wait(lock, 1, NAP_NS)          # unlocking wakes nobody: the time-out does


# 0 free, 1 held, 2 held and somebody sleeps.
cdef public void ff_mutex_lock(ff_a32 *mutex) noexcept nogil:
    if ff_cas32(mutex, 0, 1):
        return
    while ff_exchange32(mutex, 2) != 0:
        futex_wait(mutex, 2, -1)


cdef public void ff_mutex_unlock(ff_a32 *mutex) noexcept nogil:
    if ff_exchange32(mutex, 0) == 2:
        futex_wake(mutex, 1)
