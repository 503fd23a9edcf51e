/*
 * What stands before a datagram in its receive buffer: 40 bytes that say where it came from. With RoCEv2 over IPv6
 * they are the IPv6 header; over IPv4 the header is the last 20 of them (IBTA A17.4.4). Fields are bytes, in network order
 * (ff_get*, ff_put* of roce.h).
 */
#ifndef FFCORE_GRH_H
#define FFCORE_GRH_H

#include <assert.h>
#include <stdint.h>

struct ff_grh { /* IBTA 8.3, and RFC 8200 3 */
	uint8_t version_class_flow[4]; /* 6 in the top 4 bits, traffic class 8, flow label 20 */
	uint8_t payload_length[2];
	uint8_t next_header;
	uint8_t hop_limit;
	uint8_t sgid[16];
	uint8_t dgid[16];
};
static_assert(sizeof(struct ff_grh) == 40, "GRH");

struct ff_ipv4 { /* RFC 791 3.1, without options */
	uint8_t version_ihl;
	uint8_t tos;
	uint8_t length[2];
	uint8_t id[2];
	uint8_t flags[2];
	uint8_t ttl;
	uint8_t protocol;
	uint8_t checksum[2];
	uint8_t source[4];
	uint8_t destination[4];
};
static_assert(sizeof(struct ff_ipv4) == 20, "IPv4 header");

enum {
	FF_IPV4_VERSION_IHL = 0x45,
	FF_IPV4_DONT_FRAGMENT = 0x4000,
	FF_IP_UDP = 17,
	FF_HOP_LIMIT = 64, /* where an address handle gives none (RFC 1700) */
};

#endif
