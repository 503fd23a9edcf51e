"""The device ff0: listing and querying it, and what its contexts can do."""

from libc cimport errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset, strcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime

from ffcore.control cimport FF_CMD_QUERY_PORT, ff_reply_device, ff_reply_port
from ffcore.shm cimport FF_GID_TABLE
from ffl.session.call_api cimport ff_call
from ffl.verbs.data_path_api cimport ff_poll_cq, ff_post_recv, ff_post_send, ff_post_srq_recv, ff_req_notify_cq
from ffl.interpose.interpose cimport ff_interpose_look
from ffl.kernel cimport fail
from ffl.verbs.mr_api cimport (ff_advise_mr, ff_alloc_dm, ff_alloc_mw, ff_alloc_null_mr, ff_bind_mw, ff_dealloc_mw, ff_free_dm,
                         ff_reg_dm_mr)
from ffl.objects cimport context_of
from ffl.verbs.qp_api cimport (ff_alloc_parent_domain, ff_alloc_td, ff_close_xrcd, ff_create_cq_ex, ff_create_qp_ex,
                         ff_create_srq_ex, ff_dealloc_td, ff_get_srq_num, ff_open_qp, ff_open_xrcd)
from ffl.session.session_api cimport ff_session_get, ff_session_open
from ffl.ibv cimport (IBV_ATOMIC_HCA, IBV_DEVICE_BAD_QKEY_CNTR, IBV_DEVICE_CURR_QP_STATE_MOD,
                        IBV_DEVICE_MEM_WINDOW, IBV_DEVICE_MEM_WINDOW_TYPE_2B, IBV_DEVICE_PORT_ACTIVE_EVENT,
                        IBV_DEVICE_RC_RNR_NAK_GEN, IBV_DEVICE_SRQ_RESIZE, IBV_DEVICE_SYS_IMAGE_GUID, IBV_DEVICE_XRC,
                        IBV_ODP_SUPPORT, IBV_ODP_SUPPORT_ATOMIC, IBV_ODP_SUPPORT_READ, IBV_ODP_SUPPORT_RECV,
                        IBV_ODP_SUPPORT_SEND, IBV_ODP_SUPPORT_SRQ_RECV, IBV_ODP_SUPPORT_WRITE,
                        IBV_LINK_LAYER_ETHERNET, IBV_NODE_CA, IBV_PORT_ACTIVE, IBV_PORT_CM_SUP, IBV_PORT_IP_BASED_GIDS,
                        IBV_QPF_GRH_REQUIRED, IBV_TRANSPORT_IB,
                        IBV_VALUES_MASK_RAW_CLOCK, __VERBS_ABI_IS_EXTENDED, ff_port_attr, ff_verbs_context,
                        ff_verbs_device, ibv_context, ibv_device, ibv_device_attr, ibv_device_attr_ex, ibv_mtu,
                        ibv_port_attr, ibv_port_state, ibv_query_device_ex_input, ibv_values_ex)

cdef enum:
    # perftest knows devices by their part: this one gets inline data, and the ibv_wr functions to post with.
    VENDOR_ID = 0x1234
    VENDOR_PART_ID = 4129
    CLOCK_KHZ = 1000000       # of completion timestamps: they count nanoseconds
    DEVICE_INDEX = 0
    ACK_DELAY = 15            # 4.096 µs * 2^15 = 134 ms: a responder's longest silence
    PHYS_DISABLED = 3
    PHYS_LINK_UP = 5
    COMPAT_PORT_ATTR = 48     # struct ibv_port_attr up to port_cap_flags2: what the exported symbol may write
    MAX_MESSAGE = 1 << 31

# There is one device, so every list names this one; it outlives any list. Zero until the first list is made.
cdef ff_verbs_device ff0


# ---- listing ----

