/*
 * The router's own state: flat tables of plain structs in one router-private memfd, referred to by index.
 *
 * No pointer and nothing of Python's lives here, so that a router can be killed or upgraded and its successor can
 * take over where it stopped. What a process needs beside it (mappings, epoll, threads) is struct ffr_router, which
 * can be rebuilt. Descriptors are numbers of this process; a keeper that holds them would hand them over in the order
 * of the tables.
 */
#ifndef FFR_STATE_H
#define FFR_STATE_H

#include "ffcore/control.h"
#include "ffcore/shm.h"
#include "ffcore/stats.h"
#include "ffr/rates.h"
#include "ffr/reach.h"

#define FFR_STATE_MAGIC 0x74734646u
#define FFR_STATE_VERSION 10u
#define FFR_NONE 0xffffffffu
#define FFR_NO_CONTEXT 0xfffffffeu /* what belongs to none, but to its session */

enum {
	FFR_SESSIONS = FF_STATS_SESSIONS,
	FFR_QPS = 1 << 16, /* a QPN is 16 bits of index and 8 of generation */
	FFR_CQS = 1 << 16,
	FFR_MRS = 1 << 20, /* a key is 20 bits of index and 12 random ones */
	FFR_PDS = 1 << 16,
	FFR_CHANNELS = 1 << 14, /* completion channels and, one per context, async channels */
	FFR_AHS = 1 << 18,
	FFR_SRQS = 1 << 14,	/* an SRQ's number is made as a QPN is */
	FFR_XRCDS = 1 << 12,
	FFR_OPENERS = 1 << 14,	/* handles from ibv_open_qp */
	FFR_OPENERS_QP = 64,	/* ... for one QP */
	FFR_DMS = 1 << 14,
	FFR_EVENT_RECORDS = 1 << 15, /* asynchronous ones that wait for their program to read */
	FFR_IMPORTS = 1 << 16,
	FFR_IMPORTERS = 64, /* contexts that have one object imported */
	FFR_MCASTS = 1 << 14,	/* attachments of QPs to multicast groups */
	FFR_MCAST_BUCKETS = 1024,
	FFR_MCAST_QPS = 128,	/* ... to one group: a message is copied so often in a turn, 0.5 MB at most */
	FFR_EXTENT_BLOCKS = 1 << 14,
	FFR_BLOCK_EXTENTS = 64, /* an MR has one extent, or up to this many in a block */
	FFR_MAPPINGS = 1 << 14, /* of programs' shared memory; a process may have 65 530 mappings in all */
	FFR_CONTROL_MAX = 256 << 20,
	FFR_CONTROL_WORDS = FFR_CONTROL_MAX / FF_PAGE / 64,
	FFR_KEY_BITS = 12,
	FFR_MAX_WR = 1 << 15,
	FFR_MAX_CQE = 1 << 20,
	FFR_MAX_RD_ATOMIC = 16, /* what a responder on a wire remembers; see roce/qp.pxd */
	FFR_PORT_MTU = 4096, /* bytes; IBV_MTU_4096 */
};

/* Every object starts with this; `next` and `prev` list a session's objects of a kind, or `next` the free ones. */
struct ffr_object {
	uint32_t used;
	uint32_t session;
	uint32_t next, prev;
	uint32_t references; /* objects that name this one: EBUSY while not 0 */
};

#include "ffr/cm/state.h"

struct ffr_limits {
	uint32_t max_qp, max_cq, max_mr, max_pd, max_channels, max_ah, max_mcast, max_srq, max_xrcd;
	uint32_t dm_bytes;
	uint64_t pinned_bytes;
};

/* A memory window is an MR to whoever looks up its key: it takes its place in that table. */
enum ffr_kind {
	FFR_PD, FFR_MR, FFR_CQ, FFR_QP, FFR_CHANNEL, FFR_AH, FFR_MCAST, FFR_SRQ, FFR_XRCD, FFR_OPENER, FFR_MW, FFR_DM,
	FFR_IMPORT, FFR_EVENT, FFR_CM_CHANNEL, FFR_CM_ID, FFR_CM_EVENT, FFR_CM_GROUP, FFR_KINDS
};

