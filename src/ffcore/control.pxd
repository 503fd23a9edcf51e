"""Cython's view of control.h: the commands, one fixed struct per verb."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "ffcore/control.h" nogil:
    enum:  # enum ff_op_code
        FF_CMD_OPEN_CONTEXT
        FF_CMD_CLOSE_CONTEXT
        FF_CMD_QUERY_DEVICE
        FF_CMD_QUERY_PORT
        FF_CMD_QUERY_GIDS
        FF_CMD_ALLOC_PD
        FF_CMD_DEALLOC_PD
        FF_CMD_REG_MR
        FF_CMD_DEREG_MR
        FF_CMD_CREATE_CHANNEL
        FF_CMD_DESTROY_CHANNEL
        FF_CMD_CREATE_CQ
        FF_CMD_DESTROY_CQ
        FF_CMD_CREATE_QP
        FF_CMD_MODIFY_QP
        FF_CMD_QUERY_QP
        FF_CMD_DESTROY_QP
        FF_CMD_CREATE_AH
        FF_CMD_DESTROY_AH
        FF_CMD_ATTACH_MCAST
        FF_CMD_DETACH_MCAST
        FF_CMD_RESIZE_CQ
        FF_CMD_CREATE_SRQ
        FF_CMD_MODIFY_SRQ
        FF_CMD_QUERY_SRQ
        FF_CMD_DESTROY_SRQ
        FF_CMD_OPEN_XRCD
        FF_CMD_CLOSE_XRCD
        FF_CMD_OPEN_QP
        FF_CMD_REREG_MR
        FF_CMD_ALLOC_NULL_MR
        FF_CMD_ALLOC_DM
        FF_CMD_FREE_DM
        FF_CMD_REG_DM_MR
        FF_CMD_ALLOC_MW
        FF_CMD_DEALLOC_MW
        FF_CMD_IMPORT_CONTEXT
        FF_CMD_IMPORT_PD
        FF_CMD_IMPORT_MR
        FF_CMD_IMPORT_DM
        FF_CMD_COPY_DM
        FF_CMD_RECLAIM_MR
        FF_CMD_RECLAIM_DM
        FF_CMD_QUERY_KEY
        FF_CMD_QUERY_HELD
        FF_CMD_CM_OPEN
        FF_CMD_CM_CALL
        FF_CM_BODY
        FF_CM_REPLY
        FF_CMD_LAST
        FF_MAX_EXTENTS
        FF_WHY_ERRNO
        FF_WHY_FILE_SYSTEM
        FF_WHY_PRIVATE
        FF_WHY_READ_ONLY
        FF_WHY_SHORT
        FF_WHY_SEALED
        FF_WHY_UNSEEN
        FF_WHY_CHANGED
        FF_WHY_MANY
        FF_WHY_LIMIT
        FF_WHY_SLOW
    uint64_t FF_EXTENT_SHARED
    uint32_t FF_NO_HANDLE

    ctypedef union ff_body "union ff_body":
        uint8_t *bytes

    ctypedef struct ff_cmd_handle "struct ff_cmd_handle":
        uint32_t handle

    ctypedef struct ff_reply_handle "struct ff_reply_handle":
        uint32_t handle

    ctypedef struct ff_reply_device "struct ff_reply_device":
        uint64_t guid
        uint64_t max_mr_size
        uint32_t max_qp
        uint32_t max_qp_wr
        uint32_t max_sge
        uint32_t max_sge_rd
        uint32_t max_cq
        uint32_t max_cqe
        uint32_t max_mr
        uint32_t max_pd
        uint32_t max_qp_rd_atom
        uint32_t max_qp_init_rd_atom
        uint32_t max_srq
        uint32_t max_srq_wr
        uint32_t max_srq_sge
        uint32_t max_ah
        uint32_t max_inline
        uint32_t max_mcast_qp
        uint32_t max_mcast_attached
        uint32_t max_dm

    ctypedef struct ff_reply_port "struct ff_reply_port":
        uint32_t state
        uint32_t max_mtu
        uint32_t active_mtu
        uint32_t gid_count
        uint64_t bad_pkeys
        uint64_t qkey_violations
        uint32_t speed_mbps

    ctypedef struct ff_reply_gids "struct ff_reply_gids":
        uint32_t count
        uint8_t gid[16][16]  # FF_GID_TABLE rows

    ctypedef struct ff_extent "struct ff_extent":
        uint64_t offset
        uint64_t length

    ctypedef struct ff_cmd_reg_mr "struct ff_cmd_reg_mr":
        uint32_t pd
        uint32_t access
        uint64_t addr
        uint64_t length
        uint64_t iova
        uint32_t extents

    ctypedef struct ff_reply_reg_mr "struct ff_reply_reg_mr":
        uint32_t handle
        uint32_t lkey
        uint32_t rkey
        uint32_t why

    ctypedef struct ff_reply_context "struct ff_reply_context":
        uint32_t handle
        uint64_t *secret

    ctypedef struct ff_reply_held "struct ff_reply_held":
        uint32_t pds
        uint32_t cqs
        uint32_t qps
        uint32_t mrs
        uint32_t srqs

    ctypedef struct ff_cmd_import "struct ff_cmd_import":
        uint64_t *secret

    ctypedef struct ff_cmd_part "struct ff_cmd_part":
        uint32_t of
        uint32_t handle

    ctypedef struct ff_reply_dereg_mr "struct ff_reply_dereg_mr":
        uint64_t addr
        uint64_t length

    ctypedef struct ff_reply_import_mr "struct ff_reply_import_mr":
        uint32_t lkey
        uint32_t rkey
        uint64_t length

    ctypedef struct ff_reply_import_dm "struct ff_reply_import_dm":
        uint64_t offset
        uint64_t length

    ctypedef struct ff_cmd_copy_dm "struct ff_cmd_copy_dm":
        uint32_t dm
        uint32_t to_dm
        uint64_t offset
        uint64_t length

    ctypedef struct ff_cmd_rereg_mr "struct ff_cmd_rereg_mr":
        ff_cmd_reg_mr to
        uint32_t handle
        uint32_t flags

    ctypedef struct ff_cmd_alloc_dm "struct ff_cmd_alloc_dm":
        uint32_t context
        uint64_t length

    ctypedef struct ff_reply_alloc_dm "struct ff_reply_alloc_dm":
        uint32_t handle
        uint64_t offset

    ctypedef struct ff_cmd_reg_dm_mr "struct ff_cmd_reg_dm_mr":
        uint32_t pd
        uint32_t dm
        uint64_t offset
        uint64_t length
        uint32_t access

    ctypedef struct ff_cmd_alloc_mw "struct ff_cmd_alloc_mw":
        uint32_t pd
        uint32_t type

    ctypedef struct ff_cmd_create_cq "struct ff_cmd_create_cq":
        uint32_t context
        uint32_t cqe
        uint32_t channel
        uint32_t flags

    ctypedef struct ff_reply_create_cq "struct ff_reply_create_cq":
        uint32_t handle
        uint32_t entries
        uint64_t offset

    ctypedef struct ff_cmd_resize_cq "struct ff_cmd_resize_cq":
        uint32_t handle
        uint32_t cqe

    ctypedef struct ff_reply_resize_cq "struct ff_reply_resize_cq":
        uint32_t entries
        uint32_t index
        uint64_t offset

    ctypedef struct ff_cap "struct ff_cap":
        uint32_t max_send_wr
        uint32_t max_recv_wr
        uint32_t max_send_sge
        uint32_t max_recv_sge
        uint32_t max_inline

    ctypedef struct ff_cmd_create_qp "struct ff_cmd_create_qp":
        uint32_t pd
        uint32_t send_cq
        uint32_t recv_cq
        uint32_t srq
        uint32_t type
        uint32_t sq_sig_all
        ff_cap cap
        uint32_t xrcd

    ctypedef struct ff_reply_create_qp "struct ff_reply_create_qp":
        uint32_t handle
        uint32_t qpn
        uint32_t bell
        ff_cap cap
        uint32_t sq_entries
        uint32_t sq_stride
        uint32_t rq_entries
        uint32_t rq_stride
        uint64_t offset
        uint64_t sq_offset
        uint64_t rq_offset

    ctypedef struct ff_ah_attr "struct ff_ah_attr":
        uint8_t dgid[16]
        uint32_t flow_label
        uint16_t dlid
        uint8_t sgid_index
        uint8_t hop_limit
        uint8_t traffic_class
        uint8_t sl
        uint8_t src_path_bits
        uint8_t static_rate
        uint8_t is_global
        uint8_t port_num

    ctypedef struct ff_qp_attr "struct ff_qp_attr":
        uint32_t qp_state
        uint32_t cur_qp_state
        uint32_t path_mtu
        uint32_t path_mig_state
        uint32_t qkey
        uint32_t rq_psn
        uint32_t sq_psn
        uint32_t dest_qpn
        uint32_t access
        uint32_t rate_limit
        ff_ah_attr ah
        ff_ah_attr alt_ah
        uint16_t pkey_index
        uint16_t alt_pkey_index
        uint8_t en_sqd_async_notify
        uint8_t sq_draining
        uint8_t max_rd_atomic
        uint8_t max_dest_rd_atomic
        uint8_t min_rnr_timer
        uint8_t port_num
        uint8_t timeout
        uint8_t retry_cnt
        uint8_t rnr_retry
        uint8_t alt_port_num
        uint8_t alt_timeout

    ctypedef struct ff_cmd_modify_qp "struct ff_cmd_modify_qp":
        uint32_t handle
        uint32_t mask
        ff_qp_attr attr

    ctypedef struct ff_reply_state "struct ff_reply_state":
        uint32_t qp_state
        uint32_t mtu_max

    ctypedef struct ff_reply_query_qp "struct ff_reply_query_qp":
        ff_qp_attr attr
        ff_cap cap
        uint32_t sq_sig_all
        uint32_t type

    ctypedef struct ff_cmd_create_ah "struct ff_cmd_create_ah":
        uint32_t pd
        ff_ah_attr attr

    ctypedef struct ff_cmd_mcast "struct ff_cmd_mcast":
        uint32_t qp
        uint8_t *gid

    enum:
        FF_SRQ_MAX_WR
        FF_SRQ_LIMIT

    ctypedef struct ff_cmd_create_srq "struct ff_cmd_create_srq":
        uint32_t pd
        uint32_t type
        uint32_t max_wr
        uint32_t max_sge
        uint32_t cq
        uint32_t xrcd

    ctypedef struct ff_reply_create_srq "struct ff_reply_create_srq":
        uint32_t handle
        uint32_t srqn
        uint32_t entries
        uint32_t stride
        uint32_t max_sge
        uint64_t offset
        uint64_t ring

    ctypedef struct ff_cmd_modify_srq "struct ff_cmd_modify_srq":
        uint32_t handle
        uint32_t mask
        uint32_t max_wr
        uint32_t limit
        uint32_t index

    ctypedef struct ff_reply_modify_srq "struct ff_reply_modify_srq":
        uint32_t entries
        uint64_t ring

    ctypedef struct ff_reply_query_srq "struct ff_reply_query_srq":
        uint32_t max_wr
        uint32_t max_sge
        uint32_t limit

    enum:
        FF_XRCD_FILE
        FF_XRCD_CREATE
        FF_XRCD_EXCLUSIVE
    uint32_t FF_QP_OPENED

    ctypedef struct ff_cmd_open_xrcd "struct ff_cmd_open_xrcd":
        uint32_t context
        uint32_t flags
        uint64_t device
        uint64_t inode

    ctypedef struct ff_cmd_open_qp "struct ff_cmd_open_qp":
        uint32_t xrcd
        uint32_t qpn

    ctypedef struct ff_cmd_cm "struct ff_cmd_cm":
        uint64_t secret[2]
        uint32_t channel
        uint16_t command
        uint16_t size
        uint32_t room
        uint32_t other
        uint8_t *body

    ctypedef struct ff_reply_cm "struct ff_reply_cm":
        uint32_t size
        uint32_t withdrawn
        uint8_t *body
