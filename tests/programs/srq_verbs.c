/* Shared receive queues: the verbs themselves, their limits and their wrong arguments (man 3 ibv_create_srq and its kin). */
#include "verbs_test.h"

#include <pthread.h>

enum { LENGTH = 64 };

static struct ibv_srq *create(struct ibv_pd *pd, uint32_t max_wr, uint32_t max_sge, struct ibv_srq_attr *granted)
{
	struct ibv_srq_init_attr attr = {.attr = {.max_wr = max_wr, .max_sge = max_sge, .srq_limit = 1}, .srq_context = pd};
	struct ibv_srq *srq = ibv_create_srq(pd, &attr);

	if (granted)
		*granted = attr.attr;
	return srq;
}

static int modify(struct ibv_srq *srq, int mask, uint32_t max_wr, uint32_t limit)
{
	struct ibv_srq_attr attr = {.max_wr = max_wr, .srq_limit = limit};

	return ibv_modify_srq(srq, &attr, mask);
}

static struct ibv_srq_attr query(struct ibv_srq *srq)
{
	struct ibv_srq_attr attr;

	CHECK_EQ(ibv_query_srq(srq, &attr), 0);
	return attr;
}

/* ---- creating --------------------------------------------------------------------------------------------------------- */

static void granted(const void *row)
{
	static const uint32_t asked[][2] = {{1, 1}, {1, 0}, {100, 3}, {128, 4}, {1000, 32}};
	const struct wish wish = {0};
	struct ibv_device_attr device;
	struct ibv_srq_attr given, told;
	struct end end;

	(void)row;
	open_end(&end, &wish);
	CHECK_EQ(ibv_query_device(end.context, &device), 0);
	CHECK(device.max_srq > 0 && device.max_srq_wr >= 1024 && device.max_srq_sge >= 4, "capabilities");
	for (size_t n = 0; n < COUNT(asked); n++) {
		struct ibv_srq *srq = create(end.pd, asked[n][0], asked[n][1], &given);

		CHECK(srq, "ibv_create_srq: %s", strerror(errno));
		CHECK(given.max_wr >= asked[n][0] && given.max_sge >= asked[n][1], "granted %u, %u", given.max_wr, given.max_sge);
		told = query(srq);
		CHECK(told.max_wr == given.max_wr && told.max_sge == given.max_sge && told.srq_limit == 0, "told otherwise");
		CHECK(srq->context == end.context && srq->pd == end.pd && srq->srq_context == end.pd, "its fields");
		CHECK_EQ(ibv_destroy_srq(srq), 0);
	}
}

static void wrong_arguments(const void *row)
{
	const struct wish wish = {.srq_wr = 16};
	struct ibv_device_attr device;
	struct ibv_srq_init_attr_ex ex = {.attr = {.max_wr = 8, .max_sge = 1}};
	struct end end;

	(void)row;
	open_end(&end, &wish);
	CHECK_EQ(ibv_query_device(end.context, &device), 0);
	errno = 0;
	CHECK(!create(end.pd, 0, 1, NULL) && errno == EINVAL, "no room at all: %s", strerror(errno));
	CHECK(!create(end.pd, (uint32_t)device.max_srq_wr + 1, 1, NULL) && errno == EINVAL, "too many: %s", strerror(errno));
	CHECK(!create(end.pd, 8, (uint32_t)device.max_srq_sge + 1, NULL) && errno == EINVAL, "too wide: %s", strerror(errno));
	CHECK(!ibv_create_srq_ex(end.context, &ex) && errno == EINVAL, "no PD: %s", strerror(errno));
	ex.comp_mask = IBV_SRQ_INIT_ATTR_PD | IBV_SRQ_INIT_ATTR_TYPE;
	ex.pd = end.pd;
	ex.srq_type = IBV_SRQT_XRC;
	CHECK(!ibv_create_srq_ex(end.context, &ex) && errno == EINVAL, "XRC without a domain: %s", strerror(errno));
	ex.srq_type = IBV_SRQT_TM;
	ex.comp_mask |= IBV_SRQ_INIT_ATTR_TM | IBV_SRQ_INIT_ATTR_CQ;
	ex.cq = end.recv_cq;
	CHECK(!ibv_create_srq_ex(end.context, &ex) && errno == EOPNOTSUPP, "tag matching: %s", strerror(errno));
	CHECK_EQ(modify(end.srq, IBV_SRQ_LIMIT, 0, 17), EINVAL);
	CHECK_EQ(modify(end.srq, IBV_SRQ_MAX_WR, 0, 0), EINVAL);
	CHECK_EQ(modify(end.srq, IBV_SRQ_MAX_WR, (uint32_t)device.max_srq_wr + 1, 0), EINVAL);
	CHECK_EQ(modify(end.srq, 4, 0, 0), EINVAL);
	CHECK_EQ(query(end.srq).max_wr, 16);
}

