/* UDP by batches: the system calls, with the structs that only C can spell. Errors are negative errnos. */
#ifndef FFR_ROCE_UDP_H
#define FFR_ROCE_UDP_H

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

enum { FFR_UDP_BATCH = 16 };

/* An address in network order: 4 bytes of it count for AF_INET. */
struct ffr_udp_address {
	uint8_t ip[16];
	uint16_t family;
	uint16_t port; /* host order */
};

/* A run of equal packets that leave in one system call: all of `segment` bytes but the last, which may be shorter. */
struct ffr_udp_out {
	const uint8_t *bytes;
	uint32_t size;
	uint32_t segment;
	const struct ffr_udp_address *to;
};

/* What one receive slot holds: packets of `segment` bytes, the last one shorter, if the kernel has put some together. */
struct ffr_udp_in {
	uint8_t *bytes;
	uint32_t size;
	uint32_t segment;
	struct ffr_udp_address from;
};

union ffr_udp_name {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static inline socklen_t ffr_udp_put_name(union ffr_udp_name *name, const struct ffr_udp_address *a)
{
	memset(name, 0, sizeof(*name));
	name->any.sa_family = a->family;
	if (a->family == AF_INET) {
		name->v4.sin_port = htons(a->port);
		memcpy(&name->v4.sin_addr, a->ip, 4);
		return sizeof(name->v4);
	}
	name->v6.sin6_port = htons(a->port);
	memcpy(&name->v6.sin6_addr, a->ip, 16);
	return sizeof(name->v6);
}

static inline void ffr_udp_get_name(struct ffr_udp_address *a, const union ffr_udp_name *name)
{
	memset(a, 0, sizeof(*a));
	a->family = name->any.sa_family;
	if (a->family == AF_INET) {
		a->port = ntohs(name->v4.sin_port);
		memcpy(a->ip, &name->v4.sin_addr, 4);
	} else {
		a->port = ntohs(name->v6.sin6_port);
		memcpy(a->ip, &name->v6.sin6_addr, 16);
	}
}

/* Sends up to n datagrams; how many went, or what stopped the first one. */
static inline int ffr_udp_send(int fd, const struct ffr_udp_out *out, int n)
{
	struct mmsghdr message[FFR_UDP_BATCH];
	union ffr_udp_name name[FFR_UDP_BATCH];
	struct iovec iov[FFR_UDP_BATCH];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control[FFR_UDP_BATCH];
	int i, sent;

	memset(message, 0, sizeof(message[0]) * (size_t)n);
	for (i = 0; i < n; i++) {
		struct msghdr *h = &message[i].msg_hdr;

		iov[i].iov_base = (void *)out[i].bytes;
		iov[i].iov_len = out[i].size;
		h->msg_name = &name[i];
		h->msg_namelen = ffr_udp_put_name(&name[i], out[i].to);
		h->msg_iov = &iov[i];
		h->msg_iovlen = 1;
		if (out[i].segment < out[i].size) {
			uint16_t segment = (uint16_t)out[i].segment;

			h->msg_control = &control[i];
			h->msg_controllen = sizeof(control[i].bytes);
			control[i].header.cmsg_level = SOL_UDP;
			control[i].header.cmsg_type = UDP_SEGMENT;
			control[i].header.cmsg_len = CMSG_LEN(sizeof(segment));
			memcpy(CMSG_DATA(&control[i].header), &segment, sizeof(segment));
		}
	}
	sent = sendmmsg(fd, message, (unsigned int)n, MSG_DONTWAIT);
	return sent < 0 ? -errno : sent;
}

/* Receives up to n datagrams into in[].bytes, which have room for `room` bytes each. */
static inline int ffr_udp_receive(int fd, struct ffr_udp_in *in, int n, uint32_t room)
{
	struct mmsghdr message[FFR_UDP_BATCH];
	union ffr_udp_name name[FFR_UDP_BATCH];
	struct iovec iov[FFR_UDP_BATCH];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control[FFR_UDP_BATCH];
	int i, got;

	memset(message, 0, sizeof(message[0]) * (size_t)n);
	for (i = 0; i < n; i++) {
		struct msghdr *h = &message[i].msg_hdr;

		iov[i].iov_base = in[i].bytes;
		iov[i].iov_len = room;
		h->msg_name = &name[i];
		h->msg_namelen = sizeof(name[i]);
		h->msg_iov = &iov[i];
		h->msg_iovlen = 1;
		h->msg_control = &control[i];
		h->msg_controllen = sizeof(control[i].bytes);
	}
	got = recvmmsg(fd, message, (unsigned int)n, MSG_DONTWAIT, NULL);
	if (got < 0)
		return -errno;
	for (i = 0; i < got; i++) {
		struct cmsghdr *c = CMSG_FIRSTHDR(&message[i].msg_hdr);
		int segment = 0;

		if (c && c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
			memcpy(&segment, CMSG_DATA(c), sizeof(segment));
		in[i].size = message[i].msg_hdr.msg_flags & MSG_TRUNC ? 0 : message[i].msg_len;
		in[i].segment = segment > 0 ? (uint32_t)segment : in[i].size;
		ffr_udp_get_name(&in[i].from, &name[i]);
	}
	return got;
}

#endif
