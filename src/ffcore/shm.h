/*
 * What a session shares: the control segment's layout, the rings, the doorbells.
 *
 * A session is one process of a container and the router. The router makes two memfds, sized once and sealed
 * (SHRINK|GROW|SEAL), and both sides map them:
 *
 *   control   page 0      struct ff_session: constants, flags, doorbell bitmap, command slot
 *             page 1..16  payload of a command (struct ff_extent[]), FF_PAYLOAD_SIZE
 *             page 17..   rings, allocated by the router, named to FFL as byte offsets from the segment's start
 *   memory    pages of registered memory; FFL chooses the offsets (src/ffl/memory/registration.pyx), the router checks them
 *
 * Everything is named by (segment, offset); no pointer crosses. The router trusts nothing it reads here:
 * it copies, then checks, then uses. FFL trusts the router, its device.
 *
 * Rings carry their own validity. A slot is published by storing its seq, last, with release; the other side
 * expects seq == index + 1 (indices are free-running uint32) and reads it with acquire. So an empty look costs one
 * cache line, no index has to be trusted, and fresh memory (seq 0) is an empty ring. A ring's length is a power of 2.
 */
#ifndef FFCORE_SHM_H
#define FFCORE_SHM_H

#include <assert.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

#include "ffcore/atomics.h"

#define FF_MAGIC 0x776c4646u /* "FFlw" */
#define FF_LAYOUT_VERSION 14u /* changes whenever a byte of shm.h or control.h does */

enum {
	FF_LINE = 64,
	FF_PAGE = 4096,
	FF_PAYLOAD_OFFSET = FF_PAGE,
	FF_PAYLOAD_SIZE = 16 * FF_PAGE,
	FF_RINGS_OFFSET = FF_PAYLOAD_OFFSET + FF_PAYLOAD_SIZE,
	FF_QP_WORDS = 64, /* doorbell words; one summary bit each fills one uint64 */
	FF_QPS_PER_SESSION = FF_QP_WORDS * 64,
	FF_WQE_HEADER = 48,
	FF_RECV_HEADER = 16,
	FF_MAX_SGE = 32,
	FF_MAX_INLINE = 1024,
	FF_GID_TABLE = 16,
};

enum ff_mode { FF_MODE_ISOLATED = 0, FF_MODE_SEMI_ISOLATED = 1 };

/* One scatter/gather element, as struct ibv_sge has it. */
struct ff_sge {
	uint64_t addr;
	uint32_t length;
	uint32_t lkey;
};
static_assert(sizeof(struct ff_sge) == 16, "ff_sge");

/* ---- work queues ------------------------------------------------------------------------------------------- */

enum ff_opcode {
	FF_OP_SEND = 1,
	FF_OP_SEND_IMM,
	FF_OP_SEND_INV,
	FF_OP_WRITE,
	FF_OP_WRITE_IMM,
	FF_OP_READ,
	FF_OP_CMP_SWP,
	FF_OP_FETCH_ADD,
	FF_OP_LOCAL_INV,
	FF_OP_BIND_MW,
	FF_OP_LAST
};

enum ff_wqe_flags {
	FF_WQE_SIGNALED = 1,
	FF_WQE_SOLICITED = 2,
	FF_WQE_FENCE = 4,
	FF_WQE_INLINE = 8, /* count is bytes, and they follow the header in place of SGEs */
};

/* Send queue slot. Stride: FF_WQE_HEADER + max(16 * max_send_sge, max_inline), rounded up to 64. */
struct ff_wqe {
	ff_a32 seq;
	uint8_t opcode; /* enum ff_opcode */
	uint8_t flags;	/* enum ff_wqe_flags */
	uint16_t count; /* SGEs, or inline bytes */
	uint64_t wr_id;
	uint64_t remote_addr;
	uint32_t rkey;
	uint32_t imm; /* as on the wire (big-endian), or the rkey to invalidate (host order), or ff_wqe_srqn */
	union {
		struct {
			uint64_t compare_add;
			uint64_t swap;
		};
		struct { /* UD, XRC */
			uint32_t ah;
			uint32_t remote_qpn;
			uint32_t qkey;
			uint32_t srqn;
		};
		struct { /* BIND_MW. The window is the one that rkey, which it gets, names but for its last 8 bits */
			uint64_t bind_length; /* of remote_addr ...; 0: bound to nothing any more */
			uint32_t bind_lkey;   /* of the MR */
			uint32_t bind_access; /* enum ibv_access_flags */
		};
	};
	struct ff_sge sge[];
};
static_assert(offsetof(struct ff_wqe, sge) == FF_WQE_HEADER, "WQE header");

