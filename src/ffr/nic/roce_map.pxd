"""Who is where: GIDs to peers, peers by address, sockets. The reactor's tables, and what the control thread asks of them.
"""

from libc.stdint cimport uint8_t, uint32_t

from ffr.nic.roce cimport roce_gid, roce_nic
from ffr.roce.udp cimport ffr_udp_address


# The entry of a GID, or NULL.
cdef roce_gid *map_find(roce_nic *n, const uint8_t *gid) noexcept nogil
# The peer at an address, seen from a socket; made when there is none. 0: the table is full.
cdef uint32_t map_peer(roce_nic *n, uint32_t socket, const ffr_udp_address *address) noexcept nogil
# Do what the control thread asks, if it does.
cdef int map_obey(roce_nic *n) noexcept nogil
