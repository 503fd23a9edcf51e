/* MRs of each kind of memory: every use of one, and what may happen to the memory meanwhile. */
#include "memory_kinds.h"

enum {
	SKIP = 100, /* bytes before the MR: it begins in the middle of a page */
	LENGTH = KIND_SIZE - 5000,
	WRITTEN = 70000,
	BINDABLE = ALL_ACCESS | IBV_ACCESS_MW_BIND,
};

struct bench {
	struct end a, b; /* b has the memory */
	struct ibv_mr *mr;
	char *at;
};

static struct ibv_mr *must_register(struct ibv_pd *pd, char *at, size_t length, int access)
{
	struct ibv_mr *mr = ibv_reg_mr(pd, at, length, access);

	CHECK(mr, "ibv_reg_mr: %s", strerror(errno));
	return mr;
}

static struct bench open_bench(const void *row)
{
	const struct wish wish = {.size = 1 << 20};
	struct bench bench;

	open_pair(&bench.a, &bench.b, &wish);
	bench.at = make_kind(*(const enum kind *)row);
	bench.mr = must_register(bench.b.pd, bench.at + SKIP, LENGTH, BINDABLE);
	return bench;
}

/* a's buffer to or from `offset` of the memory, under a key. */
static enum ibv_wc_status transfer(struct bench *bench, int opcode, size_t offset, uint32_t length, uint32_t rkey)
{
	struct ibv_sge sge = part(&bench->a, 0, length);
	struct ibv_send_wr wr = request(1, opcode, &sge, 1, &bench->b, 0);

	if (opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
		wr.wr.atomic.remote_addr = (uintptr_t)bench->at + offset, wr.wr.atomic.rkey = rkey;
		wr.wr.atomic.compare_add = 5;
	} else {
		wr.wr.rdma.remote_addr = (uintptr_t)bench->at + offset, wr.wr.rdma.rkey = rkey;
	}
	post(&bench->a, &wr);
	return next_wc(bench->a.send_cq).status;
}

static void reconnect(struct bench *bench)
{
	const struct wish wish = {0};
	struct address of_a = address_of(&bench->a), of_b = address_of(&bench->b);

	CHECK_EQ(set_state(bench->a.qp, IBV_QPS_RESET), 0);
	CHECK_EQ(set_state(bench->b.qp, IBV_QPS_RESET), 0);
	connect_to(&bench->a, &of_b, &wish);
	connect_to(&bench->b, &of_a, &wish);
}

/* At both ends of the MR, and in its middle, where a mixed range changes its kind. */
static const size_t places[] = {SKIP, KIND_SIZE / 4 - 30000, KIND_SIZE / 2 - 30000, SKIP + LENGTH - WRITTEN};

static void written_and_read(const void *row)
{
	struct bench bench = open_bench(row);

	for (size_t i = 0; i < COUNT(places); i++) {
		fill(bench.a.buffer, WRITTEN, 3 + (unsigned)i);
		CHECK_EQ(transfer(&bench, IBV_WR_RDMA_WRITE, places[i], WRITTEN, bench.mr->rkey), IBV_WC_SUCCESS);
		check_filled(bench.at + places[i], WRITTEN, 3 + (unsigned)i, "what was written");
		bench.at[places[i]] ^= 1;
		CHECK_EQ(transfer(&bench, IBV_WR_RDMA_READ, places[i], WRITTEN, bench.mr->rkey), IBV_WC_SUCCESS);
		CHECK(memcmp(bench.a.buffer, bench.at + places[i], WRITTEN) == 0, "what was read is something else");
	}
	CHECK_EQ(transfer(&bench, IBV_WR_RDMA_WRITE, SKIP + LENGTH, 1, bench.mr->rkey), IBV_WC_REM_ACCESS_ERR);
	CHECK_EQ(bench.at[SKIP + LENGTH], 0);
	CHECK_EQ(ibv_dereg_mr(bench.mr), 0);
	check_bytes(bench.at, SKIP, 0, "before the MR");
}

