"""Queue pairs as the reactor sees them: which list they are on, their rings, completion, error and flush."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ffcore.shm cimport ff_qp_shared, ff_wqe
from ffr.state cimport ffr_qp, ffr_router


cdef enum:
    FFR_BATCH = 64            # WQEs that a QP may execute in a turn (ffr_router.turn_wqes: less, where it has a rate)
    FFR_TURN_BYTES = 131072   # payload that it may move in a turn: 10-20 us, the stall that others see (turn_bytes)


cdef inline ff_qp_shared *qp_shared(ffr_router *r, const ffr_qp *q) noexcept nogil:
    return <ff_qp_shared *>(r.view[q.o.session].control + q.offset)

cdef inline ff_wqe *qp_sq_slot(ffr_router *r, const ffr_qp *q, uint32_t index) noexcept nogil:
    return <ff_wqe *>(r.view[q.o.session].control + q.sq_offset + <uint64_t>(index & (q.sq_entries - 1)) * q.sq_stride)


# Lists. An active QP is looked at in every pass, and its doorbell bit stays set.
cdef void qp_activate(ffr_router *r, uint32_t index) noexcept nogil
cdef bint qp_rest(ffr_router *r, uint32_t index) noexcept nogil     # clears the bell; False: there was work after all
cdef void qp_wait(ffr_router *r, uint32_t index, uint32_t wait, uint64_t deadline_ns) noexcept nogil
cdef void qp_unlist(ffr_router *r, uint32_t index) noexcept nogil

# States.
cdef void qp_set_state(ffr_router *r, uint32_t index, uint32_t state) noexcept nogil
cdef void qp_error(ffr_router *r, uint32_t index, bint fatal) noexcept nogil  # to ERR; fatal: with IBV_EVENT_QP_FATAL
# An asynchronous event of the QP, to each of its handles.
cdef void qp_established(ffr_router *r, uint32_t index) noexcept nogil    # in RTR a message has arrived
cdef void qp_event(ffr_router *r, uint32_t index, uint32_t type) noexcept nogil
cdef void qp_reset(ffr_router *r, uint32_t index) noexcept nogil              # drops what is posted
cdef int qp_flush(ffr_router *r, uint32_t index) noexcept nogil               # a turn in ERR or SQE; how many WQEs it flushed

# Completion of the send WQE at sq_index, which is then done. An error also takes the QP to ERR, UC and UD to SQE.
cdef void qp_sent(ffr_router *r, uint32_t index, const ff_wqe *w, uint8_t status, uint64_t length) noexcept nogil
# Completion of the next receive WQE of the queue that feeds the QP, which is then done.
cdef void qp_received(ffr_router *r, uint32_t index, uint64_t wr_id, uint8_t status, uint8_t opcode, uint8_t flags,
                      uint64_t length, uint32_t imm, uint32_t src_qpn, bint solicited) noexcept nogil
