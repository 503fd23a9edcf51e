/* Extended completion queues: every field that can be read, both clocks, locks left out, dead completions. */
#include "verbs_test.h"

enum { LENGTH = 64, DEPTH = 16 };
#define EVERY_FIELD                                                                                                   \
	(IBV_WC_STANDARD_FLAGS | IBV_WC_EX_WITH_COMPLETION_TIMESTAMP | IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK)

/* A pair whose CQs, one a side, are extended; end->recv_cq is end->send_cq. */
static void open_extended(struct end *a, struct end *b, unsigned flags)
{
	struct wish wish = {0};
	struct end *ends[] = {a, b};

	for (int i = 0; i < 2; i++) {
		struct ibv_cq_init_attr_ex attr = {.cqe = 2 * DEPTH, .wc_flags = EVERY_FIELD, .flags = flags,
						   .comp_mask = IBV_CQ_INIT_ATTR_MASK_FLAGS};
		struct ibv_cq_ex *cq;

		open_end(ends[i], &wish);
		CHECK_EQ(ibv_destroy_qp(ends[i]->qp), 0);
		cq = ibv_create_cq_ex(ends[i]->context, &attr);
		CHECK(cq, "ibv_create_cq_ex: %s", strerror(errno));
		ends[i]->send_cq = ends[i]->recv_cq = ibv_cq_ex_to_cq(cq);
		ends[i]->qp = make_qp(ends[i], &wish);
	}
	struct address of_a = address_of(a), of_b = address_of(b);
	connect_to(a, &of_b, &wish);
	connect_to(b, &of_a, &wish);
}

static struct ibv_cq_ex *extended(struct end *end)
{
	return (struct ibv_cq_ex *)end->recv_cq;
}

static void start(struct ibv_cq_ex *cq)
{
	struct ibv_poll_cq_attr attr = {0};
	double until = now_ms() + WAIT_MS;
	int error;

	while ((error = ibv_start_poll(cq, &attr)) == ENOENT)
		CHECK(now_ms() < until, "no completion");
	CHECK_EQ(error, 0);
}

static uint64_t wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t device_ns(struct ibv_context *context)
{
	struct ibv_values_ex values = {.comp_mask = IBV_VALUES_MASK_RAW_CLOCK};

	CHECK_EQ(ibv_query_rt_values_ex(context, &values), 0);
	CHECK_EQ(values.comp_mask, IBV_VALUES_MASK_RAW_CLOCK);
	return (uint64_t)values.raw_clock.tv_sec * 1000000000 + (uint64_t)values.raw_clock.tv_nsec;
}

static void every_field(const void *row)
{
	struct end a, b;
	struct ibv_sge sge;
	struct ibv_send_wr wr;
	uint64_t wall, device, stamp;

	open_extended(&a, &b, *(const unsigned *)row);
	wall = wall_ns(), device = device_ns(a.context);
	post_recv(&b, 77, 0, LENGTH);
	sge = part(&a, 0, LENGTH / 2);
	wr = request(5, IBV_WR_SEND_WITH_IMM, &sge, 1, &b, 0);
	wr.imm_data = htobe32(0xabcd);
	post(&a, &wr);
	start(extended(&b));
	CHECK_EQ(extended(&b)->wr_id, 77);
	CHECK_EQ(extended(&b)->status, IBV_WC_SUCCESS);
	CHECK_EQ(ibv_wc_read_opcode(extended(&b)), IBV_WC_RECV);
	CHECK_EQ(ibv_wc_read_vendor_err(extended(&b)), 0);
	CHECK_EQ(ibv_wc_read_wc_flags(extended(&b)), IBV_WC_WITH_IMM);
	CHECK_EQ(ibv_wc_read_byte_len(extended(&b)), LENGTH / 2);
	CHECK_EQ(be32toh(ibv_wc_read_imm_data(extended(&b))), 0xabcd);
	CHECK_EQ(ibv_wc_read_qp_num(extended(&b)), b.qp->qp_num);
	CHECK_EQ(ibv_wc_read_slid(extended(&b)), 0);
	CHECK_EQ(ibv_wc_read_sl(extended(&b)), 0);
	CHECK_EQ(ibv_wc_read_dlid_path_bits(extended(&b)), 0);
	(void)ibv_wc_read_src_qp(extended(&b));
	stamp = ibv_wc_read_completion_ts(extended(&b));
	CHECK(stamp + 1000000 >= device && stamp <= device_ns(a.context), "stamped at %" PRIu64 ", sent at %" PRIu64, stamp, device);
	stamp = ibv_wc_read_completion_wallclock_ns(extended(&b));
	CHECK(stamp + 2000000 >= wall && stamp <= wall_ns() + 1000000, "%" PRIu64 " by the wall, sent at %" PRIu64, stamp, wall);
	CHECK_EQ(ibv_next_poll(extended(&b)), ENOENT);
	ibv_end_poll(extended(&b));
	expect(a.send_cq, 5, IBV_WC_SUCCESS); /* the plain way works on it too */
}

