/* ibv_wr_start ... ibv_wr_complete: each operation, batches, aborting, errors; SQD and its event; thread and parent
 * domains; what extended creation refuses. */
#include "verbs_test.h"

enum { LENGTH = 256, EVERY_RC = 0x7f }; /* IBV_QP_EX_WITH_x of the seven operations that RC has without memory windows */

static struct ibv_qp *make_extended(struct end *end, uint64_t operations, struct ibv_pd *pd, int type)
{
	struct ibv_qp_init_attr_ex attr = {
		.send_cq = end->send_cq, .recv_cq = end->recv_cq, .qp_type = (enum ibv_qp_type)type, .pd = pd,
		.cap = {.max_send_wr = 16, .max_recv_wr = 16, .max_send_sge = 4, .max_recv_sge = 4, .max_inline_data = LENGTH},
		.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS, .send_ops_flags = operations};

	return ibv_create_qp_ex(end->context, &attr);
}

/* a posts by its ibv_qp_ex, which is returned. */
static struct ibv_qp_ex *open_wr_pair(struct end *a, struct end *b, uint64_t operations)
{
	struct wish wish = {0};
	struct address of_a, of_b;

	open_end(a, &wish);
	open_end(b, &wish);
	CHECK(!ibv_qp_to_qp_ex(a->qp), "a QP without send operations has them");
	CHECK_EQ(ibv_destroy_qp(a->qp), 0);
	a->qp = make_extended(a, operations, a->pd, IBV_QPT_RC);
	CHECK(a->qp, "ibv_create_qp_ex: %s", strerror(errno));
	of_a = address_of(a), of_b = address_of(b);
	connect_to(a, &of_b, &wish);
	connect_to(b, &of_a, &wish);
	fill(a->buffer, 4 * LENGTH, 1);
	return ibv_qp_to_qp_ex(a->qp);
}

static void name(struct ibv_qp_ex *qp, uint64_t wr_id, unsigned flags)
{
	qp->wr_id = wr_id;
	qp->wr_flags = flags;
}

static void every_operation(const void *row)
{
	struct end a, b;
	struct ibv_qp_ex *qp = open_wr_pair(&a, &b, EVERY_RC);
	uint64_t at = (uintptr_t)b.buffer, *word = (uint64_t *)(b.buffer + 8192), *old = (uint64_t *)(a.buffer + 8192);
	uint32_t rkey = b.mr->rkey, lkey = a.mr->lkey;
	struct ibv_data_buf pieces[] = {{a.buffer, 100}, {a.buffer + 100, LENGTH - 100}};
	struct ibv_sge sges[] = {part(&a, 0, 60), part(&a, 60, LENGTH - 60)};
	struct ibv_wc wc;

	(void)row;
	*word = 40;
	for (int i = 0; i < 3; i++)
		post_recv(&b, (uint64_t)(100 + i), 4096 + (size_t)i * LENGTH, LENGTH);
	ibv_wr_start(qp);
	name(qp, 1, IBV_SEND_SIGNALED), ibv_wr_rdma_write(qp, rkey, at), ibv_wr_set_sge(qp, lkey, (uintptr_t)a.buffer, LENGTH);
	name(qp, 2, IBV_SEND_SIGNALED), ibv_wr_rdma_write_imm(qp, rkey, at + LENGTH, htobe32(7)), ibv_wr_set_sge_list(qp, 2, sges);
	name(qp, 3, IBV_SEND_SIGNALED), ibv_wr_send(qp), ibv_wr_set_inline_data(qp, a.buffer, LENGTH);
	name(qp, 4, IBV_SEND_SIGNALED), ibv_wr_send_imm(qp, htobe32(9)), ibv_wr_set_inline_data_list(qp, 2, pieces);
	name(qp, 5, IBV_SEND_SIGNALED), ibv_wr_atomic_fetch_add(qp, rkey, (uintptr_t)word, 2), ibv_wr_set_sge(qp, lkey, (uintptr_t)old, 8);
	name(qp, 6, IBV_SEND_SIGNALED), ibv_wr_atomic_cmp_swp(qp, rkey, (uintptr_t)word, 42, 99), ibv_wr_set_sge(qp, lkey, (uintptr_t)(old + 1), 8);
	name(qp, 7, IBV_SEND_SIGNALED), ibv_wr_rdma_read(qp, rkey, at), ibv_wr_set_sge(qp, lkey, (uintptr_t)a.buffer + 16384, LENGTH);
	CHECK_EQ(ibv_wr_complete(qp), 0);
	for (int i = 1; i <= 7; i++)
		expect(a.send_cq, (uint64_t)i, IBV_WC_SUCCESS);
	wc = expect(b.recv_cq, 100, IBV_WC_SUCCESS);
	CHECK_EQ(be32toh(wc.imm_data), 7);
	CHECK_EQ(wc.opcode, IBV_WC_RECV_RDMA_WITH_IMM);
	expect(b.recv_cq, 101, IBV_WC_SUCCESS);
	wc = expect(b.recv_cq, 102, IBV_WC_SUCCESS);
	CHECK_EQ(be32toh(wc.imm_data), 9);
	check_filled(b.buffer, LENGTH, 1, "written");
	check_filled(b.buffer + LENGTH, LENGTH, 1, "written with immediate");
	check_filled(b.buffer + 4096 + LENGTH, LENGTH, 1, "sent");
	check_filled(b.buffer + 4096 + 2 * LENGTH, LENGTH, 1, "sent with immediate");
	check_filled(a.buffer + 16384, LENGTH, 1, "read");
	CHECK_EQ(old[0], 40);
	CHECK_EQ(old[1], 42);
	CHECK_EQ(*word, 99);
}

