"""Packets come in: from which sockets, for which QP, and whether their checksum is right."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ffcore.icrc cimport ff_icrc_flow
from ffr.nic.roce.driver cimport roce_nic


# A QP in this state takes packets.
cdef bint roce_receives(uint32_t state) noexcept nogil
# Take what has come to the sockets: at once where something came lately, in turns elsewhere. 0: nothing.
cdef int listen_to_all(roce_nic *n) noexcept nogil
