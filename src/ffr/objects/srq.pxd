"""Shared receive queues as the reactor sees them. NICs see them through rq.pxd; `rq` is a QP's queue that names the SRQ."""

from libc.stdint cimport uint32_t

from ffcore.shm cimport ff_recv_wqe
from ffr.state cimport FFR_NONE, ffr_qp, ffr_router, ffr_rq, ffr_srq


# The SRQ of that number, or NULL.
cdef ffr_srq *srq_find(ffr_router *r, uint32_t srqn) noexcept nogil

# What rq.pxd does where the queue has no entries of its own.
cdef bint srq_ready(ffr_router *r, const ffr_rq *rq) noexcept nogil
cdef ff_recv_wqe *srq_slot(ffr_router *r, const ffr_rq *rq) noexcept nogil
cdef void srq_hold(ffr_router *r, ffr_rq *rq) noexcept nogil
cdef void srq_advance(ffr_router *r, ffr_rq *rq) noexcept nogil

# Is the SRQ still there whose WQE the queue holds?
cdef bint srq_is_held(ffr_router *r, const ffr_rq *rq) noexcept nogil

# The QP receives from this SRQ from now on.
cdef void srq_feed(ffr_rq *rq, const ffr_srq *s) noexcept nogil

# IBV_EVENT_SRQ_LIMIT_REACHED, once, when the limit is armed and fewer WQEs than that are left.
cdef void srq_check_limit(ffr_router *r, ffr_srq *s) noexcept nogil

# Takes the next ring into use when its time has come.
cdef void srq_turn(ffr_router *r, ffr_srq *s) noexcept nogil

# XRC (IBTA A14): the queue, the PD and the CQ of the QP's next request are those of the SRQ that it names. False: there
# is no such XRC SRQ in the QP's domain.
# The PD of an XRC SRQ in the QP's domain, or FFR_NONE: what a request that names it may use, now or answered later.
cdef uint32_t xrc_pd(ffr_router *r, const ffr_qp *q, uint32_t srqn) noexcept nogil
cdef bint xrc_select(ffr_router *r, ffr_qp *q, uint32_t srqn) noexcept nogil
