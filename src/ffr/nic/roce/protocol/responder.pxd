"""The receiving half of a reliable QP (RC, XRC target): requests -> effects on memory, receive completions, responses.

Nothing is answered while a batch of packets is taken in: responder_send, called after it, sends what is due, so one
ACK answers a batch."""

from ffcore.roce cimport FF_AETH_ACK, FF_AETH_KIND
from libc.stdint cimport uint32_t, uint64_t

from ffr.nic.roce.protocol.qp cimport roce_env, roce_qp
from ffr.nic.roce.protocol.wire cimport roce_packet


cdef void responder_start(roce_qp *q, uint32_t rq_psn) noexcept nogil
# A request that arrived for this QP.
cdef void responder_receive(roce_qp *q, const roce_env *env, const roce_packet *p) noexcept nogil
# See transport_receive_run.
cdef bint responder_receive_run(roce_qp *q, const roce_env *env, const roce_packet *p, uint32_t count,
                                uint32_t stride) noexcept nogil
# Send up to `budget` packets: READ responses and atomic results in PSN order, then the ACK or NAK that is due.
# Result: enum roce_turn. A failed QP still sends its last NAK.
cdef int responder_send(roce_qp *q, const roce_env *env, uint32_t budget) noexcept nogil
# Whether responder_send has something to do.
cdef inline bint responder_due(const roce_qp *q) noexcept nogil:
    return q.pending or q.ack_due
# The open message's receive WQE, if one is taken, completes with WR_FLUSH_ERR: on the way to ERR, or when a UC message
# is given up for good.
cdef void responder_flush(roce_qp *q, const roce_env *env) noexcept nogil

# Whether an ACK is all that is to be sent.
cdef inline bint responder_acks(const roce_qp *q) noexcept nogil:
    return q.ack_due and not q.pending and q.syndrome & FF_AETH_KIND == FF_AETH_ACK