struct ffr_session {
	uint32_t used;
	uint32_t closing; /* the error to tell, once its end has begun */
	uint32_t lingers; /* all of it has ended but MRs and DMs that other processes have imported */
	uint32_t pid;
	uint32_t request_seq; /* the last command answered */
	int32_t sock, control, memory, event; /* descriptors */
	uint64_t control_size, memory_size;
	uint32_t gid_count; /* entries up to the last that is in use; unused ones before it are zero */
	uint32_t port_down;
	uint32_t contexts;
	uint32_t share; /* its container's */
	uint32_t party; /* ... and whom that may reach: reach.h */
	uint32_t bucket[FFR_SESSION_BUCKETS]; /* ... and how fast: rates.h; 0: any */
	uint8_t gid[FF_GID_TABLE][16];
	uint32_t link_mtu[FF_GID_TABLE]; /* bytes that the interface with that address carries; 0: not known */
	uint64_t guid; /* the device's, in memory as verbs has it */
	struct ffr_limits limit;
	uint64_t pinned;
	uint64_t dm_bytes;
	uint32_t mappings; /* of its programs' shared memory */
	uint32_t count[FFR_KINDS];
	uint32_t first[FFR_KINDS]; /* lists of its objects */
	uint64_t active_ns;	   /* when it last had work */
	uint64_t qkey_violations;
	char name[FF_STATS_NAME];
	uint64_t pages[FFR_CONTROL_WORDS]; /* control pages in use */
	uint32_t bell_qp[FF_QPS_PER_SESSION];
};

struct ffr_channel {
	struct ffr_object o;
	int32_t fd;
	uint32_t is_async; /* a context: its async channel */
	uint32_t context;  /* the context that made it; its own index for an async channel */
	/* of a context: contexts that were imported from one another are a group, and know its secret */
	uint64_t group;
	uint64_t secret[2];
	uint32_t event, last_event; /* those that wait, in order */
	uint32_t owed;		    /* of the port: as of a QP */
};

struct ffr_pd {
	struct ffr_object o;
	uint32_t context;
	uint32_t importer; /* first of a list */
};

/* What stands behind a key. */
enum ffr_behind {
	FFR_PAGES,
	FFR_NOTHING,
	FFR_DEVICE,
	FFR_ENDED, /* it was FFR_PAGES until another process deregistered it; the pages are still its program's to take back */
	FFR_WINDOW_1,
	FFR_WINDOW_2
};

struct ffr_mr { /* what a look-up of a key reads is a line */
	alignas(FF_LINE) struct ffr_object o;
	uint32_t key; /* 0: void */
	uint32_t pd;
	uint32_t access; /* enum ibv_access_flags, and FFR_ACCESS_LOCAL */
	uint32_t extents; /* 0, but for FFR_PAGES */
	uint32_t block; /* of extents, when there is more than one */
	uint64_t iova, length;
	/* of the first byte: in the memory segment, when there is one extent, or wherever that extent is mapped, counted from
	 * there (modulo 2^64); of DM, in the control segment; of a window, from the MR's first byte */
	uint64_t offset;
	uint64_t shift;	 /* the first byte's distance from the first extent's start */
	uint64_t pinned; /* bytes of the application's, which has them at addr */
	uint64_t addr;
	uint32_t behind; /* enum ffr_behind */
	uint32_t of;	 /* the DM; of a window the MR that it is bound to, or FFR_NONE */
	uint32_t qpn;	 /* of a window of type 2: the QP that bound it */
	uint32_t context; /* FFR_NONE: closed, and it is there for who has it imported */
	uint32_t importer; /* first of a list */
	uint32_t mapping; /* of its one extent: FFR_NONE when that lies in the memory segment */
};
static_assert(offsetof(struct ffr_mr, shift) == FF_LINE, "the line of a look-up");
#define FFR_ACCESS_LOCAL 0x80000000u /* its own program may use the key as an lkey; next to enum ibv_access_flags */

/*
 * A part of a program's shared memory (tmpfs, memfd, SysV, hugetlbfs) as the router has it mapped, for one extent of one MR.
 * Where it is mapped is the process's own: ffr_router.mapped. Free ones, and those that are to be unmapped, are chained.
 */
