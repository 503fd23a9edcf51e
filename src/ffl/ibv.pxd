"""<infiniband/verbs.h> as Cython sees it: every struct and constant that FreeFlow may need, in the order of the objects.

Names and meanings are the header's (rdma-core 44, or newer; `man ibv_*` explains them). Structs that newer releases
have extended are allocated through newest.h, at the end of this file. Declared here and never called: the verbs
themselves, which this library is.

Fields of type uint64_t, uint32_t and uint16_t that the header calls __be64, __be32, __be16 are big-endian. An
anonymous struct or union of the header has a name here, made of its owner's and its field's, for Cython's sake alone.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from posix.time cimport timespec


cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass


cdef extern from "<infiniband/verbs.h>" nogil:
    # ---- objects that FreeFlow never has: for the signatures' sake ----
    struct ibv_wq:
        pass
    struct ibv_wq_init_attr:
        pass
    struct ibv_wq_attr:
        pass
    struct ibv_rwq_ind_table:
        pass
    struct ibv_rwq_ind_table_init_attr:
        pass
    struct ibv_flow:
        pass
    struct ibv_flow_attr:
        pass
    struct ibv_flow_action:
        pass
    struct ibv_flow_action_esp_attr:
        pass
    struct ibv_counters:
        pass
    struct ibv_counters_init_attr:
        pass
    struct ibv_counter_attach_attr:
        pass
    struct ibv_ops_wr:
        pass
    struct verbs_ex_private:
        pass
    enum ibv_advise_mr_advice:
        IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH, IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_WRITE,
        IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT
    enum:
        IB_UVERBS_ADVISE_MR_FLAG_FLUSH

    # ---- devices ----

    enum:
        IBV_SYSFS_NAME_MAX, IBV_SYSFS_PATH_MAX

    enum ibv_node_type:
        IBV_NODE_UNKNOWN, IBV_NODE_CA, IBV_NODE_SWITCH, IBV_NODE_ROUTER, IBV_NODE_RNIC, IBV_NODE_USNIC,
        IBV_NODE_USNIC_UDP, IBV_NODE_UNSPECIFIED

    enum ibv_transport_type:
        IBV_TRANSPORT_UNKNOWN, IBV_TRANSPORT_IB, IBV_TRANSPORT_IWARP, IBV_TRANSPORT_USNIC, IBV_TRANSPORT_USNIC_UDP,
        IBV_TRANSPORT_UNSPECIFIED

    enum ibv_device_cap_flags:
        IBV_DEVICE_RESIZE_MAX_WR, IBV_DEVICE_BAD_PKEY_CNTR, IBV_DEVICE_BAD_QKEY_CNTR, IBV_DEVICE_RAW_MULTI,
        IBV_DEVICE_AUTO_PATH_MIG, IBV_DEVICE_CHANGE_PHY_PORT, IBV_DEVICE_UD_AV_PORT_ENFORCE,
        IBV_DEVICE_CURR_QP_STATE_MOD, IBV_DEVICE_SHUTDOWN_PORT, IBV_DEVICE_INIT_TYPE, IBV_DEVICE_PORT_ACTIVE_EVENT,
        IBV_DEVICE_SYS_IMAGE_GUID, IBV_DEVICE_RC_RNR_NAK_GEN, IBV_DEVICE_SRQ_RESIZE, IBV_DEVICE_N_NOTIFY_CQ,
        IBV_DEVICE_MEM_WINDOW, IBV_DEVICE_UD_IP_CSUM, IBV_DEVICE_XRC, IBV_DEVICE_MEM_MGT_EXTENSIONS,
        IBV_DEVICE_MEM_WINDOW_TYPE_2A, IBV_DEVICE_MEM_WINDOW_TYPE_2B, IBV_DEVICE_RC_IP_CSUM, IBV_DEVICE_RAW_IP_CSUM,
        IBV_DEVICE_MANAGED_FLOW_STEERING

    enum ibv_atomic_cap:
        IBV_ATOMIC_NONE, IBV_ATOMIC_HCA, IBV_ATOMIC_GLOB

    enum ibv_fork_status:
        IBV_FORK_DISABLED, IBV_FORK_ENABLED, IBV_FORK_UNNEEDED

    struct ibv_device:
        ibv_node_type node_type
        ibv_transport_type transport_type
        char name[IBV_SYSFS_NAME_MAX]
        char dev_name[IBV_SYSFS_NAME_MAX]
        char dev_path[IBV_SYSFS_PATH_MAX]
        char ibdev_path[IBV_SYSFS_PATH_MAX]

    struct ibv_device_attr:
        char fw_ver[64]
        uint64_t node_guid, sys_image_guid, max_mr_size, page_size_cap
        uint32_t vendor_id, vendor_part_id, hw_ver
        int max_qp, max_qp_wr
        unsigned int device_cap_flags
        int max_sge, max_sge_rd, max_cq, max_cqe, max_mr, max_pd, max_qp_rd_atom, max_ee_rd_atom, max_res_rd_atom
        int max_qp_init_rd_atom, max_ee_init_rd_atom
        ibv_atomic_cap atomic_cap
        int max_ee, max_rdd, max_mw, max_raw_ipv6_qp, max_raw_ethy_qp, max_mcast_grp, max_mcast_qp_attach
        int max_total_mcast_qp_attach, max_ah, max_fmr, max_map_per_fmr, max_srq, max_srq_wr, max_srq_sge
        uint16_t max_pkeys
        uint8_t local_ca_ack_delay, phys_port_cnt

    struct ibv_query_device_ex_input:
        uint32_t comp_mask

    struct ibv_odp_caps_per_transport_caps:
        uint32_t rc_odp_caps, uc_odp_caps, ud_odp_caps

    enum:
        IBV_ODP_SUPPORT, IBV_ODP_SUPPORT_IMPLICIT
        IBV_ODP_SUPPORT_SEND, IBV_ODP_SUPPORT_RECV, IBV_ODP_SUPPORT_WRITE, IBV_ODP_SUPPORT_READ, IBV_ODP_SUPPORT_ATOMIC,
        IBV_ODP_SUPPORT_SRQ_RECV

    struct ibv_odp_caps:
        uint64_t general_caps
        ibv_odp_caps_per_transport_caps per_transport_caps

    struct ibv_tso_caps:
        uint32_t max_tso, supported_qpts

    struct ibv_rss_caps:
        uint32_t supported_qpts, max_rwq_indirection_tables, max_rwq_indirection_table_size
        uint64_t rx_hash_fields_mask
        uint8_t rx_hash_function

    struct ibv_packet_pacing_caps:
        uint32_t qp_rate_limit_min, qp_rate_limit_max, supported_qpts

    struct ibv_tm_caps:
        uint32_t max_rndv_hdr_size, max_num_tags, flags, max_ops, max_sge

    struct ibv_cq_moderation_caps:
        uint16_t max_cq_count, max_cq_period

    struct ibv_pci_atomic_caps:
        uint16_t fetch_add, swap, compare_swap

    struct ibv_device_attr_ex:
        ibv_device_attr orig_attr
        uint32_t comp_mask
        ibv_odp_caps odp_caps
        uint64_t completion_timestamp_mask, hca_core_clock, device_cap_flags_ex
        ibv_tso_caps tso_caps
        ibv_rss_caps rss_caps
        uint32_t max_wq_type_rq
        ibv_packet_pacing_caps packet_pacing_caps
        uint32_t raw_packet_caps
        ibv_tm_caps tm_caps
        ibv_cq_moderation_caps cq_mod_caps
        uint64_t max_dm_size
        ibv_pci_atomic_caps pci_atomic_caps
        uint32_t xrc_odp_caps, phys_port_cnt_ex

    struct ibv_values_ex:
        uint32_t comp_mask
        timespec raw_clock

    enum ibv_values_mask:
        IBV_VALUES_MASK_RAW_CLOCK, IBV_VALUES_MASK_RESERVED

    # ---- ports and GIDs ----

    struct ibv_gid_global:
        uint64_t subnet_prefix, interface_id

    union ibv_gid:
        uint8_t raw[16]
        ibv_gid_global global_ "global"

    enum ibv_gid_type:
        IBV_GID_TYPE_IB, IBV_GID_TYPE_ROCE_V1, IBV_GID_TYPE_ROCE_V2

    struct ibv_gid_entry:
        ibv_gid gid
        uint32_t gid_index, port_num, gid_type, ndev_ifindex

    enum ibv_mtu:
        IBV_MTU_256, IBV_MTU_512, IBV_MTU_1024, IBV_MTU_2048, IBV_MTU_4096

    enum ibv_port_state:
        IBV_PORT_NOP, IBV_PORT_DOWN, IBV_PORT_INIT, IBV_PORT_ARMED, IBV_PORT_ACTIVE, IBV_PORT_ACTIVE_DEFER

    enum ibv_port_cap_flags:
        IBV_PORT_SM, IBV_PORT_NOTICE_SUP, IBV_PORT_TRAP_SUP, IBV_PORT_OPT_IPD_SUP, IBV_PORT_AUTO_MIGR_SUP,
        IBV_PORT_SL_MAP_SUP, IBV_PORT_MKEY_NVRAM, IBV_PORT_PKEY_NVRAM, IBV_PORT_LED_INFO_SUP,
        IBV_PORT_SYS_IMAGE_GUID_SUP, IBV_PORT_PKEY_SW_EXT_PORT_TRAP_SUP, IBV_PORT_EXTENDED_SPEEDS_SUP,
        IBV_PORT_CAP_MASK2_SUP, IBV_PORT_CM_SUP, IBV_PORT_SNMP_TUNNEL_SUP, IBV_PORT_REINIT_SUP,
        IBV_PORT_DEVICE_MGMT_SUP, IBV_PORT_VENDOR_CLASS_SUP, IBV_PORT_DR_NOTICE_SUP, IBV_PORT_CAP_MASK_NOTICE_SUP,
        IBV_PORT_BOOT_MGMT_SUP, IBV_PORT_LINK_LATENCY_SUP, IBV_PORT_CLIENT_REG_SUP, IBV_PORT_IP_BASED_GIDS

    enum ibv_port_cap_flags2:
        IBV_PORT_SET_NODE_DESC_SUP, IBV_PORT_INFO_EXT_SUP, IBV_PORT_VIRT_SUP, IBV_PORT_SWITCH_PORT_STATE_TABLE_SUP,
        IBV_PORT_LINK_WIDTH_2X_SUP, IBV_PORT_LINK_SPEED_HDR_SUP, IBV_PORT_LINK_SPEED_NDR_SUP

    struct ibv_port_attr:
        ibv_port_state state
        ibv_mtu max_mtu, active_mtu
        int gid_tbl_len
        uint32_t port_cap_flags, max_msg_sz, bad_pkey_cntr, qkey_viol_cntr
        uint16_t pkey_tbl_len, lid, sm_lid
        uint8_t lmc, max_vl_num, sm_sl, subnet_timeout, init_type_reply, active_width, active_speed, phys_state
        uint8_t link_layer, flags
        uint16_t port_cap_flags2

    enum:
        IBV_LINK_LAYER_UNSPECIFIED, IBV_LINK_LAYER_INFINIBAND, IBV_LINK_LAYER_ETHERNET
        IBV_QPF_GRH_REQUIRED

    # ---- events ----

    enum ibv_event_type:
        IBV_EVENT_CQ_ERR, IBV_EVENT_QP_FATAL, IBV_EVENT_QP_REQ_ERR, IBV_EVENT_QP_ACCESS_ERR, IBV_EVENT_COMM_EST,
        IBV_EVENT_SQ_DRAINED, IBV_EVENT_PATH_MIG, IBV_EVENT_PATH_MIG_ERR, IBV_EVENT_DEVICE_FATAL,
        IBV_EVENT_PORT_ACTIVE, IBV_EVENT_PORT_ERR, IBV_EVENT_LID_CHANGE, IBV_EVENT_PKEY_CHANGE, IBV_EVENT_SM_CHANGE,
        IBV_EVENT_SRQ_ERR, IBV_EVENT_SRQ_LIMIT_REACHED, IBV_EVENT_QP_LAST_WQE_REACHED, IBV_EVENT_CLIENT_REREGISTER,
        IBV_EVENT_GID_CHANGE, IBV_EVENT_WQ_FATAL

    union ibv_async_event_element:
        ibv_cq *cq
        ibv_qp *qp
        ibv_srq *srq
        ibv_wq *wq
        int port_num

    struct ibv_async_event:
        ibv_async_event_element element
        ibv_event_type event_type

    struct ibv_comp_channel:
        ibv_context *context
        int fd, refcnt

    # ---- protection domains and memory ----

    enum ibv_access_flags:
        IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_REMOTE_WRITE, IBV_ACCESS_REMOTE_READ, IBV_ACCESS_REMOTE_ATOMIC,
        IBV_ACCESS_MW_BIND, IBV_ACCESS_ZERO_BASED, IBV_ACCESS_ON_DEMAND, IBV_ACCESS_HUGETLB,
        IBV_ACCESS_RELAXED_ORDERING

    enum ibv_rereg_mr_flags:
        IBV_REREG_MR_CHANGE_TRANSLATION, IBV_REREG_MR_CHANGE_PD, IBV_REREG_MR_CHANGE_ACCESS,
        IBV_REREG_MR_FLAGS_SUPPORTED

    enum ibv_rereg_mr_err_code:
        IBV_REREG_MR_ERR_INPUT, IBV_REREG_MR_ERR_CMD

    struct ibv_pd:
        ibv_context *context
        uint32_t handle

    struct ibv_td_init_attr:
        uint32_t comp_mask

    struct ibv_td:
        ibv_context *context

    struct ibv_parent_domain_init_attr:
        ibv_pd *pd
        ibv_td *td
        uint32_t comp_mask
        void *(*alloc)(ibv_pd *pd, void *pd_context, size_t size, size_t alignment,
                       uint64_t resource_type) noexcept nogil
        void (*free)(ibv_pd *pd, void *pd_context, void *ptr, uint64_t resource_type) noexcept nogil
        void *pd_context

    enum ibv_parent_domain_init_attr_mask:
        IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS, IBV_PARENT_DOMAIN_INIT_ATTR_PD_CONTEXT

    struct ibv_mr:
        ibv_context *context
        ibv_pd *pd
        void *addr
        size_t length
        uint32_t handle, lkey, rkey

    enum ibv_mw_type:
        IBV_MW_TYPE_1, IBV_MW_TYPE_2

    struct ibv_mw:
        ibv_context *context
        ibv_pd *pd
        uint32_t rkey, handle
        ibv_mw_type type

    struct ibv_mw_bind_info:
        ibv_mr *mr
        uint64_t addr, length
        unsigned int mw_access_flags

    struct ibv_mw_bind:
        uint64_t wr_id
        unsigned int send_flags
        ibv_mw_bind_info bind_info

    struct ibv_alloc_dm_attr:
        size_t length
        uint32_t log_align_req, comp_mask

    enum:
        IBV_DM_MASK_HANDLE

    struct ibv_dm:
        ibv_context *context
        int (*memcpy_to_dm)(ibv_dm *dm, uint64_t dm_offset, const void *host_addr, size_t length) noexcept
        int (*memcpy_from_dm)(void *host_addr, ibv_dm *dm, uint64_t dm_offset, size_t length) noexcept
        uint32_t comp_mask, handle

    enum:
        IBV_ACCESS_OPTIONAL_RANGE, IBV_ACCESS_OPTIONAL_FIRST
    void *IBV_ALLOCATOR_USE_DEFAULT

    # ---- address handles ----

    struct ibv_global_route:
        ibv_gid dgid
        uint32_t flow_label
        uint8_t sgid_index, hop_limit, traffic_class

    struct ibv_grh:
        uint32_t version_tclass_flow
        uint16_t paylen
        uint8_t next_hdr, hop_limit
        ibv_gid sgid, dgid

    enum ibv_rate:
        IBV_RATE_MAX, IBV_RATE_2_5_GBPS, IBV_RATE_5_GBPS, IBV_RATE_10_GBPS, IBV_RATE_20_GBPS, IBV_RATE_30_GBPS,
        IBV_RATE_40_GBPS, IBV_RATE_60_GBPS, IBV_RATE_80_GBPS, IBV_RATE_120_GBPS, IBV_RATE_14_GBPS, IBV_RATE_56_GBPS,
        IBV_RATE_112_GBPS, IBV_RATE_168_GBPS, IBV_RATE_25_GBPS, IBV_RATE_100_GBPS, IBV_RATE_200_GBPS,
        IBV_RATE_300_GBPS, IBV_RATE_28_GBPS, IBV_RATE_50_GBPS, IBV_RATE_400_GBPS, IBV_RATE_600_GBPS,
        IBV_RATE_800_GBPS, IBV_RATE_1200_GBPS

    struct ibv_ah_attr:
        ibv_global_route grh
        uint16_t dlid
        uint8_t sl, src_path_bits, static_rate, is_global, port_num

    struct ibv_ah:
        ibv_context *context
        ibv_pd *pd
        uint32_t handle

    # ---- completion queues ----

    enum ibv_wc_status:
        IBV_WC_SUCCESS, IBV_WC_LOC_LEN_ERR, IBV_WC_LOC_QP_OP_ERR, IBV_WC_LOC_EEC_OP_ERR, IBV_WC_LOC_PROT_ERR,
        IBV_WC_WR_FLUSH_ERR, IBV_WC_MW_BIND_ERR, IBV_WC_BAD_RESP_ERR, IBV_WC_LOC_ACCESS_ERR, IBV_WC_REM_INV_REQ_ERR,
        IBV_WC_REM_ACCESS_ERR, IBV_WC_REM_OP_ERR, IBV_WC_RETRY_EXC_ERR, IBV_WC_RNR_RETRY_EXC_ERR,
        IBV_WC_LOC_RDD_VIOL_ERR, IBV_WC_REM_INV_RD_REQ_ERR, IBV_WC_REM_ABORT_ERR, IBV_WC_INV_EECN_ERR,
        IBV_WC_INV_EEC_STATE_ERR, IBV_WC_FATAL_ERR, IBV_WC_RESP_TIMEOUT_ERR, IBV_WC_GENERAL_ERR, IBV_WC_TM_ERR,
        IBV_WC_TM_RNDV_INCOMPLETE

    enum ibv_wc_opcode:
        IBV_WC_SEND, IBV_WC_RDMA_WRITE, IBV_WC_RDMA_READ, IBV_WC_COMP_SWAP, IBV_WC_FETCH_ADD, IBV_WC_BIND_MW,
        IBV_WC_LOCAL_INV, IBV_WC_TSO, IBV_WC_ATOMIC_WRITE, IBV_WC_RECV, IBV_WC_RECV_RDMA_WITH_IMM, IBV_WC_TM_ADD,
        IBV_WC_TM_DEL, IBV_WC_TM_SYNC, IBV_WC_TM_RECV, IBV_WC_TM_NO_TAG, IBV_WC_DRIVER1, IBV_WC_DRIVER2,
        IBV_WC_DRIVER3

    enum ibv_wc_flags:
        IBV_WC_GRH, IBV_WC_WITH_IMM, IBV_WC_IP_CSUM_OK, IBV_WC_WITH_INV, IBV_WC_TM_SYNC_REQ, IBV_WC_TM_MATCH,
        IBV_WC_TM_DATA_VALID

    struct ibv_wc:
        uint64_t wr_id
        ibv_wc_status status
        ibv_wc_opcode opcode
        uint32_t vendor_err, byte_len, imm_data, invalidated_rkey, qp_num, src_qp
        unsigned int wc_flags
        uint16_t pkey_index, slid
        uint8_t sl, dlid_path_bits

    struct ibv_cq:
        ibv_context *context
        ibv_comp_channel *channel
        void *cq_context
        uint32_t handle
        int cqe
        pthread_mutex_t mutex
        pthread_cond_t cond
        uint32_t comp_events_completed, async_events_completed

    enum ibv_create_cq_wc_flags:
        IBV_WC_EX_WITH_BYTE_LEN, IBV_WC_EX_WITH_IMM, IBV_WC_EX_WITH_QP_NUM, IBV_WC_EX_WITH_SRC_QP,
        IBV_WC_EX_WITH_SLID, IBV_WC_EX_WITH_SL, IBV_WC_EX_WITH_DLID_PATH_BITS, IBV_WC_EX_WITH_COMPLETION_TIMESTAMP,
        IBV_WC_EX_WITH_CVLAN, IBV_WC_EX_WITH_FLOW_TAG, IBV_WC_EX_WITH_TM_INFO,
        IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK

    enum ibv_cq_init_attr_mask:
        IBV_CQ_INIT_ATTR_MASK_FLAGS, IBV_CQ_INIT_ATTR_MASK_PD

    enum ibv_create_cq_attr_flags:
        IBV_CREATE_CQ_ATTR_SINGLE_THREADED, IBV_CREATE_CQ_ATTR_IGNORE_OVERRUN

    struct ibv_cq_init_attr_ex:
        uint32_t cqe
        void *cq_context
        ibv_comp_channel *channel
        uint32_t comp_vector
        uint64_t wc_flags
        uint32_t comp_mask, flags
        ibv_pd *parent_domain

    struct ibv_poll_cq_attr:
        uint32_t comp_mask

    struct ibv_wc_tm_info:
        uint64_t tag
        uint32_t priv

    struct ibv_cq_ex:
        ibv_context *context
        ibv_comp_channel *channel
        void *cq_context
        uint32_t handle
        int cqe
        pthread_mutex_t mutex
        pthread_cond_t cond
        uint32_t comp_events_completed, async_events_completed, comp_mask
        ibv_wc_status status
        uint64_t wr_id
        int (*start_poll)(ibv_cq_ex *cq, ibv_poll_cq_attr *attr) noexcept
        int (*next_poll)(ibv_cq_ex *cq) noexcept
        void (*end_poll)(ibv_cq_ex *cq) noexcept
        ibv_wc_opcode (*read_opcode)(ibv_cq_ex *cq) noexcept
        uint32_t (*read_vendor_err)(ibv_cq_ex *cq) noexcept
        uint32_t (*read_byte_len)(ibv_cq_ex *cq) noexcept
        uint32_t (*read_imm_data)(ibv_cq_ex *cq) noexcept
        uint32_t (*read_qp_num)(ibv_cq_ex *cq) noexcept
        uint32_t (*read_src_qp)(ibv_cq_ex *cq) noexcept
        unsigned int (*read_wc_flags)(ibv_cq_ex *cq) noexcept
        uint32_t (*read_slid)(ibv_cq_ex *cq) noexcept
        uint8_t (*read_sl)(ibv_cq_ex *cq) noexcept
        uint8_t (*read_dlid_path_bits)(ibv_cq_ex *cq) noexcept
        uint64_t (*read_completion_ts)(ibv_cq_ex *cq) noexcept
        uint16_t (*read_cvlan)(ibv_cq_ex *cq) noexcept
        uint32_t (*read_flow_tag)(ibv_cq_ex *cq) noexcept
        void (*read_tm_info)(ibv_cq_ex *cq, ibv_wc_tm_info *tm_info) noexcept
        uint64_t (*read_completion_wallclock_ns)(ibv_cq_ex *cq) noexcept

    enum ibv_cq_attr_mask:
        IBV_CQ_ATTR_MODERATE, IBV_CQ_ATTR_RESERVED

    struct ibv_moderate_cq:
        uint16_t cq_count, cq_period

    struct ibv_modify_cq_attr:
        uint32_t attr_mask
        ibv_moderate_cq moderate

    enum:
        IBV_WC_STANDARD_FLAGS, IBV_CREATE_CQ_SUP_WC_FLAGS

    # ---- shared receive queues, XRC domains ----

    enum ibv_srq_type:
        IBV_SRQT_BASIC, IBV_SRQT_XRC, IBV_SRQT_TM

    enum ibv_srq_attr_mask:
        IBV_SRQ_MAX_WR, IBV_SRQ_LIMIT

    enum ibv_srq_init_attr_mask:
        IBV_SRQ_INIT_ATTR_TYPE, IBV_SRQ_INIT_ATTR_PD, IBV_SRQ_INIT_ATTR_XRCD, IBV_SRQ_INIT_ATTR_CQ,
        IBV_SRQ_INIT_ATTR_TM, IBV_SRQ_INIT_ATTR_RESERVED

    struct ibv_srq_attr:
        uint32_t max_wr, max_sge, srq_limit

    struct ibv_srq_init_attr:
        void *srq_context
        ibv_srq_attr attr

    struct ibv_tm_cap:
        uint32_t max_num_tags, max_ops

    struct ibv_srq_init_attr_ex:
        void *srq_context
        ibv_srq_attr attr
        uint32_t comp_mask
        ibv_srq_type srq_type
        ibv_pd *pd
        ibv_xrcd *xrcd
        ibv_cq *cq
        ibv_tm_cap tm_cap

    struct ibv_srq:
        ibv_context *context
        void *srq_context
        ibv_pd *pd
        uint32_t handle
        pthread_mutex_t mutex
        pthread_cond_t cond
        uint32_t events_completed

    enum ibv_xrcd_init_attr_mask:
        IBV_XRCD_INIT_ATTR_FD, IBV_XRCD_INIT_ATTR_OFLAGS, IBV_XRCD_INIT_ATTR_RESERVED

    struct ibv_xrcd_init_attr:
        uint32_t comp_mask
        int fd, oflags

    struct ibv_xrcd:
        ibv_context *context

    # ---- queue pairs ----

    enum ibv_qp_type:
        IBV_QPT_RC, IBV_QPT_UC, IBV_QPT_UD, IBV_QPT_RAW_PACKET, IBV_QPT_XRC_SEND, IBV_QPT_XRC_RECV, IBV_QPT_DRIVER

    enum ibv_qp_state:
        IBV_QPS_RESET, IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS, IBV_QPS_SQD, IBV_QPS_SQE, IBV_QPS_ERR, IBV_QPS_UNKNOWN

    enum ibv_mig_state:
        IBV_MIG_MIGRATED, IBV_MIG_REARM, IBV_MIG_ARMED

    enum ibv_qp_attr_mask:
        IBV_QP_STATE, IBV_QP_CUR_STATE, IBV_QP_EN_SQD_ASYNC_NOTIFY, IBV_QP_ACCESS_FLAGS, IBV_QP_PKEY_INDEX,
        IBV_QP_PORT, IBV_QP_QKEY, IBV_QP_AV, IBV_QP_PATH_MTU, IBV_QP_TIMEOUT, IBV_QP_RETRY_CNT, IBV_QP_RNR_RETRY,
        IBV_QP_RQ_PSN, IBV_QP_MAX_QP_RD_ATOMIC, IBV_QP_ALT_PATH, IBV_QP_MIN_RNR_TIMER, IBV_QP_SQ_PSN,
        IBV_QP_MAX_DEST_RD_ATOMIC, IBV_QP_PATH_MIG_STATE, IBV_QP_CAP, IBV_QP_DEST_QPN, IBV_QP_RATE_LIMIT

    enum ibv_qp_init_attr_mask:
        IBV_QP_INIT_ATTR_PD, IBV_QP_INIT_ATTR_XRCD, IBV_QP_INIT_ATTR_CREATE_FLAGS, IBV_QP_INIT_ATTR_MAX_TSO_HEADER,
        IBV_QP_INIT_ATTR_IND_TABLE, IBV_QP_INIT_ATTR_RX_HASH, IBV_QP_INIT_ATTR_SEND_OPS_FLAGS

    enum ibv_qp_create_flags:
        IBV_QP_CREATE_BLOCK_SELF_MCAST_LB, IBV_QP_CREATE_SCATTER_FCS, IBV_QP_CREATE_CVLAN_STRIPPING,
        IBV_QP_CREATE_SOURCE_QPN, IBV_QP_CREATE_PCI_WRITE_END_PADDING

    enum ibv_qp_create_send_ops_flags:
        IBV_QP_EX_WITH_RDMA_WRITE, IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM, IBV_QP_EX_WITH_SEND,
        IBV_QP_EX_WITH_SEND_WITH_IMM, IBV_QP_EX_WITH_RDMA_READ, IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP,
        IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD, IBV_QP_EX_WITH_LOCAL_INV, IBV_QP_EX_WITH_BIND_MW,
        IBV_QP_EX_WITH_SEND_WITH_INV, IBV_QP_EX_WITH_TSO, IBV_QP_EX_WITH_ATOMIC_WRITE

    enum ibv_qp_open_attr_mask:
        IBV_QP_OPEN_ATTR_NUM, IBV_QP_OPEN_ATTR_XRCD, IBV_QP_OPEN_ATTR_CONTEXT, IBV_QP_OPEN_ATTR_TYPE,
        IBV_QP_OPEN_ATTR_RESERVED

    struct ibv_qp_cap:
        uint32_t max_send_wr, max_recv_wr, max_send_sge, max_recv_sge, max_inline_data

    struct ibv_qp_init_attr:
        void *qp_context
        ibv_cq *send_cq
        ibv_cq *recv_cq
        ibv_srq *srq
        ibv_qp_cap cap
        ibv_qp_type qp_type
        int sq_sig_all

    struct ibv_rx_hash_conf:
        uint8_t rx_hash_function, rx_hash_key_len
        uint8_t *rx_hash_key
        uint64_t rx_hash_fields_mask

    struct ibv_qp_init_attr_ex:
        void *qp_context
        ibv_cq *send_cq
        ibv_cq *recv_cq
        ibv_srq *srq
        ibv_qp_cap cap
        ibv_qp_type qp_type
        int sq_sig_all
        uint32_t comp_mask
        ibv_pd *pd
        ibv_xrcd *xrcd
        uint32_t create_flags
        uint16_t max_tso_header
        ibv_rwq_ind_table *rwq_ind_tbl
        ibv_rx_hash_conf rx_hash_conf
        uint32_t source_qpn
        uint64_t send_ops_flags

    struct ibv_qp_open_attr:
        uint32_t comp_mask, qp_num
        ibv_xrcd *xrcd
        void *qp_context
        ibv_qp_type qp_type

    struct ibv_qp_attr:
        ibv_qp_state qp_state, cur_qp_state
        ibv_mtu path_mtu
        ibv_mig_state path_mig_state
        uint32_t qkey, rq_psn, sq_psn, dest_qp_num
        unsigned int qp_access_flags
        ibv_qp_cap cap
        ibv_ah_attr ah_attr, alt_ah_attr
        uint16_t pkey_index, alt_pkey_index
        uint8_t en_sqd_async_notify, sq_draining, max_rd_atomic, max_dest_rd_atomic, min_rnr_timer, port_num, timeout
        uint8_t retry_cnt, rnr_retry, alt_port_num, alt_timeout
        uint32_t rate_limit

    struct ibv_qp_rate_limit_attr:
        uint32_t rate_limit, max_burst_sz
        uint16_t typical_pkt_sz
        uint32_t comp_mask

    struct ibv_ece:
        uint32_t vendor_id, options, comp_mask

    struct ibv_qp:
        ibv_context *context
        void *qp_context
        ibv_pd *pd
        ibv_cq *send_cq
        ibv_cq *recv_cq
        ibv_srq *srq
        uint32_t handle, qp_num
        ibv_qp_state state
        ibv_qp_type qp_type
        pthread_mutex_t mutex
        pthread_cond_t cond
        uint32_t events_completed

    # ---- work requests ----

    enum ibv_wr_opcode:
        IBV_WR_RDMA_WRITE, IBV_WR_RDMA_WRITE_WITH_IMM, IBV_WR_SEND, IBV_WR_SEND_WITH_IMM, IBV_WR_RDMA_READ,
        IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD, IBV_WR_LOCAL_INV, IBV_WR_BIND_MW,
        IBV_WR_SEND_WITH_INV, IBV_WR_TSO, IBV_WR_DRIVER1, IBV_WR_ATOMIC_WRITE

    enum ibv_send_flags:
        IBV_SEND_FENCE, IBV_SEND_SIGNALED, IBV_SEND_SOLICITED, IBV_SEND_INLINE, IBV_SEND_IP_CSUM

    struct ibv_sge:
        uint64_t addr
        uint32_t length, lkey

    struct ibv_data_buf:
        void *addr
        size_t length

    struct ibv_send_wr_wr_rdma:
        uint64_t remote_addr
        uint32_t rkey

    struct ibv_send_wr_wr_atomic:
        uint64_t remote_addr, compare_add, swap
        uint32_t rkey

    struct ibv_send_wr_wr_ud:
        ibv_ah *ah
        uint32_t remote_qpn, remote_qkey

    union ibv_send_wr_wr:
        ibv_send_wr_wr_rdma rdma
        ibv_send_wr_wr_atomic atomic
        ibv_send_wr_wr_ud ud

    struct ibv_send_wr_qp_type_xrc:
        uint32_t remote_srqn

    union ibv_send_wr_qp_type:
        ibv_send_wr_qp_type_xrc xrc

    struct ibv_send_wr_bind_mw:
        ibv_mw *mw
        uint32_t rkey
        ibv_mw_bind_info bind_info

    struct ibv_send_wr_tso:
        void *hdr
        uint16_t hdr_sz, mss

    struct ibv_send_wr:
        uint64_t wr_id
        ibv_send_wr *next
        ibv_sge *sg_list
        int num_sge
        ibv_wr_opcode opcode
        unsigned int send_flags
        uint32_t imm_data, invalidate_rkey
        ibv_send_wr_wr wr
        ibv_send_wr_qp_type qp_type
        ibv_send_wr_bind_mw bind_mw
        ibv_send_wr_tso tso

    struct ibv_recv_wr:
        uint64_t wr_id
        ibv_recv_wr *next
        ibv_sge *sg_list
        int num_sge

    struct ibv_qp_ex:
        ibv_qp qp_base
        uint64_t comp_mask, wr_id
        unsigned int wr_flags
        void (*wr_atomic_cmp_swp)(ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr, uint64_t compare,
                                  uint64_t swap) noexcept
        void (*wr_atomic_fetch_add)(ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr, uint64_t add) noexcept
        void (*wr_bind_mw)(ibv_qp_ex *qp, ibv_mw *mw, uint32_t rkey, const ibv_mw_bind_info *bind_info) noexcept
        void (*wr_local_inv)(ibv_qp_ex *qp, uint32_t invalidate_rkey) noexcept
        void (*wr_rdma_read)(ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr) noexcept
        void (*wr_rdma_write)(ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr) noexcept
        void (*wr_rdma_write_imm)(ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr, uint32_t imm_data) noexcept
        void (*wr_send)(ibv_qp_ex *qp) noexcept
        void (*wr_send_imm)(ibv_qp_ex *qp, uint32_t imm_data) noexcept
        void (*wr_send_inv)(ibv_qp_ex *qp, uint32_t invalidate_rkey) noexcept
        void (*wr_send_tso)(ibv_qp_ex *qp, void *hdr, uint16_t hdr_sz, uint16_t mss) noexcept
        void (*wr_set_ud_addr)(ibv_qp_ex *qp, ibv_ah *ah, uint32_t remote_qpn, uint32_t remote_qkey) noexcept
        void (*wr_set_xrc_srqn)(ibv_qp_ex *qp, uint32_t remote_srqn) noexcept
        void (*wr_set_inline_data)(ibv_qp_ex *qp, void *addr, size_t length) noexcept
        void (*wr_set_inline_data_list)(ibv_qp_ex *qp, size_t num_buf, const ibv_data_buf *buf_list) noexcept
        void (*wr_set_sge)(ibv_qp_ex *qp, uint32_t lkey, uint64_t addr, uint32_t length) noexcept
        void (*wr_set_sge_list)(ibv_qp_ex *qp, size_t num_sge, const ibv_sge *sg_list) noexcept
        void (*wr_start)(ibv_qp_ex *qp) noexcept
        int (*wr_complete)(ibv_qp_ex *qp) noexcept
        void (*wr_abort)(ibv_qp_ex *qp) noexcept
        void (*wr_atomic_write)(ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr, const void *atomic_wr) noexcept

    # ---- contexts: what verbs.h's inline functions call ----

    struct ibv_context_ops:
        ibv_mw *(*alloc_mw)(ibv_pd *pd, ibv_mw_type type) noexcept
        int (*bind_mw)(ibv_qp *qp, ibv_mw *mw, ibv_mw_bind *mw_bind) noexcept
        int (*dealloc_mw)(ibv_mw *mw) noexcept
        int (*poll_cq)(ibv_cq *cq, int num_entries, ibv_wc *wc) noexcept
        int (*req_notify_cq)(ibv_cq *cq, int solicited_only) noexcept
        int (*post_srq_recv)(ibv_srq *srq, ibv_recv_wr *recv_wr, ibv_recv_wr **bad_recv_wr) noexcept
        int (*post_send)(ibv_qp *qp, ibv_send_wr *wr, ibv_send_wr **bad_wr) noexcept
        int (*post_recv)(ibv_qp *qp, ibv_recv_wr *wr, ibv_recv_wr **bad_wr) noexcept

    struct ibv_context:
        ibv_device *device
        ibv_context_ops ops
        int cmd_fd, async_fd, num_comp_vectors
        pthread_mutex_t mutex
        void *abi_compat

    struct verbs_context:
        int (*query_port)(ibv_context *context, uint8_t port_num, ibv_port_attr *port_attr,
                          size_t port_attr_len) noexcept
        int (*advise_mr)(ibv_pd *pd, ibv_advise_mr_advice advice, uint32_t flags, ibv_sge *sg_list,
                         uint32_t num_sges) noexcept
        ibv_mr *(*alloc_null_mr)(ibv_pd *pd) noexcept
        int (*read_counters)(ibv_counters *counters, uint64_t *counters_value, uint32_t ncounters,
                             uint32_t flags) noexcept
        int (*attach_counters_point_flow)(ibv_counters *counters, ibv_counter_attach_attr *attr,
                                          ibv_flow *flow) noexcept
        ibv_counters *(*create_counters)(ibv_context *context, ibv_counters_init_attr *init_attr) noexcept
        int (*destroy_counters)(ibv_counters *counters) noexcept
        ibv_mr *(*reg_dm_mr)(ibv_pd *pd, ibv_dm *dm, uint64_t dm_offset, size_t length, unsigned int access) noexcept
        ibv_dm *(*alloc_dm)(ibv_context *context, ibv_alloc_dm_attr *attr) noexcept
        int (*free_dm)(ibv_dm *dm) noexcept
        int (*modify_flow_action_esp)(ibv_flow_action *action, ibv_flow_action_esp_attr *attr) noexcept
        int (*destroy_flow_action)(ibv_flow_action *action) noexcept
        ibv_flow_action *(*create_flow_action_esp)(ibv_context *context, ibv_flow_action_esp_attr *attr) noexcept
        int (*modify_qp_rate_limit)(ibv_qp *qp, ibv_qp_rate_limit_attr *attr) noexcept
        ibv_pd *(*alloc_parent_domain)(ibv_context *context, ibv_parent_domain_init_attr *attr) noexcept
        int (*dealloc_td)(ibv_td *td) noexcept
        ibv_td *(*alloc_td)(ibv_context *context, ibv_td_init_attr *init_attr) noexcept
        int (*modify_cq)(ibv_cq *cq, ibv_modify_cq_attr *attr) noexcept
        int (*post_srq_ops)(ibv_srq *srq, ibv_ops_wr *op, ibv_ops_wr **bad_op) noexcept
        int (*destroy_rwq_ind_table)(ibv_rwq_ind_table *rwq_ind_table) noexcept
        ibv_rwq_ind_table *(*create_rwq_ind_table)(ibv_context *context,
                                                   ibv_rwq_ind_table_init_attr *init_attr) noexcept
        int (*destroy_wq)(ibv_wq *wq) noexcept
        int (*modify_wq)(ibv_wq *wq, ibv_wq_attr *wq_attr) noexcept
        ibv_wq *(*create_wq)(ibv_context *context, ibv_wq_init_attr *wq_init_attr) noexcept
        int (*query_rt_values)(ibv_context *context, ibv_values_ex *values) noexcept
        ibv_cq_ex *(*create_cq_ex)(ibv_context *context, ibv_cq_init_attr_ex *init_attr) noexcept
        verbs_ex_private *priv
        int (*query_device_ex)(ibv_context *context, const ibv_query_device_ex_input *input,
                               ibv_device_attr_ex *attr, size_t attr_size) noexcept
        int (*ibv_destroy_flow)(ibv_flow *flow) noexcept
        ibv_flow *(*ibv_create_flow)(ibv_qp *qp, ibv_flow_attr *flow_attr) noexcept
        ibv_qp *(*open_qp)(ibv_context *context, ibv_qp_open_attr *attr) noexcept
        ibv_qp *(*create_qp_ex)(ibv_context *context, ibv_qp_init_attr_ex *qp_init_attr_ex) noexcept
        int (*get_srq_num)(ibv_srq *srq, uint32_t *srq_num) noexcept
        ibv_srq *(*create_srq_ex)(ibv_context *context, ibv_srq_init_attr_ex *srq_init_attr_ex) noexcept
        ibv_xrcd *(*open_xrcd)(ibv_context *context, ibv_xrcd_init_attr *xrcd_init_attr) noexcept
        int (*close_xrcd)(ibv_xrcd *xrcd) noexcept
        size_t sz
        ibv_context context

    void *__VERBS_ABI_IS_EXTENDED  # ibv_context.abi_compat has to hold it


# Wider than rdma-core 44's, as newer headers have them. What FreeFlow allocates, it allocates at these sizes.
cdef extern from "ffl/newest.h" nogil:
    struct ff_verbs_context:
        void *newer[6]  # NULL: the verbs of later releases, which their inline functions look for here
        verbs_context v  # v.sz = sizeof(ff_verbs_context); v.context is what the application holds
    struct ff_qp_ex:
        ibv_qp_ex v
    struct ff_port_attr:
        ibv_port_attr v
        uint32_t active_speed_ex  # as active_speed, which is a byte; the caller's size says whether it is there
    struct ff_mr_init_attr:
        size_t length
        int access
        uint64_t comp_mask, iova
        void *addr
        void *buf
    struct ff_verbs_device:
        ibv_device device
        const void *ops  # NULL: libmlx5 and libefa compare it with their own, and say "not mine"
        uint64_t tail[15]  # zero
    ff_verbs_context *ff_verbs_context_of(ibv_context *context)
