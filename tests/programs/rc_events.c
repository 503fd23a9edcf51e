/* RC: being told. Completion channels, solicited events, asynchronous events, a CQ that overruns. */
#include "verbs_test.h"

#include <fcntl.h>

static const struct wish with_channel = {.channel = 1};

static int readable(int fd, int within_ms)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	return poll(&wait, 1, within_ms) == 1 && (wait.revents & POLLIN);
}

static void take_event(struct end *end, struct ibv_cq *expected)
{
	struct ibv_cq *cq = NULL;
	void *context = NULL;

	CHECK(readable(end->channel->fd, 5000), "no event within 5 s");
	CHECK_EQ(ibv_get_cq_event(end->channel, &cq, &context), 0);
	CHECK(cq == expected, "the event is of another CQ");
	CHECK(context == end, "the event has another context");
	ibv_ack_cq_events(cq, 1);
}

static void send_one(struct end *a, struct end *b, uint64_t id, int flags)
{
	struct ibv_sge sge = part(a, 0, 64);
	struct ibv_send_wr wr = request(id, IBV_WR_SEND, &sge, 1, NULL, 0);

	wr.send_flags |= (unsigned)flags;
	post_recv(b, id, 0, 64);
	post(a, &wr);
	expect(a->send_cq, id, IBV_WC_SUCCESS);
}

/* ---- completion channels ------------------------------------------------------------------------------------------ */

/* One event for one arming: not before it, not twice, and again after the next. */
static void one_event_per_arming(const void *row)
{
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &with_channel);
	send_one(&a, &b, 1, 0);
	CHECK(!readable(b.channel->fd, 50), "an event of a CQ that was not armed");
	expect(b.recv_cq, 1, IBV_WC_SUCCESS);
	for (uint64_t n = 2; n < 10; n++) {
		CHECK_EQ(ibv_req_notify_cq(b.recv_cq, 0), 0);
		expect_nothing(b.recv_cq, 2);
		send_one(&a, &b, 2 * n, 0);
		send_one(&a, &b, 2 * n + 1, 0);
		take_event(&b, b.recv_cq);
		expect(b.recv_cq, 2 * n, IBV_WC_SUCCESS);
		expect(b.recv_cq, 2 * n + 1, IBV_WC_SUCCESS);
		CHECK(!readable(b.channel->fd, 10), "a second event after one arming");
	}
}

/* A program that arms, looks once more and then sleeps never misses a completion. */
static void no_lost_wake_up(const void *row)
{
	enum { ROUNDS = 3000 };
	struct end a, b;
	struct ibv_wc wc;

	(void)row;
	open_pair(&a, &b, &with_channel);
	for (uint64_t n = 0; n < ROUNDS; n++) {
		int got;

		post_recv(&b, n, 0, 64);
		CHECK_EQ(ibv_req_notify_cq(b.recv_cq, 0), 0);
		post_simple(&a, n, IBV_WR_SEND, 0, 64, NULL, 0);
		got = ibv_poll_cq(b.recv_cq, 1, &wc);
		if (!got) {
			take_event(&b, b.recv_cq);
			wc = next_wc(b.recv_cq);
		}
		CHECK(wc.wr_id == n && wc.status == IBV_WC_SUCCESS, "round %" PRIu64, n);
		expect(a.send_cq, n, IBV_WC_SUCCESS);
		while (readable(b.channel->fd, 0)) /* the completion came between arming and looking */
			take_event(&b, b.recv_cq);
	}
}

/* Armed for solicited ones: an ordinary message is silent, a solicited one and a failure are not. */
static void solicited_only(const void *row)
{
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &with_channel);
	CHECK_EQ(ibv_req_notify_cq(b.recv_cq, 1), 0);
	send_one(&a, &b, 1, 0);
	CHECK(!readable(b.channel->fd, 100), "an event of an unsolicited message");
	send_one(&a, &b, 2, IBV_SEND_SOLICITED);
	take_event(&b, b.recv_cq);
	expect(b.recv_cq, 1, IBV_WC_SUCCESS);
	expect(b.recv_cq, 2, IBV_WC_SUCCESS);
	CHECK_EQ(ibv_req_notify_cq(b.recv_cq, 1), 0);
	post_recv(&b, 3, 0, 64);
	CHECK_EQ(set_state(b.qp, IBV_QPS_ERR), 0);
	take_event(&b, b.recv_cq);
	expect(b.recv_cq, 3, IBV_WC_WR_FLUSH_ERR);
}

/* A solicited WRITE without immediate makes no completion there, so it makes no event either. */
static void solicited_with_immediate(const void *row)
{
	struct ibv_sge sge;
	struct ibv_send_wr wr;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &with_channel);
	CHECK_EQ(ibv_req_notify_cq(b.recv_cq, 1), 0);
	sge = part(&a, 0, 64);
	wr = request(1, IBV_WR_RDMA_WRITE_WITH_IMM, &sge, 1, &b, 0);
	wr.send_flags |= IBV_SEND_SOLICITED;
	post_recv(&b, 2, 0, 0);
	post(&a, &wr);
	take_event(&b, b.recv_cq);
	expect(b.recv_cq, 2, IBV_WC_SUCCESS);
}

