/*
 * TCP mode: what libfsocket and the router's broker say to each other.
 *
 * One SOCK_SEQPACKET socket ($FREEFLOW_DIR/$FFR_NAME.tcp.sock), one fixed request and one fixed reply per call. The
 * broker never takes a descriptor from a container; it hands out one with the replies that say so.
 */
#ifndef FFCORE_TCP_H
#define FFCORE_TCP_H

#include <assert.h>
#include <stdint.h>

#define FF_TCP_VERSION 3u /* changes whenever a byte of this file does */

enum ff_tcp_op {
	FF_TCP_LISTEN = 1, /* this listener exists; with FF_TCP_ACCEPTS: and is accepted from through the library */
	FF_TCP_CONNECT,	   /* about to connect -> verdict; with GO and CONFIRM the client's end, and the port to use */
	FF_TCP_SETTLE,	   /* connected (or, with FF_TCP_ABANDON, not) -> GO: change over; PLAIN: stay */
	FF_TCP_CLAIM,	   /* accepted -> GO: change over, with the server's end; PLAIN: stay */
};

enum ff_tcp_flags {
	FF_TCP_ACCEPTS = 1, /* LISTEN */
	FF_TCP_LEAVES = 2,  /* LISTEN: somebody accepts from it who will not claim */
	FF_TCP_GROUP = 4,   /* LISTEN: of a SO_REUSEPORT group, so the client's port decides whom a connection meets */
	FF_TCP_ABANDON = 1, /* SETTLE */
};

enum ff_tcp_verdict {
	FF_TCP_PLAIN = 0, /* stay on the overlay's socket */
	FF_TCP_GO,
	FF_TCP_CONFIRM, /* connect, then SETTLE before changing over */
	FF_TCP_IN_USE,	/* this 4-tuple is an accelerated connection that lives: EADDRNOTAVAIL */
	FF_TCP_LOOK,	/* SETTLE, when the other host does not answer: GO unless the client's end has been reset */
};

/* Why a connection stays on the overlay. The broker counts each. */
enum ff_tcp_reason {
	FF_TCP_ACCELERATED = 0,
	FF_TCP_NO_CONTAINER,   /* the address is no container's that this router knows */
	FF_TCP_OTHER_HOST,     /* the container is on a host whose router is not linked with this one */
	FF_TCP_REFUSED,	       /* policy */
	FF_TCP_FOREIGN_SOURCE, /* the program is bound to an address that is not its container's */
	FF_TCP_NO_LISTENER,    /* nobody listens there; the overlay says so itself */
	FF_TCP_PLAIN_LISTENER, /* who listens has no FreeFlow, or accepts without it (io_uring) */
	FF_TCP_PATH,	       /* the overlay rewrites addresses between the two (NAT) */
	FF_TCP_NOT_CLAIMED,    /* the server took too long to accept on a listener that was not known yet */
	FF_TCP_ABANDONED,      /* the overlay's own connect failed, was interrupted, or took too long */
	FF_TCP_QUOTA,	       /* too many connections that nobody accepts */
	FF_TCP_RESOURCES,      /* no descriptors or memory in the router */
	FF_TCP_NOT_OFFERED,    /* accepted, and the client had not asked: it has no FreeFlow */
	FF_TCP_BAD_REQUEST,    /* another version, or a claim on what is somebody else's */
	FF_TCP_OWN_PORT,       /* to another host from a port that the program chose: see the link's port below */
	FF_TCP_PRIVILEGED,     /* a program that could change the networks that links lie in */
	FF_TCP_REASONS
};

/* One end of a connection: IPv4 addresses are IPv4-mapped. */
struct ff_tcp_end {
	uint8_t address[16];
	uint16_t port;	 /* host order; 0: not bound yet */
	uint16_t domain; /* AF_INET or AF_INET6, as the program made its socket */
};

struct ff_tcp_request {
	uint32_t version;
	uint32_t op; /* enum ff_tcp_op */
	uint32_t sequence;
	uint32_t flags; /* enum ff_tcp_flags */
	uint64_t cookie; /* LISTEN: the listener's SO_COOKIE */
	uint64_t token;	 /* LISTEN, CLAIM: what LISTEN gave, 0 for none */
	uint64_t id;	 /* SETTLE: what CONNECT gave */
	struct ff_tcp_end local, peer; /* as the program that asks sees them */
	uint16_t port_low, port_high;  /* CONNECT: its namespace's ip_local_port_range */
	uint32_t pad;
};

struct ff_tcp_reply {
	uint32_t version;
	uint32_t sequence;
	uint32_t verdict; /* enum ff_tcp_verdict */
	uint32_t reason;  /* enum ff_tcp_reason */
	uint64_t token;	  /* LISTEN: proves to CLAIM that this process, or its parent, holds the listener */
	uint64_t id;
	struct ff_tcp_end local; /* CONNECT: the address and port to connect from */
	uint32_t pad;
};

/*
 * Whose connection a link is. The kernel keeps it, in the socket's packet filter, so it survives exec and goes with the
 * descriptor to other processes. The filter is locked, and drops every packet with SYN: this socket is connected already, and
 * can be neither connected nor listen anew, whoever holds it. Behind its return instructions stand the words of
 * struct ff_tcp_name, and whether this is the server's end, each as the constant of an instruction that is never reached.
 *
 * On one host the link's own addresses and ports are these, too. Between hosts its addresses are the hosts', and the
 * client's port is the one that its host's socket has. Either way the kernel keeps connections unique while they live.
 */
#define FF_TCP_NAME_MAGIC 0x32744646u /* "FFt2" */
struct ff_tcp_name {
	uint32_t magic;
	struct ff_tcp_end client, server;
};

enum {
	FF_TCP_FILTER_CHECKS = 4, /* load, test, and two ways to return */
	FF_TCP_FILTER_WORDS = 11,  /* sizeof(struct ff_tcp_name) / 4 */
	FF_TCP_FILTER_SIDE = FF_TCP_FILTER_CHECKS + FF_TCP_FILTER_WORDS, /* 1: the server's end */
	FF_TCP_FILTER_LENGTH = FF_TCP_FILTER_SIDE + 2,			 /* the last one must return */
};

static_assert(sizeof(struct ff_tcp_end) == 20, "ff_tcp_end");
static_assert(sizeof(struct ff_tcp_request) == 88, "ff_tcp_request");
static_assert(sizeof(struct ff_tcp_reply) == 56, "ff_tcp_reply");
static_assert(sizeof(struct ff_tcp_name) == 4 * FF_TCP_FILTER_WORDS, "ff_tcp_name fits a filter");

#endif
