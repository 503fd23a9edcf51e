"""From verbs' words to the wire's and back: a WQE's opcode as an operation, a NAK's code as a status."""

from libc.stdint cimport uint8_t

from ffcore.roce cimport *
from ffcore.shm cimport (FF_OP_CMP_SWP, FF_OP_FETCH_ADD, FF_OP_READ, FF_OP_SEND_IMM, FF_OP_SEND_INV, FF_OP_WRITE,
                         FF_OP_WRITE_IMM)
from ffr.ibv cimport IBV_WC_REM_ACCESS_ERR, IBV_WC_REM_INV_REQ_ERR, IBV_WC_REM_OP_ERR


cdef inline uint8_t operation_of(uint8_t opcode, bint first, bint last) noexcept nogil:
    """The packet's operation for a WQE's opcode and a place in the message."""
    if opcode == FF_OP_READ:
        return FF_READ_REQUEST
    if opcode == FF_OP_CMP_SWP:
        return FF_COMPARE_SWAP
    if opcode == FF_OP_FETCH_ADD:
        return FF_FETCH_ADD
    if opcode == FF_OP_WRITE or opcode == FF_OP_WRITE_IMM:
        if not last:
            return FF_WRITE_FIRST if first else FF_WRITE_MIDDLE
        if opcode == FF_OP_WRITE:
            return FF_WRITE_ONLY if first else FF_WRITE_LAST
        return FF_WRITE_ONLY_IMM if first else FF_WRITE_LAST_IMM
    if not last:
        return FF_SEND_FIRST if first else FF_SEND_MIDDLE
    if opcode == FF_OP_SEND_IMM:
        return FF_SEND_ONLY_IMM if first else FF_SEND_LAST_IMM
    if opcode == FF_OP_SEND_INV:
        return FF_SEND_ONLY_INV if first else FF_SEND_LAST_INV
    return FF_SEND_ONLY if first else FF_SEND_LAST


cdef inline uint8_t status_of_nak(uint8_t code) noexcept nogil:
    """9.7.5.2, as ibv_wc_status names it; 0 for a reserved code."""
    if code == FF_NAK_INVALID_REQUEST:
        return IBV_WC_REM_INV_REQ_ERR
    if code == FF_NAK_REMOTE_ACCESS:
        return IBV_WC_REM_ACCESS_ERR
    if code == FF_NAK_REMOTE_OPERATION:
        return IBV_WC_REM_OP_ERR
    return 0
