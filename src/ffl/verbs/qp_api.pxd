"""What the context's table needs of cq.pyx, domain.pyx, qp.pyx, srq.pyx and xrc.pyx: verbs that are no symbols."""

from libc.stdint cimport uint8_t, uint32_t

from ffl.ibv cimport (ff_verbs_context, ibv_context, ibv_cq_ex, ibv_cq_init_attr_ex, ibv_device, ibv_parent_domain_init_attr, ibv_pd, ibv_qp,
                        ibv_qp_init_attr_ex, ibv_qp_open_attr, ibv_srq, ibv_srq_init_attr_ex, ibv_td, ibv_td_init_attr,
                        ibv_xrcd, ibv_xrcd_init_attr)

cdef extern ibv_device *ff_device() noexcept nogil                     # device.pyx
cdef extern void ff_fill_ops(ff_verbs_context *base) noexcept nogil

cdef extern ibv_qp *ff_create_qp_ex(ibv_context *context, ibv_qp_init_attr_ex *attr) noexcept nogil
cdef extern ibv_cq_ex *ff_create_cq_ex(ibv_context *context, ibv_cq_init_attr_ex *attr) noexcept nogil
cdef extern ibv_td *ff_alloc_td(ibv_context *context, ibv_td_init_attr *attr) noexcept nogil
cdef extern int ff_dealloc_td(ibv_td *td) noexcept nogil
cdef extern ibv_pd *ff_alloc_parent_domain(ibv_context *context, ibv_parent_domain_init_attr *attr) noexcept nogil
cdef extern ibv_srq *ff_create_srq_ex(ibv_context *context, ibv_srq_init_attr_ex *attr) noexcept nogil
cdef extern int ff_get_srq_num(ibv_srq *srq, uint32_t *number) noexcept nogil
cdef extern ibv_xrcd *ff_open_xrcd(ibv_context *context, ibv_xrcd_init_attr *attr) noexcept nogil
cdef extern int ff_close_xrcd(ibv_xrcd *xrcd) noexcept nogil
cdef extern ibv_qp *ff_open_qp(ibv_context *context, ibv_qp_open_attr *attr) noexcept nogil

# A QP's or an address handle's path was refused (EINVAL): a line, where the GID's index is the reason
cdef extern void ff_gid_explain(ibv_context *context, const char *verb, uint32_t index) noexcept nogil
# ... (EACCES): a line, whom it would have reached
cdef extern void ff_reach_explain(const char *verb, const uint8_t *gid) noexcept nogil

# The index of the interface that has the GID's address, or 0
cdef extern uint32_t ff_gid_interface(const uint8_t *gid) noexcept nogil

# create_qp_ex of an XRC_RECV QP
cdef extern ibv_qp *ff_create_xrc_recv(ibv_context *context, const ibv_qp_init_attr_ex *attr) noexcept nogil
