/*
 * The name of a descriptor that stands for /dev/infiniband/rdma_cm. It lies in the socket's packet filter, behind the
 * instruction at which that ends: the only place of a socket that the kernel keeps, that goes with it through dup, fork, exec
 * and SCM_RIGHTS, and that nobody sees but who has the descriptor.
 */
#ifndef FFCORE_CM_H
#define FFCORE_CM_H

#include <errno.h>
#include <linux/filter.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "ffcore/control.h"

#define FF_CM_MAGIC 0x6d634646u
enum { FF_CM_WORDS = 6, FF_CM_FILTER = FF_CM_WORDS + 2 }; /* return, the name, return: a filter must end so */

struct ff_cm_name {
	uint32_t magic;
	uint32_t channel;
	uint64_t secret[2];
};
static_assert(sizeof(struct ff_cm_name) == FF_CM_WORDS * 4, "a word an instruction");

static inline int ff_cm_name_put(int fd, const struct ff_cm_name *name)
{
	struct sock_filter code[FF_CM_FILTER];
	struct sock_fprog program = {.len = FF_CM_FILTER, .filter = code};
	uint32_t words[FF_CM_WORDS];
	int i;

	memcpy(words, name, sizeof(words));
	code[0] = code[FF_CM_FILTER - 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0xffffffffu);
	for (i = 0; i < FF_CM_WORDS; i++)
		code[i + 1] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, words[i]);
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? errno : 0;
}

/* 0: it has such a name; errno stays as it was. */
static inline int ff_cm_name_get(int fd, struct ff_cm_name *name)
{
	struct sock_filter code[FF_CM_FILTER];
	socklen_t count = FF_CM_FILTER; /* instructions */
	uint32_t words[FF_CM_WORDS];
	int i, before = errno;

	if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, code, &count) || count != FF_CM_FILTER) {
		errno = before;
		return -1;
	}
	for (i = 0; i < FF_CM_WORDS; i++)
		words[i] = code[i + 1].k;
	memcpy(name, words, sizeof(*name));
	return name->magic == FF_CM_MAGIC ? 0 : -1;
}

#endif
