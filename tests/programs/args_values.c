/* Wrong values of everything but memory (args_memory.c). */
#include "args_rows.h"

#include <fcntl.h>

static struct ibv_srq *srq;

/* ---- completion queues ---- */

static struct ibv_cq *a_cq(int cqe, struct ibv_comp_channel *channel, int vector)
{
	return ibv_create_cq(e.context, cqe, NULL, channel, vector);
}
ROW(cq_empty, "no entries", EINVAL, POINTER, a_cq(0, NULL, 0))
ROW(cq_negative, "a negative size", EINVAL, POINTER, a_cq(-1, NULL, 0))
ROW(cq_large, "more entries than there can be", EINVAL, POINTER, a_cq(limit.max_cqe + 1, NULL, 0))
ROW(cq_vector, "a vector too high", EINVAL, POINTER, a_cq(8, NULL, e.context->num_comp_vectors))
ROW(cq_vector_low, "a negative vector", EINVAL, POINTER, a_cq(8, NULL, -1))
ROW(cq_channel, "another context's channel", EINVAL, POINTER, a_cq(8, other.channel, 0))
ROW(cq_right, "right", 0, POINTER, a_cq(8, e.channel, 0))

ROW(resize_empty, "no entries", EINVAL, NUMBER, ibv_resize_cq(e.send_cq, 0))
ROW(resize_negative, "a negative size", EINVAL, NUMBER, ibv_resize_cq(e.send_cq, -5))
ROW(resize_large, "more than there can be", EINVAL, NUMBER, ibv_resize_cq(e.send_cq, limit.max_cqe + 1))
ROW(resize_right, "right", 0, NUMBER, ibv_resize_cq(e.send_cq, 200))

static struct ibv_cq_ex *a_cq_ex(uint32_t cqe, uint64_t wc_flags, uint32_t comp_mask, uint32_t flags)
{
	struct ibv_cq_init_attr_ex attr = {.cqe = cqe, .wc_flags = wc_flags, .comp_mask = comp_mask, .flags = flags};
	return ibv_create_cq_ex(e.context, &attr);
}
ROW(cq_ex_empty, "no entries", EINVAL, POINTER, a_cq_ex(0, 0, 0, 0))
ROW(cq_ex_mask, "an unknown comp_mask", EINVAL, POINTER, a_cq_ex(8, 0, 1 << 20, 0))
ROW(cq_ex_wc, "a wc_flag that the device has not", EOPNOTSUPP, POINTER, a_cq_ex(8, IBV_WC_EX_WITH_CVLAN, 0, 0))
ROW(cq_ex_flags, "a flag that the device has not", EOPNOTSUPP, POINTER,
    a_cq_ex(8, 0, IBV_CQ_INIT_ATTR_MASK_FLAGS, IBV_CREATE_CQ_ATTR_IGNORE_OVERRUN))
ROW(cq_ex_pd, "no parent domain where one is named", EINVAL, POINTER, a_cq_ex(8, 0, IBV_CQ_INIT_ATTR_MASK_PD, 0))
ROW(cq_ex_right, "right", 0, POINTER, a_cq_ex(8, IBV_WC_STANDARD_FLAGS, 0, 0))

/* ---- queue pairs ---- */

static struct ibv_qp_init_attr usual_qp(void)
{
	return (struct ibv_qp_init_attr){.qp_type = IBV_QPT_RC, .send_cq = e.send_cq, .recv_cq = e.recv_cq,
					 .cap = {.max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1}};
}
#define QP_ROW(function, what_, error_, change) \
	static int function(void) \
	{ \
		struct ibv_qp_init_attr attr = usual_qp(); \
		change; \
		return POINTER(ibv_create_qp(e.pd, &attr)); \
	} \
	static const struct row row_##function = {what_, function, error_};