/* More rounds than the ring is long, in one poll that is never ended: nothing overruns. */
static void one_endless_poll(const void *row)
{
	struct end a, b;

	(void)row;
	open_extended(&a, &b, 0);
	for (int round = 0; round < 20 * DEPTH; round++) {
		post_recv(&b, (uint64_t)round, 0, LENGTH);
		post_simple(&a, 1, IBV_WR_SEND, 0, LENGTH, &b, 0);
		if (round == 0) {
			start(extended(&b));
		} else {
			double until = now_ms() + WAIT_MS;
			while (ibv_next_poll(extended(&b)) == ENOENT)
				CHECK(now_ms() < until, "round %d: no completion", round);
		}
		CHECK_EQ(extended(&b)->wr_id, round);
		expect(a.send_cq, 1, IBV_WC_SUCCESS);
	}
	ibv_end_poll(extended(&b));
	CHECK_EQ(state_of(b.qp), IBV_QPS_RTS);
}

static void a_reset_takes_completions_along(const void *row)
{
	struct ibv_poll_cq_attr attr = {0};
	struct end a, b;

	(void)row;
	open_extended(&a, &b, 0);
	for (int i = 0; i < 3; i++) {
		post_recv(&b, (uint64_t)i, 0, LENGTH);
		post_simple(&a, 1, IBV_WR_SEND, 0, LENGTH, &b, 0);
		expect(a.send_cq, 1, IBV_WC_SUCCESS);
	}
	CHECK_EQ(set_state(b.qp, IBV_QPS_RESET), 0);
	CHECK_EQ(ibv_start_poll(extended(&b), &attr), ENOENT);
	attr.comp_mask = 1;
	CHECK_EQ(ibv_start_poll(extended(&b), &attr), EINVAL);
}

/* ---- arguments ---- */

struct wrong {
	struct ibv_cq_init_attr_ex attr;
	int error;
};

static void wrong_arguments(const void *row)
{
	struct ibv_context *context = open_device();
	const struct wrong *wrong = row;
	struct ibv_cq_init_attr_ex attr = wrong->attr;
	struct ibv_pd *pd = ibv_alloc_pd(context);

	if (attr.comp_mask & IBV_CQ_INIT_ATTR_MASK_PD)
		attr.parent_domain = pd; /* a protection domain is no parent domain */
	errno = 0;
	CHECK(!ibv_create_cq_ex(context, &attr), "it was made");
	CHECK_EQ(errno, wrong->error);
}

#define WRONG(text, code, ...) {"create_cq_ex_" text, wrong_arguments, &(struct wrong){{__VA_ARGS__}, code}}

static const unsigned WITH_LOCKS = 0, WITHOUT_LOCKS = IBV_CREATE_CQ_ATTR_SINGLE_THREADED;
static const struct test TESTS[] = {
	{"every_field_can_be_read", every_field, &WITH_LOCKS},
	{"every_field_can_be_read_single_threaded", every_field, &WITHOUT_LOCKS},
	{"one_endless_poll", one_endless_poll, NULL},
	{"a_reset_takes_completions_along", a_reset_takes_completions_along, NULL},
	WRONG("no_entries", EINVAL, .cqe = 0),
	WRONG("too_many_entries", EINVAL, .cqe = 1u << 31),
	WRONG("no_such_vector", EINVAL, .cqe = 1, .comp_vector = 1),
	WRONG("unknown_mask", EINVAL, .cqe = 1, .comp_mask = 1u << 20),
	WRONG("no_parent_domain", EINVAL, .cqe = 1, .comp_mask = IBV_CQ_INIT_ATTR_MASK_PD),
	WRONG("VLAN_tags", EOPNOTSUPP, .cqe = 1, .wc_flags = IBV_WC_EX_WITH_CVLAN),
	WRONG("flow_tags", EOPNOTSUPP, .cqe = 1, .wc_flags = IBV_WC_EX_WITH_FLOW_TAG),
	WRONG("tag_matching", EOPNOTSUPP, .cqe = 1, .wc_flags = IBV_WC_EX_WITH_TM_INFO),
	WRONG("overruns_ignored", EOPNOTSUPP, .cqe = 1, .comp_mask = IBV_CQ_INIT_ATTR_MASK_FLAGS,
	      .flags = IBV_CREATE_CQ_ATTR_IGNORE_OVERRUN),
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, TESTS, COUNT(TESTS));
}