/* Where an XRC request names its SRQ. An atomic fills the union, and has no immediate. The opcode is set. */
static inline uint32_t *ff_wqe_srqn(struct ff_wqe *w)
{
	return w->opcode == FF_OP_CMP_SWP || w->opcode == FF_OP_FETCH_ADD ? &w->imm : &w->srqn;
}

/* Receive queue slot (QP or SRQ). Stride: FF_RECV_HEADER + 16 * max_recv_sge, rounded up to 32. */
struct ff_recv_wqe {
	ff_a32 seq;
	uint32_t count; /* SGEs */
	uint64_t wr_id;
	struct ff_sge sge[];
};
static_assert(offsetof(struct ff_recv_wqe, sge) == FF_RECV_HEADER, "receive WQE header");

/* At a QP's ring offset; SQ slots follow at sq_offset, RQ slots at rq_offset (see ff_reply_create_qp). */
struct ff_qp_shared {
	/* written by the router only */
	alignas(FF_LINE) ff_a32 state; /* enum ibv_qp_state. FFL: store a WQE, fence, load this; ERR: ring the bell */
	uint32_t pad0[15];	       /* post_recv reads the state, so what changes with each message stands apart */
	alignas(FF_LINE) ff_a32 sq_done; /* SQ slots before this index were executed; FFL starts again here after RESET */
	ff_a32 rq_done;			 /* the same of the RQ */
	uint32_t pad1[14];
};
static_assert(sizeof(struct ff_qp_shared) == 2 * FF_LINE, "two lines");

/* At an SRQ's offset; its slots (struct ff_recv_wqe) lie elsewhere (see ff_reply_create_srq, ff_reply_modify_srq). */
struct ff_srq_shared {
	/* written by the router only */
	alignas(FF_LINE) ff_a32 done; /* slots before this index were taken for some QP's message: they are free */
	uint32_t pad[15];
};

/* ---- completion queues -------------------------------------------------------------------------------------- */

enum ff_cqe_flags {
	FF_CQE_IMM = 1,
	FF_CQE_GRH = 2,
	FF_CQE_INV = 4,
	FF_CQE_SOLICITED = 8,
	FF_CQE_IPV4 = 0x10, /* with GRH: its last 20 bytes are an IPv4 header; else the 40 are an IPv6 header */
	FF_CQE_DEAD = 0x80
};

struct ff_cqe {
	uint64_t wr_id;
	uint64_t timestamp_ns; /* CLOCK_MONOTONIC of the router; 0 when the CQ does not ask for it */
	uint32_t qpn;
	uint32_t src_qpn;
	uint32_t byte_len;
	uint32_t imm; /* as in the WQE */
	uint8_t status;	/* enum ibv_wc_status */
	uint8_t opcode;	/* enum ibv_wc_opcode's low byte, with bit 7 for IBV_WC_RECV */
	uint8_t flags;	/* enum ff_cqe_flags; FFL sets DEAD to purge (QP reset, destroy) */
	uint8_t vendor_err;
	uint16_t pkey_index;
	uint16_t pad;
	uint32_t bell;	/* the QP, by its bit number in qp_bell */
	uint32_t queue_index; /* of its queue (SQ, or RQ with bit 7 of opcode): the slots before it are free once this is polled */
	uint32_t reserved[3];
	ff_a32 seq; /* last: publishes the line */
};
static_assert(sizeof(struct ff_cqe) == FF_LINE, "a CQE is a cache line");
static_assert(offsetof(struct ff_cqe, seq) == 60, "seq ends the line");

enum ff_arm { FF_ARM_NONE = 0, FF_ARM_SOLICITED = 1, FF_ARM_NEXT = 2 };

/*
 * A CQ is a set of single-producer lanes (one per producing thread or process), read round-robin. The router's
 * reactor is one producer, so today's sets have one lane. Capacity counts over the lanes: each lane has `entries`
 * slots, and FFL publishes how far it has consumed each.
 */
enum { FF_CQ_LANES = 1 };
struct ff_cq_shared {
	/* written by FFL */
	alignas(FF_LINE) ff_a32 consumed[FF_CQ_LANES]; /* published at least every entries/4 CQEs, and on empty */
	alignas(FF_LINE) ff_a32 arm;	/* FFL: store, fence, look for CQEs again. Router: publish, fence, exchange */
	ff_a32 waiters;			/* futex word: FFL waits for it to change; see FF_FLAG_SLOW_YIELD */
	alignas(FF_LINE) struct ff_cqe cqe[]; /* lane l starts at l * entries */
};
static_assert(sizeof(struct ff_cq_shared) == 2 * FF_LINE, "two lines before the CQEs");

/* ---- the session header -------------------------------------------------------------------------------------- */