struct ffr_mapping {
	uint64_t device, inode;
	uint64_t offset, length; /* whole pages of the file */
	uint32_t session;
	uint32_t writable;
	uint32_t next;
};

/* Device memory: pages of the control segment. MRs refer to it. */
struct ffr_dm {
	struct ffr_object o;
	uint32_t context; /* as of an MR */
	uint32_t pages;
	uint64_t offset, length;
	uint64_t group; /* of its context */
	uint32_t importer;
	uint32_t ended; /* by another process; the pages are its program's until that has freed it too */
};

/* A context of another process has a PD, an MR or a DM. In the list of that object. */
struct ffr_import {
	struct ffr_object o;
	uint32_t context;
	uint32_t kind, object;
	uint32_t next;
};

struct ffr_cq {
	struct ffr_object o;
	uint32_t channel;
	uint32_t entries;
	uint32_t produced;
	uint32_t consumed;  /* as last seen in shared memory */
	uint32_t overrun;   /* 1 after an overrun: nothing more is written */
	uint32_t notify;    /* an event could not be sent yet; retried */
	uint32_t owed;	    /* as of a QP */
	uint32_t context;
	uint32_t pages;	     /* of struct ff_cq_shared and its first ring */
	uint64_t offset;
	uint64_t ring;	     /* offset of the slots in use; after a resize they are a ring of their own */
	uint64_t before;     /* ... and those of the ring before, which may still be read: until the next resize */
	uint32_t ring_pages, before_pages; /* 0: there is no such ring of its own */
};

/*
 * A receive queue: a QP's own, or an SRQ's. A QP that an SRQ feeds has one without entries: session, pd and max_sge are the
 * SRQ's then, and index counts what the QP has received.
 */
struct ffr_rq {
	uint64_t ring; /* offset of slot 0 in the session's control segment */
	uint64_t done; /* offset of the ff_a32 in which `index` is published */
	uint32_t entries, stride;
	uint32_t max_sge;
	uint32_t index; /* the next receive WQE to use */
	uint32_t missed; /* index + 1 when an unreliable message has waited for that WQE in vain */
	uint32_t session, pd;
	uint32_t srqn; /* the SRQ that feeds the QP, of XRC its last message; 0: none */
	uint32_t held; /* ... a WQE of which the QP has taken for a long message: state.held[qp] */
	uint32_t qp;
};

enum ffr_wait {
	FFR_RUN = 0,
	FFR_WAIT_RNR,	/* the responder had no receive WQE */
	FFR_WAIT_ACK,	/* nobody answers */
	FFR_WAIT_RATE,	/* a rate of its own, its container's or its tenant's */
};

/* Which list a QP is on. */
enum ffr_list { FFR_LIST_NONE, FFR_LIST_ACTIVE, FFR_LIST_WAITING };

struct ffr_qp {
	struct ffr_object o;
	uint32_t qpn;
	uint32_t generation;
	uint32_t type, state; /* enum ibv_qp_type, ibv_qp_state */
	uint32_t opcodes;     /* bit FF_OP_x: the transport has it */
	uint32_t pd, send_cq, recv_cq;
	uint32_t sq_sig_all;
	uint32_t bell;
	uint32_t nic; /* which backend carries it; see nic/registry.pyx */
	uint32_t context;
	uint32_t pages;
	uint64_t offset, sq_offset;
	uint32_t sq_entries, sq_stride;
	struct ffr_rq rq;
	struct ff_cap cap;
	struct ff_qp_attr attr;
	/* progress: written before each outside effect, so that a successor goes on at this point */
	uint32_t sq_index;	     /* next WQE to execute, or to complete where several are under way */
	uint32_t sq_seen;	     /* the first WQE that its NIC has not taken up; never before sq_index */
	uint64_t moved;		     /* bytes of the current message that have reached their place */
	uint32_t atomic_done;	     /* the current atomic has been executed; its result is atomic_old */
	uint32_t wait;		     /* enum ffr_wait */
	uint64_t atomic_old;
	uint64_t deadline_ns;
	uint32_t retries, rnr_retries; /* left */
	uint32_t peer;		       /* index, checked on each use; FFR_NONE: look it up */
	uint32_t peer_generation;
	uint32_t list, idle;
	uint32_t list_next, list_prev;
	/* XRC_RECV: no rings and no bell (pages is 0); pd, recv_cq and rq are those of the SRQ that the last message named */
	uint64_t domain; /* of its xrcd */
	uint32_t xrcd;
	uint32_t opener; /* first of its further handles */
	uint32_t orphan; /* its maker's handle is gone: those keep it */
	uint32_t established; /* IBV_EVENT_COMM_EST has been sent since RESET */
	uint32_t owed;	      /* bit IBV_EVENT_x: waits in its context's list (events.pxd) */
	struct ffr_clock clock; /* of the rates that it has by itself */
};

