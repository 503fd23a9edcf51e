/*
 * What a server with one channel for each connection needs, in one process: COUNT channels, each with a CQ and a QP that
 * is connected to itself, an event through each of them; then as many contexts.
 */
#include "verbs_test.h"

static int number(const char *name) { return getenv(name) ? atoi(getenv(name)) : 200; }

static void an_event_through_each(const void *row)
{
	const struct wish wish = {.send_wr = 1, .recv_wr = 1, .cqe = 2, .channel = 1};
	struct end first, *ends = calloc(number("COUNT"), sizeof(*ends));

	(void)row;
	open_end(&first, &wish);
	for (int i = 0; i < number("COUNT"); i++) {
		struct end *end = &ends[i];
		struct address self;

		*end = first;
		end->channel = ibv_create_comp_channel(end->context);
		CHECK(end->channel, "channel %d: %s", i, strerror(errno));
		end->send_cq = end->recv_cq = ibv_create_cq(end->context, 2, NULL, end->channel, 0);
		CHECK(end->send_cq, "CQ %d: %s", i, strerror(errno));
		end->qp = make_qp(end, &wish);
		self = address_of(end);
		connect_to(end, &self, &wish);
	}
	for (int i = 0; i < number("COUNT"); i++) {
		struct ibv_cq *cq;
		void *context;

		CHECK_EQ(ibv_req_notify_cq(ends[i].send_cq, 0), 0);
		post_simple(&ends[i], 7, IBV_WR_RDMA_WRITE, 0, 8, &ends[i], 64);
		CHECK_EQ(ibv_get_cq_event(ends[i].channel, &cq, &context), 0);
		CHECK(cq == ends[i].send_cq, "another CQ's event, of channel %d", i);
		ibv_ack_cq_events(cq, 1);
		expect(cq, 7, IBV_WC_SUCCESS);
	}
}

static void contexts(const void *row)
{
	(void)row;
	for (int i = 0; i < number("COUNT"); i++)
		open_device();
}

static const struct test tests[] = {
	{"an_event_through_each", an_event_through_each, NULL},
	{"contexts", contexts, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
