/*
 * RoCEv2 on the wire (IBTA volume 1, chapters 5 and 9; annexes A14 XRC and A17 RoCEv2): every header, opcode and
 * code point, once. A packet is
 *
 *   IP | UDP to port 4791 | BTH | extension headers | payload | 0..3 pad bytes | ICRC
 *
 * Fields are bytes, so the structs have no padding and no alignment; ff_get* and ff_put* move network order.
 */
#ifndef FFCORE_ROCE_H
#define FFCORE_ROCE_H

#include <assert.h>
#include <stdint.h>

#include "ffcore/timers.h" /* what the RNR and ACK timer codes mean */

enum {
	FF_ROCE_PORT = 4791,
	FF_ICRC_SIZE = 4,
	FF_GRH_SIZE = 40,
	FF_ROCE_MAX_HEADERS = 64, /* BTH + DETH + ImmDt + GRH, the longest chain */
	FF_ROCE_MIN_MTU = 256,
	FF_ROCE_MAX_MTU = 4096,
	FF_ROCE_BESIDE_IPV4 = 20 + 8 + FF_ROCE_MAX_HEADERS + 4, /* bytes of an IP packet beside a full payload */
	FF_ROCE_BESIDE_IPV6 = 40 + 8 + FF_ROCE_MAX_HEADERS + 4,
	FF_ROCE_MAX_PACKET = 9000 - 20 - 8, /* between routers packets are as long as the path carries: jumbo frames, at most */
	FF_DEFAULT_PKEY = 0xffff,
	FF_PSN_MASK = 0xffffff,
	FF_QPN_MASK = 0xffffff,
};
#define FF_ROCE_MAX_MESSAGE 0x80000000u /* 2^31 bytes, the longest that the standard knows */

/* ---- network order --------------------------------------------------------------------------------------- */

static inline uint16_t ff_get16(const uint8_t *b) { return (uint16_t)(b[0] << 8 | b[1]); }
static inline uint32_t ff_get24(const uint8_t *b) { return (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2]; }
static inline uint32_t ff_get32(const uint8_t *b) { return (uint32_t)b[0] << 24 | ff_get24(b + 1); }
static inline uint64_t ff_get64(const uint8_t *b) { return (uint64_t)ff_get32(b) << 32 | ff_get32(b + 4); }
static inline void ff_put16(uint8_t *b, uint16_t v) { b[0] = (uint8_t)(v >> 8); b[1] = (uint8_t)v; }
static inline void ff_put24(uint8_t *b, uint32_t v) { b[0] = (uint8_t)(v >> 16); ff_put16(b + 1, (uint16_t)v); }
static inline void ff_put32(uint8_t *b, uint32_t v) { b[0] = (uint8_t)(v >> 24); ff_put24(b + 1, v); }
static inline void ff_put64(uint8_t *b, uint64_t v) { ff_put32(b, (uint32_t)(v >> 32)); ff_put32(b + 4, (uint32_t)v); }

/* ---- headers --------------------------------------------------------------------------------------------- */

struct ff_bth { /* 9.2 */
	uint8_t opcode;
	uint8_t flags; /* solicited event 1, MigReq 1, pad count 2, transport version 4 */
	uint8_t pkey[2];
	uint8_t ecn; /* FECN 1, BECN 1, reserved 6: not covered by the ICRC */
	uint8_t qpn[3];
	uint8_t ack; /* AckReq 1, reserved 7: between routers, words of filler behind the payload */
	uint8_t psn[3];
};
static_assert(sizeof(struct ff_bth) == 12, "BTH");
static_assert(FF_ROCE_MAX_PACKET >= FF_ROCE_MAX_HEADERS + FF_ROCE_MAX_MTU + 3 + FF_ICRC_SIZE, "the standard's packets");
enum {
	FF_BTH_SOLICITED = 0x80,
	FF_BTH_MIGREQ = 0x40,
	FF_BTH_PAD = 0x30,
	FF_BTH_PAD_SHIFT = 4,
	FF_BTH_TVER = 0x0f, /* must be 0, 9.2.5 */
	FF_BTH_ACKREQ = 0x80,
	FF_BTH_FILLER = 0x7f,
};

struct ff_xrceth { /* A14.3.2 */
	uint8_t reserved;
	uint8_t srqn[3];
};
static_assert(sizeof(struct ff_xrceth) == 4, "XRCETH");

struct ff_deth { /* 9.3.2 */
	uint8_t qkey[4];
	uint8_t reserved;
	uint8_t src_qpn[3];
};
static_assert(sizeof(struct ff_deth) == 8, "DETH");

struct ff_reth { /* 9.3.3 */
	uint8_t addr[8];
	uint8_t rkey[4];
	uint8_t length[4];
};
static_assert(sizeof(struct ff_reth) == 16, "RETH");

struct ff_atomiceth { /* 9.3.4 */
	uint8_t addr[8];
	uint8_t rkey[4];
	uint8_t swap_add[8];
	uint8_t compare[8];
};
static_assert(sizeof(struct ff_atomiceth) == 28, "AtomicETH");

