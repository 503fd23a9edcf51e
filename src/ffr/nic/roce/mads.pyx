from libc.string cimport memcpy, memset

from ffcore.engine cimport ff_segment
from ffcore.grh cimport FF_HOP_LIMIT, ff_grh, ff_grh_fields, ff_grh_write
from ffcore.icrc cimport ff_icrc_flow
from ffcore.roce cimport *
from ffr.nic.base cimport NIC_MAD_QKEY, NIC_MAD_QPN, NIC_MAD_SIZE, NIC_SENT
from ffr.nic.message cimport UDP_HEADER
from ffr.nic.roce.datagrams cimport datagram_flow, datagram_put
from ffr.nic.roce.map cimport map_route, roce_route
from ffr.nic.roce.marks cimport marks_count
from ffr.nic.roce.protocol.wire cimport roce_packet
from ffr.nic.roce.tables cimport roce_nic, roce_nic_of


cdef void write_grh(ff_grh *grh, const uint8_t *sgid, const uint8_t *dgid) noexcept nogil:
    cdef ff_grh_fields f
    memcpy(f.sgid, sgid, 16)
    memcpy(f.dgid, dgid, 16)
    f.flow_label = f.traffic_class = 0
    f.hop_limit = FF_HOP_LIMIT
    ff_grh_write(grh, &f, UDP_HEADER + sizeof(ff_bth) + sizeof(ff_deth) + NIC_MAD_SIZE + FF_ICRC_SIZE)


cdef bint roce_send_mad(ffr_router *r, const uint8_t *sgid, const uint8_t *dgid, const uint8_t *mad) noexcept nogil:
    cdef roce_nic *n = roce_nic_of()
    cdef roce_route route
    cdef roce_packet head
    cdef ff_icrc_flow flow
    cdef ff_grh grh
    cdef ff_segment segment
    if n.router == NULL or not map_route(n, sgid, dgid, &route):
        return False
    write_grh(&grh, sgid, dgid)
    memset(&head, 0, sizeof(head))
    head.opcode = (FF_ROUTED_UD if route.router else FF_UD) | FF_SEND_ONLY
    head.pkey = FF_DEFAULT_PKEY
    head.qpn = head.src_qpn = NIC_MAD_QPN
    head.qkey = NIC_MAD_QKEY
    n.mad_psn = ff_psn_add(n.mad_psn, 1)
    head.psn = n.mad_psn
    head.size = NIC_MAD_SIZE
    head.grh = <const uint8_t *>&grh
    segment.at = <uint8_t *>mad
    segment.length = NIC_MAD_SIZE
    datagram_flow(n, &route, &flow)
    if datagram_put(n, route.socket, &route.address, &flow, &head, &segment, 1) == NIC_SENT and route.router:
        marks_count(n, &n.tables.peer[route.router], 1)
    return True                              # or lost
