/* ibv_resize_cq: while completions wait, while others arrive, while a channel is armed; and what it refuses. */
#include "verbs_test.h"

#include <pthread.h>

enum { LENGTH = 32, ROUNDS = 20000, RECEIVES = 16 };

/* 16 receives are polled in order, some from the ring before each resize, some from the one after. */
static void what_waits_is_kept(const void *row)
{
	static const int SIZES[] = {32, 256, 16, 64};
	struct wish wish = {.cqe = 16};
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	for (size_t s = 0; s < COUNT(SIZES); s++) {
		for (int i = 0; i < 16; i++) {
			post_recv(&b, (uint64_t)i, 0, LENGTH);
			post_simple(&a, 1, IBV_WR_SEND, 0, LENGTH, &b, 0);
			expect(a.send_cq, 1, IBV_WC_SUCCESS);
			if (i == 7) {
				CHECK_EQ(ibv_resize_cq(b.recv_cq, SIZES[s]), 0);
				CHECK(b.recv_cq->cqe >= SIZES[s], "%d entries, not %d", b.recv_cq->cqe, SIZES[s]);
			}
		}
		for (int i = 0; i < 16; i++)
			expect(b.recv_cq, (uint64_t)i, IBV_WC_SUCCESS);
	}
	expect_nothing(b.recv_cq, 20);
}

/* A sender goes on while one thread resizes and another receives, asleep or awake: all arrive, in order. */
static void sender(int socket, const void *row)
{
	struct wish wish = {0};
	struct address peer;
	struct end end;

	(void)row;
	open_end(&end, &wish);
	meet(socket, &end, &peer, &wish);
	for (int sent = 0; sent < ROUNDS; sent++) {
		struct ibv_sge sge = part(&end, 0, LENGTH);
		struct ibv_send_wr wr = {.wr_id = 1, .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND_WITH_IMM,
					 .send_flags = IBV_SEND_SIGNALED, .imm_data = (uint32_t)sent};
		post(&end, &wr);
		expect(end.send_cq, 1, IBV_WC_SUCCESS);
	}
	hear(socket, &peer, 1);
}

static volatile int done;

static void *resizer(void *cq)
{
	intptr_t resized = 0;

	for (unsigned turn = 0; !done; turn++) {
		int error = ibv_resize_cq(cq, turn % 2 ? 32 : 512);

		CHECK(error == 0 || error == EBUSY, "ibv_resize_cq: %s", strerror(error));
		resized += error == 0;
		usleep(50);
	}
	return (void *)resized;
}

static void sleep_until_told(struct end *end)
{
	struct pollfd wait = {.fd = end->channel->fd, .events = POLLIN};
	struct ibv_cq *cq;
	void *context;

	CHECK(poll(&wait, 1, WAIT_MS) == 1, "no event within %d ms", WAIT_MS);
	CHECK_EQ(ibv_get_cq_event(end->channel, &cq, &context), 0);
	ibv_ack_cq_events(cq, 1);
}

static struct ibv_wc receive(struct end *end, int asleep)
{
	struct ibv_wc wc;

	if (!asleep)
		return next_wc(end->recv_cq);
	while (ibv_poll_cq(end->recv_cq, 1, &wc) == 0) {
		CHECK_EQ(ibv_req_notify_cq(end->recv_cq, 0), 0);
		if (ibv_poll_cq(end->recv_cq, 1, &wc) == 1)
			return wc;
		sleep_until_told(end);
	}
	return wc;
}

static void under_traffic(const void *row)
{
	struct wish wish = {.channel = row != NULL};
	struct address peer;
	struct end end;
	pthread_t thread;
	void *resized;
	int socket;
	pid_t child = split(sender, NULL, &socket);

	open_end(&end, &wish);
	CHECK_EQ(pthread_create(&thread, NULL, resizer, end.recv_cq), 0);
	meet(socket, &end, &peer, &wish);
	for (int i = 0; i < RECEIVES; i++)
		post_recv(&end, 0, 0, LENGTH);
	for (int got = 0; got < ROUNDS; got++) {
		struct ibv_wc wc = receive(&end, row != NULL);

		CHECK_EQ(wc.status, IBV_WC_SUCCESS);
		CHECK_EQ(wc.imm_data, got);
		post_recv(&end, 0, 0, LENGTH);
	}
	done = 1;
	pthread_join(thread, &resized);
	CHECK((intptr_t)resized > 20, "only %d resizes", (int)(intptr_t)resized);
	say(socket, "", 1);
	join(child);
}

static void refusals(const void *row)
{
	struct wish wish = {.cqe = 16};
	struct ibv_device_attr device;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	CHECK_EQ(ibv_query_device(a.context, &device), 0);
	CHECK_EQ(ibv_resize_cq(b.recv_cq, 0), EINVAL);
	CHECK_EQ(ibv_resize_cq(b.recv_cq, -1), EINVAL);
	CHECK_EQ(ibv_resize_cq(b.recv_cq, device.max_cqe + 1), EINVAL);
	for (int i = 0; i < 4; i++) {
		post_recv(&b, (uint64_t)i, 0, LENGTH);
		post_simple(&a, 1, IBV_WR_SEND, 0, LENGTH, &b, 0);
		expect(a.send_cq, 1, IBV_WC_SUCCESS);
	}
	CHECK_EQ(ibv_resize_cq(b.recv_cq, 3), EINVAL); /* four wait */
	CHECK_EQ(ibv_resize_cq(b.recv_cq, 4), 0);
	CHECK_EQ(ibv_resize_cq(b.recv_cq, 64), EBUSY); /* they wait in the ring before */
	for (int i = 0; i < 4; i++)
		expect(b.recv_cq, (uint64_t)i, IBV_WC_SUCCESS);
	CHECK_EQ(ibv_resize_cq(b.recv_cq, 64), 0);
	CHECK_EQ(ibv_destroy_cq(b.recv_cq), EBUSY);
}

/* A QP's reset takes its completions out of both rings. */
static void a_reset_between_two_rings(const void *row)
{
	struct wish wish = {.cqe = 16};
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	for (int i = 0; i < 6; i++) {
		post_recv(&b, (uint64_t)i, 0, LENGTH);
		post_simple(&a, 1, IBV_WR_SEND, 0, LENGTH, &b, 0);
		expect(a.send_cq, 1, IBV_WC_SUCCESS);
		if (i == 2)
			CHECK_EQ(ibv_resize_cq(b.recv_cq, 64), 0);
	}
	CHECK_EQ(set_state(b.qp, IBV_QPS_RESET), 0);
	expect_nothing(b.recv_cq, 20);
}

int main(int argc, char **argv)
{
	static const struct test TESTS[] = {
		{"what_waits_is_kept", what_waits_is_kept, NULL},
		{"under_traffic_polling", under_traffic, NULL},
		{"under_traffic_sleeping", under_traffic, "asleep"},
		{"a_reset_between_two_rings", a_reset_between_two_rings, NULL},
		{"refusals", refusals, NULL},
	};
	return run_tests(argc, argv, TESTS, COUNT(TESTS));
}