struct ffr_srq {
	struct ffr_object o;
	uint32_t srqn;
	uint32_t generation;
	uint32_t type; /* enum ibv_srq_type */
	uint32_t context;
	uint32_t limit; /* armed: an event when fewer WQEs than this are left; 0: not */
	uint32_t cq, xrcd; /* of XRC */
	uint32_t owed;	   /* as of a QP */
	uint64_t domain;
	struct ffr_rq rq;
	uint64_t offset; /* of struct ff_srq_shared, and of its first ring */
	uint32_t pages;
	uint32_t ring_pages; /* 0: the ring in use is the first one */
	/* a resize under way: from turn on, WQEs are in another ring */
	uint64_t next_ring;
	uint32_t turn, next_entries, next_pages; /* next_pages 0: none is */
};

/* A handle for an XRC domain. What a file stands for is one domain to all processes of a container. */
struct ffr_xrcd {
	struct ffr_object o;
	uint32_t context;
	uint32_t flags; /* FF_XRCD_FILE: of a file */
	uint64_t domain; /* its number, never used again */
	uint64_t device, inode;
};

/* ibv_open_qp: one more handle for an XRC_RECV QP. */
struct ffr_opener {
	struct ffr_object o;
	uint32_t qp, next;
	uint32_t context, xrcd;
	uint32_t owed; /* as of a QP */
};

/* A receive WQE as it stands in its slot. */
struct ffr_held {
	uint64_t wqe[(FF_RECV_HEADER + FF_MAX_SGE * sizeof(struct ff_sge)) / 8];
	uint32_t generation; /* of the SRQ: its number has but 8 bits of it, and comes again */
};

/* An asynchronous event whose channel's socket was full. */
struct ffr_event {
	struct ffr_object o;
	uint32_t channel, next;
	uint32_t type, handle; /* as in struct ff_event */
};

struct ffr_ah {
	struct ffr_object o;
	uint32_t pd;
	uint32_t context;
	struct ff_ah_attr attr;
};

/* A QP's attachment to a multicast group. All of a group are in one bucket, and so may others be. */
struct ffr_mcast {
	struct ffr_object o;
	uint32_t qp, context;
	uint32_t next; /* in the bucket */
	uint8_t gid[16];
};

struct ffr_tables {
	uint32_t free[FFR_KINDS]; /* heads of the free lists */
	uint32_t fresh[FFR_KINDS]; /* indices from here on were never used */
	uint32_t used[FFR_KINDS];
	uint32_t blocks_used;
	uint32_t mappings_used; /* those to be unmapped too */
};

/* What the sessions of one container hold together. It may hold as much as is left for all others, and no more. */
struct ffr_share {
	uint32_t held[FFR_KINDS];
	uint32_t blocks;
	uint32_t mappings;
};

