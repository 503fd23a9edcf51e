/*
 * Threads that share everything: several send on one QP, several take from one CQ, for a bounded time. Every byte of every
 * message and every wr_id is accounted for. Then the same while the process forks.
 */
#include "verbs_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { SENDERS = 3, TAKERS = 2, SLOTS = 16, MESSAGE = 1024, RECEIVES = 64, SECONDS = 2, PER_THREAD_MAX = 400000 };

struct how {
	int extended; /* post with ibv_wr_*, else with ibv_post_send */
	int shared;   /* receive from an SRQ */
	int forks;
};

/* At the front of each message; the rest is a pattern of it. */
struct header {
	uint32_t sender, number, seed, pad;
};

static const struct how *how;
static struct end a, b;
static struct ibv_srq *srq;
static struct ibv_qp_ex *extended;
static pthread_mutex_t wr_lock = PTHREAD_MUTEX_INITIALIZER; /* ibv_wr_start to ibv_wr_complete is one thread's */
static atomic_uchar arrived[SENDERS][PER_THREAD_MAX];
static atomic_uint sent[SENDERS], received, completed;
static atomic_uchar busy[SENDERS][SLOTS];
static atomic_int stop;

static char *slot_of(int sender, int slot) { return a.buffer + (size_t)(sender * SLOTS + slot) * MESSAGE; }

static void write_message(int sender, int slot, uint32_t number)
{
	struct header header = {(uint32_t)sender, number, number * 2654435761u + (uint32_t)sender, 0};

	memcpy(slot_of(sender, slot), &header, sizeof(header));
	fill(slot_of(sender, slot) + sizeof(header), MESSAGE - sizeof(header), header.seed);
}

static int send_message(int sender, int slot)
{
	struct ibv_sge sge = {(uintptr_t)slot_of(sender, slot), MESSAGE, a.mr->lkey};
	struct ibv_send_wr wr = request((uint64_t)sender << 32 | (uint32_t)slot, IBV_WR_SEND, &sge, 1, NULL, 0), *bad;
	int error;

	if (!how->extended)
		return ibv_post_send(a.qp, &wr, &bad);
	pthread_mutex_lock(&wr_lock);
	ibv_wr_start(extended);
	extended->wr_id = wr.wr_id;
	extended->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_send(extended);
	ibv_wr_set_sge(extended, sge.lkey, sge.addr, sge.length);
	error = ibv_wr_complete(extended);
	pthread_mutex_unlock(&wr_lock);
	return error;
}

static void *send_all(void *which)
{
	int sender = (int)(intptr_t)which;

	for (uint32_t number = 0; number < PER_THREAD_MAX && !stop;) {
		int slot = (int)(number % SLOTS), error;

		if (atomic_load(&busy[sender][slot])) {
			sched_yield();
			continue;
		}
		write_message(sender, slot, number);
		atomic_store(&busy[sender][slot], 1);
		while ((error = send_message(sender, slot)) == ENOMEM && !stop)
			sched_yield();
		if (error) {
			CHECK(stop, "post: %s", strerror(error));
			break;
		}
		sent[sender] = ++number;
	}
	return NULL;
}

static void put_receive(uint64_t place)
{
	struct ibv_sge sge = {(uintptr_t)b.buffer + place * MESSAGE, MESSAGE, b.mr->lkey};
	struct ibv_recv_wr wr = {.wr_id = place, .sg_list = &sge, .num_sge = 1}, *bad;
	int error;

	while ((error = how->shared ? ibv_post_srq_recv(srq, &wr, &bad) : ibv_post_recv(b.qp, &wr, &bad)) == ENOMEM)
		sched_yield();
	CHECK(error == 0, "post_recv: %s", strerror(error));
}

static void check_message(uint64_t place)
{
	const char *at = b.buffer + place * MESSAGE;
	struct header header;

	memcpy(&header, at, sizeof(header));
	CHECK(header.sender < SENDERS && header.number < PER_THREAD_MAX, "a message of nobody's");
	CHECK(header.seed == header.number * 2654435761u + header.sender, "a header is torn");
	check_filled(at + sizeof(header), MESSAGE - sizeof(header), header.seed, "a message");
	CHECK(atomic_fetch_add(&arrived[header.sender][header.number], 1) == 0, "a message arrived twice");
}

static void *take_all(void *unused)
{
	struct ibv_wc wc[8];
	int n;

	while (stop < 2) {
		CHECK((n = ibv_poll_cq(b.recv_cq, COUNT(wc), wc)) >= 0, "poll of receives");
		for (int i = 0; i < n; i++) {
			CHECK(wc[i].status == IBV_WC_SUCCESS && wc[i].byte_len == MESSAGE && wc[i].wr_id < RECEIVES,
			      "receive %" PRIu64 ": %s", wc[i].wr_id, ibv_wc_status_str(wc[i].status));
			check_message(wc[i].wr_id);
			put_receive(wc[i].wr_id);
			received++;
		}
		CHECK((n = ibv_poll_cq(a.send_cq, COUNT(wc), wc)) >= 0, "poll of sends");
		for (int i = 0; i < n; i++) {
			atomic_uchar *slot = &busy[wc[i].wr_id >> 32][(uint32_t)wc[i].wr_id];

			CHECK(wc[i].status == IBV_WC_SUCCESS, "send: %s", ibv_wc_status_str(wc[i].status));
			CHECK(atomic_exchange(slot, 0) == 1, "a send completed twice");
			completed++;
		}
	}
	return unused;
}