static void write_one(struct ibv_qp_ex *qp, const struct end *a, const struct end *b, uint64_t wr_id)
{
	name(qp, wr_id, IBV_SEND_SIGNALED);
	ibv_wr_rdma_write(qp, b->mr->rkey, (uintptr_t)b->buffer);
	ibv_wr_set_sge(qp, a->mr->lkey, (uintptr_t)a->buffer, LENGTH);
}

static void an_aborted_batch_leaves_no_trace(const void *row)
{
	struct end a, b;
	struct ibv_qp_ex *qp = open_wr_pair(&a, &b, EVERY_RC);

	(void)row;
	for (int turn = 0; turn < 40; turn++) {
		ibv_wr_start(qp);
		for (int i = 0; i < 5; i++)
			write_one(qp, &a, &b, 1000);
		ibv_wr_abort(qp);
		ibv_wr_start(qp);
		write_one(qp, &a, &b, (uint64_t)turn);
		CHECK_EQ(ibv_wr_complete(qp), 0);
		expect(a.send_cq, (uint64_t)turn, IBV_WC_SUCCESS);
	}
	expect_nothing(a.send_cq, 20);
}

/* Nothing of a batch with an error is posted; the next batch is fine again. */
static void an_error_takes_its_batch_along(const void *row)
{
	enum { TOO_LONG, NOT_ASKED_FOR, TOO_MANY_SGES, INLINE_READ, FULL, NO_REQUEST, KINDS };
	static const int ERRORS[KINDS] = {EINVAL, EINVAL, EINVAL, EINVAL, ENOMEM, EINVAL};
	struct end a, b;
	struct ibv_qp_ex *qp = open_wr_pair(&a, &b, EVERY_RC & ~IBV_QP_EX_WITH_SEND);
	struct ibv_sge sges[9] = {0};

	(void)row;
	for (int kind = 0; kind < KINDS; kind++) {
		ibv_wr_start(qp);
		if (kind == NO_REQUEST)
			ibv_wr_set_sge(qp, 1, 1, 1);
		write_one(qp, &a, &b, 1000);
		if (kind == TOO_LONG)
			ibv_wr_set_inline_data(qp, a.buffer, 1 << 16);
		if (kind == NOT_ASKED_FOR)
			ibv_wr_send(qp);
		if (kind == TOO_MANY_SGES)
			ibv_wr_set_sge_list(qp, COUNT(sges), sges);
		if (kind == INLINE_READ)
			ibv_wr_rdma_read(qp, 1, 1), ibv_wr_set_inline_data(qp, a.buffer, 8);
		for (int i = 0; kind == FULL && i < 16; i++)
			write_one(qp, &a, &b, 1000);
		CHECK_EQ(ibv_wr_complete(qp), ERRORS[kind]);
		ibv_wr_start(qp);
		write_one(qp, &a, &b, (uint64_t)kind);
		CHECK_EQ(ibv_wr_complete(qp), 0);
		expect(a.send_cq, (uint64_t)kind, IBV_WC_SUCCESS);
	}
	CHECK_EQ(set_state(a.qp, IBV_QPS_RESET), 0);
	ibv_wr_start(qp);
	write_one(qp, &a, &b, 1);
	CHECK_EQ(ibv_wr_complete(qp), EINVAL);
}

/* ---- creation ---- */

struct wrong {
	int type;
	uint64_t operations;
	int error;
};

static void refused(const void *row)
{
	const struct wrong *wrong = row;
	struct wish wish = {0};
	struct end end;

	open_end(&end, &wish);
	errno = 0;
	CHECK(!make_extended(&end, wrong->operations, end.pd, wrong->type), "it was made");
	CHECK_EQ(errno, wrong->error);
}

/* ---- SQD ---- */

static void a_drained_queue_says_so(const void *row)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_SQD, .en_sqd_async_notify = 1};
	struct wish wish = {0};
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	post_simple(&a, 1, IBV_WR_RDMA_WRITE, 0, LENGTH, &b, 0);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	CHECK_EQ(ibv_modify_qp(a.qp, &attr, IBV_QP_STATE | IBV_QP_EN_SQD_ASYNC_NOTIFY), 0);
	CHECK_EQ(expect_async(a.context, WAIT_MS), IBV_EVENT_SQ_DRAINED);
	CHECK_EQ(state_of(a.qp), IBV_QPS_SQD);
	post_simple(&a, 2, IBV_WR_RDMA_WRITE, 0, LENGTH, &b, 0);
	expect_nothing(a.send_cq, 30);
	CHECK_EQ(set_state(a.qp, IBV_QPS_RTS), 0);
	expect(a.send_cq, 2, IBV_WC_SUCCESS);
}

