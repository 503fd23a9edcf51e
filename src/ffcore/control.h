/* The commands: one fixed struct per verb. FFL fills them in, src/ffr/handlers/ answers them. */
#ifndef FFCORE_CONTROL_H
#define FFCORE_CONTROL_H

#include "ffcore/shm.h"

/* Handles are the router's table indices. The router checks on each use that the session owns what it names. */
enum ff_op_code {
	FF_CMD_OPEN_CONTEXT = 1, /* -> ff_reply_context, and the async channel's descriptor */
	FF_CMD_CLOSE_CONTEXT,	 /* ff_cmd_handle */
	FF_CMD_QUERY_DEVICE,	 /* -> ff_reply_device */
	FF_CMD_QUERY_PORT,	 /* -> ff_reply_port */
	FF_CMD_QUERY_GIDS,	 /* -> ff_reply_gids */
	FF_CMD_ALLOC_PD,	 /* ff_cmd_handle (context) -> ff_reply_handle */
	FF_CMD_DEALLOC_PD,	 /* ff_cmd_handle */
	FF_CMD_REG_MR,		 /* ff_cmd_reg_mr, extents in the payload -> ff_reply_reg_mr */
	FF_CMD_DEREG_MR,	 /* ff_cmd_handle -> ff_reply_dereg_mr, when nothing refers to the pages any more */
	FF_CMD_CREATE_CHANNEL,	 /* ff_cmd_handle (context) -> ff_reply_handle, and its descriptor */
	FF_CMD_DESTROY_CHANNEL,	 /* ff_cmd_handle */
	FF_CMD_CREATE_CQ,	 /* ff_cmd_create_cq -> ff_reply_create_cq */
	FF_CMD_DESTROY_CQ,	 /* ff_cmd_handle */
	FF_CMD_CREATE_QP,	 /* ff_cmd_create_qp -> ff_reply_create_qp */
	FF_CMD_MODIFY_QP,	 /* ff_cmd_modify_qp -> ff_reply_state */
	FF_CMD_QUERY_QP,	 /* ff_cmd_handle -> ff_reply_query_qp */
	FF_CMD_DESTROY_QP,	 /* ff_cmd_handle */
	FF_CMD_CREATE_AH,	 /* ff_cmd_create_ah -> ff_reply_handle */
	FF_CMD_DESTROY_AH,	 /* ff_cmd_handle */
	FF_CMD_ATTACH_MCAST,	 /* ff_cmd_mcast */
	FF_CMD_DETACH_MCAST,	 /* ff_cmd_mcast */
	FF_CMD_RESIZE_CQ,	 /* ff_cmd_resize_cq -> ff_reply_resize_cq */
	FF_CMD_CREATE_SRQ,	 /* ff_cmd_create_srq -> ff_reply_create_srq */
	FF_CMD_MODIFY_SRQ,	 /* ff_cmd_modify_srq -> ff_reply_modify_srq */
	FF_CMD_QUERY_SRQ,	 /* ff_cmd_handle -> ff_reply_query_srq */
	FF_CMD_DESTROY_SRQ,	 /* ff_cmd_handle */
	FF_CMD_OPEN_XRCD,	 /* ff_cmd_open_xrcd -> ff_reply_handle */
	FF_CMD_CLOSE_XRCD,	 /* ff_cmd_handle */
	FF_CMD_OPEN_QP,		 /* ff_cmd_open_qp -> ff_reply_handle */
	FF_CMD_REREG_MR,	 /* ff_cmd_rereg_mr, extents in the payload -> ff_reply_reg_mr, of which `why` alone counts */
	FF_CMD_ALLOC_NULL_MR,	 /* ff_cmd_handle (PD) -> ff_reply_reg_mr */
	FF_CMD_ALLOC_DM,	 /* ff_cmd_alloc_dm -> ff_reply_alloc_dm */
	FF_CMD_FREE_DM,		 /* ff_cmd_handle */
	FF_CMD_REG_DM_MR,	 /* ff_cmd_reg_dm_mr -> ff_reply_reg_mr */
	FF_CMD_ALLOC_MW,	 /* ff_cmd_alloc_mw -> ff_reply_reg_mr */
	FF_CMD_DEALLOC_MW,	 /* ff_cmd_handle */
	FF_CMD_IMPORT_CONTEXT,	 /* ff_cmd_import -> ff_reply_context, and the async channel's descriptor */
	FF_CMD_IMPORT_PD,	 /* ff_cmd_part (of a context) */
	FF_CMD_IMPORT_MR,	 /* ff_cmd_part (of a PD) -> ff_reply_import_mr */
	FF_CMD_IMPORT_DM,	 /* ff_cmd_part (of a context) -> ff_reply_import_dm */
	FF_CMD_COPY_DM,		 /* ff_cmd_copy_dm, the bytes in the payload */
	FF_CMD_RECLAIM_MR,	 /* ff_cmd_handle -> ff_reply_dereg_mr: of an MR that another process has deregistered */
	FF_CMD_RECLAIM_DM,	 /* ff_cmd_handle: of device memory that another process has freed */
	FF_CMD_QUERY_KEY,	 /* ff_cmd_part (key, of a PD): 0, EINVAL of a window's key, ENOENT of none */
	FF_CMD_QUERY_HELD,	 /* -> ff_reply_held */
	FF_CMD_CM_OPEN,		 /* -> ff_reply_handle, and an rdma_cm event channel's descriptor */
	FF_CMD_CM_CALL,		 /* ff_cmd_cm -> ff_reply_cm */
	FF_CMD_LAST
};