struct ffr_state {
	uint32_t magic, version;
	uint64_t size, epoch;
	struct ffr_tables table;
	uint32_t block_free, block_fresh;
	uint32_t mapping_free, mapping_fresh;
	struct ffr_session session[FFR_SESSIONS];
	struct ffr_share share[FFR_SESSIONS];
	struct ffr_channel channel[FFR_CHANNELS];
	struct ffr_pd pd[FFR_PDS];
	struct ffr_cq cq[FFR_CQS];
	struct ffr_qp qp[FFR_QPS];
	struct ffr_mr mr[FFR_MRS];
	struct ffr_ah ah[FFR_AHS];
	struct ffr_mcast mcast[FFR_MCASTS];
	struct ffr_srq srq[FFR_SRQS];
	struct ffr_xrcd xrcd[FFR_XRCDS];
	struct ffr_opener opener[FFR_OPENERS];
	struct ffr_held held[FFR_QPS]; /* pages of it exist where QPs have held WQEs */
	uint64_t domains;	       /* XRC domains made so far */
	struct ffr_dm dm[FFR_DMS];
	struct ffr_import imports[FFR_IMPORTS];
	struct ffr_event event[FFR_EVENT_RECORDS];
	struct ffr_cm_channel cm_channel[FFR_CM_CHANNELS];
	struct ffr_cm_id cm_id[FFR_CM_IDS];
	struct ffr_cm_event cm_event[FFR_CM_EVENTS];
	struct ffr_cm_group cm_group[FFR_CM_GROUPS];
	struct ffr_cm_tables cm;
	uint64_t groups; /* of contexts, made so far */
	uint32_t mcast_bucket[FFR_MCAST_BUCKETS]; /* first of each list, or FFR_NONE */
	struct ff_extent block[FFR_EXTENT_BLOCKS][FFR_BLOCK_EXTENTS];
	uint32_t block_mapping[FFR_EXTENT_BLOCKS][FFR_BLOCK_EXTENTS]; /* of each extent, as ffr_mr.mapping */
	struct ffr_mapping mapping[FFR_MAPPINGS];
};
static_assert(sizeof(struct ffr_qp) < 1024, "an idle QP costs under 2 KB with its counters");

/* Where the objects of a kind stand, and how they know the context with which they end. */
struct ffr_place {
	uint64_t at; /* of the first one's head */
	uint32_t size, capacity;
	uint32_t context; /* from the head to the context's number; 0: they end with their session */
};

#define FFR_TABLE(table)                                                                                       \
	offsetof(struct ffr_state, table[0].o), sizeof(((struct ffr_state *)0)->table[0]),                     \
		sizeof(((struct ffr_state *)0)->table) / sizeof(((struct ffr_state *)0)->table[0])
#define FFR_OF_CONTEXT(table) {FFR_TABLE(table), offsetof(struct ffr_state, table[0].context) - offsetof(struct ffr_state, table[0].o)}
#define FFR_OF_SESSION(table) {FFR_TABLE(table), 0}

static const struct ffr_place ffr_places[FFR_KINDS] = {
	[FFR_PD] = FFR_OF_CONTEXT(pd),
	[FFR_MR] = FFR_OF_CONTEXT(mr),
	[FFR_MW] = FFR_OF_CONTEXT(mr),
	[FFR_CQ] = FFR_OF_CONTEXT(cq),
	[FFR_QP] = FFR_OF_CONTEXT(qp),
	[FFR_CHANNEL] = FFR_OF_CONTEXT(channel),
	[FFR_AH] = FFR_OF_CONTEXT(ah),
	[FFR_MCAST] = FFR_OF_CONTEXT(mcast),
	[FFR_SRQ] = FFR_OF_CONTEXT(srq),
	[FFR_XRCD] = FFR_OF_CONTEXT(xrcd),
	[FFR_OPENER] = FFR_OF_CONTEXT(opener),
	[FFR_DM] = FFR_OF_CONTEXT(dm),
	[FFR_IMPORT] = FFR_OF_CONTEXT(imports),
	[FFR_EVENT] = FFR_OF_SESSION(event),
	[FFR_CM_CHANNEL] = FFR_OF_SESSION(cm_channel),
	[FFR_CM_ID] = FFR_OF_SESSION(cm_id),
	[FFR_CM_EVENT] = FFR_OF_SESSION(cm_event),
	[FFR_CM_GROUP] = FFR_OF_SESSION(cm_group),
};

/* ---- this process's view, rebuilt at start ----------------------------------------------------------------- */

