"""Which attributes a QP's change of state needs and allows (IBTA 11.2.5.2 and 10.3.1), as one table."""

from libc.stdint cimport uint32_t

# 0 when a QP of this type may go from `state` to `next_state` with exactly the attributes in mask; EINVAL otherwise.
cdef int transition_check(uint32_t qp_type, uint32_t state, uint32_t next_state, uint32_t mask) noexcept nogil
