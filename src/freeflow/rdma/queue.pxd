"""A queue pair with its completion queue: work requests go in, Works come back done. Nothing here knows sockets."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from freeflow.rdma.memory cimport Region, Span
from freeflow.rdma.pair cimport Pair
from freeflow.rdma.verbs cimport *


# Something that will be done: a work request, or the arrival of a message.
cdef class Work:
    cdef readonly bint done
    cdef readonly object result
    cdef readonly object error       # an exception, or None
    cdef public object kept          # what must live until then
    cdef public object waiter        # whom to tell: a callable, or None

    cdef void finish(self, object result, object error)


cdef class Queue(Pair):
    cdef uint64_t posted             # send work requests; their number is their wr_id
    cdef uint64_t completed
    cdef list works                  # [depth], by number
    cdef ibv_send_wr held            # the last one of a batch, until it is known whether it is
    cdef ibv_sge held_sge
    cdef bint holds
    cdef bint batching
    cdef uint32_t unsignaled
    cdef Region receive_region
    cdef unsigned char *receive_at
    cdef Region stage_region         # room for short messages on their way out, made when it is needed
    cdef unsigned char *stage_at
    cdef readonly object arrived     # collections.deque of (kind, slot, length, imm, source)
    cdef readonly object awaited     # deque of Works that wait for one of those
    cdef object turn                 # a lock: one thread at a time polls

    cdef int place(self, Span span, ibv_sge *sge, bint into) except -1
    cdef int _make_slots(self) except -1
    cdef int _drop_all(self) except -1
    cdef Py_ssize_t _chain(self, bint into, Span span, const int64_t *rows, Py_ssize_t at, Py_ssize_t n, uint64_t address,
                           uint32_t rkey, uint32_t row_bytes, Work work) except -1
    cdef int flush(self, bint last) except -1
    cdef int post(self, ibv_send_wr *wr, Work work) except -1
    cdef int push(self, ibv_send_wr *wr) except -1
    cdef int take(self, int n, ibv_wc *wc) except -1
    cdef int sent(self, ibv_wc *wc) except -1
    cdef int receive(self, ibv_wc *wc) except -1
    cdef int refill(self, uint32_t slot) except -1
    cdef int look(self, uint64_t spin_ns) except -1