/* Two CQs on one channel: each event names its own. */
static void events_name_their_cq(const void *row)
{
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &with_channel);
	CHECK_EQ(ibv_req_notify_cq(a.send_cq, 0), 0);
	CHECK_EQ(ibv_req_notify_cq(b.recv_cq, 0), 0);
	post_recv(&b, 1, 0, 64);
	post_simple(&a, 2, IBV_WR_SEND, 0, 64, NULL, 0);
	take_event(&a, a.send_cq);
	take_event(&b, b.recv_cq);
	expect(a.send_cq, 2, IBV_WC_SUCCESS);
	expect(b.recv_cq, 1, IBV_WC_SUCCESS);
}

static void channel_without_blocking(const void *row)
{
	struct ibv_cq *cq;
	void *context;
	struct end a;
	int flags;

	(void)row;
	open_end(&a, &with_channel);
	flags = fcntl(a.channel->fd, F_GETFL);
	CHECK_EQ(fcntl(a.channel->fd, F_SETFL, flags | O_NONBLOCK), 0);
	errno = 0;
	CHECK_EQ(ibv_get_cq_event(a.channel, &cq, &context), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(fcntl(a.context->async_fd, F_SETFL, fcntl(a.context->async_fd, F_GETFL) | O_NONBLOCK), 0);
	{
		struct ibv_async_event event;

		errno = 0;
		CHECK_EQ(ibv_get_async_event(a.context, &event), -1);
		CHECK_EQ(errno, EAGAIN);
	}
}

/* ---- asynchronous events ------------------------------------------------------------------------------------------ */

/* A request that may not touch its target: the responder's program hears of it, with its own QP named. */
static void access_error_names_the_qp(const void *row)
{
	static const struct wish wish = {.mr_access = IBV_ACCESS_LOCAL_WRITE};
	struct ibv_async_event event;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	b.qp->qp_context = &b;
	post_simple(&a, 1, IBV_WR_RDMA_WRITE, 0, 64, &b, 0);
	expect(a.send_cq, 1, IBV_WC_REM_ACCESS_ERR);
	CHECK(readable(b.context->async_fd, 2000), "no event within 2 s");
	CHECK_EQ(ibv_get_async_event(b.context, &event), 0);
	CHECK_EQ(event.event_type, IBV_EVENT_QP_ACCESS_ERR);
	CHECK(event.element.qp == b.qp, "the event names another QP");
	ibv_ack_async_event(&event);
	CHECK(!readable(a.context->async_fd, 20), "the requester has its completion; it needs no event");
	CHECK_EQ(ibv_destroy_qp(b.qp), 0);
}

/* More completions than the CQ holds: it overruns, its program is told, and nobody else suffers. */
static void cq_overrun(const void *row)
{
	static const struct wish small = {.cqe = 4, .send_wr = 64}, usual = {0};
	struct end a, b, c, d;
	struct ibv_wc wc;
	int event, room;

	(void)row;
	open_pair(&a, &b, &small);
	room = a.send_cq->cqe;
	CHECK(room >= 4 && room < 60, "a CQ for 4 got %d entries", room);
	for (int n = 0; n < 64; n++)
		post_simple(&a, (uint64_t)n, IBV_WR_RDMA_WRITE, 0, 8, &b, 0);
	event = expect_async(a.context, 3000);
	while (event == IBV_EVENT_QP_FATAL)
		event = expect_async(a.context, 3000);
	CHECK(event == IBV_EVENT_CQ_ERR, "the event is %d, not CQ_ERR", event);
	for (int n = 0; n < room; n++) /* what fitted is good */
		if (ibv_poll_cq(a.send_cq, 1, &wc) == 1)
			CHECK(wc.wr_id == (uint64_t)n && wc.status == IBV_WC_SUCCESS, "entry %d: %s", n,
			      ibv_wc_status_str(wc.status));
	open_pair(&c, &d, &usual);
	post_simple(&c, 1, IBV_WR_RDMA_WRITE, 0, 64, &d, 0);
	expect(c.send_cq, 1, IBV_WC_SUCCESS);
	CHECK_EQ(ibv_destroy_qp(a.qp), 0);
	CHECK_EQ(ibv_destroy_cq(a.send_cq), 0);
}

/* Exactly as many as it holds is not an overrun, however often. */
static void cq_full_is_not_overrun(const void *row)
{
	static const struct wish wish = {.cqe = 16, .send_wr = 16};
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	for (int round = 0; round < 100; round++) {
		for (uint64_t n = 0; n < 16; n++)
			post_simple(&a, n, IBV_WR_RDMA_WRITE, 0, 8, &b, 0);
		CHECK(expect_async(a.context, round < 3 ? 20 : 0) == -1, "an event");
		for (uint64_t n = 0; n < 16; n++)
			expect(a.send_cq, n, IBV_WC_SUCCESS);
	}
}

static const struct test tests[] = {
	{"one_event_per_arming", one_event_per_arming, NULL},
	{"no_lost_wake_up", no_lost_wake_up, NULL},
	{"solicited_only", solicited_only, NULL},
	{"solicited_with_immediate", solicited_with_immediate, NULL},
	{"events_name_their_cq", events_name_their_cq, NULL},
	{"channel_without_blocking", channel_without_blocking, NULL},
	{"access_error_names_the_qp", access_error_names_the_qp, NULL},
	{"cq_overrun", cq_overrun, NULL},
	{"cq_full_is_not_overrun", cq_full_is_not_overrun, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
