/*
 * NETLINK_RDMA, the socket by which a kernel with RDMA tells of its devices (`rdma link`, UCX, rdma-core's tests). Where the kernel has
 * none, its answers come from here: the program gets a netlink socket of a protocol that programs may use among themselves, what it
 * sends to the kernel is answered at once by us, and waits in that socket to be received.
 */
#ifndef FFL_NETLINK_H
#define FFL_NETLINK_H

#include <stddef.h>
#include <stdint.h>
#include <linux/netlink.h>

enum { FF_NAME = 16, FF_KINDS = 5 };

/* What is told of the device ff0 and its port. */
struct ff_facts {
	uint64_t guid; /* as verbs has it: big endian */
	uint32_t state, physical;
	uint32_t ndev_index; /* 0: no interface has its address */
	char ndev[FF_NAME];
	uint32_t held[FF_KINDS]; /* PDs, CQs, QPs, MRs and SRQs of this container's programs */
};

/* 0 or an errno. Asks the router, at the first call for a session. facts.pyx */
int ff_netlink_facts(struct ff_facts *facts);

enum { FF_ANSWERS = 8192 }; /* bytes; all that is ever said takes a tenth */

/* The answer to one request, as messages for `pid`, its sender, into `out`. Bytes; 0: it wants none. answer.c */
size_t ff_netlink_answer(const struct nlmsghdr *request, uint32_t pid, char out[FF_ANSWERS]);

#endif