struct ffr_view {
	uint8_t *control; /* mapped segments, or NULL */
	uint8_t *memory;
	uint32_t armed;	 /* we stored armed = 1, and have not taken it back */
	uint32_t faults;
	uint32_t far;	 /* as published */
	uint32_t pushed; /* as published */
	uint32_t owed;	 /* it is in ffr_router.owed */
};

enum { FFR_OWED = 64 };

/* Where a mapping is, in this process. */
struct ffr_mapped {
	uint8_t *at;
	uint64_t size; /* what to unmap: as much or more, for huge pages */
	uint64_t skip; /* bytes before the first of the mapping's own */
};

/*
 * A command that registers shared memory, between its first look and its answer: another thread maps what it names. One of
 * a session's at most, since a session has one command slot.
 */
enum ffr_later_state { FFR_LATER_NONE, FFR_LATER_ASKED, FFR_LATER_MAPPED };
struct ffr_later {
	uint64_t ticket; /* no other command's, of any session */
	uint32_t state;
	uint32_t seq; /* the command's */
	uint32_t op;
	uint32_t writable;
	uint32_t extents;
	uint32_t error, why; /* of mapping */
	uint32_t kept;	     /* the handler has made the mappings the MR's */
	union ff_body request;
	struct ff_extent extent[FFR_BLOCK_EXTENTS];
	struct ffr_mapping mapping[FFR_BLOCK_EXTENTS]; /* of those with FF_EXTENT_SHARED, once they are mapped */
	struct ffr_mapped mapped[FFR_BLOCK_EXTENTS];
};

enum ffr_far {
	FFR_NEAR,     /* here */
	FFR_FAR,      /* over a wire: who waits for it is woken once the batch is taken in */
	FFR_FAR_MORE, /* so, and many of the same QP's are to come: nobody is woken */
};

struct ffr_ring_list {
	uint32_t head, count;
};

enum ffr_polling { FFR_ADAPTIVE, FFR_FASTPATH, FFR_LOWCPU };

struct ffr_router {
	struct ffr_state *state;
	struct ffr_view *view; /* [FFR_SESSIONS] */
	struct ff_stats_header *stats;
	struct ff_session_stats *session_stats;
	struct ff_qp_stats *qp_stats;
	struct ffr_reach *reach;
	struct ffr_rates *rates;
	uint64_t now_ns;
	uint64_t key_seed;
	uint8_t *zeroes, *sink; /* what is behind a null MR; see mem/nothing.pyx */
	struct ffr_later *later; /* [FFR_SESSIONS] */
	struct ffr_mapped *mapped; /* [FFR_MAPPINGS] */
	uint32_t unwanted;	   /* first of the mappings that are to be unmapped; FFR_NONE */
	uint64_t tickets;	   /* given out so far */
	uint32_t asked_count;	   /* sessions whose command waits for a mapping, in asked[] */
	uint32_t asked[FFR_SESSIONS];
	struct ffr_ring_list active, waiting;
	uint64_t wait_deadline_ns; /* no waiting QP is due before; ~0 when none waits */
	uint32_t live[FFR_SESSIONS]; /* session numbers in use, packed */
	uint32_t live_count, live_cursor;
	uint32_t notify_pending; /* CQs whose event could not be sent */
	uint32_t notify_cursor;
	uint32_t events_pending; /* records in use */
	uint32_t events_cursor;
	uint32_t channel_room;	 /* channels that this process has descriptors for, FFR_CHANNELS at most */
	uint32_t flags;		 /* enum ff_session_flags, as published */
	uint32_t far;		 /* enum ffr_far: how what completes now came about */
	uint64_t far_ns;	 /* when the last came over a wire */
	uint32_t owed[FFR_OWED]; /* sessions whose sleepers are to be woken, once the batch is taken in */
	uint32_t owed_count;
	uint32_t wire_only;	 /* containers of this host reach each other through the roce NIC too */
	uint32_t port_mtu;	 /* bytes: what the port reports, and no QP may exceed */
	uint32_t rated;		 /* somebody has, or had, a rate */
	uint32_t turn_wqes;	 /* what the QP whose turn it is may do in it */
	uint64_t turn_bytes;
	int32_t epoll, wake, reaped, uffd;
	int32_t mapper; /* an eventfd: there is something in asked or unwanted */
};

#endif
