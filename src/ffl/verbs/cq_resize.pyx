"""ibv_resize_cq, while others poll and the router completes.

The router allocates the new ring and goes on in it at the index that it had reached; that is between two completions,
for one thread of it does both. What lies in the old ring stays there, and is polled first: indices go on, so the old
ring simply looks empty at that index, and a poll that finds it empty looks here (ff_cq_turn). A poll that finds
something pays nothing.

What can go wrong, and does not:
- Nobody may find the CQ empty, arm it and sleep between the router's change and ours: its completion would be in a ring
  that we do not know yet. `turning` is set before the command is sent, and a poll that sees it waits for the lock, which
  is held until the answer is in. Who has not seen it had looked before the router's change (store arm, fence, look; the
  router: publish, fence, look at arm), so the router sees the arm and sends the event.
- A look at the old ring without the lock may come after the exchange, even after the old ring's pages hold something
  else. It only reads, and what it believes to have found is looked for again under the lock.
- `consumed`, `arm` and `waiters` do not move: they stay with the first ring.
"""

from libc cimport errno
from libc.stdint cimport uint8_t, uint32_t

from ffcore.control cimport FF_CMD_RESIZE_CQ, ff_cmd_resize_cq, ff_reply_resize_cq
from ffcore.shm cimport ff_cqe, ff_fence, ff_store32, ff_store32_release
from ffl.session.call_api cimport ff_call
from ffl.verbs.cq_ring cimport next_cqe
from ffl.kernel cimport fail
from ffl.session.lock cimport spin_lock, spin_unlock
from ffl.objects cimport context_of, ffl_cq
from ffl.ibv cimport ibv_cq


cdef public bint ff_cq_turn(ffl_cq *cq) noexcept nogil:
    """The lock is held and the ring looked empty. Some completion of it may have come since: then there is no turn."""
    if next_cqe(cq) != NULL:
        return True
    if cq.next_ring == NULL or cq.index != cq.turn_index:
        return False
    cq.ring = cq.next_ring
    cq.mask = cq.next_mask
    cq.next_ring = NULL
    ff_store32(&cq.turning, 0)                       # whoever reads it late takes the lock for nothing
    return True


cdef int ask(ffl_cq *cq, ibv_cq *shown, uint32_t cqe) noexcept nogil:
    cdef ff_cmd_resize_cq request
    cdef ff_reply_resize_cq reply
    cdef int error
    request.handle = shown.handle
    request.cqe = cqe
    error = ff_call(context_of(shown.context), FF_CMD_RESIZE_CQ, &request, sizeof(request), &reply, sizeof(reply))
    if error:
        return error
    cq.next_ring = <ff_cqe *>(<uint8_t *>cq.session + reply.offset)
    cq.next_mask = reply.entries - 1
    cq.turn_index = reply.index
    shown.cqe = reply.entries
    return 0


cdef public int ffv_ibv_resize_cq(ibv_cq *handed, int cqe) noexcept nogil:
    """EINVAL: more completions wait than would fit. EBUSY: some still wait in the ring before the last resize."""
    cdef ffl_cq *cq = <ffl_cq *>handed
    cdef int error
    if cqe < 1:
        return fail(errno.EINVAL)
    spin_lock(&cq.lock)
    if cq.next_ring != NULL:
        ff_cq_turn(cq)
    if cq.next_ring != NULL:
        spin_unlock(&cq.lock)
        return fail(errno.EBUSY)
    ff_store32_release(&cq.shared.consumed[0], cq.index)     # the router counts what waits by it
    ff_store32(&cq.turning, 1)
    ff_fence()                                       # before the command; see above
    error = ask(cq, handed, <uint32_t>cqe)
    if error:
        ff_store32(&cq.turning, 0)
    spin_unlock(&cq.lock)
    return fail(error) if error else 0
