"""What the context's table needs of cq.pyx, domain.pyx and qp.pyx: verbs that are no symbols."""

from ffl.verbs cimport (ibv_context, ibv_cq_ex, ibv_cq_init_attr_ex, ibv_parent_domain_init_attr, ibv_pd, ibv_qp,
                        ibv_qp_init_attr_ex, ibv_td, ibv_td_init_attr)

cdef extern ibv_qp *ff_create_qp_ex(ibv_context *context, ibv_qp_init_attr_ex *attr) noexcept nogil
cdef extern ibv_cq_ex *ff_create_cq_ex(ibv_context *context, ibv_cq_init_attr_ex *attr) noexcept nogil
cdef extern ibv_td *ff_alloc_td(ibv_context *context, ibv_td_init_attr *attr) noexcept nogil
cdef extern int ff_dealloc_td(ibv_td *td) noexcept nogil
cdef extern ibv_pd *ff_alloc_parent_domain(ibv_context *context, ibv_parent_domain_init_attr *attr) noexcept nogil
