"""The data path: what verbs.h's inline functions call through ibv_context.ops. No system call, no router."""

from libc.stdint cimport uint32_t, uint64_t

from ffl.objects cimport ffl_cq, ffl_qp
from ffl.ibv cimport ibv_cq, ibv_qp, ibv_recv_wr, ibv_send_wr, ibv_srq, ibv_wc

cdef extern int ff_post_send(ibv_qp *qp, ibv_send_wr *wr, ibv_send_wr **bad_wr) noexcept nogil      # post.pyx
cdef extern int ff_post_recv(ibv_qp *qp, ibv_recv_wr *wr, ibv_recv_wr **bad_wr) noexcept nogil
cdef extern int ff_post_srq_recv(ibv_srq *srq, ibv_recv_wr *wr, ibv_recv_wr **bad_wr) noexcept nogil     # srq.pyx
cdef extern int ff_poll_cq(ibv_cq *cq, int num_entries, ibv_wc *wc) noexcept nogil                  # cq_poll.pyx
cdef extern int ff_req_notify_cq(ibv_cq *cq, int solicited_only) noexcept nogil
cdef extern void ff_purge_cq(ffl_cq *cq, uint32_t qpn) noexcept nogil     # nobody polls this QP's completions any more
cdef extern void ff_wr_begin_with(ffl_qp *qp, uint64_t operations) noexcept nogil        # post_wr.pyx
