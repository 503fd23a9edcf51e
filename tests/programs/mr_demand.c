/* On-demand MRs: traffic, memory that changes under them, and ibv_advise_mr. */
#include "verbs_test.h"

#include <sys/mman.h>

enum { SIZE = 65536, DEMAND = ALL_ACCESS | IBV_ACCESS_ON_DEMAND };

static void open_on_demand(struct end *a, struct end *b)
{
	const struct wish wish = {.mr_access = DEMAND, .size = SIZE};

	open_pair(a, b, &wish);
	fill(a->buffer, SIZE, 1);
}

static int advise(const struct end *end, int advice, uint32_t lkey, uint64_t addr, uint32_t length, uint32_t flags)
{
	struct ibv_sge sge = {.addr = addr, .length = length, .lkey = lkey};

	return ibv_advise_mr(end->pd, (enum ib_uverbs_advise_mr_advice)advice, flags, &sge, 1);
}

static void every_operation(const void *row)
{
	const int opcodes[] = {IBV_WR_RDMA_WRITE, IBV_WR_RDMA_READ, IBV_WR_SEND, IBV_WR_ATOMIC_FETCH_AND_ADD};
	struct ibv_device_attr_ex attr;
	struct end a, b;

	(void)row;
	open_on_demand(&a, &b);
	CHECK_EQ(ibv_query_device_ex(a.context, NULL, &attr), 0);
	CHECK(attr.odp_caps.general_caps == IBV_ODP_SUPPORT, "general_caps %#" PRIx64, attr.odp_caps.general_caps);
	post_recv(&b, 9, 8192, 1000);
	for (size_t i = 0; i < COUNT(opcodes); i++) {
		post_simple(&a, i, opcodes[i], opcodes[i] == IBV_WR_RDMA_READ ? 32768 : 0,
			    opcodes[i] == IBV_WR_ATOMIC_FETCH_AND_ADD ? 8 : 1000, &b, 0);
		expect(a.send_cq, i, IBV_WC_SUCCESS);
	}
	expect(b.recv_cq, 9, IBV_WC_SUCCESS);
	check_filled(b.buffer + 8192, 1000, 1, "sent");
	check_filled(a.buffer + 32768, 1000, 1, "written and read");
}