static void busy(const void *row)
{
	const struct wish wish = {.srq_wr = 16};
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;
	struct ibv_pd *pd;
	struct ibv_srq *srq;
	struct end end, other;

	(void)row;
	open_end(&end, &wish);
	CHECK_EQ(ibv_destroy_srq(end.srq), EBUSY);
	CHECK_EQ(ibv_query_qp(end.qp, &attr, IBV_QP_CAP, &init), 0);
	CHECK(init.srq == end.srq && end.qp->srq == end.srq, "a QP knows its SRQ");
	CHECK_EQ(init.cap.max_recv_wr, 0);
	CHECK_EQ(ibv_destroy_qp(end.qp), 0);
	pd = ibv_alloc_pd(end.context);
	srq = create(pd, 8, 1, NULL);
	CHECK(pd && srq, "an SRQ of another PD");
	CHECK_EQ(ibv_dealloc_pd(pd), EBUSY);
	CHECK_EQ(ibv_destroy_srq(end.srq), 0);
	CHECK_EQ(ibv_destroy_srq(srq), 0);
	CHECK_EQ(ibv_dealloc_pd(pd), 0);
	open_end(&other, &wish);
	init.srq = other.srq;
	init.cap.max_send_wr = 1;
	CHECK(!ibv_create_qp(end.pd, &init) && errno == EINVAL, "an SRQ of another context: %s", strerror(errno));
}

static void as_many_as_promised(const void *row)
{
	const struct wish wish = {0};
	struct ibv_device_attr device;
	struct ibv_srq *first = NULL, *srq;
	struct end end;
	int n;

	(void)row;
	open_end(&end, &wish);
	CHECK_EQ(ibv_query_device(end.context, &device), 0);
	for (n = 0; (srq = create(end.pd, 1, 1, NULL)); n++)
		first = first ? first : srq;
	CHECK_EQ(errno, ENOMEM);
	CHECK_EQ(n, device.max_srq);
	CHECK_EQ(ibv_destroy_srq(first), 0);
	CHECK(create(end.pd, 1, 1, NULL), "room for one more: %s", strerror(errno));
}

/* ---- posting ---------------------------------------------------------------------------------------------------------- */

static void posting(const void *row)
{
	const struct wish wish = {.srq_wr = 4, .sge = 2};
	struct ibv_sge sge[3];
	struct ibv_recv_wr wr[6], *bad = NULL;
	struct end end;

	(void)row;
	open_end(&end, &wish);
	for (int n = 0; n < 3; n++)
		sge[n] = part(&end, 0, 8);
	for (int n = 0; n < 6; n++)
		wr[n] = (struct ibv_recv_wr){.wr_id = (uint64_t)n, .sg_list = sge, .num_sge = 1, .next = n < 5 ? &wr[n + 1] : NULL};
	CHECK(ibv_post_recv(end.qp, wr, &bad) == EINVAL && bad == wr, "to a QP that has an SRQ");
	wr[2].num_sge = 3;
	CHECK(ibv_post_srq_recv(end.srq, wr, &bad) == EINVAL && bad == &wr[2], "three SGEs where two are granted");
	wr[2].num_sge = 0;
	CHECK(ibv_post_srq_recv(end.srq, &wr[2], &bad) == ENOMEM && bad == &wr[4], "a full one");
}

/* ---- the limit ------------------------------------------------------------------------------------------------------- */

static void send_one(struct end *a, struct end *b)
{
	post_simple(a, 1, IBV_WR_SEND, 0, LENGTH, NULL, 0);
	expect(a->send_cq, 1, IBV_WC_SUCCESS);
	CHECK_EQ(next_wc(b->recv_cq).status, IBV_WC_SUCCESS);
}

static void open_two(struct end *a, struct end *b, const struct wish *wish)
{
	const struct wish sender = {0};
	struct address of_a, of_b;

	open_end(a, &sender);
	open_end(b, wish);
	of_a = address_of(a);
	of_b = address_of(b);
	connect_to(a, &of_b, &sender);
	connect_to(b, &of_a, wish);
}

