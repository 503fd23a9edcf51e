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
#define FF_VERBS_CONTEXT_SIZE 696
struct ff_verbs_context {
	void *newer[(FF_VERBS_CONTEXT_SIZE - sizeof(struct verbs_context)) / sizeof(void *)];
	struct verbs_context v;
};
static_assert(sizeof(struct ff_verbs_context) == FF_VERBS_CONTEXT_SIZE, "as in rdma-core 65");
static_assert(offsetof(struct ff_verbs_context, v.query_port) == 48, "as in rdma-core 65");
static_assert(offsetof(struct ff_verbs_context, v.priv) == 256, "as in rdma-core 65");
static_assert(offsetof(struct ff_verbs_context, v.sz) == 360, "as in rdma-core 65");
static_assert(offsetof(struct ff_verbs_context, v.context) == 368, "as in rdma-core 65");

static inline struct ff_verbs_context *ff_verbs_context_of(struct ibv_context *context)
{
	return (struct ff_verbs_context *)((char *)context - offsetof(struct ff_verbs_context, v.context));
}

struct ff_qp_ex {
	struct ibv_qp_ex v;
	void (*wr_flush)(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr, size_t len, uint8_t type,
			 uint8_t level);
};
static_assert(offsetof(struct ff_qp_ex, v.wr_atomic_write) == 344, "as in rdma-core 65");
static_assert(sizeof(struct ff_qp_ex) == 360, "as in rdma-core 65");

struct ff_port_attr {
	struct ibv_port_attr v;
	uint32_t active_speed_ex;
};
static_assert(offsetof(struct ff_port_attr, v.port_cap_flags2) == 48, "as in rdma-core 65");
static_assert(offsetof(struct ff_port_attr, active_speed_ex) == 52, "as in rdma-core 65");
static_assert(sizeof(struct ff_port_attr) == 56, "as in rdma-core 65");

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
