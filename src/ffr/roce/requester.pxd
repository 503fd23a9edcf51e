"""The sending half of a QP: send WQEs -> requests; acknowledgements and responses -> completions. RC and XRC in full,
UC and UD without what answers."""

from libc.stdint cimport uint32_t, uint64_t

from ffr.roce.qp cimport roce_env, roce_qp
from ffr.roce.window cimport roce_path
from ffr.roce.wire cimport roce_packet


cdef enum roce_turn:
    ROCE_IDLE = 0        # nothing to send until a doorbell, a packet or the timer
    ROCE_MORE = 1        # the budget was used up
    ROCE_BLOCKED = 2     # the path's window is full; try again when it opens
    ROCE_FULL = 3        # the driver has no buffer

# Both states begin at psn; what modify_qp says is set, everything else zero.
cdef void requester_start(roce_qp *q, uint32_t sq_psn, uint32_t sq_index) noexcept nogil
# Send up to `budget` packets. Result: enum roce_turn.
cdef int requester_send(roce_qp *q, roce_path *path, const roce_env *env, uint64_t now, uint32_t budget) noexcept nogil
# A response (FF_IS_RESPONSE) that arrived for this QP.
cdef void requester_receive(roce_qp *q, roce_path *path, const roce_env *env, const roce_packet *p,
                            uint64_t now) noexcept nogil
# Call at or after q.timer. Afterwards requester_send may have something to do.
cdef void requester_timer(roce_qp *q, roce_path *path, const roce_env *env, uint64_t now) noexcept nogil
# The QP is going away or failing: give its packets in flight back to the path.
cdef void requester_stop(roce_qp *q, roce_path *path) noexcept nogil