static void sent_and_received(const void *row)
{
	struct bench bench = open_bench(row);
	struct ibv_sge sge = {.addr = (uintptr_t)bench.at + SKIP, .length = WRITTEN, .lkey = bench.mr->lkey};
	struct ibv_recv_wr recv = {.wr_id = 9, .sg_list = &sge, .num_sge = 1}, *bad;
	struct ibv_send_wr send = request(8, IBV_WR_SEND, &sge, 1, NULL, 0);

	fill(bench.a.buffer, WRITTEN, 1);
	CHECK_EQ(ibv_post_recv(bench.b.qp, &recv, &bad), 0);
	post_simple(&bench.a, 1, IBV_WR_SEND, 0, WRITTEN, NULL, 0);
	expect(bench.a.send_cq, 1, IBV_WC_SUCCESS);
	CHECK_EQ(expect(bench.b.recv_cq, 9, IBV_WC_SUCCESS).byte_len, WRITTEN);
	check_filled(bench.at + SKIP, WRITTEN, 1, "what was received");
	post_recv(&bench.a, 7, WRITTEN, WRITTEN);
	post(&bench.b, &send);
	expect(bench.b.send_cq, 8, IBV_WC_SUCCESS);
	expect(bench.a.recv_cq, 7, IBV_WC_SUCCESS);
	check_filled(bench.a.buffer + WRITTEN, WRITTEN, 1, "what was sent");
}

static void added_to(const void *row)
{
	struct bench bench = open_bench(row);
	volatile uint64_t *sum = (uint64_t *)(bench.at + 4096);

	*sum = 37;
	CHECK_EQ(transfer(&bench, IBV_WR_ATOMIC_FETCH_AND_ADD, 4096, 8, bench.mr->rkey), IBV_WC_SUCCESS);
	CHECK_EQ(*sum, 42);
	CHECK_EQ(*(uint64_t *)bench.a.buffer, 37);
}

static void bound_to_a_window(const void *row)
{
	struct bench bench = open_bench(row);
	struct ibv_mw *mw = ibv_alloc_mw(bench.b.pd, IBV_MW_TYPE_2);
	struct ibv_send_wr bind = {.wr_id = 2, .opcode = IBV_WR_BIND_MW, .send_flags = IBV_SEND_SIGNALED,
		.bind_mw = {.mw = mw, .rkey = ibv_inc_rkey(mw->rkey), .bind_info = {.mr = bench.mr, .length = WRITTEN,
			.addr = (uintptr_t)bench.at + 8192, .mw_access_flags = IBV_ACCESS_REMOTE_WRITE}}};

	fill(bench.a.buffer, WRITTEN, 6);
	post(&bench.b, &bind);
	expect(bench.b.send_cq, 2, IBV_WC_SUCCESS);
	CHECK_EQ(ibv_dereg_mr(bench.mr), EBUSY);
	CHECK_EQ(transfer(&bench, IBV_WR_RDMA_WRITE, 8192, WRITTEN, bind.bind_mw.rkey), IBV_WC_SUCCESS);
	check_filled(bench.at + 8192, WRITTEN, 6, "through the window");
	CHECK_EQ(transfer(&bench, IBV_WR_RDMA_WRITE, 8192 + WRITTEN, 1, bind.bind_mw.rkey), IBV_WC_REM_ACCESS_ERR);
	CHECK_EQ(ibv_dealloc_mw(mw), 0);
	CHECK_EQ(ibv_dereg_mr(bench.mr), 0);
}

static void registered_anew(const void *row)
{
	struct bench bench = open_bench(row);
	uint32_t rkey = bench.mr->rkey;
	int half = KIND_SIZE / 2;

	fill(bench.a.buffer, WRITTEN, 2);
	CHECK_EQ(ibv_rereg_mr(bench.mr, IBV_REREG_MR_CHANGE_TRANSLATION, NULL, bench.at + half, 2 * WRITTEN, 0), 0);
	CHECK_EQ(transfer(&bench, IBV_WR_RDMA_WRITE, half, WRITTEN, rkey), IBV_WC_SUCCESS);
	check_filled(bench.at + half, WRITTEN, 2, "the new place");
	CHECK_EQ(transfer(&bench, IBV_WR_RDMA_WRITE, SKIP, 1, rkey), IBV_WC_REM_ACCESS_ERR);
	CHECK_EQ(ibv_rereg_mr(bench.mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, 0), 0);
	CHECK_EQ(ibv_rereg_mr(bench.mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, BINDABLE), 0);
	reconnect(&bench);
	CHECK_EQ(transfer(&bench, IBV_WR_RDMA_WRITE, half + WRITTEN, WRITTEN, rkey), IBV_WC_SUCCESS);
	check_filled(bench.at + half + WRITTEN, WRITTEN, 2, "after the right was given back");
	CHECK_EQ(ibv_dereg_mr(bench.mr), 0);
	check_filled(bench.at + half, WRITTEN, 2, "after dereg");
}

