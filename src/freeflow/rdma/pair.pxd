"""A queue pair, its completion queue and their channel: made, connected, stopped, and taken down. What goes through them is
queue.pyx's."""

from libc.stdint cimport uint32_t

from freeflow.rdma.device cimport Device
from freeflow.rdma.verbs cimport *


cdef enum:
    GRH = 40                         # bytes before a datagram (IBTA 8.3)
    DATAGRAM_QKEY = 0x46460001       # of this package's datagrams: not a controlled one (IBTA 10.2.5)


cdef class Pair:
    cdef readonly Device device
    cdef readonly str peer           # whom errors name
    cdef ibv_comp_channel *channel
    cdef ibv_cq *cq
    cdef ibv_qp *qp
    cdef bint is_datagram
    cdef uint32_t inline_max         # bytes
    cdef uint32_t depth              # send work requests under way
    cdef readonly uint32_t slots     # receive buffers, and the bytes that a message in one of them may have
    cdef readonly uint32_t slot_bytes
    cdef readonly object failure     # an exception: the queue pair is in its error state
    cdef unsigned int events         # to acknowledge

    cdef int make_queues(self) except -1
    cdef int to_init(self) except -1
    cdef int _modify(self, ibv_qp_attr *attr, int mask, str doing) except -1


# The way to a host, for datagrams.
cdef class Route:
    cdef ibv_ah *handle
    cdef Device device
