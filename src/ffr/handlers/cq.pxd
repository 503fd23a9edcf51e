"""CREATE_CQ, RESIZE_CQ, DESTROY_CQ."""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router, ffr_session

cdef int create_cq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int resize_cq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int destroy_cq(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil

# The largest CQ that a session can have: it takes a quarter of the control segment at most.
cdef uint32_t cqe_max(const ffr_session *s) noexcept nogil

cdef void cq_free(ffr_router *r, uint32_t index) noexcept nogil