struct ff_aeth { /* 9.3.5 */
	uint8_t syndrome;
	uint8_t msn[3];
};
static_assert(sizeof(struct ff_aeth) == 4, "AETH");

struct ff_atomicacketh { /* 9.3.5.3 */
	uint8_t original[8];
};
static_assert(sizeof(struct ff_atomicacketh) == 8, "AtomicAckETH");

struct ff_immdt { /* 9.3.6 */
	uint8_t data[4];
};
struct ff_ieth { /* 9.3.7 */
	uint8_t rkey[4];
};
static_assert(sizeof(struct ff_immdt) == 4 && sizeof(struct ff_ieth) == 4, "ImmDt, IETH");

/* ---- opcodes: transport in the upper 3 bits, operation in the lower 5, 9.2.1 ---------------------------------- */

enum ff_transport {
	FF_RC = 0x00,
	FF_UC = 0x20,
	FF_RD = 0x40, /* not spoken */
	FF_UD = 0x60,
	FF_CNP = 0x80, /* 0x81 alone, A17.9.3 */
	FF_XRC = 0xa0,
	FF_ROUTED_UD = 0xc0, /* of the manufacturers' opcodes: UD between two routers, with its GRH before the payload */
	FF_SELECTIVE_NAK = 0xd1, /* another: an ACKNOWLEDGE whose payload has a bit for each PSN from its own on that is there */
	FF_ROUTED_UC = 0xc0, /* the same, with operations that UC has between two routers alone: SEND with invalidate */
	FF_ROUTER = 0xe0,    /* of those, too: from router to router, for no QP: enum ff_router_op */
	FF_TRANSPORT_MASK = 0xe0,
};

/*
 * The operations of FF_ROUTER. A mark's PSN says how many packets of UC and UD were sent to this router before it, a
 * probe's how many bytes of a datagram it fills.
 */
enum ff_router_op {
	FF_MARK = 0,
	FF_ECHO = 1, /* a mark, sent back when all before it was read */
	FF_PROBE = 2, /* as long as the path may carry */
	FF_PROBED = 3, /* it came: its PSN, sent back */
};

enum ff_roce_op {
	FF_SEND_FIRST = 0,
	FF_SEND_MIDDLE,
	FF_SEND_LAST,
	FF_SEND_LAST_IMM,
	FF_SEND_ONLY,
	FF_SEND_ONLY_IMM,
	FF_WRITE_FIRST,
	FF_WRITE_MIDDLE,
	FF_WRITE_LAST,
	FF_WRITE_LAST_IMM,
	FF_WRITE_ONLY,
	FF_WRITE_ONLY_IMM,
	FF_READ_REQUEST,
	FF_READ_RESPONSE_FIRST,
	FF_READ_RESPONSE_MIDDLE,
	FF_READ_RESPONSE_LAST,
	FF_READ_RESPONSE_ONLY,
	FF_ACKNOWLEDGE,
	FF_ATOMIC_ACKNOWLEDGE,
	FF_COMPARE_SWAP,
	FF_FETCH_ADD,
	FF_OP_RESERVED_21, /* RESYNC, of RD alone */
	FF_SEND_LAST_INV,
	FF_SEND_ONLY_INV,
	FF_ROCE_OPS,
	FF_OPERATION_MASK = 0x1f,
};

/* What an operation's packet carries, and where in a message it stands. */
enum ff_roce_traits {
	FF_HAS_RETH = 1 << 0,
	FF_HAS_ATOMICETH = 1 << 1,
	FF_HAS_AETH = 1 << 2,
	FF_HAS_ATOMICACK = 1 << 3,
	FF_HAS_IMM = 1 << 4,
	FF_HAS_IETH = 1 << 5,
	FF_HAS_PAYLOAD = 1 << 6,
	FF_IS_FIRST = 1 << 7,  /* begins a message */
	FF_IS_LAST = 1 << 8,   /* ends one; ONLY is both, MIDDLE neither */
	FF_IS_SEND = 1 << 9,
	FF_IS_WRITE = 1 << 10,
	FF_IS_RESPONSE = 1 << 11,
	FF_HAS_XRCETH = 1 << 12, /* by transport, not by operation */
	FF_HAS_DETH = 1 << 13,
	FF_IS_KNOWN = 1 << 14,
	FF_HAS_GRH = 1 << 15, /* by transport, too */
};