/* ---- domains ---- */

static int given, taken;

static void *give(struct ibv_pd *pd, void *context, size_t size, size_t alignment, uint64_t type)
{
	void *memory;

	(void)pd, (void)type;
	CHECK(context == &given, "a wrong context");
	CHECK_EQ(posix_memalign(&memory, alignment, size), 0);
	given++;
	return memory;
}

static void take(struct ibv_pd *pd, void *context, void *memory, uint64_t type)
{
	(void)pd, (void)context, (void)type;
	free(memory);
	taken++;
}

static void domains(const void *row)
{
	struct ibv_td_init_attr thread = {0};
	struct ibv_parent_domain_init_attr attr = {.alloc = give, .free = take, .pd_context = &given,
						   .comp_mask = IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS |
								IBV_PARENT_DOMAIN_INIT_ATTR_PD_CONTEXT};
	struct wish wish = {0};
	struct ibv_pd *parent;
	struct ibv_qp *qp;
	struct end end;

	(void)row;
	open_end(&end, &wish);
	CHECK(!ibv_alloc_parent_domain(end.context, &attr) && errno == EINVAL, "over no domain at all");
	attr.pd = end.pd;
	attr.td = ibv_alloc_td(end.context, &thread);
	CHECK(attr.td, "ibv_alloc_td: %s", strerror(errno));
	parent = ibv_alloc_parent_domain(end.context, &attr);
	CHECK(parent, "ibv_alloc_parent_domain: %s", strerror(errno));
	CHECK_EQ(ibv_dealloc_td(attr.td), EBUSY);
	qp = make_extended(&end, IBV_QP_EX_WITH_SEND, parent, IBV_QPT_RC);
	CHECK(qp, "ibv_create_qp_ex: %s", strerror(errno));
	CHECK(qp->pd == parent, "a QP knows the domain it was made in");
	CHECK_EQ(given, 1);
	CHECK_EQ(ibv_dealloc_pd(parent), EBUSY);
	CHECK_EQ(ibv_destroy_qp(qp), 0);
	CHECK_EQ(taken, 1);
	attr.pd = parent;
	CHECK(!ibv_alloc_parent_domain(end.context, &attr) && errno == EINVAL, "over a parent domain");
	CHECK_EQ(ibv_dealloc_pd(parent), 0);
	CHECK_EQ(ibv_dealloc_td(attr.td), 0);
	thread.comp_mask = 1;
	CHECK(!ibv_alloc_td(end.context, &thread) && errno == EINVAL, "a mask that nobody knows");
}

static void no_options(const void *row)
{
	struct ibv_ece ece = {.vendor_id = 0x15b3, .options = 3};
	struct wish wish = {0};
	struct end end;

	(void)row;
	open_end(&end, &wish);
	CHECK_EQ(ibv_set_ece(end.qp, &ece), EOPNOTSUPP);
	CHECK_EQ(ibv_query_ece(end.qp, &ece), EOPNOTSUPP);
	CHECK_EQ(ece.options, 0);
	ece.comp_mask = 1;
	CHECK_EQ(ibv_set_ece(end.qp, &ece), EINVAL);
	CHECK_EQ(ibv_query_qp_data_in_order(end.qp, IBV_WR_RDMA_WRITE, 0), 0);
}

#define REFUSED(text, ...) {"create_qp_ex_" text, refused, &(struct wrong){__VA_ARGS__}}

int main(int argc, char **argv)
{
	const struct test TESTS[] = {
		{"every_operation", every_operation, NULL},
		{"an_aborted_batch_leaves_no_trace", an_aborted_batch_leaves_no_trace, NULL},
		{"an_error_takes_its_batch_along", an_error_takes_its_batch_along, NULL},
		{"a_drained_queue_says_so", a_drained_queue_says_so, NULL},
		{"domains", domains, NULL},
		{"connection_establishment_has_no_options", no_options, NULL},
		REFUSED("TSO", IBV_QPT_UD, IBV_QP_EX_WITH_TSO, EOPNOTSUPP),
		REFUSED("atomic_write", IBV_QPT_RC, IBV_QP_EX_WITH_ATOMIC_WRITE, EOPNOTSUPP),
		REFUSED("RDMA_over_UD", IBV_QPT_UD, IBV_QP_EX_WITH_RDMA_WRITE, EOPNOTSUPP),
		REFUSED("READ_over_UC", IBV_QPT_UC, IBV_QP_EX_WITH_RDMA_READ, EOPNOTSUPP),
	};
	return run_tests(argc, argv, TESTS, COUNT(TESTS));
}
