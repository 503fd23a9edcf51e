"""Memory windows on the data path: BIND_MW, LOCAL_INV, and what SEND_INV does at its receiver (IBTA 10.6.7.2).

A window of type 2 is of kind B: it belongs to the QP that bound it, and only that QP's peer can use or invalidate it. An
XRC_RECV QP binds nothing; what an XRC_SEND QP has bound, whoever comes by XRC for an SRQ of its PD may use and invalidate.
"""

from libc.stdint cimport uint8_t, uint32_t

from ffcore.shm cimport ff_wqe
from ffr.state cimport ffr_mr, ffr_qp, ffr_router


# Executes a LOCAL_INV or BIND_MW of the QP: the completion's status.
cdef uint8_t window_operation(ffr_router *r, const ffr_qp *q, const ff_wqe *w) noexcept nogil

# The bound window of type 2 that QP q may invalidate under this key, or NULL.
cdef ffr_mr *window_of(ffr_router *r, const ffr_qp *q, uint32_t rkey) noexcept nogil

cdef void window_unbind(ffr_router *r, ffr_mr *window) noexcept nogil