cdef void describe(ibv_device *device) noexcept nogil:
    device.node_type = IBV_NODE_CA
    device.transport_type = IBV_TRANSPORT_IB
    strcpy(device.name, b"ff0")
    strcpy(device.dev_name, b"uverbs0")
    strcpy(device.dev_path, b"/sys/class/infiniband_verbs/uverbs0")
    strcpy(device.ibdev_path, b"/sys/class/infiniband/ff0")


cdef public ibv_device **ffv_ibv_get_device_list(int *count) noexcept nogil:
    cdef ibv_device **devices
    cdef int error
    ff_interpose_look()                              # librdmacm asks for devices before it opens its own
    error = ff_session_open()
    if count != NULL:
        count[0] = 0
    if error:
        fail(error)
        return NULL
    devices = <ibv_device **>calloc(2, sizeof(ibv_device *))
    if devices == NULL:
        return NULL
    devices[0] = ff_device()
    if count != NULL:
        count[0] = 1
    return devices


cdef public void ffv_ibv_free_device_list(ibv_device **devices) noexcept nogil:
    free(devices)


cdef public const char *ffv_ibv_get_device_name(ibv_device *device) noexcept nogil:
    return device.name


cdef public uint64_t ffv_ibv_get_device_guid(ibv_device *device) noexcept nogil:
    return ff_session_get().device.guid


cdef public int ffv_ibv_get_device_index(ibv_device *device) noexcept nogil:
    return DEVICE_INDEX


cdef public ibv_device *ff_device() noexcept nogil:
    describe(&ff0.device)                            # a program may import a context without a list of devices
    return &ff0.device


# ---- what its contexts can do ----

cdef public void ff_fill_ops(ff_verbs_context *base) noexcept nogil:
    """What is NULL here answers EOPNOTSUPP in verbs.h's inline functions."""
    base.v.sz = sizeof(ff_verbs_context)
    base.v.query_port = ff_query_port
    base.v.query_device_ex = ff_query_device_ex
    base.v.create_qp_ex = ff_create_qp_ex
    base.v.create_cq_ex = ff_create_cq_ex
    base.v.create_srq_ex = ff_create_srq_ex
    base.v.get_srq_num = ff_get_srq_num
    base.v.open_xrcd = ff_open_xrcd
    base.v.close_xrcd = ff_close_xrcd
    base.v.open_qp = ff_open_qp
    base.v.alloc_td = ff_alloc_td
    base.v.dealloc_td = ff_dealloc_td
    base.v.alloc_parent_domain = ff_alloc_parent_domain
    base.v.query_rt_values = ff_query_rt_values
    fill_memory_ops(base)
    base.v.context.ops.poll_cq = ff_poll_cq
    base.v.context.ops.req_notify_cq = ff_req_notify_cq
    base.v.context.ops.post_send = ff_post_send
    base.v.context.ops.post_recv = ff_post_recv
    base.v.context.ops.post_srq_recv = ff_post_srq_recv
    base.v.context.abi_compat = __VERBS_ABI_IS_EXTENDED


cdef void fill_memory_ops(ff_verbs_context *base) noexcept nogil:
    base.v.alloc_null_mr = ff_alloc_null_mr
    base.v.alloc_dm = ff_alloc_dm
    base.v.free_dm = ff_free_dm
    base.v.reg_dm_mr = ff_reg_dm_mr
    base.v.advise_mr = ff_advise_mr
    base.v.context.ops.alloc_mw = ff_alloc_mw
    base.v.context.ops.bind_mw = ff_bind_mw
    base.v.context.ops.dealloc_mw = ff_dealloc_mw


# ---- querying ----

