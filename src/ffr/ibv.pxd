"""The constants of <infiniband/verbs.h> that the router knows: what programs ask for, and what they are answered, is in
verbs' own numbers all the way."""


cdef extern from "<infiniband/verbs.h>" nogil:
    enum:                      # ibv_access_flags
        IBV_ACCESS_HUGETLB
        IBV_ACCESS_LOCAL_WRITE
        IBV_ACCESS_MW_BIND
        IBV_ACCESS_ON_DEMAND
        IBV_ACCESS_RELAXED_ORDERING
        IBV_ACCESS_REMOTE_ATOMIC
        IBV_ACCESS_REMOTE_READ
        IBV_ACCESS_REMOTE_WRITE
        IBV_ACCESS_ZERO_BASED

    enum:                      # ibv_event_type
        IBV_EVENT_COMM_EST
        IBV_EVENT_CQ_ERR
        IBV_EVENT_GID_CHANGE
        IBV_EVENT_PATH_MIG_ERR
        IBV_EVENT_PORT_ACTIVE
        IBV_EVENT_PORT_ERR
        IBV_EVENT_QP_ACCESS_ERR
        IBV_EVENT_QP_FATAL
        IBV_EVENT_QP_LAST_WQE_REACHED
        IBV_EVENT_QP_REQ_ERR
        IBV_EVENT_SQ_DRAINED
        IBV_EVENT_SRQ_ERR
        IBV_EVENT_SRQ_LIMIT_REACHED

    enum:                      # ibv_mtu
        IBV_MTU_256
        IBV_MTU_4096

    enum:                      # ibv_mw_type
        IBV_MW_TYPE_1
        IBV_MW_TYPE_2

    enum:                      # ibv_port_state
        IBV_PORT_ACTIVE
        IBV_PORT_DOWN

    enum:                      # ibv_qp_state
        IBV_QPS_ERR
        IBV_QPS_INIT
        IBV_QPS_RESET
        IBV_QPS_RTR
        IBV_QPS_RTS
        IBV_QPS_SQD
        IBV_QPS_SQE

    enum:                      # ibv_qp_type
        IBV_QPT_DRIVER
        IBV_QPT_RAW_PACKET
        IBV_QPT_RC
        IBV_QPT_UC
        IBV_QPT_UD
        IBV_QPT_XRC_RECV
        IBV_QPT_XRC_SEND

    enum:                      # ibv_qp_attr_mask
        IBV_QP_ACCESS_FLAGS
        IBV_QP_ALT_PATH
        IBV_QP_AV
        IBV_QP_CUR_STATE
        IBV_QP_DEST_QPN
        IBV_QP_EN_SQD_ASYNC_NOTIFY
        IBV_QP_MAX_DEST_RD_ATOMIC
        IBV_QP_MAX_QP_RD_ATOMIC
        IBV_QP_MIN_RNR_TIMER
        IBV_QP_PATH_MIG_STATE
        IBV_QP_PATH_MTU
        IBV_QP_PKEY_INDEX
        IBV_QP_PORT
        IBV_QP_QKEY
        IBV_QP_RATE_LIMIT
        IBV_QP_RETRY_CNT
        IBV_QP_RNR_RETRY
        IBV_QP_RQ_PSN
        IBV_QP_SQ_PSN
        IBV_QP_STATE
        IBV_QP_TIMEOUT

    enum:                      # ibv_rereg_mr_flags
        IBV_REREG_MR_CHANGE_ACCESS
        IBV_REREG_MR_CHANGE_PD
        IBV_REREG_MR_CHANGE_TRANSLATION

    enum:                      # ibv_srq_type
        IBV_SRQT_BASIC
        IBV_SRQT_XRC

    enum:                      # ibv_wc_status, ibv_wc_opcode
        IBV_WC_BAD_RESP_ERR
        IBV_WC_BIND_MW
        IBV_WC_COMP_SWAP
        IBV_WC_FETCH_ADD
        IBV_WC_LOCAL_INV
        IBV_WC_LOC_LEN_ERR
        IBV_WC_LOC_PROT_ERR
        IBV_WC_LOC_QP_OP_ERR
        IBV_WC_MW_BIND_ERR
        IBV_WC_RDMA_READ
        IBV_WC_RDMA_WRITE
        IBV_WC_RECV
        IBV_WC_RECV_RDMA_WITH_IMM
        IBV_WC_REM_ACCESS_ERR
        IBV_WC_REM_INV_REQ_ERR
        IBV_WC_REM_OP_ERR
        IBV_WC_RETRY_EXC_ERR
        IBV_WC_RNR_RETRY_EXC_ERR
        IBV_WC_SEND
        IBV_WC_SUCCESS
        IBV_WC_WR_FLUSH_ERR
