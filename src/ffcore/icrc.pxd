"""The invariant CRC of RoCEv2 (annex A17.9), and the CRC-32 under it.

CRCs are in zlib's form: 0 to start with, the result of one call is the `running` of the next.
What the ICRC covers: 8 bytes of ones in the LRH's place; the IP header with TOS, TTL and checksum as ones (IPv6: the
first word as 6f ff ff ff, hop limit as ones); the UDP header with its checksum as ones; the BTH with its byte 4 as
ones; everything after it, pad bytes included. It is sent least significant byte first.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

# What does not change between the packets of a flow. 84 bytes, no pointers. The last three are a cache, of the size that
# came last: who asks for an ICRC writes there, so a flow belongs to one thread.
ctypedef struct ff_icrc_flow:
    uint32_t start     # running CRC over the LRH's ones and the IP header's first two bytes
    uint32_t size      # bytes of `header` in use: 26 for IPv4, 46 for IPv6
    uint8_t header[64] # masked IP header from its third byte on, then the UDP header; lengths and ident still zero
    uint32_t size_last # of a packet, as ff_icrc_of counts it; 0: none yet
    uint32_t begun     # running CRC of all that stands before its BTH, with identification 0
    uint32_t masked    # how its ICRC changes because byte 4 of the BTH counts as ones and is 0

cdef enum:
    FF_ICRC_LONG = 512 # bytes of a packet from which on it is worth to prepare its sum: by the cache, or many packets' at once

ctypedef uint32_t (*ff_crc32_fn)(uint32_t running, const uint8_t *data, size_t size) noexcept nogil

cdef uint32_t ff_crc32(uint32_t running, const uint8_t *data, size_t size) noexcept nogil
# One pass over memory: each block is copied, then summed from the copy while it is in the first-level cache, so the
# sum is of the bytes that `to` holds even while somebody writes to `data`.
cdef uint32_t ff_crc32_copy(uint32_t running, uint8_t *to, const uint8_t *data, size_t size) noexcept nogil

# Addresses in network order. The IPv4 flow has DF set, as an unconnected UDP socket with IP_MTU_DISCOVER = DO sends.
cdef void ff_icrc_flow_ipv4(ff_icrc_flow *flow, const uint8_t *source, const uint8_t *destination,
                            uint16_t source_port, uint16_t destination_port) noexcept nogil
cdef void ff_icrc_flow_ipv6(ff_icrc_flow *flow, const uint8_t *source, const uint8_t *destination,
                            uint16_t source_port, uint16_t destination_port) noexcept nogil
# Running CRC of a packet up to and with its BTH. udp_payload counts BTH .. ICRC; ident is the IPv4 identification
# (ignored for IPv6).
cdef uint32_t ff_icrc_start(const ff_icrc_flow *flow, uint16_t ident, uint16_t udp_payload,
                            const uint8_t *bth) noexcept nogil
# The ICRC that `packet` (BTH .. ICRC, size bytes, at least 16) ought to carry if its identification is ident.
cdef uint32_t ff_icrc_of(const ff_icrc_flow *flow, uint16_t ident, const uint8_t *packet, uint16_t size) noexcept nogil
# The ICRC that it does carry.
cdef uint32_t ff_icrc_read(const uint8_t *packet, uint16_t size) noexcept nogil
cdef void ff_icrc_write(uint8_t *at, uint32_t icrc) noexcept nogil
# Whether packet's ICRC is right. An IPv4 identification (and DF bit) that a UDP socket does not show may be
# anything: a CRC is linear, so only differences that they can explain pass. guess: the likeliest identification (a
# segment's number, of those that the kernel has put together); when it is right, nothing has to be explained.
# Whether this is the ICRC that the packet ends with; icrc: as ff_icrc_of makes it for a guess at the identification.
cdef bint ff_icrc_agrees(const ff_icrc_flow *flow, uint32_t icrc, const uint8_t *packet, uint16_t size) noexcept nogil
cdef bint ff_icrc_good(const ff_icrc_flow *flow, uint16_t guess, const uint8_t *packet, uint16_t size) noexcept nogil
# The 24 bits (identification's two bytes as sent, then the flags byte, in the low bits first) whose change explains
# `difference` of two ICRCs, when that many covered bytes follow them; more than 24 bits when nothing there does.
cdef uint32_t ff_icrc_explain(uint32_t difference, uint32_t bytes_after) noexcept nogil
