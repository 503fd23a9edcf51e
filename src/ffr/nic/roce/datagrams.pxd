"""Datagrams over the wire. To another router they carry their GRH with them, since it has virtual addresses which the
outer IP header does not know (FF_ROUTED_UD of ffcore/roce.h); to and from foreign peers the IP header says it all.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ffcore.engine cimport ff_segment
from ffcore.grh cimport ff_grh
from ffcore.icrc cimport ff_icrc_flow
from ffcore.shm cimport ff_wqe
from ffr.nic.roce.driver cimport roce_nic
from ffr.nic.roce.udp cimport ffr_udp_in
from ffr.nic.roce.protocol.wire cimport roce_packet
from ffr.state cimport ffr_router


cdef enum:
    ROCE_UD_NOWHERE = -2       # beside ROCE_SENT, ROCE_NO_ROOM and statuses

# Send the datagram of QP `qp` that these segments hold: ROCE_SENT; ROCE_NO_ROOM, try again later; ROCE_UD_NOWHERE, nobody
# is known to have that address; or an enum ibv_wc_status, its memory is not there.
cdef int roce_ud_send(ffr_router *r, uint32_t qp, const ff_wqe *w, const uint8_t *sgid, const uint8_t *dgid,
                      const ff_grh *grh, ff_segment *segments, uint32_t count, uint64_t length) noexcept nogil
# To every other router that is known. The same; ROCE_UD_NOWHERE: there is none.
cdef int roce_ud_spread(ffr_router *r, uint32_t qp, const ff_wqe *w, const ff_grh *grh, ff_segment *segments,
                        uint32_t count, uint64_t length) noexcept nogil
# A UD packet that was received, number `segment` of those that came together.
cdef void ud_take(roce_nic *n, roce_packet *p, const uint8_t *bytes, uint32_t size, uint16_t segment,
                  const ffr_udp_in *from_, const ff_icrc_flow *flow, uint32_t socket) noexcept nogil
# Of the NIC contract, for QPs of the datagrams' NIC.
cdef void roce_ud_enter(ffr_router *r, uint32_t qp, uint32_t before) noexcept nogil
cdef void roce_ud_leave(ffr_router *r, uint32_t qp, bint gone) noexcept nogil