/* A private copy of a request or a reply, aligned for every struct below. */
union ff_body {
	uint64_t align;
	uint8_t bytes[FF_COMMAND_BODY];
};

struct ff_cmd_handle {
	uint32_t handle;
	uint32_t pad;
};

struct ff_reply_handle {
	uint32_t handle;
	uint32_t pad;
};

/* A context, and what its cmd_fd says: who has that may import from it. */
struct ff_reply_context {
	uint32_t handle;
	uint32_t pad;
	uint64_t secret[2];
};

/* What the sessions of one container hold together. */
struct ff_reply_held {
	uint32_t pds, cqs, qps, mrs, srqs, pad;
};

struct ff_cmd_import {
	uint64_t secret[2];
};

struct ff_cmd_part {
	uint32_t of;
	uint32_t handle;
};

/* ---- device ---- */

struct ff_reply_device {
	uint64_t guid; /* big-endian, as struct ibv_device_attr has it */
	uint64_t max_mr_size;
	uint32_t max_qp, max_qp_wr, max_sge, max_sge_rd;
	uint32_t max_cq, max_cqe, max_mr, max_pd;
	uint32_t max_qp_rd_atom, max_qp_init_rd_atom, max_srq, max_srq_wr;
	uint32_t max_srq_sge, max_ah, max_inline;
	uint32_t max_mcast_qp;	     /* QPs attached to one group */
	uint32_t max_mcast_attached; /* attachments of the session, to groups of any number */
	uint32_t max_dm;	     /* bytes of device memory, of all allocations together */
};

struct ff_reply_port {
	uint32_t state; /* enum ibv_port_state */
	uint32_t max_mtu, active_mtu; /* enum ibv_mtu */
	uint32_t gid_count;
	uint64_t bad_pkeys, qkey_violations;
	uint32_t speed_mbps;
	uint32_t pad;
};

struct ff_reply_gids {
	uint32_t count; /* valid entries of the table; the rest are zero */
	uint32_t pad;
	uint8_t gid[FF_GID_TABLE][16];
};

/* ---- memory ---- */

/* A run of whole pages of the memory segment; or, with FF_EXTENT_SHARED, of shared memory that the process has mapped
 * at the address that follows: the router finds out what that is, and maps the same. */
struct ff_extent {
	uint64_t offset; /* bytes, page-aligned; or FF_EXTENT_SHARED and an address */
	uint64_t length; /* bytes, page-aligned */
};
#define FF_EXTENT_SHARED 0x8000000000000000u
enum { FF_MAX_EXTENTS = FF_PAYLOAD_SIZE / sizeof(struct ff_extent) };

/* Why a registration was refused, where the errno leaves it open. */
enum ff_why {
	FF_WHY_ERRNO,
	FF_WHY_FILE_SYSTEM, /* it is a file of another file system, or a device */
	FF_WHY_PRIVATE,	    /* it is not shared memory (any more) */
	FF_WHY_READ_ONLY,   /* the program may not write there */
	FF_WHY_SHORT,	    /* the file ends before the range does */
	FF_WHY_SEALED,	    /* the file's seals forbid what the MR is to do */
	FF_WHY_UNSEEN,	    /* the router may not look into the process */
	FF_WHY_CHANGED,	    /* the mapping changed meanwhile */
	FF_WHY_MANY,	    /* too many pieces of shared memory */
	FF_WHY_LIMIT,	    /* more than the session may register */
	FF_WHY_SLOW,	    /* the kernel does not answer the router's questions about the process */
};

/*
 * The extents, laid end to end, hold the whole pages that [addr, addr + length) touches: the MR's first byte lies
 * at addr % FF_PAGE in the first one.
 */
struct ff_cmd_reg_mr {
	uint32_t pd;
	uint32_t access; /* enum ibv_access_flags */
	uint64_t addr;	 /* where the application has it */
	uint64_t length;
	uint64_t iova;	 /* the address that WQEs and peers use */
	uint32_t extents;
	uint32_t pad;
};