/* Which operations a transport speaks, table 38; 0 for an opcode that is not to be accepted. */
static inline uint32_t ff_roce_traits_of(uint8_t opcode)
{
	enum { only = FF_IS_FIRST | FF_IS_LAST, send = FF_IS_SEND | FF_HAS_PAYLOAD, write = FF_IS_WRITE | FF_HAS_PAYLOAD,
	       read_response = FF_IS_RESPONSE | FF_HAS_PAYLOAD };
	static const uint16_t of_operation[FF_OPERATION_MASK + 1] = {
		[FF_SEND_FIRST] = send | FF_IS_FIRST,
		[FF_SEND_MIDDLE] = send,
		[FF_SEND_LAST] = send | FF_IS_LAST,
		[FF_SEND_LAST_IMM] = send | FF_IS_LAST | FF_HAS_IMM,
		[FF_SEND_ONLY] = send | only,
		[FF_SEND_ONLY_IMM] = send | only | FF_HAS_IMM,
		[FF_WRITE_FIRST] = write | FF_IS_FIRST | FF_HAS_RETH,
		[FF_WRITE_MIDDLE] = write,
		[FF_WRITE_LAST] = write | FF_IS_LAST,
		[FF_WRITE_LAST_IMM] = write | FF_IS_LAST | FF_HAS_IMM,
		[FF_WRITE_ONLY] = write | only | FF_HAS_RETH,
		[FF_WRITE_ONLY_IMM] = write | only | FF_HAS_RETH | FF_HAS_IMM,
		[FF_READ_REQUEST] = only | FF_HAS_RETH,
		[FF_READ_RESPONSE_FIRST] = read_response | FF_IS_FIRST | FF_HAS_AETH,
		[FF_READ_RESPONSE_MIDDLE] = read_response,
		[FF_READ_RESPONSE_LAST] = read_response | FF_IS_LAST | FF_HAS_AETH,
		[FF_READ_RESPONSE_ONLY] = read_response | only | FF_HAS_AETH,
		[FF_ACKNOWLEDGE] = FF_IS_RESPONSE | only | FF_HAS_AETH,
		[FF_ATOMIC_ACKNOWLEDGE] = FF_IS_RESPONSE | only | FF_HAS_AETH | FF_HAS_ATOMICACK,
		[FF_COMPARE_SWAP] = only | FF_HAS_ATOMICETH,
		[FF_FETCH_ADD] = only | FF_HAS_ATOMICETH,
		[FF_SEND_LAST_INV] = send | FF_IS_LAST | FF_HAS_IETH,
		[FF_SEND_ONLY_INV] = send | only | FF_HAS_IETH,
	};
	uint8_t operation = opcode & FF_OPERATION_MASK;
	uint32_t traits = of_operation[operation];
	if (!traits)
		return 0;
	switch (opcode & FF_TRANSPORT_MASK) {
	case FF_RC:
		return traits | FF_IS_KNOWN;
	case FF_XRC: /* responses carry no XRCETH */
		return traits | FF_IS_KNOWN | (traits & FF_IS_RESPONSE ? 0 : FF_HAS_XRCETH);
	case FF_UC:
		return operation <= FF_WRITE_ONLY_IMM ? traits | FF_IS_KNOWN : 0;
	case FF_UD:
		return operation == FF_SEND_ONLY || operation == FF_SEND_ONLY_IMM ? traits | FF_IS_KNOWN | FF_HAS_DETH : 0;
	case FF_ROUTED_UD:
		if (traits & FF_HAS_IETH) /* of FF_ROUTED_UC */
			return traits | FF_IS_KNOWN;
		if (opcode == FF_SELECTIVE_NAK)
			return traits | FF_IS_KNOWN | FF_HAS_PAYLOAD;
		return operation == FF_SEND_ONLY || operation == FF_SEND_ONLY_IMM ? traits | FF_IS_KNOWN | FF_HAS_DETH | FF_HAS_GRH : 0;
	case FF_ROUTER:
		return operation > FF_PROBED ? 0 : operation == FF_PROBE ? FF_IS_KNOWN | FF_HAS_PAYLOAD : FF_IS_KNOWN;
	default:
		return 0;
	}
}

/* ---- AETH syndrome, 9.7.5.1 ---------------------------------------------------------------------------------- */

enum ff_aeth_kind {
	FF_AETH_ACK = 0x00,  /* lower 5 bits: end-to-end credits */
	FF_AETH_RNR = 0x20,  /* lower 5 bits: RNR timer code */
	FF_AETH_NAK = 0x60,  /* lower 5 bits: enum ff_nak */
	FF_AETH_KIND = 0xe0, /* bit 7 is reserved and sent as 0 */
	FF_AETH_VALUE = 0x1f,
	FF_AETH_NO_CREDITS = 0x1f, /* "credits are not used here", 9.7.7.2 */
};

enum ff_nak {
	FF_NAK_SEQUENCE = 0,
	FF_NAK_INVALID_REQUEST = 1,
	FF_NAK_REMOTE_ACCESS = 2,
	FF_NAK_REMOTE_OPERATION = 3,
};

/* ---- PSN arithmetic: 24 bits, compared over half the circle, 9.7.2 --------------------------------------------- */

static inline uint32_t ff_psn_add(uint32_t psn, uint32_t n) { return (psn + n) & FF_PSN_MASK; }

/* a - b, in -2^23 .. 2^23 - 1: positive when a comes after b. */
static inline int32_t ff_psn_diff(uint32_t a, uint32_t b) { return (int32_t)((a - b) << 8) >> 8; }

/* Packets of a message of this length: an empty message is one packet. mtu is a power of 2. */
static inline uint32_t ff_packets_of(uint32_t length, uint32_t mtu) { return length ? (length - 1) / mtu + 1 : 1; }

#endif