QP_ROW(qp_type_0, "type 0", EINVAL, attr.qp_type = 0)
QP_ROW(qp_type_99, "an unknown type", EINVAL, attr.qp_type = 99)
QP_ROW(qp_raw, "raw packets, which no RoCE device of ours has", EOPNOTSUPP, attr.qp_type = IBV_QPT_RAW_PACKET)
QP_ROW(qp_driver, "a driver's own type", EOPNOTSUPP, attr.qp_type = IBV_QPT_DRIVER)
QP_ROW(qp_send_wr, "too many send WQEs", EINVAL, attr.cap.max_send_wr = limit.max_qp_wr + 1)
QP_ROW(qp_recv_wr, "too many receive WQEs", EINVAL, attr.cap.max_recv_wr = limit.max_qp_wr + 1)
QP_ROW(qp_send_sge, "too many SGEs", EINVAL, attr.cap.max_send_sge = limit.max_sge + 1)
QP_ROW(qp_recv_sge, "too many receive SGEs", EINVAL, attr.cap.max_recv_sge = limit.max_sge + 1)
QP_ROW(qp_inline, "too much inline data", EINVAL, attr.cap.max_inline_data = 1 << 20)
QP_ROW(qp_everything, "4 thousand million of all", EINVAL, memset(&attr.cap, 0xff, sizeof(attr.cap)))
QP_ROW(qp_no_send_cq, "no send CQ", EINVAL, attr.send_cq = NULL)
QP_ROW(qp_no_recv_cq, "no receive CQ", EINVAL, attr.recv_cq = NULL)
QP_ROW(qp_other_cq, "another context's CQ", EINVAL, attr.send_cq = other.send_cq)
QP_ROW(qp_other_recv_cq, "another context's receive CQ", EINVAL, attr.recv_cq = other.recv_cq)
QP_ROW(qp_right, "right", 0, (void)0)

#define QP_EX_ROW(function, what_, error_, change) \
	static int function(void) \
	{ \
		struct ibv_qp_init_attr plain = usual_qp(); \
		struct ibv_qp_init_attr_ex attr = {.qp_type = plain.qp_type, .send_cq = plain.send_cq, \
						   .recv_cq = plain.recv_cq, .cap = plain.cap, .pd = e.pd, \
						   .comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS, \
						   .send_ops_flags = IBV_QP_EX_WITH_SEND}; \
		change; \
		return POINTER(ibv_create_qp_ex(e.context, &attr)); \
	} \
	static const struct row row_##function = {what_, function, error_};
QP_EX_ROW(qp_ex_no_pd, "no PD", EINVAL, attr.comp_mask &= ~IBV_QP_INIT_ATTR_PD)
QP_EX_ROW(qp_ex_mask, "a comp_mask that the device has not", EOPNOTSUPP, attr.comp_mask |= IBV_QP_INIT_ATTR_RX_HASH)
QP_EX_ROW(qp_ex_flags, "create_flags that the device has not", EOPNOTSUPP,
	  (attr.comp_mask |= IBV_QP_INIT_ATTR_CREATE_FLAGS, attr.create_flags = IBV_QP_CREATE_SCATTER_FCS))
QP_EX_ROW(qp_ex_ops, "operations that the transport has not", EOPNOTSUPP,
	  (attr.qp_type = IBV_QPT_UD, attr.send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE))
QP_EX_ROW(qp_ex_right, "right", 0, (void)0)

static int modified(struct ibv_qp *qp, int mask, struct ibv_qp_attr attr) { return ibv_modify_qp(qp, &attr, mask); }
ROW(modify_mask, "an unknown attribute", EINVAL, NUMBER, modified(e.qp, IBV_QP_STATE | 1 << 30, (struct ibv_qp_attr){0}))
ROW(modify_state, "an unknown state", EINVAL, NUMBER, modified(e.qp, IBV_QP_STATE, (struct ibv_qp_attr){.qp_state = 77}))
ROW(modify_too_far, "RESET to RTS", EINVAL, NUMBER,
    modified(e.qp, IBV_QP_STATE, (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS}))
