"""A QP's record, of whatever type: how it begins and how it ends."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

# The WQEs that a type of QP may have, a bit each; 0: there is no such transport here.
cdef uint32_t opcodes_of(uint32_t qp_type) noexcept nogil
# Of a fresh object: it is a QP of this type, in RESET, with nothing attached yet.
cdef void qp_begin(ffr_router *r, uint32_t index, uint32_t qp_type) noexcept nogil
# Its end, and that of what it holds on to.
cdef void qp_free(ffr_router *r, uint32_t index) noexcept nogil
