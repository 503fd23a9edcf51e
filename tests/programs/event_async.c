/* Asynchronous events: each that can arise, the object that it names, and what acknowledging is for. */
#include "qp_steps.h"

#include <fcntl.h>
#include <pthread.h>

static const struct wish usual = {0};

static struct ibv_async_event take(struct ibv_context *context, int type)
{
	struct pollfd wait = {.fd = context->async_fd, .events = POLLIN};
	struct ibv_async_event event;

	CHECK(poll(&wait, 1, 3000) == 1, "no event %d within 3 s", type);
	CHECK_EQ(ibv_get_async_event(context, &event), 0);
	CHECK_EQ(event.event_type, type);
	return event;
}

static void none(struct ibv_context *context)
{
	struct pollfd wait = {.fd = context->async_fd, .events = POLLIN};

	CHECK(poll(&wait, 1, 30) == 0, "an event that is none");
}

/* The peer goes to RTS and sends while this side is still in RTR: it hears of that, once. */
static void established(const void *row)
{
	const int *opcode = row;
	struct ibv_async_event event;
	struct address address;
	struct end a, b;

	open_end(&a, &usual);
	open_end(&b, &usual);
	address = address_of(&b);
	connect_to(&a, &address, &usual);
	address = address_of(&a);
	to_init(&b, &usual);
	to_rtr(&b, &address, &usual);
	for (int n = 0; n < 3; n++) {
		post_recv(&b, 10, 0, 64);
		post_simple(&a, 1, *opcode, 0, 64, *opcode == IBV_WR_SEND ? NULL : &b, 0);
		expect(a.send_cq, 1, IBV_WC_SUCCESS);
		if (n == 0) {
			event = take(b.context, IBV_EVENT_COMM_EST);
			CHECK(event.element.qp == b.qp, "it names another QP");
			ibv_ack_async_event(&event);
		}
	}
	none(b.context);
	none(a.context);
	to_rts(&b, &usual);
	post_recv(&b, 10, 0, 64);
	post_simple(&a, 2, *opcode, 0, 64, *opcode == IBV_WR_SEND ? NULL : &b, 0);
	expect(a.send_cq, 2, IBV_WC_SUCCESS);
	none(b.context);
}
static const int with_send = IBV_WR_SEND, with_write = IBV_WR_RDMA_WRITE;

static void not_when_both_are_ready(const void *row)
{
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &usual);
	post_recv(&b, 1, 0, 64);
	post_simple(&a, 2, IBV_WR_SEND, 0, 64, NULL, 0);
	expect(a.send_cq, 2, IBV_WC_SUCCESS);
	none(a.context);
	none(b.context);
}

static void drained(const void *row)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_SQD, .en_sqd_async_notify = 1};
	struct ibv_async_event event;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &usual);
	CHECK_EQ(ibv_modify_qp(a.qp, &attr, IBV_QP_STATE | IBV_QP_EN_SQD_ASYNC_NOTIFY), 0);
	event = take(a.context, IBV_EVENT_SQ_DRAINED);
	CHECK(event.element.qp == a.qp, "it names another QP");
	ibv_ack_async_event(&event);
	attr.qp_state = IBV_QPS_RTS;
	CHECK_EQ(ibv_modify_qp(a.qp, &attr, IBV_QP_STATE), 0);
	attr.qp_state = IBV_QPS_SQD;
	CHECK_EQ(ibv_modify_qp(a.qp, &attr, IBV_QP_STATE), 0);
	none(a.context);
}

/* A CQ that overruns takes its QPs along: CQ_ERR names it, QP_FATAL the QP. */
static void overrun(const void *row)
{
	static const struct wish small = {.cqe = 4, .send_wr = 64};
	int told_cq = 0, told_qp = 0;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &small);
	for (uint64_t n = 0; n < 40; n++)
		post_simple(&a, n, IBV_WR_RDMA_WRITE, 0, 8, &b, 0);
	for (int n = 0; n < 2; n++) {
		struct pollfd wait = {.fd = a.context->async_fd, .events = POLLIN};
		struct ibv_async_event event;

		CHECK(poll(&wait, 1, 3000) == 1, "event %d of two", n + 1);
		CHECK_EQ(ibv_get_async_event(a.context, &event), 0);
		told_cq += event.event_type == IBV_EVENT_CQ_ERR && event.element.cq == a.send_cq;
		told_qp += event.event_type == IBV_EVENT_QP_FATAL && event.element.qp == a.qp;
		ibv_ack_async_event(&event);
	}
	CHECK_EQ(told_cq, 1);
	CHECK_EQ(told_qp, 1);
	CHECK_EQ(state_of(a.qp), IBV_QPS_ERR);
}

/* ---- acknowledging ---- */

static struct ibv_async_event owed;
static struct end victim;
static double destroyed_ms;

static void *destroy(void *unused)
{
	CHECK_EQ(ibv_destroy_qp(victim.qp), 0);
	destroyed_ms = now_ms();
	return unused;
}

