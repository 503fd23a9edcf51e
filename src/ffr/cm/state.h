/* rdma_cm's part of the router's state: event channels, ids, the conversations that they are in, and undelivered events.
 * Included by ffr/state.h, which has struct ffr_object. */
#ifndef FFR_CM_STATE_H
#define FFR_CM_STATE_H

#include <rdma/rdma_user_cm.h>

enum {
	FFR_CM_CHANNELS = 1 << 15, /* descriptors of /dev/infiniband/rdma_cm: one of the router's each */
	FFR_CM_IDS = 1 << 16,	   /* librdmacm keeps an id's place in 16 bits */
	FFR_CM_EVENTS = 1 << 17,   /* that wait for their program */
	FFR_CM_GROUPS = 1 << 14,   /* multicast groups that ids have joined */
	FFR_CM_BUCKETS = 1 << 12,
	FFR_CM_WHEEL = 256,
	FFR_CM_BACKLOG = 1024, /* connection requests that may wait at a listener, as with Linux */
	FFR_CM_PRIVATE = 224,  /* bytes of private data in any message (IBTA 12.6) */
};

/* What a conversation is at (IBTA 12.9.7), and an id before and after it. */
enum cm_state {
	CM_IDLE,
	CM_BOUND,
	CM_ADDRESS, /* resolved */
	CM_ROUTE,   /* resolved */
	CM_LISTEN,
	CM_REQ_SENT,
	CM_REQ_RCVD,
	CM_REP_SENT,
	CM_REP_RCVD,
	CM_ESTABLISHED,
	CM_DREQ_SENT,
	CM_DREQ_RCVD,
	CM_TIMEWAIT,
	CM_SIDR_SENT,
	CM_SIDR_RCVD,
	CM_SIDR_DONE,
	CM_ENDED, /* refused, or nobody answered */
};

/* A CM message as a plain value; mad.pyx has its bytes. Numbers in host order. */
struct cm_message {
	uint16_t type; /* attribute ID */
	uint8_t peer_is_near; /* its sender is a conversation of this router */
	uint8_t is_sidr_reply;
	uint32_t local, remote; /* communication IDs: of who sends it, and of who gets it; of SIDR the request's */
	uint64_t tid;
	uint64_t service;
	uint64_t guid; /* as on the wire */
	uint8_t sgid[16], dgid[16]; /* of who sends it, and of who gets it */
	uint32_t qpn, qkey, psn;
	uint8_t responder_resources, initiator_depth;
	uint8_t retry_count, rnr_retry, srq, flow_control;
	uint8_t transport; /* REQ: 0 RC, 1 UC, 3 XRC */
	uint8_t mtu;	   /* enum ibv_mtu */
	uint8_t ack_timeout; /* of the path; REP: the target's ACK delay */
	uint8_t traffic_class, hop_limit;
	uint8_t refers; /* REJ and MRA: which message */
	uint16_t reason; /* REJ; status of a SIDR_REP */
	uint8_t wait;	 /* MRA: 4.096 us * 2^wait */
	uint8_t private_size;
	uint8_t private_data[FFR_CM_PRIVATE];
};

/* One end of a conversation. */
struct cm_conversation {
	uint32_t state; /* enum cm_state */
	uint32_t tries;
	uint64_t deadline_ns; /* 0: none */
	uint32_t local, remote; /* communication IDs */
	uint8_t near; /* the other end is in this router: nothing is lost, so nothing is sent twice */
	uint8_t transport;
	uint8_t responder_resources, initiator_depth, retry_count, rnr_retry, srq, flow_control;
	uint8_t mtu, timeout, traffic_class, hop_limit;
	uint32_t qpn, psn;
	uint32_t remote_qpn, remote_psn;
	struct cm_message last; /* what was sent last, to be sent again */
};

/* A descriptor of /dev/infiniband/rdma_cm. */
struct ffr_cm_channel {
	struct ffr_object o;
	int32_t fd;
	uint32_t closing; /* nobody has its descriptor any more: it is in the list of those */
	uint32_t closing_next;
	uint64_t secret[2]; /* who has the descriptor knows it */
	uint32_t event, last_event;
	uint32_t untold; /* events for which its socket had no room */
	uint32_t id;	 /* first of its ids */
};

struct cm_address {
	uint8_t ip[16]; /* as a GID: IPv4 is mapped */
	uint16_t port;	/* host order */
	uint8_t family; /* 4 or 6; 0: none */
	uint8_t pad;
};

struct ffr_cm_id {
	struct ffr_object o;
	uint32_t channel;
	uint32_t share; /* its container's */
	uint32_t next, prev; /* of its channel's */
	uint32_t port_next;  /* of its bucket; it is there when it is bound */
	uint32_t remote_next; /* of its bucket; it is there when a REQ made it */
	uint32_t wheel_next, wheel_prev, wheel_slot; /* slot + 1; 0: it is on none */
	uint32_t generation;
	uint64_t uid; /* the program's name for it; 0: it has given none yet */
	uint16_t space; /* enum rdma_ucm_port_space */
	uint8_t qp_type;
	uint8_t bound, asked; /* a REQ made it */
	uint8_t attached; /* it knows its device: librdmacm asks for one */
	uint8_t reuse, afonly, traffic_class, ack_timeout;
	struct cm_address here, there;
	uint8_t sgid[16], dgid[16];
	uint32_t sgid_index;
	uint32_t qkey;
	uint32_t groups; /* that it has joined */
	uint32_t room; /* of a listener's backlog */
	uint32_t listener; /* of an id that a REQ made, until its event is taken: who has room for one less */
	uint32_t reported; /* events that the program has taken */
	struct cm_conversation c;
};

struct ffr_cm_group {
	struct ffr_object o;
	uint32_t id;
	uint32_t reported;
	uint64_t uid;
	uint8_t gid[16];
};

/* An event as the program gets it. */
struct ffr_cm_event {
	struct ffr_object o;
	uint32_t channel, next;
	uint32_t id;	/* whose it is */
	uint32_t fresh; /* the id that it brings, or FFR_NONE */
	uint32_t group; /* or FFR_NONE */
	struct rdma_ucm_event_resp body;
};

struct ffr_cm_tables {
	uint32_t port[FFR_CM_BUCKETS];	 /* first of each list, or FFR_NONE */
	uint32_t remote[FFR_CM_BUCKETS];
	uint32_t wheel[FFR_CM_WHEEL];
	uint32_t closing; /* channels whose end is under way: first of the list */
	uint32_t waiting; /* on the wheel */
	uint64_t tick;	  /* slots before it have been looked at */
	uint64_t random;
};

#endif