ROW(modify_port, "port 2", EINVAL, NUMBER,
    modified(e.qp, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS,
	     (struct ibv_qp_attr){.qp_state = IBV_QPS_INIT, .port_num = 2}))
ROW(modify_pkey, "a P_Key beyond the table", EINVAL, NUMBER,
    modified(e.qp, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS,
	     (struct ibv_qp_attr){.qp_state = IBV_QPS_INIT, .port_num = 1, .pkey_index = 1}))
ROW(modify_right, "right", 0, NUMBER,
    modified(e.qp, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS,
	     (struct ibv_qp_attr){.qp_state = IBV_QPS_INIT, .port_num = 1}))

static int posted(struct ibv_qp *qp, int opcode, int num_sge, unsigned flags)
{
	struct ibv_sge sge[32] = {{(uintptr_t)e.buffer, 8, e.mr->lkey}};
	struct ibv_send_wr wr = {.opcode = opcode, .sg_list = sge, .num_sge = num_sge, .send_flags = flags}, *bad = NULL;
	int error = ibv_post_send(qp, &wr, &bad);

	return error && bad != &wr ? -2 : error; /* whoever fails is named */
}
ROW(send_in_init, "a QP that may not send yet", EINVAL, NUMBER, posted(e.qp, IBV_WR_SEND, 1, 0))
ROW(send_opcode, "an unknown opcode", EINVAL, NUMBER, posted(other.qp, 99, 1, 0))
ROW(send_negative, "a negative number of SGEs", EINVAL, NUMBER, posted(other.qp, IBV_WR_SEND, -1, 0))
ROW(send_sges, "more SGEs than the QP was made for", EINVAL, NUMBER, posted(other.qp, IBV_WR_SEND, 5, 0))
ROW(send_inline, "inline data in a QP without", EINVAL, NUMBER, posted(other.qp, IBV_WR_SEND, 1, IBV_SEND_INLINE))

static int received(struct ibv_qp *qp, int num_sge)
{
	struct ibv_sge sge[32] = {{(uintptr_t)e.buffer, 8, e.mr->lkey}};
	struct ibv_recv_wr wr = {.sg_list = sge, .num_sge = num_sge}, *bad = NULL;
	int error = ibv_post_recv(qp, &wr, &bad);

	return error && bad != &wr ? -2 : error;
}
ROW(recv_in_reset, "a QP that was not set up", EINVAL, NUMBER, received(ud, 1))
ROW(recv_sges, "more SGEs than the QP was made for", EINVAL, NUMBER, received(e.qp, 5))
ROW(recv_negative, "a negative number of SGEs", EINVAL, NUMBER, received(e.qp, -1))
ROW(recv_right, "right", 0, NUMBER, received(e.qp, 1))

/* ---- shared receive queues, XRC ---- */

static struct ibv_srq *a_srq(uint32_t max_wr, uint32_t max_sge)
{
	struct ibv_srq_init_attr attr = {.attr = {.max_wr = max_wr, .max_sge = max_sge}};
	return ibv_create_srq(e.pd, &attr);
}
static int srq_modified(uint32_t max_wr, uint32_t srq_limit, int mask)
{
	struct ibv_srq_attr attr = {.max_wr = max_wr, .srq_limit = srq_limit};
	return ibv_modify_srq(srq, &attr, mask);
}
static struct ibv_srq *an_xrc_srq(uint32_t comp_mask)
{
	struct ibv_srq_init_attr_ex attr = {.attr = {.max_wr = 8, .max_sge = 1}, .comp_mask = comp_mask,
					    .srq_type = IBV_SRQT_XRC, .pd = e.pd, .cq = e.recv_cq};
	return ibv_create_srq_ex(e.context, &attr);
}
ROW(srq_empty, "no WQEs", EINVAL, POINTER, a_srq(0, 1))
ROW(srq_wr, "too many WQEs", EINVAL, POINTER, a_srq(limit.max_srq_wr + 1, 1))
ROW(srq_sge, "too many SGEs", EINVAL, POINTER, a_srq(8, limit.max_srq_sge + 1))
ROW(srq_ex_no_xrcd, "XRC without a domain", EINVAL, POINTER,
    an_xrc_srq(IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_PD | IBV_SRQ_INIT_ATTR_CQ))
