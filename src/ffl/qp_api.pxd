"""Queue pairs: what the context's table needs of qp.pyx."""

from ffl.verbs cimport ibv_context, ibv_qp, ibv_qp_init_attr_ex

cdef extern ibv_qp *ff_create_qp_ex(ibv_context *context, ibv_qp_init_attr_ex *attr) noexcept nogil
