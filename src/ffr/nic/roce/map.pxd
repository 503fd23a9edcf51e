"""Who is where: GIDs to peers, peers by address, sockets. The reactor's tables, and what the control thread asks of them.
"""

from libc.stdint cimport uint8_t, uint32_t

from ffr.nic.roce.tables cimport roce_gid, roce_nic
from ffr.nic.roce.udp cimport ffr_udp_address


# The entry of a GID, or NULL.
cdef roce_gid *map_find(roce_nic *n, const uint8_t *gid) noexcept nogil
# Where packets from one GID to another go.
ctypedef struct roce_route:
    uint32_t socket            # out of which
    uint32_t router            # the number of a FreeFlow router's peer; 0: it is none
    ffr_udp_address address

# False: the NIC does not reach it. A GID that no router has is a foreign peer's, for containers with a socket of their own.
cdef bint map_route(roce_nic *n, const uint8_t *sgid, const uint8_t *dgid, roce_route *route) noexcept nogil
# The number of the peer which that route leads to; made when there is none. 0: it is not reached, or the table is full.
cdef uint32_t map_connect(roce_nic *n, const uint8_t *sgid, const uint8_t *dgid) noexcept nogil
# The number of the FreeFlow router's peer at whose address is who sent a packet to a socket; 0: at none's.
cdef uint32_t map_host(roce_nic *n, uint32_t socket, const ffr_udp_address *from_) noexcept nogil
# So, and the router itself sent it: nobody else of that address has its port.
cdef uint32_t map_router(roce_nic *n, uint32_t socket, const ffr_udp_address *from_) noexcept nogil
# The address is that router's to speak for.
cdef bint map_is_behind(roce_nic *n, const uint8_t *gid, uint32_t router) noexcept nogil
# The GID of an address.
cdef void map_gid(uint8_t *gid, const ffr_udp_address *address) noexcept nogil
# Do what the control thread asks, if it does.
cdef int map_obey(roce_nic *n) noexcept nogil
