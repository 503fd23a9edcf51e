"""Objects that events may name, in a hash of short lists: events are rare beside completions."""

from libc.stdint cimport uint32_t

from ffcore.shm cimport ff_a32, ff_add32, ff_load32_acquire, ff_store32
from ffl.kernel cimport futex_wait, futex_wake
from ffl.session.lock cimport ff_mutex_lock, ff_mutex_unlock
from ffl.objects cimport FFL_CQ, ffl_cq, ffl_tracked
from ffl.ibv cimport ibv_comp_channel, ibv_cq

cdef enum:
    BUCKETS = 1024            # 4096 QPs make lists of 4
    WAITING = 0x80000000      # in a count of owed acknowledgements: somebody waits for the last one
    COUNT = 0x7fffffff        # ... and the count itself
    TOO_MANY = 1 << 30        # a program that acknowledges more than it got: the count is negative

cdef ffl_tracked *bucket[BUCKETS]
cdef ff_a32 mutex


cdef public void ff_handle_put(ffl_tracked *tracked, void *object, uint32_t kind, uint32_t handle) noexcept nogil:
    tracked.object = object
    tracked.kind = kind
    tracked.handle = handle
    ff_mutex_lock(&mutex)
    tracked.next = bucket[handle % BUCKETS]
    bucket[handle % BUCKETS] = tracked
    ff_mutex_unlock(&mutex)


cdef void await_acks(ff_a32 *owed) noexcept nogil:
    cdef uint32_t left = ff_add32(owed, WAITING) + WAITING
    while 0 < left & COUNT < TOO_MANY:
        futex_wait(owed, left, -1)
        left = ff_load32_acquire(owed)               # pairs with the acknowledgement's ff_add32


cdef public void ff_handle_acknowledge(ff_a32 *owed, uint32_t count) noexcept nogil:
    """The object may be freed as soon as the count is down, so nothing of it is read afterwards."""
    if ff_add32(owed, 0 - count) & WAITING:
        futex_wake(owed, COUNT)


cdef public void ff_handle_retire(ffl_tracked *tracked) noexcept nogil:
    cdef ffl_tracked **link = &bucket[tracked.handle % BUCKETS]
    cdef bint known
    ff_mutex_lock(&mutex)
    while link[0] != NULL and link[0] != tracked:
        link = &link[0].next
    known = link[0] != NULL
    if known:
        link[0] = tracked.next
    ff_mutex_unlock(&mutex)
    if not known:                                    # a fork's child: whoever would acknowledge is not here
        return
    await_acks(&tracked.async_owed)
    await_acks(&tracked.comp_owed)


cdef ffl_tracked *find(uint32_t kind, uint32_t handle) noexcept nogil:
    cdef ffl_tracked *at = bucket[handle % BUCKETS]
    while at != NULL and (at.handle != handle or at.kind != kind):
        at = at.next
    return at


cdef public void *ff_handle_take_async(uint32_t kind, uint32_t handle) noexcept nogil:
    cdef ffl_tracked *found
    ff_mutex_lock(&mutex)
    found = find(kind, handle)
    if found != NULL:
        ff_add32(&found.async_owed, 1)
    ff_mutex_unlock(&mutex)
    return NULL if found == NULL else found.object


cdef public void *ff_handle_take_comp(uint32_t handle, ibv_comp_channel *channel) noexcept nogil:
    """The channel is compared too: an event may outlive its CQ, and the router uses handles again."""
    cdef ffl_tracked *found
    ff_mutex_lock(&mutex)
    found = find(FFL_CQ, handle)
    if found != NULL and (<ibv_cq *>found.object).channel != channel:
        found = NULL
    if found != NULL:
        ff_add32(&found.comp_owed, 1)
    ff_mutex_unlock(&mutex)
    return NULL if found == NULL else found.object


cdef public void ff_handles_child() noexcept nogil:
    cdef int i
    for i in range(BUCKETS):
        bucket[i] = NULL
    ff_store32(&mutex, 0)