static void open_both(void)
{
	static const struct wish wish = {.send_wr = SENDERS * SLOTS, .recv_wr = RECEIVES, .cqe = 128};
	struct ibv_qp_init_attr_ex attr = {.qp_type = IBV_QPT_RC, .cap = {SENDERS * SLOTS, 1, 1, 1, 0},
					   .comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
					   .send_ops_flags = IBV_QP_EX_WITH_SEND};
	struct ibv_srq_init_attr shared = {.attr = {.max_wr = RECEIVES, .max_sge = 1}};
	struct address to_a, to_b;

	open_end(&a, &wish);
	open_end(&b, &wish);
	if (how->extended) {
		CHECK_EQ(ibv_destroy_qp(a.qp), 0);
		attr.send_cq = a.send_cq;
		attr.recv_cq = a.recv_cq;
		attr.pd = a.pd;
		CHECK((a.qp = ibv_create_qp_ex(a.context, &attr)) != NULL, "create_qp_ex: %s", strerror(errno));
		extended = ibv_qp_to_qp_ex(a.qp);
	}
	if (how->shared) {
		struct ibv_qp_init_attr plain = {.qp_type = IBV_QPT_RC, .send_cq = b.send_cq, .recv_cq = b.recv_cq,
						 .cap = {.max_send_wr = 1, .max_send_sge = 1}};
		CHECK_EQ(ibv_destroy_qp(b.qp), 0);
		CHECK((plain.srq = srq = ibv_create_srq(b.pd, &shared)) != NULL, "create_srq: %s", strerror(errno));
		CHECK((b.qp = ibv_create_qp(b.pd, &plain)) != NULL, "create_qp: %s", strerror(errno));
	}
	to_a = address_of(&a);
	to_b = address_of(&b);
	connect_to(&a, &to_b, &wish);
	connect_to(&b, &to_a, &wish);
}

/* What verbs promises a child: its memory is its own, and it may begin anew; its parent does not notice. */
static void child(void)
{
	struct end end;
	char *mine = malloc(100000);

	memset(mine, 7, 100000);
	check_bytes(mine, 100000, 7, "the child's heap");
	open_end(&end, &(struct wish){0});
	_exit(0);
}

static void fork_some(double until_ms)
{
	while (now_ms() < until_ms) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			child();
		CHECK(pid > 0, "fork: %s", strerror(errno));
		CHECK(waitpid(pid, &status, 0) == pid, "waitpid: %s", strerror(errno));
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child ended with %#x", status);
		usleep(20000);
	}
}

static void traffic(const void *row)
{
	pthread_t sender[SENDERS], taker[TAKERS];
	double until_ms = now_ms() + SECONDS * 1000.0, limit_ms;
	uint32_t total = 0;

	how = row;
	open_both();
	for (uint64_t place = 0; place < RECEIVES; place++)
		put_receive(place);
	for (intptr_t i = 0; i < TAKERS; i++)
		CHECK_EQ(pthread_create(&taker[i], NULL, take_all, NULL), 0);
	for (intptr_t i = 0; i < SENDERS; i++)
		CHECK_EQ(pthread_create(&sender[i], NULL, send_all, (void *)i), 0);
	if (how->forks)
		fork_some(until_ms);
	while (now_ms() < until_ms)
		usleep(10000);
	stop = 1;
	for (int i = 0; i < SENDERS; i++) {
		CHECK_EQ(pthread_join(sender[i], NULL), 0);
		total += sent[i];
	}
	for (limit_ms = now_ms() + WAIT_MS; received < total || completed < total; usleep(1000))
		CHECK(now_ms() < limit_ms, "%u sent, %u completed, %u received", total, completed, received);
	stop = 2;
	for (int i = 0; i < TAKERS; i++)
		CHECK_EQ(pthread_join(taker[i], NULL), 0);
	CHECK(total > 100, "only %u messages", total);
	CHECK_EQ(received, total);
	CHECK_EQ(completed, total);
	for (int i = 0; i < SENDERS; i++)
		for (uint32_t number = 0; number < sent[i]; number++)
			CHECK(arrived[i][number] == 1, "message %u of thread %d was lost", number, i);
}

static const struct how plain = {0}, with_wr = {.extended = 1}, with_srq = {.shared = 1}, forking = {.forks = 1};

static const struct test tests[] = {
	{"post_send", traffic, &plain},
	{"wr_api", traffic, &with_wr},
	{"shared_receive_queue", traffic, &with_srq},
	{"while_forking", traffic, &forking},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