struct ff_reply_reg_mr {
	uint32_t handle;
	uint32_t lkey;
	uint32_t rkey;
	uint32_t why; /* enum ff_why, of an error */
};

/* What the application has no MR at any more; nothing for other kinds of MR. */
struct ff_reply_dereg_mr {
	uint64_t addr;
	uint64_t length;
};

struct ff_reply_import_mr {
	uint32_t lkey, rkey;
	uint64_t length;
};

/* Of `to` counts what the flags name: pd, access, or all the rest. The keys stay. */
struct ff_cmd_rereg_mr {
	struct ff_cmd_reg_mr to;
	uint32_t handle;
	uint32_t flags; /* enum ibv_rereg_mr_flags */
};

/* Device memory lies in the control segment, which both sides have mapped: whole pages, zeroed. */
struct ff_cmd_alloc_dm {
	uint32_t context;
	uint32_t pad;
	uint64_t length;
};

struct ff_reply_alloc_dm {
	uint32_t handle;
	uint32_t pad;
	uint64_t offset; /* of its first byte in the control segment */
};

struct ff_reply_import_dm {
	uint64_t offset; /* as in ff_reply_alloc_dm; 0: it lies in another process's segment */
	uint64_t length;
};

/* For whom it is not mapped. At most FF_PAYLOAD_SIZE bytes. */
struct ff_cmd_copy_dm {
	uint32_t dm;
	uint32_t to_dm; /* else from it */
	uint64_t offset, length;
};

struct ff_cmd_reg_dm_mr {
	uint32_t pd;
	uint32_t dm;
	uint64_t offset; /* of the MR's first byte, whose address is 0 */
	uint64_t length;
	uint32_t access; /* enum ibv_access_flags */
	uint32_t pad;
};

struct ff_cmd_alloc_mw {
	uint32_t pd;
	uint32_t type; /* enum ibv_mw_type */
};

/* ---- completion queues ---- */

struct ff_cmd_create_cq {
	uint32_t context;
	uint32_t cqe;	  /* asked for */
	uint32_t channel; /* handle, or FF_NO_HANDLE */
	uint32_t flags;
};
#define FF_NO_HANDLE 0xffffffffu

struct ff_reply_create_cq {
	uint32_t handle;
	uint32_t entries; /* per lane, a power of 2, at least cqe */
	uint64_t offset;  /* of struct ff_cq_shared in the control segment */
};

struct ff_cmd_resize_cq {
	uint32_t handle;
	uint32_t cqe; /* asked for */
};

/* The CQEs from `index` on are in a ring of their own. What struct ff_cq_shared has before its CQEs stays in use. */
struct ff_reply_resize_cq {
	uint32_t entries; /* as in ff_reply_create_cq */
	uint32_t index;
	uint64_t offset; /* of the first slot in the control segment */
};

/* ---- queue pairs ---- */

struct ff_cap {
	uint32_t max_send_wr, max_recv_wr, max_send_sge, max_recv_sge, max_inline;
};

struct ff_cmd_create_qp {
	uint32_t pd;
	uint32_t send_cq, recv_cq;
	uint32_t srq; /* or FF_NO_HANDLE */
	uint32_t type; /* enum ibv_qp_type */
	uint32_t sq_sig_all;
	struct ff_cap cap;
	uint32_t xrcd; /* of XRC_RECV, which has no pd and no CQs; XRC_SEND has no recv_cq */
};

struct ff_reply_create_qp {
	uint32_t handle;
	uint32_t qpn;
	uint32_t bell;	/* bit number in qp_bell */
	uint32_t pad;
	struct ff_cap cap; /* granted */
	uint32_t sq_entries, sq_stride; /* entries are powers of 2; strides in bytes */
	uint32_t rq_entries, rq_stride; /* 0 entries with an SRQ. XRC_RECV has neither queue, no bell and no offset */
	uint32_t pad2;
	uint64_t offset;    /* of struct ff_qp_shared */
	uint64_t sq_offset; /* of slot 0 */
	uint64_t rq_offset;
};

/* struct ibv_ah_attr, flattened. Fields in host order. */
struct ff_ah_attr {
	uint8_t dgid[16];
	uint32_t flow_label;
	uint16_t dlid;
	uint8_t sgid_index, hop_limit, traffic_class, sl, src_path_bits, static_rate, is_global, port_num;
	uint8_t pad[2];
};

/* struct ibv_qp_attr, flattened; which fields count is enum ibv_qp_attr_mask. */
struct ff_qp_attr {
	uint32_t qp_state, cur_qp_state, path_mtu, path_mig_state;
	uint32_t qkey, rq_psn, sq_psn, dest_qpn;
	uint32_t access; /* enum ibv_access_flags */
	uint32_t rate_limit;
	struct ff_ah_attr ah, alt_ah;
	uint16_t pkey_index, alt_pkey_index;
	uint8_t en_sqd_async_notify, sq_draining, max_rd_atomic, max_dest_rd_atomic;
	uint8_t min_rnr_timer, port_num, timeout, retry_cnt;
	uint8_t rnr_retry, alt_port_num, alt_timeout, pad;
};

