/*
 * The structs of verbs.h that releases after rdma-core 44 made larger. A program built against a newer header reads
 * the newer fields, so FreeFlow allocates the newest size, whatever header it is built with itself.
 */
#ifndef FFL_NEWEST_H
#define FFL_NEWEST_H

#include <assert.h>
#include <infiniband/verbs.h>

/*
 * verbs_context grows at its front: the application holds &v.context, and newer inline functions look further down
 * from there. v.sz tells them how far they may look.
 */
enum { FF_VERBS_CONTEXT_SIZE = 696, FF_QP_EX_SIZE = 360, FF_PORT_ATTR_SIZE = 56 }; /* rdma-core 65 */
static_assert(sizeof(struct verbs_context) <= FF_VERBS_CONTEXT_SIZE, "a newer header still: raise the sizes above");

struct ff_verbs_context {
	void *newer[(FF_VERBS_CONTEXT_SIZE - sizeof(struct verbs_context)) / sizeof(void *)];
	struct verbs_context v;
};
static_assert(sizeof(struct ff_verbs_context) == FF_VERBS_CONTEXT_SIZE, "ff_verbs_context");
static_assert(offsetof(struct ff_verbs_context, v.query_port) == 48, "ff_verbs_context");
static_assert(offsetof(struct ff_verbs_context, v.priv) == 256, "ff_verbs_context");
static_assert(offsetof(struct ff_verbs_context, v.sz) == 360, "ff_verbs_context");
static_assert(offsetof(struct ff_verbs_context, v.context) == 368, "ff_verbs_context");

static inline struct ff_verbs_context *ff_verbs_context_of(struct ibv_context *context)
{
	return (struct ff_verbs_context *)((char *)context - offsetof(struct ff_verbs_context, v.context));
}

/* These two grow at their end. */
struct ff_qp_ex {
	union {
		struct ibv_qp_ex v;
		char room[FF_QP_EX_SIZE];
	};
};
static_assert(offsetof(struct ff_qp_ex, v.wr_atomic_write) == 344, "ff_qp_ex");
static_assert(sizeof(struct ff_qp_ex) == FF_QP_EX_SIZE, "ff_qp_ex");

struct ff_port_attr {
	union {
		struct ibv_port_attr v;
		struct {
			char older[52];
			uint32_t active_speed_ex;
		};
	};
};
static_assert(offsetof(struct ff_port_attr, v.port_cap_flags2) == 48, "ff_port_attr");
static_assert(sizeof(struct ff_port_attr) == FF_PORT_ATTR_SIZE, "ff_port_attr");

/* ibv_reg_mr_ex's, of 59; buf, of a later one, is there if comp_mask says so. */
struct ff_mr_init_attr {
	size_t length;
	int access;
	uint64_t comp_mask;
	uint64_t iova;
	void *addr;
	int fd;
	uint64_t fd_offset;
	void *dmah;
	void *buf;
};

/*
 * struct verbs_device, which providers know and applications do not: libmlx5 and libefa look behind any device for
 * its ops. The tail is roomier than any release's.
 */
struct ff_verbs_device {
	struct ibv_device device;
	const void *ops;
	uint64_t tail[15];
};
static_assert(offsetof(struct ff_verbs_device, ops) == 664, "right behind struct ibv_device");

/* The same in 44 and 65: what FreeFlow fills in as the header has it. */
static_assert(sizeof(struct ibv_context) == 328, "ibv_context");
static_assert(offsetof(struct ibv_context, abi_compat) == 320, "ibv_context");
static_assert(sizeof(struct ibv_context_ops) == 256, "ibv_context_ops");
static_assert(sizeof(struct ibv_mr) == 48, "ibv_mr");
static_assert(sizeof(struct ibv_mw) == 32, "ibv_mw");
static_assert(sizeof(struct ibv_srq) == 128, "ibv_srq");
static_assert(sizeof(struct ibv_qp) == 160, "ibv_qp");
static_assert(sizeof(struct ibv_cq) == 128, "ibv_cq");
static_assert(sizeof(struct ibv_cq_ex) == 288, "ibv_cq_ex");
static_assert(sizeof(struct ibv_comp_channel) == 16, "ibv_comp_channel");
static_assert(sizeof(struct ibv_ah) == 24, "ibv_ah");
static_assert(sizeof(struct ibv_wc) == 48, "ibv_wc");
static_assert(sizeof(struct ibv_send_wr) == 128, "ibv_send_wr");
static_assert(sizeof(struct ibv_device_attr) == 232, "ibv_device_attr");
static_assert(sizeof(struct ibv_device_attr_ex) == 400, "ibv_device_attr_ex");
static_assert(sizeof(struct ibv_gid_entry) == 32, "ibv_gid_entry");
static_assert(sizeof(struct ibv_qp_init_attr_ex) == 136, "ibv_qp_init_attr_ex");
static_assert(sizeof(struct ibv_qp_attr) == 144, "ibv_qp_attr");
static_assert(sizeof(struct ibv_cq_init_attr_ex) == 56, "ibv_cq_init_attr_ex");

#endif
