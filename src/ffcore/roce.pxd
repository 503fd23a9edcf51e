"""Cython's view of roce.h: named, not restated. Meaning, layout and asserts stand in the header."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "ffcore/roce.h" nogil:
    enum:
        FF_ROCE_PORT
        FF_ICRC_SIZE
        FF_GRH_SIZE
        FF_ROCE_MAX_HEADERS
        FF_ROCE_MIN_MTU
        FF_ROCE_MAX_MTU
        FF_ROCE_BESIDE_IPV4
        FF_ROCE_BESIDE_IPV6
        FF_ROCE_MAX_PACKET
        FF_DEFAULT_PKEY
        FF_PSN_MASK
        FF_QPN_MASK
    uint32_t FF_ROCE_MAX_MESSAGE

    uint16_t ff_get16(const uint8_t *at)
    uint32_t ff_get24(const uint8_t *at)
    uint32_t ff_get32(const uint8_t *at)
    uint64_t ff_get64(const uint8_t *at)
    void ff_put16(uint8_t *at, uint16_t value)
    void ff_put24(uint8_t *at, uint32_t value)
    void ff_put32(uint8_t *at, uint32_t value)
    void ff_put64(uint8_t *at, uint64_t value)

    ctypedef struct ff_bth "struct ff_bth":
        uint8_t opcode
        uint8_t flags
        uint8_t pkey[2]
        uint8_t ecn
        uint8_t qpn[3]
        uint8_t ack
        uint8_t psn[3]
    enum:
        FF_BTH_SOLICITED
        FF_BTH_MIGREQ
        FF_BTH_PAD
        FF_BTH_PAD_SHIFT
        FF_BTH_TVER
        FF_BTH_ACKREQ
        FF_BTH_FILLER

    ctypedef struct ff_xrceth "struct ff_xrceth":
        uint8_t reserved
        uint8_t srqn[3]
    ctypedef struct ff_deth "struct ff_deth":
        uint8_t qkey[4]
        uint8_t reserved
        uint8_t src_qpn[3]
    ctypedef struct ff_reth "struct ff_reth":
        uint8_t addr[8]
        uint8_t rkey[4]
        uint8_t length[4]
    ctypedef struct ff_atomiceth "struct ff_atomiceth":
        uint8_t addr[8]
        uint8_t rkey[4]
        uint8_t swap_add[8]
        uint8_t compare[8]
    ctypedef struct ff_aeth "struct ff_aeth":
        uint8_t syndrome
        uint8_t msn[3]
    ctypedef struct ff_atomicacketh "struct ff_atomicacketh":
        uint8_t original[8]
    ctypedef struct ff_immdt "struct ff_immdt":
        uint8_t data[4]
    ctypedef struct ff_ieth "struct ff_ieth":
        uint8_t rkey[4]

    enum:  # enum ff_transport
        FF_RC
        FF_UC
        FF_RD
        FF_UD
        FF_CNP
        FF_XRC
        FF_ROUTED_UD
        FF_ROUTED_UC
        FF_SELECTIVE_NAK
        FF_ROUTER
        FF_MARK
        FF_ECHO
        FF_PROBE
        FF_PROBED
        FF_TRANSPORT_MASK

    enum:  # enum ff_roce_op
        FF_SEND_FIRST
        FF_SEND_MIDDLE
        FF_SEND_LAST
        FF_SEND_LAST_IMM
        FF_SEND_ONLY
        FF_SEND_ONLY_IMM
        FF_WRITE_FIRST
        FF_WRITE_MIDDLE
        FF_WRITE_LAST
        FF_WRITE_LAST_IMM
        FF_WRITE_ONLY
        FF_WRITE_ONLY_IMM
        FF_READ_REQUEST
        FF_READ_RESPONSE_FIRST
        FF_READ_RESPONSE_MIDDLE
        FF_READ_RESPONSE_LAST
        FF_READ_RESPONSE_ONLY
        FF_ACKNOWLEDGE
        FF_ATOMIC_ACKNOWLEDGE
        FF_COMPARE_SWAP
        FF_FETCH_ADD
        FF_SEND_LAST_INV
        FF_SEND_ONLY_INV
        FF_ROCE_OPS
        FF_OPERATION_MASK

    enum:  # enum ff_roce_traits
        FF_HAS_RETH
        FF_HAS_ATOMICETH
        FF_HAS_AETH
        FF_HAS_ATOMICACK
        FF_HAS_IMM
        FF_HAS_IETH
        FF_HAS_PAYLOAD
        FF_IS_FIRST
        FF_IS_LAST
        FF_IS_SEND
        FF_IS_WRITE
        FF_IS_RESPONSE
        FF_HAS_XRCETH
        FF_HAS_DETH
        FF_IS_KNOWN
        FF_HAS_GRH
    uint32_t ff_roce_traits_of(uint8_t opcode)

    enum:  # enum ff_aeth_kind
        FF_AETH_ACK
        FF_AETH_RNR
        FF_AETH_NAK
        FF_AETH_KIND
        FF_AETH_VALUE
        FF_AETH_NO_CREDITS
    enum:  # enum ff_nak
        FF_NAK_SEQUENCE
        FF_NAK_INVALID_REQUEST
        FF_NAK_REMOTE_ACCESS
        FF_NAK_REMOTE_OPERATION

    uint64_t ff_rnr_ns(uint32_t code)          # timers.h
    uint64_t ff_ack_timeout_ns(uint32_t code)
    uint32_t ff_psn_add(uint32_t psn, uint32_t n)
    int32_t ff_psn_diff(uint32_t a, uint32_t b)
    uint32_t ff_packets_of(uint32_t length, uint32_t mtu)