static void limit_event(const void *row)
{
	const struct wish wish = {.srq_wr = 16};
	struct ibv_async_event event;
	struct end a, b;

	(void)row;
	open_two(&a, &b, &wish);
	for (int n = 0; n < 6; n++)
		post_recv(&b, (uint64_t)n, 0, LENGTH);
	CHECK_EQ(modify(b.srq, IBV_SRQ_LIMIT, 0, 5), 0);
	CHECK_EQ(query(b.srq).srq_limit, 5);
	send_one(&a, &b);
	CHECK_EQ(expect_async(b.context, 10), -1); /* five left are not below five */
	send_one(&a, &b);
	CHECK_EQ(ibv_get_async_event(b.context, &event), 0);
	CHECK(event.event_type == IBV_EVENT_SRQ_LIMIT_REACHED && event.element.srq == b.srq, "event %d", event.event_type);
	ibv_ack_async_event(&event);
	CHECK_EQ(query(b.srq).srq_limit, 0);
	send_one(&a, &b);
	CHECK_EQ(expect_async(b.context, 10), -1); /* once */
	CHECK_EQ(modify(b.srq, IBV_SRQ_LIMIT, 0, 4), 0);
	CHECK_EQ(expect_async(b.context, 1000), IBV_EVENT_SRQ_LIMIT_REACHED); /* three are below it already */
	CHECK_EQ(modify(b.srq, IBV_SRQ_LIMIT, 0, 3), 0);
	CHECK_EQ(modify(b.srq, IBV_SRQ_LIMIT, 0, 0), 0);
	send_one(&a, &b);
	CHECK_EQ(expect_async(b.context, 10), -1); /* disarmed */
}

static void *acknowledge_later(void *event)
{
	usleep(50000);
	ibv_ack_async_event(event);
	return NULL;
}

/* ibv_destroy_srq waits until every event of the SRQ is acknowledged. */
static void destroy_awaits_acknowledgement(const void *row)
{
	const struct wish wish = {.srq_wr = 16};
	struct ibv_async_event event;
	pthread_t thread;
	struct end end;
	double started = now_ms();

	(void)row;
	open_end(&end, &wish);
	CHECK_EQ(modify(end.srq, IBV_SRQ_LIMIT, 0, 1), 0);
	CHECK_EQ(ibv_get_async_event(end.context, &event), 0);
	CHECK_EQ(event.event_type, IBV_EVENT_SRQ_LIMIT_REACHED);
	CHECK_EQ(ibv_destroy_qp(end.qp), 0);
	CHECK_EQ(pthread_create(&thread, NULL, acknowledge_later, &event), 0);
	CHECK_EQ(ibv_destroy_srq(end.srq), 0);
	CHECK(now_ms() - started > 40, "it did not wait");
	pthread_join(thread, NULL);
}

/* ---- another size ---------------------------------------------------------------------------------------------------- */

/* What was posted before is used first, in order; what is posted afterwards is not lost. */
static void resized(const void *row)
{
	static const uint32_t sizes[] = {16, 32, 8, 2, 64, 1, 1024, 4};
	const struct wish wish = {.srq_wr = 8, .cqe = 2048};
	struct end a, b;
	uint64_t next = 0, posted = 0;

	(void)row;
	open_two(&a, &b, &wish);
	for (size_t n = 0; n < COUNT(sizes); n++) {
		uint32_t size = sizes[n], before = query(b.srq).max_wr, left = size < before ? size : before;

		while (posted - next < left)
			post_recv(&b, posted++, 0, LENGTH);
		if (left > 1)
			CHECK_EQ(modify(b.srq, IBV_SRQ_MAX_WR, left - 1, 0), EINVAL);
		CHECK_EQ(modify(b.srq, IBV_SRQ_MAX_WR, size, 0), 0);
		CHECK_EQ(query(b.srq).max_wr, size);
		while (posted - next < size)
			post_recv(&b, posted++, 0, LENGTH);
		for (uint32_t sent = 0; sent < 3 * size; sent++) {
			post_simple(&a, 1, IBV_WR_SEND, 0, LENGTH, NULL, 0);
			expect(a.send_cq, 1, IBV_WC_SUCCESS);
			expect(b.recv_cq, next++, IBV_WC_SUCCESS);
			if (sent < 2 * size)
				post_recv(&b, posted++, 0, LENGTH);
		}
	}
}

static const struct test tests[] = {
	{"granted", granted, NULL},
	{"wrong_arguments", wrong_arguments, NULL},
	{"busy", busy, NULL},
	{"as_many_as_promised", as_many_as_promised, NULL},
	{"posting", posting, NULL},
	{"limit_event", limit_event, NULL},
	{"destroy_awaits_acknowledgement", destroy_awaits_acknowledgement, NULL},
	{"resized", resized, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
