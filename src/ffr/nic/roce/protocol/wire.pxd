"""A RoCE packet as a plain value: parsed from bytes, emitted to bytes.

Bytes here begin at the BTH and end before the ICRC, whose check is the transport's (ffcore.icrc): what reaches the
state machines has passed it.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ffcore.roce cimport FF_HAS_PAYLOAD


ctypedef struct roce_packet:
    uint32_t traits      # enum ff_roce_traits of the opcode; says which of the fields below count
    uint8_t opcode
    uint8_t solicited    # 0 or 1
    uint8_t migreq       # 0 or 1; nothing here reads it, foreign packets may set it
    uint8_t ackreq       # 0 or 1
    uint8_t filler       # the BTH's reserved bits. Between routers (ffr/nic/roce/protocol/cut.pxd): words of the payload, at its end, that
                         # are no part of it; of a READ request, how its response is cut
    uint8_t ecn          # FECN and BECN in the top bits
    uint8_t pad          # 0..3 bytes after the payload
    uint8_t syndrome     # AETH
    uint8_t headers      # bytes of all headers: where the payload begins
    uint16_t pkey
    uint32_t qpn         # destination
    uint32_t psn
    uint32_t msn         # AETH
    uint32_t rkey        # RETH, AtomicETH
    uint32_t length      # RETH: bytes of the whole message
    uint64_t addr        # RETH, AtomicETH
    uint64_t swap_add    # AtomicETH
    uint64_t compare     # AtomicETH
    uint64_t original    # AtomicAckETH
    uint32_t imm         # ImmDt as it stands on the wire (big-endian in memory), as ff_wqe has it
    uint32_t inv_rkey    # IETH
    uint32_t srqn        # XRCETH
    uint32_t qkey        # DETH
    uint32_t src_qpn     # DETH
    uint32_t size        # payload bytes without pad
    const uint8_t *payload
    const uint8_t *grh   # UD: the 40 bytes that stand before a received payload; of the packet, if it carries them,
                         # or from whoever saw the IP header

cdef enum roce_parsed:
    ROCE_PARSED = 0
    ROCE_TRUNCATED = -1       # shorter than its headers, or than its pad count
    ROCE_UNKNOWN_OPCODE = -2  # reserved, or of a transport that is not spoken
    ROCE_BAD_VERSION = -3     # BTH's TVer is not 0
    ROCE_NOT_ALIGNED = -4     # not a multiple of 4 bytes, or pad bytes where there is no payload

# Fill `packet` from `size` bytes; its payload points into `bytes`. Result: enum roce_parsed.
cdef int roce_parse(roce_packet *packet, const uint8_t *bytes, uint32_t size) noexcept nogil
# Write the headers of `packet` (opcode decides which) to `out`, which has room for FF_ROCE_MAX_HEADERS; pad is
# taken from packet.size. Result: bytes written, also stored in packet.headers.
cdef uint32_t roce_emit(roce_packet *packet, uint8_t *out) noexcept nogil
# Bytes behind the payload of an emitted packet: zeros.
cdef inline uint32_t roce_zeros(const roce_packet *packet) noexcept nogil:
    return packet.pad + (sizeof(uint32_t) * packet.filler if packet.traits & FF_HAS_PAYLOAD else 0)