/* The program maps other memory in the MR's range: a prefetch brings that in. */
static void follows_new_memory(const void *row)
{
	struct end a, b;
	char *again;

	(void)row;
	open_on_demand(&a, &b);
	post_simple(&a, 1, IBV_WR_RDMA_WRITE, 0, SIZE, &b, 0);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	for (int flush = 0; flush < 2; flush++) {
		again = mmap(b.buffer, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		CHECK(again == b.buffer, "mmap: %s", strerror(errno));
		memset(again, 0x21, SIZE);
		CHECK_EQ(advise(&b, IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE, b.mr->lkey, (uintptr_t)b.buffer, SIZE,
				flush ? IBV_ADVISE_MR_FLAG_FLUSH : 0), 0);
		post_simple(&a, 2, IBV_WR_RDMA_WRITE, 4096, 1000, &b, 4096);
		expect(a.send_cq, 2, IBV_WC_SUCCESS);
		check_bytes(again, 4096, 0x21, "the new memory");
		CHECK(memcmp(again + 4096, a.buffer + 4096, 1000) == 0, "what was written into it");
		post_simple(&a, 3, IBV_WR_RDMA_READ, 40000, 1000, &b, 0);
		expect(a.send_cq, 3, IBV_WC_SUCCESS);
		check_bytes(a.buffer + 40000, 1000, 0x21, "what was read from it");
		fill(a.buffer, SIZE, 1);
	}
	CHECK_EQ(ibv_dereg_mr(b.mr), 0);
	check_bytes(again, 4096, 0x21, "after dereg");
}

static void every_advice(const void *row)
{
	const int advice[] = {IBV_ADVISE_MR_ADVICE_PREFETCH, IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE,
			      IBV_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT};
	struct ibv_sge sge[3];
	struct end a, b;

	(void)row;
	open_on_demand(&a, &b);
	sge[0] = part(&a, 0, SIZE), sge[1] = part(&a, 5000, 1), sge[2] = part(&a, SIZE, 0);
	for (size_t i = 0; i < COUNT(advice); i++) {
		CHECK_EQ(ibv_advise_mr(a.pd, (enum ib_uverbs_advise_mr_advice)advice[i], 0, sge, 3), 0);
		CHECK_EQ(ibv_advise_mr(a.pd, (enum ib_uverbs_advise_mr_advice)advice[i], IBV_ADVISE_MR_FLAG_FLUSH, sge, 3), 0);
	}
	check_filled(a.buffer, SIZE, 1, "after advice");
}

/* Addresses of an MR that is zero based, or has an iova, count as its WQEs' do. */
static void in_its_own_addresses(const void *row)
{
	const struct wish wish = {0};
	struct ibv_mr *zero, *moved;
	struct end end;

	(void)row;
	open_end(&end, &wish);
	zero = ibv_reg_mr(end.pd, end.buffer, SIZE, DEMAND | IBV_ACCESS_ZERO_BASED);
	moved = ibv_reg_mr_iova(end.pd, end.buffer, SIZE, 0x100000, DEMAND);
	CHECK(zero && moved, "%s", strerror(errno));
	CHECK_EQ(advise(&end, IBV_ADVISE_MR_ADVICE_PREFETCH, zero->lkey, 0, SIZE, 0), 0);
	CHECK_EQ(advise(&end, IBV_ADVISE_MR_ADVICE_PREFETCH, zero->lkey, (uintptr_t)end.buffer, 64, 0), EFAULT);
	CHECK_EQ(advise(&end, IBV_ADVISE_MR_ADVICE_PREFETCH, moved->lkey, 0x100000 + 4096, 4096, 0), 0);
}

static void advice_refuses(const void *row)
{
	const struct wish wish = {.mr_access = DEMAND};
	struct ibv_mr *plain, *read_only;
	struct ibv_pd *other;
	struct ibv_mw *mw;
	struct end end;
	uint64_t at;

	(void)row;
	open_end(&end, &wish);
	at = (uintptr_t)end.buffer;
	plain = ibv_reg_mr(end.pd, end.buffer, SIZE, ALL_ACCESS);
	read_only = ibv_reg_mr(end.pd, end.buffer, SIZE, IBV_ACCESS_ON_DEMAND);
	other = ibv_alloc_pd(end.context);
	mw = ibv_alloc_mw(end.pd, IBV_MW_TYPE_2);
	CHECK_EQ(advise(&end, 77, end.mr->lkey, at, 64, 0), EOPNOTSUPP);
	CHECK_EQ(advise(&end, IBV_ADVISE_MR_ADVICE_PREFETCH, end.mr->lkey, at, 64, 2), EINVAL);
	CHECK_EQ(ibv_advise_mr(end.pd, IBV_ADVISE_MR_ADVICE_PREFETCH, 0, NULL, 0), EINVAL);
	CHECK_EQ(advise(&end, IBV_ADVISE_MR_ADVICE_PREFETCH, end.mr->lkey ^ 0x5a5, at, 64, 0), ENOENT);
	CHECK_EQ(advise(&end, IBV_ADVISE_MR_ADVICE_PREFETCH, plain->lkey, at, 64, 0), ENOENT);
	CHECK_EQ(advise(&end, IBV_ADVISE_MR_ADVICE_PREFETCH, mw->rkey, at, 64, 0), EINVAL); /* a window's key */
	CHECK_EQ(advise(&end, IBV_ADVISE_MR_ADVICE_PREFETCH, end.mr->lkey, at + SIZE - 63, 64, 0), EFAULT);
	CHECK_EQ(advise(&end, IBV_ADVISE_MR_ADVICE_PREFETCH, end.mr->lkey, at - 1, 64, 0), EFAULT);
	CHECK_EQ(advise(&end, IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE, read_only->lkey, at, 64, 0), EPERM);
	CHECK_EQ(advise(&end, IBV_ADVISE_MR_ADVICE_PREFETCH, read_only->lkey, at, 64, 0), 0);
	end.pd = other;
	CHECK_EQ(advise(&end, IBV_ADVISE_MR_ADVICE_PREFETCH, end.mr->lkey, at, 64, 0), EPERM);
	CHECK_EQ(munmap(end.buffer, SIZE), 0);
	end.pd = end.mr->pd;
	CHECK_EQ(advise(&end, IBV_ADVISE_MR_ADVICE_PREFETCH, end.mr->lkey, at, 64, 0), EFAULT);
}

/* All of the address space at once is not to be had, and is not claimed. */
static void no_implicit_mr(const void *row)
{
	const struct wish wish = {0};
	struct end end;

	(void)row;
	open_end(&end, &wish);
	CHECK(!ibv_reg_mr(end.pd, NULL, SIZE_MAX, DEMAND), "an implicit MR");
	CHECK_EQ(errno, EOPNOTSUPP);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"every_operation", every_operation, NULL},
		{"follows_new_memory", follows_new_memory, NULL},
		{"every_advice", every_advice, NULL},
		{"in_its_own_addresses", in_its_own_addresses, NULL},
		{"advice_refuses", advice_refuses, NULL},
		{"no_implicit_mr", no_implicit_mr, NULL},
	};

	return run_tests(argc, argv, tests, COUNT(tests));
}
