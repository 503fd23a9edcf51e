"""CM messages as bytes: a MAD of 256 (IBTA 12.6, 13.4.3), and the header that IP addresses travel in (A11)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ffr.cm.state cimport cm_address, cm_message


cdef enum:
    MAD_SIZE = 256            # NIC_MAD_SIZE
    IP_HEADER = 36            # bytes of private data before the program's

cdef void mad_emit(const cm_message *m, uint8_t *bytes) noexcept nogil
# False: it is no CM message. The GIDs of a REQ are its own; of others they stay as they are.
cdef bint mad_parse(cm_message *m, const uint8_t *bytes) noexcept nogil
# Bytes of private data that a message of this type has room for.
cdef uint32_t mad_room(uint32_t type) noexcept nogil

# RDMA IP CM service (A11): a service ID is a port space and a port, and private data begins with addresses and a port.
cdef void ip_header_emit(const cm_address *from_, const cm_address *to, uint8_t *bytes) noexcept nogil
cdef bint ip_header_parse(const uint8_t *bytes, cm_address *from_, cm_address *to) noexcept nogil
