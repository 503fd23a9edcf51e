"""The verbs library of this process: whatever libibverbs.so.1 is loaded, or would be."""

from libc.stdint cimport uint8_t, uint32_t

from freeflow.rdma.verbs cimport *


cdef struct verbs_library:
    ibv_device **(*get_device_list)(int *) noexcept nogil
    void (*free_device_list)(ibv_device **) noexcept nogil
    const char *(*get_device_name)(ibv_device *) noexcept nogil
    ibv_context *(*open_device)(ibv_device *) noexcept nogil
    int (*close_device)(ibv_context *) noexcept nogil
    int (*query_device)(ibv_context *, ibv_device_attr *) noexcept nogil
    int (*query_port)(ibv_context *, uint8_t, ibv_port_attr *) noexcept nogil
    int (*query_gid_ex)(ibv_context *, uint32_t, uint32_t, ibv_gid_entry *, uint32_t, size_t) noexcept nogil
    ibv_pd *(*alloc_pd)(ibv_context *) noexcept nogil
    int (*dealloc_pd)(ibv_pd *) noexcept nogil
    ibv_mr *(*reg_mr)(ibv_pd *, void *, size_t, int) noexcept nogil
    int (*dereg_mr)(ibv_mr *) noexcept nogil
    ibv_comp_channel *(*create_comp_channel)(ibv_context *) noexcept nogil
    int (*destroy_comp_channel)(ibv_comp_channel *) noexcept nogil
    ibv_cq *(*create_cq)(ibv_context *, int, void *, ibv_comp_channel *, int) noexcept nogil
    int (*destroy_cq)(ibv_cq *) noexcept nogil
    int (*get_cq_event)(ibv_comp_channel *, ibv_cq **, void **) noexcept nogil
    void (*ack_cq_events)(ibv_cq *, unsigned int) noexcept nogil
    ibv_qp *(*create_qp)(ibv_pd *, ibv_qp_init_attr *) noexcept nogil
    int (*modify_qp)(ibv_qp *, ibv_qp_attr *, int) noexcept nogil
    int (*destroy_qp)(ibv_qp *) noexcept nogil
    ibv_ah *(*create_ah)(ibv_pd *, ibv_ah_attr *) noexcept nogil
    int (*destroy_ah)(ibv_ah *) noexcept nogil
    const char *(*wc_status_str)(int) noexcept nogil

cdef verbs_library lib

# Fills `lib`, once. Raises NoDevice, which says what to install.
cdef int open_library() except -1
