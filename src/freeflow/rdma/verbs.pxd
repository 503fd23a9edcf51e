"""infiniband/verbs.h, as far as this package uses it. Functions that are symbols of the library stand in library.pxd: the
library is looked up when the first device is opened, so that nothing has to be linked and another one may stand in for it.
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "infiniband/verbs.h" nogil:
    ctypedef struct ibv_device "struct ibv_device":
        pass
    ctypedef struct ibv_context "struct ibv_context":
        int async_fd
    ctypedef struct ibv_pd "struct ibv_pd":
        pass
    ctypedef struct ibv_mr "struct ibv_mr":
        uint32_t lkey
        uint32_t rkey
    ctypedef struct ibv_comp_channel "struct ibv_comp_channel":
        int fd
    ctypedef struct ibv_cq "struct ibv_cq":
        pass
    ctypedef struct ibv_ah "struct ibv_ah":
        pass
    ctypedef struct ibv_qp "struct ibv_qp":
        uint32_t qp_num
    ctypedef union ibv_gid "union ibv_gid":
        uint8_t raw[16]

    ctypedef struct ibv_device_attr "struct ibv_device_attr":
        int max_qp_wr
        int max_cqe
        int max_qp_rd_atom
        int max_qp_init_rd_atom
        int atomic_cap
    ctypedef struct ibv_port_attr "struct ibv_port_attr":
        int state
        int active_mtu
        int gid_tbl_len
        uint16_t lid
        uint8_t link_layer
    ctypedef struct ibv_gid_entry "struct ibv_gid_entry":
        ibv_gid gid
        uint32_t gid_type

    ctypedef struct ibv_global_route "struct ibv_global_route":
        ibv_gid dgid
        uint8_t sgid_index
        uint8_t hop_limit
    ctypedef struct ibv_ah_attr "struct ibv_ah_attr":
        ibv_global_route grh
        uint16_t dlid
        uint8_t is_global
        uint8_t port_num
    ctypedef struct ibv_qp_cap "struct ibv_qp_cap":
        uint32_t max_send_wr
        uint32_t max_recv_wr
        uint32_t max_send_sge
        uint32_t max_recv_sge
        uint32_t max_inline_data
    ctypedef struct ibv_qp_init_attr "struct ibv_qp_init_attr":
        ibv_cq *send_cq
        ibv_cq *recv_cq
        ibv_qp_cap cap
        int qp_type
        int sq_sig_all
    ctypedef struct ibv_qp_attr "struct ibv_qp_attr":
        int qp_state
        int path_mtu
        uint32_t qkey
        uint32_t rq_psn
        uint32_t sq_psn
        uint32_t dest_qp_num
        unsigned int qp_access_flags
        ibv_ah_attr ah_attr
        uint16_t pkey_index
        uint8_t max_rd_atomic
        uint8_t max_dest_rd_atomic
        uint8_t min_rnr_timer
        uint8_t port_num
        uint8_t timeout
        uint8_t retry_cnt
        uint8_t rnr_retry

    ctypedef struct ibv_sge "struct ibv_sge":
        uint64_t addr
        uint32_t length
        uint32_t lkey
    ctypedef struct ff_wr_rdma:
        uint64_t remote_addr
        uint32_t rkey
    ctypedef struct ff_wr_atomic:
        uint64_t remote_addr
        uint64_t compare_add
        uint64_t swap
        uint32_t rkey
    ctypedef struct ff_wr_ud:
        ibv_ah *ah
        uint32_t remote_qpn
        uint32_t remote_qkey
    ctypedef struct ff_wr_kinds:                 # unions have no names of their own in verbs.h; nothing here needs them
        ff_wr_rdma rdma
        ff_wr_atomic atomic
        ff_wr_ud ud
    ctypedef struct ibv_send_wr "struct ibv_send_wr":
        uint64_t wr_id
        ibv_send_wr *next
        ibv_sge *sg_list
        int num_sge
        int opcode
        unsigned int send_flags
        uint32_t imm_data
        ff_wr_kinds wr
    ctypedef struct ibv_recv_wr "struct ibv_recv_wr":
        uint64_t wr_id
        ibv_recv_wr *next
        ibv_sge *sg_list
        int num_sge
    ctypedef struct ibv_wc "struct ibv_wc":
        uint64_t wr_id
        int status
        int opcode
        uint32_t vendor_err
        uint32_t byte_len
        uint32_t imm_data
        uint32_t src_qp
        unsigned int wc_flags

    # Inline functions of the header: they go through the context's own table.
    int ibv_poll_cq(ibv_cq *cq, int n, ibv_wc *wc)
    int ibv_req_notify_cq(ibv_cq *cq, int solicited_only)
    int ibv_post_send(ibv_qp *qp, ibv_send_wr *wr, ibv_send_wr **bad)
    int ibv_post_recv(ibv_qp *qp, ibv_recv_wr *wr, ibv_recv_wr **bad)

    enum:
        IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_REMOTE_WRITE, IBV_ACCESS_REMOTE_READ, IBV_ACCESS_REMOTE_ATOMIC
        IBV_LINK_LAYER_ETHERNET
        IBV_PORT_ACTIVE
        IBV_ATOMIC_NONE
        IBV_QPT_RC, IBV_QPT_UD
        IBV_QPS_RESET, IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS, IBV_QPS_ERR
        IBV_QP_STATE, IBV_QP_ACCESS_FLAGS, IBV_QP_PKEY_INDEX, IBV_QP_PORT, IBV_QP_QKEY, IBV_QP_AV, IBV_QP_PATH_MTU
        IBV_QP_TIMEOUT, IBV_QP_RETRY_CNT, IBV_QP_RNR_RETRY, IBV_QP_RQ_PSN, IBV_QP_MAX_QP_RD_ATOMIC
        IBV_QP_MIN_RNR_TIMER, IBV_QP_SQ_PSN, IBV_QP_MAX_DEST_RD_ATOMIC, IBV_QP_DEST_QPN
        IBV_SEND_SIGNALED, IBV_SEND_INLINE
        IBV_WC_SUCCESS, IBV_WC_WR_FLUSH_ERR, IBV_WC_RECV, IBV_WC_RECV_RDMA_WITH_IMM, IBV_WC_GRH
        IBV_WR_RDMA_WRITE, IBV_WR_RDMA_WRITE_WITH_IMM, IBV_WR_SEND, IBV_WR_SEND_WITH_IMM, IBV_WR_RDMA_READ
        IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD
        IBV_GID_TYPE_ROCE_V2
