"""Address vectors between verbs' struct and the commands': a QP's path, and address handles."""

from libc.string cimport memcpy

from ffcore.control cimport ff_ah_attr
from ffl.ibv cimport ibv_ah_attr


cdef inline void ah_out(ff_ah_attr *to, const ibv_ah_attr *ah) noexcept nogil:
    memcpy(to.dgid, ah.grh.dgid.raw, 16)
    to.flow_label = ah.grh.flow_label
    to.sgid_index = ah.grh.sgid_index
    to.hop_limit = ah.grh.hop_limit
    to.traffic_class = ah.grh.traffic_class
    to.dlid = ah.dlid
    to.sl = ah.sl
    to.src_path_bits = ah.src_path_bits
    to.static_rate = ah.static_rate
    to.is_global = ah.is_global
    to.port_num = ah.port_num


cdef inline void ah_in(ibv_ah_attr *to, const ff_ah_attr *ah) noexcept nogil:
    memcpy(to.grh.dgid.raw, ah.dgid, 16)
    to.grh.flow_label = ah.flow_label
    to.grh.sgid_index = ah.sgid_index
    to.grh.hop_limit = ah.hop_limit
    to.grh.traffic_class = ah.traffic_class
    to.dlid = ah.dlid
    to.sl = ah.sl
    to.src_path_bits = ah.src_path_bits
    to.static_rate = ah.static_rate
    to.is_global = ah.is_global
    to.port_num = ah.port_num