enum ff_session_flags {
	FF_FLAG_OVERSUBSCRIBED = 1, /* more parties poll than there are cores: yield after an empty poll */
	FF_FLAG_SLOW_YIELD = 2,	    /* a yield costs more than a wake-up: an empty poll waits on the CQ's futex */
};

/*
 * The one command slot: FFL's control path is serialised by a mutex, so one is enough, and the reply stays readable
 * under its sequence number. FFL: write op and body, store request_seq (release), fence, ring command_bell,
 * wake if armed; wait until reply_seq == request_seq (acquire).
 */
enum { FF_COMMAND_BODY = 512 };
struct ff_command_slot {
	alignas(FF_LINE) ff_a32 request_seq;
	uint16_t op; /* enum ff_op_code of control.h */
	uint16_t size;
	uint32_t pad0[14];
	uint8_t request[FF_COMMAND_BODY];
	alignas(FF_LINE) ff_a32 reply_seq; /* also the futex word that FFL sleeps on */
	int32_t status;			   /* 0 or an errno */
	uint32_t pad1[14];
	uint8_t reply[FF_COMMAND_BODY];
};

struct ff_session {
	/* line 0: constants, written by the router before the segment is passed */
	alignas(FF_LINE) uint32_t magic;
	uint32_t layout_version;
	uint32_t mode; /* enum ff_mode */
	uint32_t session; /* the router's number for it */
	uint64_t epoch;	  /* changes when a router is replaced */
	uint64_t control_size;
	uint64_t memory_size;
	uint64_t pinned_limit; /* bytes that the session may have registered: told, so that nothing is converted in vain */
	uint32_t pad0[4];
	/* line 1: router -> FFL */
	alignas(FF_LINE) ff_a32 armed; /* the router may sleep: after ringing, write 1 to the session's eventfd */
	ff_a32 flags;		       /* enum ff_session_flags */
	ff_a32 dead;		       /* an errno once the router has given the session up */
	ff_a32 far;		       /* a hint: the last completion came over a wire. Where too many poll, wait for the next */
	ff_a32 pushed;		       /* completions while far, of all CQs: the futex word of that wait */
	uint32_t pad1;
	ff_a64 pinned;		       /* bytes that are registered */
	uint32_t pad2[8];
	/* line 2: FFL -> router. Ring: set the word's bit; if it was clear, set the summary bit; fence; if armed, wake.
	 * While a QP is hot the router leaves its bit set, so a posting FFL only reads a shared line. */
	alignas(FF_LINE) ff_a64 qp_summary; /* bit w: qp_bell[w] may be non-zero */
	ff_a32 command_bell;
	ff_a32 sleepers; /* somebody waits for `pushed` to change. FFL: store, fence, look; router: push, fence, exchange */
	uint32_t pad3[12];
	/* lines 3..10 */
	alignas(FF_LINE) ff_a64 qp_bell[FF_QP_WORDS]; /* bit b of word w: the session's QP slot 64 * w + b has work */
	struct ff_command_slot command;
};
static_assert(sizeof(struct ff_session) <= FF_PAGE, "the session header is page 0");

/* ---- the session socket: SOCK_SEQPACKET, $FREEFLOW_DIR/$FFR_NAME.sock ------------------------------------------ */

enum { FF_REASON = 160 };

/* FFL's one message. The router accepts no descriptor. */
struct ff_hello {
	uint32_t magic;
	uint32_t layout_version;
	uint32_t flags;
	uint32_t pad;
};

enum ff_welcome_flags { FF_WELCOME_USERFAULTFD = 1 };

/* The router's answer, with three descriptors when status is 0: control, memory, eventfd (in this order); and a fourth,
 * of /dev/userfaultfd, when flags say so.
 * Afterwards the router sends on this socket only struct ff_fd_note, each with one descriptor. */
struct ff_welcome {
	uint32_t magic;
	uint32_t layout_version;
	int32_t status; /* 0 or an errno */
	uint32_t session;
	uint64_t control_size;
	uint64_t memory_size;
	uint32_t flags; /* enum ff_welcome_flags */
	uint32_t pad;
	char reason[FF_REASON]; /* one line for a person, NUL-terminated: why status is not 0, or there is no fourth descriptor */
};

/* Accompanies the descriptor of a channel, sent before the reply of the command that made it. */
struct ff_fd_note {
	uint32_t request_seq;
	uint32_t handle;
};

/* What a channel carries: one SEQPACKET message per event. Hang-up means that the router is gone. */
struct ff_event {
	uint32_t type;	 /* completion channel: 0; async: enum ibv_event_type */
	uint32_t handle; /* CQ, QP or SRQ handle; port number for port events */
};

#endif
