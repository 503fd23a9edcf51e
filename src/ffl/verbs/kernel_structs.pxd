"""Structs of the kernel's rdma_cm interface, as marshall.pyx translates them."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ffl.ibv cimport ibv_gid


cdef extern from "<rdma/ib_user_verbs.h>" nogil:
    struct ib_uverbs_global_route:
        uint8_t dgid[16]
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
        uint32_t max_send_wr, max_recv_wr, max_send_sge, max_recv_sge, max_inline_data
        uint16_t pkey_index, alt_pkey_index
        uint8_t en_sqd_async_notify, sq_draining, max_rd_atomic, max_dest_rd_atomic
        uint8_t min_rnr_timer, port_num, timeout, retry_cnt, rnr_retry, alt_port_num, alt_timeout


cdef extern from "<rdma/ib_user_sa.h>" nogil:
    struct ib_user_path_rec:
        uint8_t dgid[16]
        uint8_t sgid[16]
        uint16_t dlid, slid, pkey  # big-endian, as are these fields of ibv_sa_path_rec
        uint32_t flow_label  # big-endian
        uint32_t raw_traffic, reversible, mtu
        uint8_t hop_limit, traffic_class, numb_path, sl, mtu_selector, rate_selector, rate
        uint8_t packet_life_time_selector, packet_life_time, preference


cdef extern from "<infiniband/sa.h>" nogil:
    struct ibv_sa_path_rec:
        ibv_gid dgid, sgid
        uint16_t dlid, slid, pkey
        uint32_t flow_label
        int raw_traffic, reversible
        uint8_t hop_limit, traffic_class, numb_path, sl, mtu_selector, mtu, rate_selector, rate
        uint8_t packet_life_time_selector, packet_life_time, preference
