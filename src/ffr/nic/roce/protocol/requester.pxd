"""The sending half of a QP: send WQEs -> requests; acknowledgements and responses -> completions. RC and XRC in full,
UC and UD without what answers."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ffcore.roce cimport FF_RC, FF_XRC
from ffcore.shm cimport FF_OP_CMP_SWP, FF_OP_FETCH_ADD, FF_OP_READ
from ffr.nic.roce.protocol.qp cimport ROCE_MESSAGES, roce_env, roce_message, roce_out, roce_qp, roce_send
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
# Send the packet of WQE `index` with this PSN once more. False: not now, or the WQE has failed.
cdef bint requester_repeat(roce_qp *q, const roce_env *env, uint32_t index, uint32_t psn) noexcept nogil


cdef enum:
    ROCE_ACK_EVERY = 16  # packets: a long message asks for an ACK this often, to keep the window moving. A power of 2


cdef inline bint asks(uint32_t psn) noexcept nogil:
    return psn & (ROCE_ACK_EVERY - 1) == ROCE_ACK_EVERY - 1


cdef inline roce_message *record(roce_qp *q, uint32_t index) noexcept nogil:
    return &q.message[index & (ROCE_MESSAGES - 1)]


cdef inline bint reliable(const roce_qp *q) noexcept nogil:
    return q.transport == FF_RC or q.transport == FF_XRC


cdef inline bint answered(const roce_message *m) noexcept nogil:
    """Whether it completes by a response of its own, not by an ACK."""
    return m.opcode == FF_OP_READ or m.opcode == FF_OP_CMP_SWP or m.opcode == FF_OP_FETCH_ADD


cdef inline uint32_t cell(const roce_qp *q, const roce_message *m) noexcept nogil:
    """Packets of one READ request. A long READ is asked for in cells, since nothing but asking for less slows a
    responder down; they lie on a grid that begins at the message's first PSN, so that a request that is repeated
    never spans two of the responder's resources. 16 to 70 KB."""
    if m.carried:
        return 48 if q.read_size < 2048 else 8
    return 16 if q.mtu >= 2048 else 32 if q.mtu == 1024 else 64


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
