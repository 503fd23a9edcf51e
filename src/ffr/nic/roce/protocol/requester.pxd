"""The sending half of a QP: send WQEs -> requests; acknowledgements and responses -> completions. RC and XRC in full,
UC and UD without what answers."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ffr.nic.roce.protocol.qp cimport roce_env, roce_message, roce_out, roce_qp, roce_send
from ffr.nic.roce.protocol.window cimport roce_path
from ffr.nic.roce.protocol.wire cimport roce_packet


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
# The QP is going away or failing: give its packets in flight back to the path.
cdef void requester_stop(roce_qp *q, roce_path *path) noexcept nogil

# ---- for requester_timer.pyx ----

# The packet of message m that has this PSN, into zeros or an earlier packet. Result: the PSNs that it uses up.
cdef uint32_t compose(const roce_qp *q, const roce_message *m, const roce_send *w, uint32_t index, uint32_t psn,
                      roce_out *out) noexcept nogil
# Read a WQE again. False when it is not what it was: the program wrote to a slot that is not its own.
cdef bint load(roce_qp *q, const roce_env *env, uint32_t index, roce_send *w) noexcept nogil
# Complete the oldest WQEs as far as they are done; or let the oldest one fail.
cdef void settle(roce_qp *q, const roce_env *env) noexcept nogil
cdef void fail_oldest(roce_qp *q, const roce_env *env, uint8_t status) noexcept nogil
# Everything from una on is to be sent again.
cdef void rewind(roce_qp *q) noexcept nogil
# Bring the path's count up to date with this QP's packets in flight; and q.timer with what it is the earliest of.
cdef void charge(roce_qp *q, roce_path *path) noexcept nogil
cdef void set_timer(roce_qp *q) noexcept nogil
