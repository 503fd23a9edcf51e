"""What both of a QP's halves, and whoever composes their packets, know of a message."""

from libc.stdint cimport uint32_t

from ffcore.roce cimport FF_RC, FF_XRC
from ffcore.shm cimport FF_OP_CMP_SWP, FF_OP_FETCH_ADD, FF_OP_READ
from ffr.nic.roce.protocol.qp cimport ROCE_MESSAGES, roce_message, roce_qp


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