ROW(srq_ex_tags, "tag matching, which the device has not", EOPNOTSUPP, POINTER,
    an_xrc_srq(IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_PD | IBV_SRQ_INIT_ATTR_TM))
ROW(srq_right, "right", 0, POINTER, srq = a_srq(8, 1))
ROW(srq_limit, "a limit above the size", EINVAL, NUMBER, srq_modified(0, 1 << 20, IBV_SRQ_LIMIT))
ROW(srq_size, "a size that cannot be", EINVAL, NUMBER, srq_modified(limit.max_srq_wr + 1, 0, IBV_SRQ_MAX_WR))
ROW(srq_mask, "an unknown attribute", EINVAL, NUMBER, srq_modified(8, 1, 1 << 5))
ROW(srq_modify_right, "right", 0, NUMBER, srq_modified(0, 4, IBV_SRQ_LIMIT))

static struct ibv_xrcd *a_domain(int fd, int oflags, uint32_t comp_mask)
{
	struct ibv_xrcd_init_attr attr = {.comp_mask = comp_mask, .fd = fd, .oflags = oflags};
	return ibv_open_xrcd(e.context, &attr);
}
enum { WHOLE = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS };
ROW(xrcd_mask, "no comp_mask", EINVAL, POINTER, a_domain(-1, O_CREAT, 0))
ROW(xrcd_fd, "a descriptor that is none", EBADF, POINTER, a_domain(999, O_CREAT, WHOLE))
ROW(xrcd_absent, "a file's domain that nobody has created", EAGAIN, POINTER, a_domain(0, 0, WHOLE))
ROW(xrcd_right, "right", 0, POINTER, a_domain(-1, O_CREAT, WHOLE))

/* ---- the device ---- */

static struct ibv_port_attr port;
static union ibv_gid gid;
static struct ibv_gid_entry entry, entries[16];
static __be16 pkey;
ROW(port_0, "port 0", EINVAL, NUMBER, ibv_query_port(e.context, 0, &port))
ROW(port_2, "port 2", EINVAL, NUMBER, ibv_query_port(e.context, 2, &port))
ROW(gid_port, "port 2", EINVAL, NUMBER, ibv_query_gid(e.context, 2, 0, &gid))
ROW(gid_low, "GID -1", EINVAL, NUMBER, ibv_query_gid(e.context, 1, -1, &gid))
ROW(gid_high, "GID 16", EINVAL, NUMBER, ibv_query_gid(e.context, 1, 16, &gid))
ROW(gid_ex_port, "port 0", EINVAL, NUMBER, ibv_query_gid_ex(e.context, 0, 0, &entry, 0))
ROW(gid_ex_flags, "unknown flags", EINVAL, NUMBER, ibv_query_gid_ex(e.context, 1, 0, &entry, 8))
ROW(gid_ex_empty, "an unused entry", ENODATA, NUMBER, ibv_query_gid_ex(e.context, 1, 15, &entry, 0))
ROW(gid_table_small, "a buffer without room", EINVAL, NUMBER, -ibv_query_gid_table(e.context, entries, 0, 0))
ROW(gid_table_flags, "unknown flags", EINVAL, NUMBER, -ibv_query_gid_table(e.context, entries, 16, 4))
ROW(pkey_port, "port 3", EINVAL, NUMBER, ibv_query_pkey(e.context, 3, 0, &pkey))
ROW(pkey_high, "P_Key 1", EINVAL, NUMBER, ibv_query_pkey(e.context, 1, 1, &pkey))
ROW(pkey_low, "P_Key -1", EINVAL, NUMBER, ibv_query_pkey(e.context, 1, -1, &pkey))
ROW(pkey_unknown, "a P_Key that is not there", EINVAL, NUMBER, ibv_get_pkey_index(e.context, 1, 0x1234))
static int extended(uint32_t comp_mask)
{
	struct ibv_query_device_ex_input input = {.comp_mask = comp_mask};
	struct ibv_device_attr_ex attr;
	return ibv_query_device_ex(e.context, &input, &attr);
}
ROW(device_mask, "an unknown comp_mask", EINVAL, NUMBER, extended(1))
ROW(device_right, "right", 0, NUMBER, extended(0))

