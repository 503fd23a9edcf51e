"""Between verbs' structs and those that the kernel's rdma_cm speaks in: librdmacm has libibverbs translate them."""

from libc.string cimport memcpy

from ffl.verbs.kernel_structs cimport ib_user_path_rec, ib_uverbs_ah_attr, ib_uverbs_qp_attr, ibv_sa_path_rec
from ffl.ibv cimport *


cdef public void ffv_ibv_copy_ah_attr_from_kern(ibv_ah_attr *to, ib_uverbs_ah_attr *src) noexcept nogil:
    memcpy(to.grh.dgid.raw, src.grh.dgid, sizeof(to.grh.dgid))
    to.grh.flow_label = src.grh.flow_label
    to.grh.sgid_index = src.grh.sgid_index
    to.grh.hop_limit = src.grh.hop_limit
    to.grh.traffic_class = src.grh.traffic_class
    to.dlid = src.dlid
    to.sl = src.sl
    to.src_path_bits = src.src_path_bits
    to.static_rate = src.static_rate
    to.is_global = src.is_global
    to.port_num = src.port_num


cdef public void ffv_ibv_copy_qp_attr_from_kern(ibv_qp_attr *to, ib_uverbs_qp_attr *src) noexcept nogil:
    # Not qp_state: it says which transition the attributes are for, and the caller has set it.
    to.cur_qp_state = <ibv_qp_state>src.cur_qp_state
    to.path_mtu = <ibv_mtu>src.path_mtu
    to.path_mig_state = <ibv_mig_state>src.path_mig_state
    to.qkey = src.qkey
    to.rq_psn = src.rq_psn
    to.sq_psn = src.sq_psn
    to.dest_qp_num = src.dest_qp_num
    to.qp_access_flags = src.qp_access_flags
    to.cap.max_send_wr = src.max_send_wr
    to.cap.max_recv_wr = src.max_recv_wr
    to.cap.max_send_sge = src.max_send_sge
    to.cap.max_recv_sge = src.max_recv_sge
    to.cap.max_inline_data = src.max_inline_data
    ffv_ibv_copy_ah_attr_from_kern(&to.ah_attr, &src.ah_attr)
    ffv_ibv_copy_ah_attr_from_kern(&to.alt_ah_attr, &src.alt_ah_attr)
    to.pkey_index = src.pkey_index
    to.alt_pkey_index = src.alt_pkey_index
    to.en_sqd_async_notify = src.en_sqd_async_notify
    to.sq_draining = src.sq_draining
    to.max_rd_atomic = src.max_rd_atomic
    to.max_dest_rd_atomic = src.max_dest_rd_atomic
    to.min_rnr_timer = src.min_rnr_timer
    to.port_num = src.port_num
    to.timeout = src.timeout
    to.retry_cnt = src.retry_cnt
    to.rnr_retry = src.rnr_retry
    to.alt_port_num = src.alt_port_num
    to.alt_timeout = src.alt_timeout


cdef public void ffv_ibv_copy_path_rec_from_kern(ibv_sa_path_rec *to, ib_user_path_rec *src) noexcept nogil:
    memcpy(to.dgid.raw, src.dgid, sizeof(to.dgid))
    memcpy(to.sgid.raw, src.sgid, sizeof(to.sgid))
    to.dlid = src.dlid
    to.slid = src.slid
    to.raw_traffic = src.raw_traffic
    to.flow_label = src.flow_label
    to.hop_limit = src.hop_limit
    to.traffic_class = src.traffic_class
    to.reversible = src.reversible
    to.numb_path = src.numb_path
    to.pkey = src.pkey
    to.sl = src.sl
    to.mtu_selector = src.mtu_selector
    to.mtu = <uint8_t>src.mtu
    to.rate_selector = src.rate_selector
    to.rate = src.rate
    to.packet_life_time_selector = src.packet_life_time_selector
    to.packet_life_time = src.packet_life_time
    to.preference = src.preference


cdef public void ffv_ibv_copy_path_rec_to_kern(ib_user_path_rec *to, ibv_sa_path_rec *src) noexcept nogil:
    memcpy(to.dgid, src.dgid.raw, sizeof(src.dgid))
    memcpy(to.sgid, src.sgid.raw, sizeof(src.sgid))
    to.dlid = src.dlid
    to.slid = src.slid
    to.raw_traffic = src.raw_traffic
    to.flow_label = src.flow_label
    to.hop_limit = src.hop_limit
    to.traffic_class = src.traffic_class
    to.reversible = src.reversible
    to.numb_path = src.numb_path
    to.pkey = src.pkey
    to.sl = src.sl
    to.mtu_selector = src.mtu_selector
    to.mtu = src.mtu
    to.rate_selector = src.rate_selector
    to.rate = src.rate
    to.packet_life_time_selector = src.packet_life_time_selector
    to.packet_life_time = src.packet_life_time
    to.preference = src.preference
