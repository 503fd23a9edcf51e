"""The 40 bytes before a datagram: written by the router, read by ibv_init_ah_from_wc."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ffcore.roce cimport FF_ICRC_SIZE, ff_bth, ff_deth, ff_get16, ff_get32, ff_put16, ff_put32
from ffcore.shm cimport FF_CQE_GRH, FF_CQE_IPV4


cdef extern from "ffcore/grh.h" nogil:
    enum:
        FF_IPV4_VERSION_IHL
        FF_IPV4_DONT_FRAGMENT
        FF_IP_UDP
        FF_HOP_LIMIT

    ctypedef struct ff_grh "struct ff_grh":
        uint8_t *version_class_flow
        uint8_t *payload_length
        uint8_t next_header
        uint8_t hop_limit
        uint8_t *sgid
        uint8_t *dgid

    ctypedef struct ff_ipv4 "struct ff_ipv4":
        uint8_t version_ihl
        uint8_t tos
        uint8_t *length
        uint8_t *id
        uint8_t *flags
        uint8_t ttl
        uint8_t protocol
        uint8_t *checksum
        uint8_t *source
        uint8_t *destination


ctypedef struct ff_grh_fields:
    # What a GRH says, whichever kind it is. GIDs of IPv4 addresses are IPv4-mapped.
    uint8_t sgid[16]
    uint8_t dgid[16]
    uint32_t flow_label      # 0 with IPv4
    uint8_t traffic_class
    uint8_t hop_limit


cdef inline bint ff_gid_is_empty(const uint8_t *gid) noexcept nogil:
    """An entry of a GID table that is not in use."""
    cdef uint64_t halves[2]
    memcpy(halves, gid, 16)                  # asked for each datagram
    return (halves[0] | halves[1]) == 0


cdef inline uint32_t ff_gid_hash(const uint8_t *gid, uint64_t salt) noexcept nogil:
    """With a salt that is random, nobody can choose addresses that fall together."""
    cdef uint64_t halves[2]
    memcpy(halves, gid, 16)
    halves[0] = (halves[0] ^ salt) * <uint64_t>0x9E3779B97F4A7C15
    return <uint32_t>((halves[0] ^ halves[0] >> 32 ^ halves[1]) * <uint64_t>0xD6E8FEB86659FD93 >> 32)


cdef inline bint ff_gid_is_ipv4(const uint8_t *gid) noexcept nogil:
    """::ffff:a.b.c.d"""
    cdef uint32_t i, nonzero = 0
    for i in range(10):
        nonzero |= gid[i]
    return nonzero == 0 and gid[10] == 0xff and gid[11] == 0xff


cdef inline bint ff_gid_is_multicast(const uint8_t *gid) noexcept nogil:
    """ff00::/8 (IBTA 4.1.1), or 224.0.0.0/4 mapped to a GID."""
    return gid[0] == 0xff or (gid[12] & 0xf0 == 0xe0 and ff_gid_is_ipv4(gid))


cdef inline uint16_t ff_ipv4_sum(const ff_ipv4 *ip) noexcept nogil:
    """RFC 1071: of a header that contains its checksum, 0 when it is right; with a checksum of 0, the one to put in."""
    cdef const uint8_t *bytes = <const uint8_t *>ip
    cdef uint32_t sum = 0, i
    for i in range(0, 20, 2):
        sum += ff_get16(bytes + i)
    sum = (sum & 0xffff) + (sum >> 16)
    return ~(sum + (sum >> 16)) & 0xffff


cdef inline void ff_ipv4_write(ff_ipv4 *ip, const ff_grh_fields *f, uint32_t udp_length) noexcept nogil:
    memset(ip, 0, sizeof(ff_ipv4))
    ip.version_ihl = FF_IPV4_VERSION_IHL
    ip.tos = f.traffic_class
    ff_put16(ip.length, <uint16_t>(sizeof(ff_ipv4) + udp_length))
    ff_put16(ip.flags, FF_IPV4_DONT_FRAGMENT)
    ip.ttl = f.hop_limit
    ip.protocol = FF_IP_UDP
    memcpy(ip.source, f.sgid + 12, 4)
    memcpy(ip.destination, f.dgid + 12, 4)
    ff_put16(ip.checksum, ff_ipv4_sum(ip))


cdef inline void ff_grh_write(ff_grh *grh, const ff_grh_fields *f, uint32_t udp_length) noexcept nogil:
    """udp_length: of the datagram that carries the message, its UDP header included."""
    if ff_gid_is_ipv4(f.sgid) and ff_gid_is_ipv4(f.dgid):
        memset(grh, 0, sizeof(ff_grh) - sizeof(ff_ipv4))
        ff_ipv4_write(<ff_ipv4 *>(<uint8_t *>grh + sizeof(ff_grh) - sizeof(ff_ipv4)), f, udp_length)
        return
    ff_put32(grh.version_class_flow, 6 << 28 | <uint32_t>f.traffic_class << 20 | (f.flow_label & 0xfffff))
    ff_put16(grh.payload_length, <uint16_t>udp_length)
    grh.next_header = FF_IP_UDP
    grh.hop_limit = f.hop_limit
    memcpy(grh.sgid, f.sgid, 16)
    memcpy(grh.dgid, f.dgid, 16)


cdef inline uint8_t ff_grh_cqe_flags(const ff_grh *grh) noexcept nogil:
    """Of a datagram that came with it: the first byte is an IPv6 header's, or one of those that IPv4 leaves 0."""
    return FF_CQE_GRH if grh.version_class_flow[0] >> 4 == 6 else FF_CQE_GRH | FF_CQE_IPV4


cdef inline void ff_gid_of_ipv4(uint8_t *gid, const uint8_t *address) noexcept nogil:
    memset(gid, 0, 10)
    gid[10] = gid[11] = 0xff
    memcpy(gid + 12, address, 4)


cdef inline int ff_grh_read(const ff_grh *grh, ff_grh_fields *f) noexcept nogil:
    """0; -1: neither kind. An IPv6 header whose addresses look like a whole IPv4 header, checksum and all, is 1 in 2^24
    of those that somebody makes up; the checksum decides."""
    cdef const ff_ipv4 *ip = <const ff_ipv4 *>(<const uint8_t *>grh + sizeof(ff_grh) - sizeof(ff_ipv4))
    cdef uint32_t first = ff_get32(grh.version_class_flow)
    if ip.version_ihl == FF_IPV4_VERSION_IHL and ff_ipv4_sum(ip) == 0:
        ff_gid_of_ipv4(f.sgid, ip.source)
        ff_gid_of_ipv4(f.dgid, ip.destination)
        f.flow_label = 0
        f.traffic_class = ip.tos
        f.hop_limit = ip.ttl
        return 0
    if first >> 28 != 6:
        return -1
    memcpy(f.sgid, grh.sgid, 16)
    memcpy(f.dgid, grh.dgid, 16)
    f.flow_label = first & 0xfffff
    f.traffic_class = <uint8_t>(first >> 20)
    f.hop_limit = grh.hop_limit
    return 0