static int a_thread_domain(uint32_t comp_mask)
{
	struct ibv_td_init_attr attr = {.comp_mask = comp_mask};
	return POINTER(ibv_alloc_td(e.context, &attr));
}
static int a_parent_domain(struct ibv_pd *pd, uint32_t comp_mask)
{
	struct ibv_parent_domain_init_attr attr = {.pd = pd, .comp_mask = comp_mask};
	return POINTER(ibv_alloc_parent_domain(e.context, &attr));
}
ROW(td_mask, "an unknown comp_mask", EINVAL, NUMBER, a_thread_domain(2))
ROW(parent_no_pd, "no PD", EINVAL, NUMBER, a_parent_domain(NULL, 0))
ROW(parent_mask, "an unknown comp_mask", EOPNOTSUPP, NUMBER, a_parent_domain(e.pd, 1 << 9))
ROW(parent_no_functions, "allocators that are none", EINVAL, NUMBER,
    a_parent_domain(e.pd, IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS))

/* ---- memory, groups ---- */

static struct ibv_mr *memory(void *at, size_t length, int access) { return ibv_reg_mr(e.pd, at, length, access); }
ROW(mr_remote_write, "a peer may write and the owner may not", EINVAL, POINTER,
    memory(e.buffer, 4096, IBV_ACCESS_REMOTE_WRITE))
ROW(mr_remote_atomic, "the same for atomics", EINVAL, POINTER, memory(e.buffer, 4096, IBV_ACCESS_REMOTE_ATOMIC))
ROW(mr_wraps, "past the end of all addresses", EINVAL, POINTER, memory(e.buffer, (size_t)-1, IBV_ACCESS_LOCAL_WRITE))
ROW(mr_right, "right", 0, POINTER, memory(e.buffer, 4096, IBV_ACCESS_LOCAL_WRITE))

static const union ibv_gid group = {.raw = {0xff, 0x0e, [15] = 1}}, no_group = {.raw = {0xfd, [15] = 1}};
ROW(mcast_rc, "an RC QP", EINVAL, NUMBER, ibv_attach_mcast(e.qp, &group, 0))
ROW(mcast_gid, "a GID that is no group's", EINVAL, NUMBER, ibv_attach_mcast(ud, &no_group, 0))
ROW(mcast_absent, "leaving what was not joined", EINVAL, NUMBER, ibv_detach_mcast(ud, &group, 0))
ROW(mcast_right, "right", 0, NUMBER, ibv_attach_mcast(ud, &group, 0))

/* ---- what cannot be here ---- */

static int a_flow(void)
{
	struct ibv_flow_attr attr = {.size = sizeof(attr), .port = 1};
	return POINTER(ibv_create_flow(ud, &attr));
}
static int a_work_queue(void)
{
	struct ibv_wq_init_attr attr = {.wq_type = IBV_WQT_RQ, .max_wr = 4, .max_sge = 1, .pd = e.pd, .cq = e.recv_cq};
	return POINTER(ibv_create_wq(e.context, &attr));
}
static int a_table(void)
{
	struct ibv_rwq_ind_table_init_attr attr = {0};
	return POINTER(ibv_create_rwq_ind_table(e.context, &attr));
}
static int counters(void)
{
	struct ibv_counters_init_attr attr = {0};
	return POINTER(ibv_create_counters(e.context, &attr));
}
ROW(absent_flow, "flow steering", EOPNOTSUPP, NUMBER, a_flow())
ROW(absent_wq, "work queues", EOPNOTSUPP, NUMBER, a_work_queue())
ROW(absent_table, "indirection tables", EOPNOTSUPP, NUMBER, a_table())
ROW(absent_counters, "counters", EOPNOTSUPP, NUMBER, counters())