/* As a NIC that has pinned it: messages go on, and nobody sees them; what is at the address then is left alone. */
static void unmapped_while_registered(const void *row)
{
	struct bench bench = open_bench(row);
	char *at;

	CHECK_EQ(munmap(bench.at, KIND_SIZE), 0);
	at = mmap(bench.at, KIND_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(at == bench.at, "mmap: %s", strerror(errno));
	CHECK_EQ(transfer(&bench, IBV_WR_RDMA_WRITE, SKIP, WRITTEN, bench.mr->rkey), IBV_WC_SUCCESS);
	CHECK_EQ(ibv_dereg_mr(bench.mr), 0);
	check_bytes(at, KIND_SIZE, 0, "what was mapped there");
}

/* Shared memory is one to both; of private memory the child has what it was, and the MR is the parent's. */
static void forked_while_registered(const void *row)
{
	struct bench bench = open_bench(row);
	char *middle = bench.at + KIND_SIZE / 4; /* shared in a mixed range too */
	int status, shared = is_shared_kind(*(const enum kind *)row);
	pid_t child;

	memset(bench.a.buffer, 0x55, WRITTEN);
	child = fork();
	if (child == 0) {
		middle[0] = 0x11;
		_exit(middle[1] || bench.at[SKIP]);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	CHECK_EQ(middle[0], shared ? 0x11 : 0);
	CHECK_EQ(transfer(&bench, IBV_WR_RDMA_WRITE, SKIP, WRITTEN, bench.mr->rkey), IBV_WC_SUCCESS);
	check_bytes(bench.at + SKIP, WRITTEN, 0x55, "the parent's");
	CHECK_EQ(ibv_dereg_mr(bench.mr), 0);
}

/* Many times, in parts that overlap; at the end it is what it was. */
static void registered_often(const void *row)
{
	struct bench bench = open_bench(row);
	struct ibv_mr *mr[20];

	fill(bench.at, KIND_SIZE, 9);
	for (int round = 0; round < 5; round++) {
		for (size_t i = 0; i < COUNT(mr); i++)
			mr[i] = must_register(bench.b.pd, bench.at + 3000 * i, KIND_SIZE - 5000 * i, ALL_ACCESS);
		for (size_t i = 0; i < COUNT(mr); i++)
			CHECK_EQ(ibv_dereg_mr(mr[i]), 0);
	}
	CHECK_EQ(ibv_dereg_mr(bench.mr), 0);
	check_filled(bench.at, KIND_SIZE, 9, "afterwards");
	memset(bench.at, 0, KIND_SIZE);
}

static const enum kind kinds[KINDS] = {ANONYMOUS, SHARED_ANONYMOUS, MEMFD, MEMFD_COPY, POSIX, SYSV, HUGE_PRIVATE, HUGE_SHARED,
				       HUGE_MEMFD, HUGE_SYSV, FILE_COPY, MIXED};
static const struct {
	const char *name;
	void (*run)(const void *row);
} uses[] = {
	{"written_and_read", written_and_read}, {"sent_and_received", sent_and_received}, {"added_to", added_to},
	{"bound_to_a_window", bound_to_a_window}, {"registered_anew", registered_anew},
	{"unmapped_while_registered", unmapped_while_registered}, {"forked_while_registered", forked_while_registered},
	{"registered_often", registered_often},
};

int main(int argc, char **argv)
{
	static struct test tests[COUNT(uses) * KINDS];
	static char names[COUNT(tests)][64];

	for (size_t i = 0; i < COUNT(tests); i++) {
		snprintf(names[i], sizeof names[i], "%s_%s", kind_names[i % KINDS], uses[i / KINDS].name);
		tests[i] = (struct test){names[i], uses[i / KINDS].run, &kinds[i % KINDS]};
	}
	return run_tests(argc, argv, tests, COUNT(tests));
}