struct ff_cmd_modify_qp {
	uint32_t handle;
	uint32_t mask; /* enum ibv_qp_attr_mask */
	struct ff_qp_attr attr;
};

struct ff_reply_state {
	uint32_t qp_state;
	uint32_t mtu_max; /* of EINVAL: path_mtu was more bytes than these, which the path carries; 0: that was not it */
};

struct ff_reply_query_qp {
	struct ff_qp_attr attr;
	struct ff_cap cap;
	uint32_t sq_sig_all;
	uint32_t type;
};

/* ---- shared receive queues ---- */

enum { FF_SRQ_MAX_WR = 1, FF_SRQ_LIMIT = 2 }; /* enum ibv_srq_attr_mask */

struct ff_cmd_create_srq {
	uint32_t pd;
	uint32_t type; /* enum ibv_srq_type: BASIC or XRC */
	uint32_t max_wr, max_sge;
	uint32_t cq, xrcd; /* of XRC */
};

struct ff_reply_create_srq {
	uint32_t handle;
	uint32_t srqn;
	uint32_t entries, stride; /* as of a QP's receive queue */
	uint32_t max_sge;	  /* granted; max_wr is entries */
	uint32_t pad;
	uint64_t offset; /* of struct ff_srq_shared */
	uint64_t ring;	 /* of slot 0 */
};

/* A new size: slots from `index`, the next to be posted, on are in the new ring. */
struct ff_cmd_modify_srq {
	uint32_t handle;
	uint32_t mask;
	uint32_t max_wr, limit;
	uint32_t index;
	uint32_t pad;
};

struct ff_reply_modify_srq {
	uint32_t entries;
	uint32_t pad;
	uint64_t ring;
};

struct ff_reply_query_srq {
	uint32_t max_wr, max_sge, limit;
	uint32_t pad;
};

/* ---- XRC ---- */

enum { FF_XRCD_FILE = 1, FF_XRCD_CREATE = 2, FF_XRCD_EXCLUSIVE = 4 };

/* Processes of one container that open the same file share a domain. Without a file it is nobody else's. */
struct ff_cmd_open_xrcd {
	uint32_t context;
	uint32_t flags;
	uint64_t device, inode;
};

/* Another handle for an XRC_RECV QP of the domain. It has FF_QP_OPENED set, and goes where the QP's own would. */
#define FF_QP_OPENED 0x80000000u
struct ff_cmd_open_qp {
	uint32_t xrcd;
	uint32_t qpn;
};

/* ---- datagrams ---- */

struct ff_cmd_create_ah {
	uint32_t pd;
	uint32_t pad;
	struct ff_ah_attr attr;
};

struct ff_cmd_mcast {
	uint32_t qp;
	uint32_t pad;
	uint8_t gid[16]; /* RoCE groups have no LID */
};

/* ---- rdma_cm ---- */

enum { FF_CM_BODY = FF_COMMAND_BODY - 40, FF_CM_REPLY = FF_COMMAND_BODY - 8 };

/* A command as a program writes it to /dev/infiniband/rdma_cm (rdma/rdma_user_cm.h), without its header. What a pointer in it
 * leads to follows it; replies come back in ff_reply_cm. */
struct ff_cmd_cm {
	uint64_t secret[2]; /* of the channel: who has its descriptor knows it */
	uint32_t channel;
	uint16_t command; /* RDMA_USER_CM_CMD_... */
	uint16_t size;	  /* bytes of body */
	uint32_t room;	  /* bytes that the program has for the reply */
	uint32_t other;	  /* MIGRATE_ID: the channel that the id comes from, whose secret is at the end of body */
	uint8_t body[FF_CM_BODY];
	uint8_t pad[8];
};

struct ff_reply_cm {
	uint32_t size;	    /* bytes of body */
	uint32_t withdrawn; /* events that the channel (of MIGRATE_ID: the other one) told of, and has no more: bytes to be read */
	uint8_t body[FF_CM_REPLY];
};

static_assert(sizeof(struct ff_cmd_cm) <= FF_COMMAND_BODY && sizeof(struct ff_reply_cm) <= FF_COMMAND_BODY, "a slot's");
static_assert(sizeof(struct ff_reply_gids) <= FF_COMMAND_BODY, "replies fit their slot");
static_assert(sizeof(struct ff_cmd_modify_qp) <= FF_COMMAND_BODY, "commands fit their slot");

#endif
