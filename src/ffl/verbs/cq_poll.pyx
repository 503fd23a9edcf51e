"""Polling and arming a completion queue."""

from libc cimport errno
from libc.stdint cimport int64_t, uint32_t

from ffcore.shm cimport (FF_ARM_NEXT, FF_ARM_NONE, FF_ARM_SOLICITED, FF_CQE_DEAD, FF_FLAG_OVERSUBSCRIBED,
                         FF_FLAG_SLOW_YIELD, ff_cas32, ff_cqe, ff_fence, ff_load32, ff_load32_acquire, ff_pause,
                         ff_store32)
from ffl.verbs.cq_ring cimport consume, ff_cq_turn, next_cqe, sl_of, wc_flags_of
from ffl.memory.api cimport ff_gate_pass
from ffl.kernel cimport fail, futex_wait, likely, sched_yield
from ffl.session.lock cimport spin_lock, spin_unlock
from ffl.objects cimport ffl_cq
from ffl.session.session_api cimport ff_session_get, ff_session_idle
from ffl.ibv cimport ibv_cq, ibv_wc, ibv_wc_opcode, ibv_wc_status

cdef enum:
    IDLE_POLLS = 1024         # empty polls between two looks at the clock
    NAP_POLLS = 64            # what a nap counts for
    NAP_NS = 1000000
    FAR_NAP_NS = 100000       # bounds what it costs a program that looks at other things than CQs, too
    OTHERS = 8                # CQs that a thread looks at in turn, as a rule
    LOOKS = 200               # before a nap: about 10 us
    SHORT_NAP_NS = 50000      # where a thread looks at several CQs in turn: another one may be the next to complete

cdef ffl_cq *napped           # the CQ of this process that was last found empty; compared, never followed

# Since `since_cq` was found empty after `pushed` had been `since_pushed`, others were found empty `since_others` times.
cdef ffl_cq *since_cq
cdef uint32_t since_pushed
cdef uint32_t since_others


cdef inline void translate(ff_cqe *cqe, ibv_wc *wc) noexcept nogil:
    wc.wr_id = cqe.wr_id
    wc.status = <ibv_wc_status>cqe.status
    wc.opcode = <ibv_wc_opcode>cqe.opcode
    wc.vendor_err = cqe.vendor_err
    wc.byte_len = cqe.byte_len
    wc.imm_data = cqe.imm
    wc.qp_num = cqe.qpn
    wc.src_qp = cqe.src_qpn
    wc.wc_flags = wc_flags_of(cqe)
    wc.pkey_index = cqe.pkey_index
    wc.slid = 0
    wc.sl = sl_of(cqe)
    wc.dlid_path_bits = 0


cdef void nap(ffl_cq *cq) noexcept nogil:
    """Where a yield costs more than a wake-up. The router clears `waiters` and wakes after it has published a CQE."""
    global napped
    cdef int64_t limit = NAP_NS if napped == cq else SHORT_NAP_NS
    cdef int look
    for look in range(LOOKS):                        # a stream of completions must not pay for a wake-up each
        if next_cqe(cq) != NULL:
            return
        ff_pause()
    napped = cq
    ff_store32(&cq.shared.waiters, 1)
    ff_fence()                # pairs with the router's between publishing and looking at waiters
    if next_cqe(cq) == NULL:
        futex_wait(&cq.shared.waiters, 1, limit)


cdef bint far_nap(ffl_cq *cq) noexcept nogil:
    """Waits for a completion of any CQ of the process, once all that this thread looks at were found empty: that is
    when it comes to the same one again and nothing was pushed meanwhile. Threads that disturb each other here, wait
    too long at most. False when it did not wait."""
    global since_cq, since_pushed, since_others
    cdef uint32_t pushed = ff_load32_acquire(&cq.session.pushed)     # pairs with the router's release
    if pushed == since_pushed and cq != since_cq and since_others < OTHERS:
        since_others += 1
        return False
    if pushed != since_pushed or cq != since_cq:
        since_cq, since_pushed, since_others = cq, pushed, 0
        return False
    since_others = 0
    ff_store32(&cq.session.sleepers, 1)
    ff_fence()                # pairs with the router's between pushing and looking at sleepers
    if next_cqe(cq) == NULL:
        futex_wait(&cq.session.pushed, pushed, FAR_NAP_NS)
    return True


cdef public int ff_cq_idle(ffl_cq *cq) noexcept nogil:
    cdef uint32_t flags = ff_load32(&cq.session.flags)       # a hint: no order needed
    cq.idle += 1
    if flags and ff_load32(&cq.session.far):
        if far_nap(cq):
            cq.idle += NAP_POLLS
    elif flags & FF_FLAG_SLOW_YIELD:
        nap(cq)
        cq.idle += NAP_POLLS
    elif flags & FF_FLAG_OVERSUBSCRIBED:
        sched_yield()
    if likely(cq.idle < IDLE_POLLS):
        return 0
    cq.idle = 0
    ff_session_idle()
    if likely(ff_load32(&ff_session_get().gone) == 0):
        return 0
    fail(errno.EIO)
    return -1


cdef public int ff_poll_cq(ibv_cq *handed, int num_entries, ibv_wc *wc) noexcept nogil:
    cdef ffl_cq *cq = <ffl_cq *>handed
    cdef ff_cqe *cqe
    cdef int found = 0
    # Without the lock: what another thread takes meanwhile is its own.
    if next_cqe(cq) == NULL and likely(ff_load32(&cq.turning) == 0):
        return ff_cq_idle(cq)
    spin_lock(&cq.lock)
    while found < num_entries:
        cqe = next_cqe(cq)
        if cqe == NULL:
            if ff_load32(&cq.turning) and ff_cq_turn(cq):
                continue
            break
        if likely(not cqe.flags & FF_CQE_DEAD):
            translate(cqe, wc + found)
            found += 1
        consume(cq, cqe)
    spin_unlock(&cq.lock)
    if found:
        ff_gate_pass()
    return found


cdef public int ff_req_notify_cq(ibv_cq *handed, int solicited_only) noexcept nogil:
    """IBTA 11.4.2.2: asking for the next completion includes solicited ones, so it is not taken back by asking less."""
    cdef ffl_cq *cq = <ffl_cq *>handed
    if solicited_only:
        ff_cas32(&cq.shared.arm, FF_ARM_NONE, FF_ARM_SOLICITED)
    else:
        ff_store32(&cq.shared.arm, FF_ARM_NEXT)
    ff_fence()                # the application looks for CQEs again after this; the router: publish, fence, look at arm
    return 0


cdef uint32_t purge_ring(ff_cqe *ring, uint32_t mask, uint32_t index, uint32_t qpn) noexcept nogil:
    """Where the ring's completions end. Bound: its length."""
    cdef uint32_t first = index
    cdef ff_cqe *cqe
    while index - first <= mask:
        cqe = &ring[index & mask]
        if ff_load32_acquire(&cqe.seq) != index + 1:         # pairs with the router's release of the line
            break
        index += 1
        if cqe.qpn == qpn:
            cqe.flags |= FF_CQE_DEAD
    return index


cdef public void ff_purge_cq(ffl_cq *cq, uint32_t qpn) noexcept nogil:
    """The router adds none of this QP's any more."""
    spin_lock(&cq.lock)
    purge_ring(cq.ring, cq.mask, cq.index, qpn)
    if ff_load32(&cq.turning):
        purge_ring(cq.next_ring, cq.next_mask, cq.turn_index, qpn)
    spin_unlock(&cq.lock)
