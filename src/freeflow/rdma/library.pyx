from freeflow.rdma.verbs cimport *
from posix.dlfcn cimport RTLD_GLOBAL, RTLD_NOW, dlopen, dlsym

from freeflow.rdma.errors import NoDevice

SONAME = "libibverbs.so.1"
CURE = "run the program under `freeflow run`, or install libibverbs1 for a device of the host's own"

cdef bint opened = False


cdef void *find(void *handle, str name) except NULL:
    cdef bytes symbol = name.encode()
    cdef void *found = dlsym(handle, symbol)
    if found == NULL:
        raise NoDevice(f"{SONAME} has no {name}: it is older than rdma-core 44")
    return found


cdef int open_library() except -1:
    global opened
    cdef void *handle
    if opened:
        return 0
    handle = dlopen(b"libibverbs.so.1", RTLD_NOW | RTLD_GLOBAL)
    if handle == NULL:
        raise NoDevice(f"no {SONAME} here: {CURE}")
    lib.get_device_list = <ibv_device **(*)(int *) noexcept nogil>find(handle, "ibv_get_device_list")
    lib.free_device_list = <void (*)(ibv_device **) noexcept nogil>find(handle, "ibv_free_device_list")
    lib.get_device_name = <const char *(*)(ibv_device *) noexcept nogil>find(handle, "ibv_get_device_name")
    lib.open_device = <ibv_context *(*)(ibv_device *) noexcept nogil>find(handle, "ibv_open_device")
    lib.close_device = <int (*)(ibv_context *) noexcept nogil>find(handle, "ibv_close_device")
    lib.query_device = <int (*)(ibv_context *, ibv_device_attr *) noexcept nogil>find(handle, "ibv_query_device")
    lib.query_port = <int (*)(ibv_context *, uint8_t, ibv_port_attr *) noexcept nogil>find(handle, "ibv_query_port")
    lib.query_gid_ex = <int (*)(ibv_context *, uint32_t, uint32_t, ibv_gid_entry *, uint32_t, size_t) noexcept nogil>find(
        handle, "_ibv_query_gid_ex")
    lib.alloc_pd = <ibv_pd *(*)(ibv_context *) noexcept nogil>find(handle, "ibv_alloc_pd")
    lib.dealloc_pd = <int (*)(ibv_pd *) noexcept nogil>find(handle, "ibv_dealloc_pd")
    lib.reg_mr = <ibv_mr *(*)(ibv_pd *, void *, size_t, int) noexcept nogil>find(handle, "ibv_reg_mr")
    lib.dereg_mr = <int (*)(ibv_mr *) noexcept nogil>find(handle, "ibv_dereg_mr")
    lib.create_comp_channel = <ibv_comp_channel *(*)(ibv_context *) noexcept nogil>find(handle, "ibv_create_comp_channel")
    lib.destroy_comp_channel = <int (*)(ibv_comp_channel *) noexcept nogil>find(handle, "ibv_destroy_comp_channel")
    lib.create_cq = <ibv_cq *(*)(ibv_context *, int, void *, ibv_comp_channel *, int) noexcept nogil>find(
        handle, "ibv_create_cq")
    lib.destroy_cq = <int (*)(ibv_cq *) noexcept nogil>find(handle, "ibv_destroy_cq")
    lib.get_cq_event = <int (*)(ibv_comp_channel *, ibv_cq **, void **) noexcept nogil>find(handle, "ibv_get_cq_event")
    lib.ack_cq_events = <void (*)(ibv_cq *, unsigned int) noexcept nogil>find(handle, "ibv_ack_cq_events")
    lib.create_qp = <ibv_qp *(*)(ibv_pd *, ibv_qp_init_attr *) noexcept nogil>find(handle, "ibv_create_qp")
    lib.modify_qp = <int (*)(ibv_qp *, ibv_qp_attr *, int) noexcept nogil>find(handle, "ibv_modify_qp")
    lib.destroy_qp = <int (*)(ibv_qp *) noexcept nogil>find(handle, "ibv_destroy_qp")
    lib.create_ah = <ibv_ah *(*)(ibv_pd *, ibv_ah_attr *) noexcept nogil>find(handle, "ibv_create_ah")
    lib.destroy_ah = <int (*)(ibv_ah *) noexcept nogil>find(handle, "ibv_destroy_ah")
    lib.wc_status_str = <const char *(*)(int) noexcept nogil>find(handle, "ibv_wc_status_str")
    opened = True
    return 0
