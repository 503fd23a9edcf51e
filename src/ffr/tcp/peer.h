/*
 * What the brokers of two hosts say to each other, over TCP between the hosts' own addresses.
 *
 * Each broker keeps a control link to each of the others for what it asks, and data links, which carry nothing more of
 * the brokers': one waits, connected, until an offer names it by its port, and becomes a program's connection. So an
 * offer costs one round trip. hosts.py makes control links, where both ends prove that they know the hosts' key; a data
 * link says the link secret that came of it, first of all, and the control link then names it.
 */
#ifndef FFR_TCP_PEER_H
#define FFR_TCP_PEER_H

#include <assert.h>
#include <stdint.h>

#include "ffcore/tcp.h"

enum { FFR_CONTROL_PORT = 4791, FFR_DATA_PORT = 4792 }; /* of TCP; 4791 of UDP is RoCE's */
enum { FFR_SECRET = 16 };

enum ffr_peer_kind {
	FFR_PEER_OFFER = 1, /* a container of mine is about to connect, on this link */
	FFR_PEER_ANSWER,
	FFR_PEER_SETTLE, /* as FF_TCP_SETTLE */
	FFR_PEER_SETTLED,
};

struct ffr_peer_message {
	uint32_t kind;	  /* enum ffr_peer_kind */
	uint32_t request; /* the asker's number, which the answer repeats */
	uint64_t id;	  /* ANSWER gives it, SETTLE names it */
	uint64_t tenant;  /* OFFER: the client's */
	uint32_t flags;	  /* SETTLE: enum ff_tcp_flags */
	uint32_t verdict; /* ANSWER, SETTLED: enum ff_tcp_verdict */
	uint32_t reason;  /* enum ff_tcp_reason */
	uint32_t pad;
	struct ff_tcp_end client, server; /* client.port: the asker's port of the data link */
};

static_assert(sizeof(struct ffr_peer_message) == 80, "message");

#endif