cdef void fill_limits(ibv_device_attr *attr, ff_reply_device *device) noexcept nogil:
    attr.max_mr_size = device.max_mr_size
    attr.max_qp = device.max_qp
    attr.max_qp_wr = device.max_qp_wr
    attr.max_sge = device.max_sge
    attr.max_sge_rd = device.max_sge_rd
    attr.max_cq = device.max_cq
    attr.max_cqe = device.max_cqe
    attr.max_mr = device.max_mr
    attr.max_mw = device.max_mr
    attr.max_pd = device.max_pd
    attr.max_qp_rd_atom = device.max_qp_rd_atom
    attr.max_res_rd_atom = device.max_qp_rd_atom * device.max_qp
    attr.max_qp_init_rd_atom = device.max_qp_init_rd_atom
    attr.max_srq = device.max_srq
    attr.max_srq_wr = device.max_srq_wr
    attr.max_srq_sge = device.max_srq_sge
    attr.max_ah = device.max_ah
    attr.max_mcast_grp = device.max_mcast_attached
    attr.max_mcast_qp_attach = device.max_mcast_qp
    attr.max_total_mcast_qp_attach = device.max_mcast_attached


cdef public int ffv_ibv_query_device(ibv_context *context, ibv_device_attr *attr) noexcept nogil:
    """What the device is does not change while a session lasts, so nothing is asked."""
    cdef ff_reply_device *device = &ff_session_get().device
    memset(attr, 0, sizeof(ibv_device_attr))
    strcpy(attr.fw_ver, b"0.1.0")
    attr.node_guid = device.guid
    attr.sys_image_guid = device.guid
    attr.page_size_cap = 0xfffff000
    attr.vendor_id = VENDOR_ID
    attr.vendor_part_id = VENDOR_PART_ID
    attr.hw_ver = 1
    attr.device_cap_flags = (IBV_DEVICE_CURR_QP_STATE_MOD | IBV_DEVICE_PORT_ACTIVE_EVENT | IBV_DEVICE_SYS_IMAGE_GUID
                             | IBV_DEVICE_RC_RNR_NAK_GEN | IBV_DEVICE_BAD_QKEY_CNTR | IBV_DEVICE_SRQ_RESIZE
                             | IBV_DEVICE_XRC | IBV_DEVICE_MEM_WINDOW | IBV_DEVICE_MEM_WINDOW_TYPE_2B)
    attr.atomic_cap = IBV_ATOMIC_HCA
    attr.max_pkeys = 1
    attr.local_ca_ack_delay = ACK_DELAY
    attr.phys_port_cnt = 1
    fill_limits(attr, device)
    return 0


cdef void fill_odp(ibv_device_attr_ex *attr, bint has_srq) noexcept nogil:
    """Explicit only. The router resolves an on-demand MR as any other, so each transport has all that it can do."""
    cdef uint32_t receives = IBV_ODP_SUPPORT_RECV | (IBV_ODP_SUPPORT_SRQ_RECV if has_srq else 0)
    cdef uint32_t ud = IBV_ODP_SUPPORT_SEND | receives
    cdef uint32_t rc = ud | IBV_ODP_SUPPORT_WRITE | IBV_ODP_SUPPORT_READ | IBV_ODP_SUPPORT_ATOMIC
    attr.odp_caps.general_caps = IBV_ODP_SUPPORT
    attr.odp_caps.per_transport_caps.ud_odp_caps = ud
    attr.odp_caps.per_transport_caps.uc_odp_caps = IBV_ODP_SUPPORT_SEND | IBV_ODP_SUPPORT_RECV | IBV_ODP_SUPPORT_WRITE
    attr.odp_caps.per_transport_caps.rc_odp_caps = rc
    attr.xrc_odp_caps = rc if has_srq else 0


cdef int ff_query_device_ex(ibv_context *context, const ibv_query_device_ex_input *input, ibv_device_attr_ex *attr,
                            size_t size) noexcept nogil:
    cdef ibv_device_attr_ex all_of_it
    if size < sizeof(ibv_device_attr) or (input != NULL and input.comp_mask):
        return errno.EINVAL
    memset(&all_of_it, 0, sizeof(all_of_it))
    ffv_ibv_query_device(context, &all_of_it.orig_attr)
    all_of_it.device_cap_flags_ex = all_of_it.orig_attr.device_cap_flags
    all_of_it.phys_port_cnt_ex = 1
    all_of_it.completion_timestamp_mask = ~<uint64_t>0
    all_of_it.hca_core_clock = CLOCK_KHZ
    all_of_it.max_dm_size = ff_session_get().device.max_dm
    fill_odp(&all_of_it, ff_session_get().device.max_srq != 0)
    memset(attr, 0, size)
    memcpy(attr, &all_of_it, min(size, sizeof(all_of_it)))
    return 0