/* ---- all of them ---- */

TABLE(create_cq, &row_cq_empty, &row_cq_negative, &row_cq_large, &row_cq_vector, &row_cq_vector_low, &row_cq_channel,
      &row_cq_right);
TABLE(resize_cq, &row_resize_empty, &row_resize_negative, &row_resize_large, &row_resize_right);
TABLE(create_cq_ex, &row_cq_ex_empty, &row_cq_ex_mask, &row_cq_ex_wc, &row_cq_ex_flags, &row_cq_ex_pd, &row_cq_ex_right);
TABLE(create_qp, &row_qp_type_0, &row_qp_type_99, &row_qp_raw, &row_qp_driver, &row_qp_send_wr, &row_qp_recv_wr,
      &row_qp_send_sge, &row_qp_recv_sge, &row_qp_inline, &row_qp_everything, &row_qp_no_send_cq, &row_qp_no_recv_cq,
      &row_qp_other_cq, &row_qp_other_recv_cq, &row_qp_right);
TABLE(create_qp_ex, &row_qp_ex_no_pd, &row_qp_ex_mask, &row_qp_ex_flags, &row_qp_ex_ops, &row_qp_ex_right);
TABLE(modify_qp, &row_modify_mask, &row_modify_state, &row_modify_too_far, &row_modify_port, &row_modify_pkey,
      &row_modify_right);
TABLE(posts, &row_modify_right, &row_send_in_init, &row_send_opcode, &row_send_negative, &row_send_sges, &row_send_inline,
      &row_recv_in_reset, &row_recv_sges, &row_recv_negative, &row_recv_right);
TABLE(srqs, &row_srq_empty, &row_srq_wr, &row_srq_sge, &row_srq_ex_no_xrcd, &row_srq_ex_tags, &row_srq_right,
      &row_srq_limit, &row_srq_size, &row_srq_mask, &row_srq_modify_right);
TABLE(open_xrcd, &row_xrcd_mask, &row_xrcd_fd, &row_xrcd_absent, &row_xrcd_right);
TABLE(query, &row_port_0, &row_port_2, &row_gid_port, &row_gid_low, &row_gid_high, &row_gid_ex_port, &row_gid_ex_flags,
      &row_gid_ex_empty, &row_gid_table_small, &row_gid_table_flags, &row_pkey_port, &row_pkey_high, &row_pkey_low,
      &row_pkey_unknown, &row_device_mask, &row_device_right);
TABLE(domains, &row_td_mask, &row_parent_no_pd, &row_parent_mask, &row_parent_no_functions);
TABLE(reg_mr, &row_mr_remote_write, &row_mr_remote_atomic, &row_mr_wraps, &row_mr_right);
TABLE(mcast, &row_mcast_rc, &row_mcast_gid, &row_mcast_absent, &row_mcast_right);
TABLE(absent, &row_absent_flow, &row_absent_wq, &row_absent_table, &row_absent_counters);

static const struct test tests[] = {
	{"create_cq", all_rows, create_cq},   {"resize_cq", all_rows, resize_cq}, {"create_cq_ex", all_rows, create_cq_ex},
	{"create_qp", all_rows, create_qp},   {"create_qp_ex", all_rows, create_qp_ex}, {"modify_qp", all_rows, modify_qp},
	{"post", all_rows, posts},	      {"srq", all_rows, srqs},		  {"open_xrcd", all_rows, open_xrcd},
	{"query", all_rows, query},	      {"domains", all_rows, domains},	  {"reg_mr", all_rows, reg_mr},
	{"mcast", all_rows, mcast},	      {"absent", all_rows, absent},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
