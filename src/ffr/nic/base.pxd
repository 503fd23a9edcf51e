"""The NIC contract: what a backend does for the reactor. nic/local/connected.pyx is the example to copy from.

A backend runs in the reactor thread, without the GIL, never blocks, and does a bounded amount of work in each call.
It executes the WQEs of the QPs that registry.pyx gives it, reports through qp_sent and qp_received (qp.pxd), and
parks a QP that cannot go on with qp_wait (or takes it off the lists, and activates it again by itself).
"""

from libc.stdint cimport uint32_t, uint64_t

from ffr.state cimport ffr_router


cdef enum:
    NIC_IDLE = 0      # the QP has nothing to do
    NIC_WORKED = 1    # something was done, and there may be more


ctypedef struct ffr_nic:
    const char *name
    # A turn of a QP in RTS (or draining in SQD): NIC_IDLE or NIC_WORKED.
    int (*run)(ffr_router *r, uint32_t qp) noexcept nogil
    # A waiting QP: may it go on before its deadline? Called often: a few loads.
    bint (*ready)(ffr_router *r, uint32_t qp) noexcept nogil
    # Its deadline has passed: count the retry, and wait again, go on, or fail.
    void (*expired)(ffr_router *r, uint32_t qp) noexcept nogil
    # What follows is NULL where a backend has no use for it.
    # The QP is in RTR, RTS or SQD now, and was in state `before`.
    void (*enter)(ffr_router *r, uint32_t qp, uint32_t before) noexcept nogil
    # It goes to ERR; or (gone) to RESET, or is about to be freed. Called also for a QP that never was in these states.
    void (*leave)(ffr_router *r, uint32_t qp, bint gone) noexcept nogil
    # Once in each pass, after the QPs' turns: the network. 0: nothing was done.
    int (*poll)(ffr_router *r) noexcept nogil
    # A sleeping router wakes for poll at this time; ~0: never.
    uint64_t (*deadline)(ffr_router *r) noexcept nogil