/* A QP goes when its events have been acknowledged, and not before (man 3 ibv_get_async_event). */
static void destroy_waits(const void *row)
{
	static const struct wish closed = {.mr_access = IBV_ACCESS_LOCAL_WRITE};
	pthread_t thread;
	double acked_ms;
	struct end a;

	(void)row;
	open_pair(&a, &victim, &closed);
	post_simple(&a, 1, IBV_WR_RDMA_WRITE, 0, 64, &victim, 0);
	expect(a.send_cq, 1, IBV_WC_REM_ACCESS_ERR);
	owed = take(victim.context, IBV_EVENT_QP_ACCESS_ERR);
	CHECK_EQ(pthread_create(&thread, NULL, destroy, NULL), 0);
	usleep(100000);
	CHECK(destroyed_ms == 0, "it did not wait");
	acked_ms = now_ms();
	ibv_ack_async_event(&owed);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK(destroyed_ms >= acked_ms, "it went before the acknowledgement");
}

/* Events that nobody took do not keep a QP, and are not handed out once it is gone. */
static void not_for_the_dead(const void *row)
{
	static const struct wish closed = {.mr_access = IBV_ACCESS_LOCAL_WRITE};
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &closed);
	post_simple(&a, 1, IBV_WR_RDMA_WRITE, 0, 64, &b, 0);
	expect(a.send_cq, 1, IBV_WC_REM_ACCESS_ERR);
	CHECK_EQ(ibv_destroy_qp(b.qp), 0);
	CHECK_EQ(set_state(a.qp, IBV_QPS_RESET), 0);
	{
		int flags = fcntl(b.context->async_fd, F_GETFL);
		struct ibv_async_event event;

		CHECK_EQ(fcntl(b.context->async_fd, F_SETFL, flags | O_NONBLOCK), 0);
		errno = 0;
		CHECK_EQ(ibv_get_async_event(b.context, &event), -1);
		CHECK_EQ(errno, EAGAIN);
	}
}

/* ---- a program that does not read ---- */

enum { MANY = 600 }; /* more than a socket takes */

static struct ibv_srq *srq_at_its_limit(struct ibv_pd *pd)
{
	struct ibv_srq_init_attr init = {.attr = {.max_wr = 1, .max_sge = 1}};
	struct ibv_srq_attr limit = {.srq_limit = 1};
	struct ibv_srq *srq = ibv_create_srq(pd, &init);

	CHECK(srq, "ibv_create_srq: %s", strerror(errno));
	CHECK_EQ(ibv_modify_srq(srq, &limit, IBV_SRQ_LIMIT), 0); /* nothing is posted: it is reached at once */
	return srq;
}

static struct ibv_srq *next_limit(struct ibv_context *context)
{
	struct pollfd wait = {.fd = context->async_fd, .events = POLLIN};
	struct ibv_async_event event;

	if (poll(&wait, 1, 500) != 1)
		return NULL;
	CHECK_EQ(ibv_get_async_event(context, &event), 0);
	CHECK_EQ(event.event_type, IBV_EVENT_SRQ_LIMIT_REACHED);
	ibv_ack_async_event(&event);
	return event.element.srq;
}

/* All come, in their order; what waits already comes once; what is destroyed meanwhile does not come. */
static void unread(const void *row)
{
	struct ibv_srq_attr limit = {.srq_limit = 1};
	struct ibv_srq *srq[MANY];
	struct ibv_context *context = open_device();
	struct ibv_pd *pd = ibv_alloc_pd(context);

	(void)row;
	for (int n = 0; n < MANY; n++)
		srq[n] = srq_at_its_limit(pd);
	for (int n = 0; n < 3; n++)
		CHECK_EQ(ibv_modify_srq(srq[MANY - 1], &limit, IBV_SRQ_LIMIT), 0);
	CHECK_EQ(ibv_destroy_srq(srq[MANY - 2]), 0);
	srq[MANY - 2] = srq_at_its_limit(pd); /* most likely by the same number: behind the others */
	for (int n = 0; n < MANY; n++) {
		int expected = n < MANY - 2 ? n : n == MANY - 2 ? MANY - 1 : MANY - 2;

		CHECK(next_limit(context) == srq[expected], "event %d", n);
	}
	CHECK(!next_limit(context), "one too many");
	CHECK_EQ(ibv_modify_srq(srq[0], &limit, IBV_SRQ_LIMIT), 0);
	CHECK(next_limit(context) == srq[0], "the next one");
}

/* Closed with events that nobody has read. */
static void unread_at_the_end(const void *row)
{
	struct ibv_context *context = open_device();
	struct ibv_pd *pd = ibv_alloc_pd(context);
	struct ibv_srq *srq;

	(void)row;
	for (int n = 0; n < MANY; n++)
		srq_at_its_limit(pd);
	CHECK_EQ(ibv_close_device(context), 0);
	context = open_device();
	CHECK(!next_limit(context), "of the context before");
	srq = srq_at_its_limit(ibv_alloc_pd(context));
	CHECK(next_limit(context) == srq, "the first of the new one");
}

static const struct test tests[] = {
	{"established_by_send", established, &with_send},
	{"established_by_write", established, &with_write},
	{"not_when_both_are_ready", not_when_both_are_ready, NULL},
	{"drained", drained, NULL},
	{"overrun", overrun, NULL},
	{"destroy_waits", destroy_waits, NULL},
	{"not_for_the_dead", not_for_the_dead, NULL},
	{"unread", unread, NULL},
	{"unread_at_the_end", unread_at_the_end, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
