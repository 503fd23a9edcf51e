"""A queue pair with its completion queue: work requests go in, Works come back done. Nothing here knows sockets."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from freeflow.rdma.device cimport Device
from freeflow.rdma.memory cimport Region, Span
from freeflow.rdma.verbs cimport *


# Something that will be done: a work request, or the arrival of a message.
cdef class Work:
    cdef readonly bint done
    cdef readonly object result
    cdef readonly object error       # an exception, or None
    cdef public object kept          # what must live until then
    cdef public object waiter        # whom to tell: a callable, or None

    cdef void finish(self, object result, object error)


cdef class Queue:
    cdef readonly Device device
    cdef readonly str peer
    cdef ibv_comp_channel *channel
    cdef ibv_cq *cq
    cdef ibv_qp *qp
    cdef bint is_datagram
    cdef uint32_t inline_max
    cdef uint64_t posted             # send work requests; their number is their wr_id
    cdef uint64_t completed
    cdef uint32_t depth
    cdef list works                  # [depth], by number
    cdef ibv_send_wr held            # the last one of a batch, until it is known whether it is
    cdef ibv_sge held_sge
    cdef bint holds
    cdef bint batching
    cdef uint32_t unsignaled
    cdef readonly uint32_t slots     # receive buffers, and what a message in one of them may have
    cdef readonly uint32_t slot_bytes
    cdef Region receive_region
    cdef object receive_memory
    cdef unsigned char *receive_at
    cdef readonly object arrived     # collections.deque of (kind, slot, length, imm, source)
    cdef readonly object awaited     # deque of Works that wait for one of those
    cdef readonly object failure     # an exception: the queue is in its error state
    cdef object turn                 # a lock: one thread at a time polls
    cdef unsigned int events         # to acknowledge

    cdef int _make_queues(self) except -1
    cdef int _make_slots(self) except -1
    cdef int _modify(self, ibv_qp_attr *attr, int mask, str doing) except -1
    cdef int _to_init(self) except -1
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
