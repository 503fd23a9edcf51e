"""What the context's tables need of the memory family (pd_mr.pyx, odp.pyx, dm.pyx, mw.pyx): verbs that are no symbols."""

from libc.stdint cimport uint32_t, uint64_t

from ffl.objects cimport ffl_mr
from ffl.ibv cimport (ibv_advise_mr_advice, ibv_alloc_dm_attr, ibv_context, ibv_dm, ibv_mr, ibv_mw, ibv_mw_bind,
                        ibv_mw_type, ibv_pd, ibv_qp, ibv_sge)

cdef extern ibv_mr *ff_alloc_null_mr(ibv_pd *pd) noexcept nogil

cdef extern ibv_dm *ff_alloc_dm(ibv_context *context, ibv_alloc_dm_attr *attr) noexcept nogil
cdef extern int ff_free_dm(ibv_dm *dm) noexcept nogil
cdef extern ibv_mr *ff_reg_dm_mr(ibv_pd *pd, ibv_dm *dm, uint64_t offset, size_t length, unsigned int access) noexcept nogil

cdef extern ibv_mw *ff_alloc_mw(ibv_pd *pd, ibv_mw_type type) noexcept nogil
cdef extern int ff_bind_mw(ibv_qp *qp, ibv_mw *mw, ibv_mw_bind *bind) noexcept nogil
cdef extern int ff_dealloc_mw(ibv_mw *mw) noexcept nogil

cdef extern int ff_advise_mr(ibv_pd *pd, ibv_advise_mr_advice advice, uint32_t flags, ibv_sge *sg_list,
                             uint32_t num_sge) noexcept nogil
cdef extern void ff_odp_add(ffl_mr *mr) noexcept nogil       # an on-demand MR, from its registration to its end
cdef extern void ff_odp_remove(ffl_mr *mr) noexcept nogil
cdef extern void ff_odp_child() noexcept nogil               # after fork, in the child