cdef int ff_query_rt_values(ibv_context *context, ibv_values_ex *values) noexcept nogil:
    """comp_mask: what is asked for, and then what is answered. The clock is the one that completions are stamped with."""
    values.comp_mask &= IBV_VALUES_MASK_RAW_CLOCK
    if values.comp_mask:
        clock_gettime(CLOCK_MONOTONIC, &values.raw_clock)
    return 0


cdef void fill_speed(ff_port_attr *port, uint32_t mbps) noexcept nogil:
    """Verbs knows a width (2: four lanes) and a speed per lane, from SDR (1) to NDR (128), and XDR (256), which does not fit
    into a byte; the nearest not below."""
    cdef uint32_t lane = (mbps + 3) // 4
    port.v.active_width = 2
    port.v.active_speed = (1 if lane <= 2500 else 2 if lane <= 5000 else 4 if lane <= 10000 else 16 if lane <= 14000
                           else 32 if lane <= 25000 else 64 if lane <= 50000 else 128)
    port.active_speed_ex = 256 if lane > 100000 else port.v.active_speed


cdef int ff_query_port(ibv_context *context, uint8_t port_num, ibv_port_attr *attr, size_t size) noexcept nogil:
    """size: 48, 52 or 56 bytes, as the caller's header has it."""
    cdef ff_port_attr port
    cdef ff_reply_port reply
    cdef int error
    if port_num != 1:
        return errno.EINVAL
    error = ff_call(context_of(context), FF_CMD_QUERY_PORT, NULL, 0, &reply, sizeof(reply))
    if error:
        return error
    memset(&port, 0, sizeof(port))
    port.v.state = <ibv_port_state>reply.state
    port.v.max_mtu = <ibv_mtu>reply.max_mtu
    port.v.active_mtu = <ibv_mtu>reply.active_mtu
    port.v.gid_tbl_len = FF_GID_TABLE
    port.v.port_cap_flags = IBV_PORT_CM_SUP | IBV_PORT_IP_BASED_GIDS
    port.v.max_msg_sz = <uint32_t>MAX_MESSAGE
    port.v.bad_pkey_cntr = <uint32_t>reply.bad_pkeys
    port.v.qkey_viol_cntr = <uint32_t>reply.qkey_violations
    port.v.pkey_tbl_len = 1
    port.v.max_vl_num = 1
    port.v.phys_state = PHYS_LINK_UP if reply.state == IBV_PORT_ACTIVE else PHYS_DISABLED
    port.v.link_layer = IBV_LINK_LAYER_ETHERNET
    port.v.flags = IBV_QPF_GRH_REQUIRED
    fill_speed(&port, reply.speed_mbps)
    memset(attr, 0, size)
    memcpy(attr, &port, min(size, sizeof(port)))
    return 0


cdef public int ffv_ibv_query_port_speed(ibv_context *context, uint32_t port_num, uint64_t *speed) noexcept nogil:
    """In units of 100 Mb/s."""
    cdef ff_reply_port reply
    cdef int error = errno.EINVAL
    if port_num == 1:
        error = ff_call(context_of(context), FF_CMD_QUERY_PORT, NULL, 0, &reply, sizeof(reply))
    if error:
        return fail(error)
    speed[0] = reply.speed_mbps // 100
    return 0


cdef public int ffv_ibv_query_port(ibv_context *context, uint8_t port_num, ibv_port_attr *attr) noexcept nogil:
    return ff_query_port(context, port_num, attr, COMPAT_PORT_ATTR)
