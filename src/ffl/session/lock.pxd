"""Locks: a spin lock for the rings (one atomic operation when nobody else is there), a sleeping one for the rest."""

from ffcore.shm cimport ff_a32, ff_cas32, ff_store32_release


cdef extern void ff_spin_wait(ff_a32 *lock) noexcept nogil
cdef extern void ff_mutex_lock(ff_a32 *mutex) noexcept nogil
cdef extern void ff_mutex_unlock(ff_a32 *mutex) noexcept nogil


cdef inline void spin_lock(ff_a32 *lock) noexcept nogil:
    if not ff_cas32(lock, 0, 1):
        ff_spin_wait(lock)


cdef inline void spin_unlock(ff_a32 *lock) noexcept nogil:
    ff_store32_release(lock, 0)      # pairs with the next holder's ff_cas32
