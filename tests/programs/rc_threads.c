/*
 * RC: verbs are thread-safe. Threads that share a QP and a CQ lose no completion and get none twice, while others
 * create and destroy objects; and whoever stops posting at ENOMEM cannot overrun a CQ of its queue's size.
 */
#include "verbs_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { POSTERS = 4, POLLERS = 2, EACH = 5000, LIST = 3, DEPTH = 64 };

static struct end a, b;
static atomic_uchar seen[POSTERS][EACH];
static atomic_int done, stop;

static const struct wish wish = {.send_wr = DEPTH, .cqe = DEPTH};

/* Posts lists of 1 to LIST WRITEs, as many as there is room for. */
static void *post_all(void *which)
{
	uint64_t id = (uint64_t)(uintptr_t)which << 32;
	struct ibv_sge sge = part(&a, (size_t)(uintptr_t)which * 64, 64);

	for (int next = 0; next < EACH;) {
		struct ibv_send_wr wr[LIST], *bad = NULL;
		int count = 1 + next % LIST, error;

		count = count > EACH - next ? EACH - next : count;
		for (int i = 0; i < count; i++) {
			wr[i] = request(id | (uint32_t)(next + i), IBV_WR_RDMA_WRITE, &sge, 1, &b, sge.addr - (uintptr_t)a.buffer);
			wr[i].send_flags = IBV_SEND_SIGNALED;
			wr[i].next = i + 1 < count ? &wr[i + 1] : NULL;
		}
		error = ibv_post_send(a.qp, wr, &bad);
		CHECK(error == 0 || error == ENOMEM, "post_send: %s", strerror(error));
		next += error ? (int)(bad - wr) : count;
		if (error)
			usleep(20); /* gives the core away, where others are busy */
	}
	return NULL;
}

static void *poll_all(void *unused)
{
	struct ibv_wc wc[8];
	int n;

	while (!stop) {
		CHECK((n = ibv_poll_cq(a.send_cq, COUNT(wc), wc)) >= 0, "poll_cq: %d", n);
		for (int i = 0; i < n; i++) {
			CHECK(wc[i].status == IBV_WC_SUCCESS, "%s", ibv_wc_status_str(wc[i].status));
			CHECK(atomic_fetch_add(&seen[wc[i].wr_id >> 32][(uint32_t)wc[i].wr_id], 1) == 0, "completed twice");
			done++;
		}
	}
	return unused;
}

static void *come_and_go(void *unused)
{
	while (!stop) {
		struct ibv_cq *cq = ibv_create_cq(a.context, 16, NULL, NULL, 0);
		struct ibv_qp_init_attr init = {.qp_type = IBV_QPT_RC, .send_cq = cq, .recv_cq = cq,
						.cap = {.max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1}};
		struct ibv_qp *qp = ibv_create_qp(a.pd, &init);

		CHECK(cq && qp, "create: %s", strerror(errno));
		CHECK(ibv_destroy_qp(qp) == 0 && ibv_destroy_cq(cq) == 0, "destroy: %s", strerror(errno));
	}
	return unused;
}

static void one_qp_for_all(const void *row)
{
	pthread_t poster[POSTERS], other[POLLERS + 1];
	double limit;

	(void)row;
	open_pair(&a, &b, &wish);
	for (int i = 0; i <= POLLERS; i++)
		CHECK_EQ(pthread_create(&other[i], NULL, i < POLLERS ? poll_all : come_and_go, NULL), 0);
	for (uintptr_t i = 0; i < POSTERS; i++)
		CHECK_EQ(pthread_create(&poster[i], NULL, post_all, (void *)i), 0);
	for (int i = 0; i < POSTERS; i++)
		CHECK_EQ(pthread_join(poster[i], NULL), 0);
	for (limit = now_ms() + WAIT_MS; done < POSTERS * EACH; sched_yield())
		CHECK(now_ms() < limit, "%d of %d completed", done, POSTERS * EACH);
	stop = 1;
	for (int i = 0; i <= POLLERS; i++)
		CHECK_EQ(pthread_join(other[i], NULL), 0);
	CHECK_EQ(done, POSTERS * EACH);
	CHECK_EQ(state_of(a.qp), IBV_QPS_RTS);
}

/* Nobody polls: the queue is full before the CQ is, and one poll makes room for one more. */
static void full_queue_spares_the_cq(const void *row)
{
	struct ibv_sge sge;
	struct ibv_send_wr wr, *bad;
	struct ibv_wc wc;
	int posted = 0, error;

	(void)row;
	open_pair(&a, &b, &wish);
	sge = part(&a, 0, 8);
	wr = request(1, IBV_WR_RDMA_WRITE, &sge, 1, &b, 0);
	wr.send_flags = IBV_SEND_SIGNALED;
	while ((error = ibv_post_send(a.qp, &wr, &bad)) == 0)
		CHECK(++posted <= a.send_cq->cqe, "more were posted than the CQ holds");
	CHECK_EQ(error, ENOMEM);
	expect_nothing(a.recv_cq, 20); /* time enough for all of them to be executed */
	CHECK_EQ(ibv_post_send(a.qp, &wr, &bad), ENOMEM);
	CHECK_EQ(ibv_poll_cq(a.send_cq, 1, &wc), 1);
	CHECK_EQ(ibv_post_send(a.qp, &wr, &bad), 0);
	for (int i = 0; i < posted; i++)
		expect(a.send_cq, 1, IBV_WC_SUCCESS);
	CHECK_EQ(state_of(a.qp), IBV_QPS_RTS);
}

static const struct test tests[] = {
	{"one_qp_for_all", one_qp_for_all, NULL},
	{"full_queue_spares_the_cq", full_queue_spares_the_cq, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
