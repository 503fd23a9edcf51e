"""The kernel's rdma_cm interface: the structs of rdma/rdma_user_cm.h, as far as they are used, and the events of rdma/rdma_cma.h."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "<rdma/rdma_user_cm.h>" nogil:
    enum:
        RDMA_PS_IPOIB
        RDMA_PS_IB
        RDMA_PS_TCP
        RDMA_PS_UDP
        RDMA_MAX_PRIVATE_DATA
    struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
    struct ib_uverbs_global_route:
        uint8_t *dgid
        uint32_t flow_label
        uint8_t sgid_index, hop_limit, traffic_class
    struct ib_uverbs_ah_attr:
        ib_uverbs_global_route grh
        uint16_t dlid
        uint8_t sl, src_path_bits, static_rate, is_global, port_num
    struct ib_uverbs_qp_attr:
        uint32_t qp_attr_mask, qp_state, cur_qp_state, path_mtu, path_mig_state
        uint32_t qkey, rq_psn, sq_psn, dest_qp_num, qp_access_flags
        ib_uverbs_ah_attr ah_attr, alt_ah_attr
        uint16_t pkey_index, alt_pkey_index
        uint8_t max_rd_atomic, max_dest_rd_atomic, min_rnr_timer, port_num, timeout, retry_cnt, rnr_retry
    struct ib_user_path_rec:
        uint8_t *dgid
        uint8_t *sgid
        uint16_t dlid, slid
        uint32_t raw_traffic, flow_label, reversible, mtu
        uint16_t pkey
        uint8_t hop_limit, traffic_class, numb_path, sl, mtu_selector, rate_selector, rate, packet_life_time_selector
        uint8_t packet_life_time, preference
    struct rdma_ucm_create_id:
        uint64_t uid
        uint16_t ps
        uint8_t qp_type
    struct rdma_ucm_create_id_resp:
        uint32_t id
    struct rdma_ucm_destroy_id:
        uint32_t id
    struct rdma_ucm_destroy_id_resp:
        uint32_t events_reported
    struct rdma_ucm_bind_ip:
        sockaddr_in6 addr
        uint32_t id
    struct rdma_ucm_bind:
        uint32_t id
        uint16_t addr_size
        sockaddr_in6 addr        # room for any: a sockaddr_storage
    struct rdma_ucm_resolve_ip:
        sockaddr_in6 src_addr, dst_addr
        uint32_t id
    struct rdma_ucm_resolve_addr:
        uint32_t id
        uint16_t src_size, dst_size
        sockaddr_in6 src_addr, dst_addr
    struct rdma_ucm_resolve_route:
        uint32_t id
    struct rdma_ucm_query:
        uint32_t id, option
    struct rdma_ucm_query_route_resp:
        uint64_t node_guid
        ib_user_path_rec ib_route[2]
        sockaddr_in6 src_addr, dst_addr
        uint32_t num_paths
        uint8_t port_num
        uint32_t ibdev_index
    struct rdma_ucm_query_addr_resp:
        uint64_t node_guid
        uint8_t port_num
        uint16_t pkey, src_size, dst_size
        uint8_t src_addr, dst_addr   # their first bytes
        uint32_t ibdev_index
    struct rdma_ucm_query_path_resp:
        uint32_t num_paths
    struct rdma_ucm_conn_param:
        uint32_t qp_num, qkey
        uint8_t *private_data
        uint8_t private_data_len, srq, responder_resources, initiator_depth, flow_control, retry_count, rnr_retry_count, valid
    struct rdma_ucm_ud_param:
        uint32_t qp_num, qkey
        ib_uverbs_ah_attr ah_attr
        uint8_t *private_data
        uint8_t private_data_len
    struct rdma_ucm_connect:
        rdma_ucm_conn_param conn_param
        uint32_t id
    struct rdma_ucm_listen:
        uint32_t id, backlog
    struct rdma_ucm_accept:
        uint64_t uid
        rdma_ucm_conn_param conn_param
        uint32_t id
    struct rdma_ucm_reject:
        uint32_t id
        uint8_t private_data_len, reason
        uint8_t *private_data
    struct rdma_ucm_disconnect:
        uint32_t id
    struct rdma_ucm_init_qp_attr:
        uint32_t id, qp_state
    struct rdma_ucm_notify:
        uint32_t id, event
    struct rdma_ucm_join_ip_mcast:
        uint64_t uid
        sockaddr_in6 addr
        uint32_t id
    struct rdma_ucm_join_mcast:
        uint64_t uid
        uint32_t id
        uint16_t addr_size, join_flags
        sockaddr_in6 addr
    struct event_param "union { struct rdma_ucm_conn_param conn; struct rdma_ucm_ud_param ud; }":
        rdma_ucm_conn_param conn
        rdma_ucm_ud_param ud
    struct rdma_ucm_event_resp:
        uint64_t uid
        uint32_t id, event, status
        event_param param
    struct rdma_ucm_set_option:
        uint32_t id, level, optname, optlen
    struct rdma_ucm_migrate_id:
        uint32_t id, fd
    struct rdma_ucm_migrate_resp:
        uint32_t events_reported
    enum:
        RDMA_OPTION_ID
        RDMA_OPTION_IB
        RDMA_OPTION_ID_TOS
        RDMA_OPTION_ID_REUSEADDR
        RDMA_OPTION_ID_AFONLY
        RDMA_OPTION_ID_ACK_TIMEOUT
        RDMA_OPTION_IB_PATH
        RDMA_USER_CM_QUERY_ADDR
        RDMA_USER_CM_QUERY_PATH
        RDMA_USER_CM_QUERY_GID
        RDMA_USER_CM_CMD_CREATE_ID
        RDMA_USER_CM_CMD_DESTROY_ID
        RDMA_USER_CM_CMD_BIND_IP
        RDMA_USER_CM_CMD_RESOLVE_IP
        RDMA_USER_CM_CMD_RESOLVE_ROUTE
        RDMA_USER_CM_CMD_QUERY_ROUTE
        RDMA_USER_CM_CMD_CONNECT
        RDMA_USER_CM_CMD_LISTEN
        RDMA_USER_CM_CMD_ACCEPT
        RDMA_USER_CM_CMD_REJECT
        RDMA_USER_CM_CMD_DISCONNECT
        RDMA_USER_CM_CMD_INIT_QP_ATTR
        RDMA_USER_CM_CMD_GET_EVENT
        RDMA_USER_CM_CMD_SET_OPTION
        RDMA_USER_CM_CMD_NOTIFY
        RDMA_USER_CM_CMD_JOIN_IP_MCAST
        RDMA_USER_CM_CMD_LEAVE_MCAST
        RDMA_USER_CM_CMD_MIGRATE_ID
        RDMA_USER_CM_CMD_QUERY
        RDMA_USER_CM_CMD_BIND
        RDMA_USER_CM_CMD_RESOLVE_ADDR
        RDMA_USER_CM_CMD_JOIN_MCAST


cdef enum:
    # enum rdma_cm_event_type (rdma/rdma_cma.h)
    CM_EV_ADDR_RESOLVED = 0
    CM_EV_ADDR_ERROR = 1
    CM_EV_ROUTE_RESOLVED = 2
    CM_EV_ROUTE_ERROR = 3
    CM_EV_CONNECT_REQUEST = 4
    CM_EV_CONNECT_RESPONSE = 5
    CM_EV_CONNECT_ERROR = 6
    CM_EV_UNREACHABLE = 7
    CM_EV_REJECTED = 8
    CM_EV_ESTABLISHED = 9
    CM_EV_DISCONNECTED = 10
    CM_EV_MULTICAST_JOIN = 12
    CM_EV_TIMEWAIT_EXIT = 15
    CM_EV_NONE = 255
