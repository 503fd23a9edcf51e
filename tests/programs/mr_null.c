/* Null MRs: what is read from them is zeroes, what is written to them is gone, and no peer can name them. */
#include "verbs_test.h"

enum { LENGTH = 1000 };

static struct ibv_mr *open_with_null(struct end *a, struct end *b)
{
	const struct wish wish = {.size = 4 << 20};
	struct ibv_mr *null;

	open_pair(a, b, &wish);
	null = ibv_alloc_null_mr(a->pd);
	CHECK(null, "ibv_alloc_null_mr: %s", strerror(errno));
	CHECK(null->addr == NULL && null->length == SIZE_MAX, "addr %p, length %zu", null->addr, null->length);
	memset(b->buffer, 0x77, b->size);
	return null;
}

static struct ibv_sge part_of(const struct ibv_mr *mr, uint64_t addr, uint32_t length)
{
	return (struct ibv_sge){.addr = addr, .length = length, .lkey = mr->lkey};
}

static void zeroes_between(const void *row)
{
	struct ibv_sge sge[3];
	struct ibv_send_wr wr;
	struct ibv_mr *null;
	struct end a, b;

	(void)row;
	null = open_with_null(&a, &b);
	fill(a.buffer, 2 * LENGTH, 1);
	sge[0] = part(&a, 0, LENGTH), sge[1] = part_of(null, ~0ull / 2, 2 << 20), sge[2] = part(&a, LENGTH, LENGTH);
	wr = request(1, IBV_WR_RDMA_WRITE, sge, 3, &b, 0);
	post(&a, &wr);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	check_filled(b.buffer, LENGTH, 1, "before");
	check_bytes(b.buffer + LENGTH, 2 << 20, 0, "the null MR");
	check_bytes(b.buffer + (2 << 20) + 2 * LENGTH, LENGTH, 0x77, "behind the message");
}

static void only_the_middle_is_received(const void *row)
{
	struct ibv_sge sge[3];
	struct ibv_recv_wr recv = {.wr_id = 2, .sg_list = sge, .num_sge = 3}, *bad;
	struct ibv_mr *null;
	struct end a, b;

	(void)row;
	null = open_with_null(&a, &b);
	memset(a.buffer, 0x55, LENGTH);
	fill(b.buffer, 3 << 20, 3);
	sge[0] = part_of(null, 0, 1 << 20), sge[1] = part(&a, 0, LENGTH), sge[2] = part_of(null, 5, 1 << 30);
	CHECK_EQ(ibv_post_recv(a.qp, &recv, &bad), 0);
	post_simple(&b, 1, IBV_WR_SEND, 0, 3 << 20, NULL, 0);
	CHECK_EQ(expect(a.recv_cq, 2, IBV_WC_SUCCESS).byte_len, 3 << 20);
	CHECK(memcmp(a.buffer, b.buffer + (1 << 20), LENGTH) == 0, "the bytes between");
	check_bytes(a.buffer + LENGTH, LENGTH, 0, "behind them");
}

/* What one program lets vanish, no other finds. */
static void nothing_comes_back(const void *row)
{
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct ibv_mr *null;
	struct end a, b;

	(void)row;
	null = open_with_null(&a, &b);
	sge = part_of(null, 0, 1 << 20);
	wr = request(1, IBV_WR_RDMA_READ, &sge, 1, &b, 0);
	post(&a, &wr);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	wr = request(2, IBV_WR_RDMA_WRITE, &sge, 1, &b, 0);
	post(&a, &wr);
	expect(a.send_cq, 2, IBV_WC_SUCCESS);
	check_bytes(b.buffer, 1 << 20, 0, "read into the null MR and written from it");
}

static void no_peer_names_it(const void *row)
{
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct ibv_mr *null;
	struct end a, b;

	(void)row;
	null = open_with_null(&a, &b);
	CHECK_EQ(null->rkey, 0);
	sge = part(&b, 0, 64);
	wr = request(1, IBV_WR_RDMA_READ, &sge, 1, &a, 0);
	wr.wr.rdma.rkey = null->lkey;
	post(&b, &wr);
	expect(b.send_cq, 1, IBV_WC_REM_ACCESS_ERR);
}

static void lives_in_its_pd(const void *row)
{
	const struct wish wish = {0};
	struct ibv_pd *pd;
	struct ibv_mr *mr;
	struct end end;

	(void)row;
	open_end(&end, &wish);
	pd = ibv_alloc_pd(end.context);
	mr = ibv_alloc_null_mr(pd);
	CHECK(mr, "ibv_alloc_null_mr: %s", strerror(errno));
	CHECK_EQ(ibv_dealloc_pd(pd), EBUSY);
	CHECK_EQ(ibv_dereg_mr(mr), 0);
	CHECK_EQ(ibv_dealloc_pd(pd), 0);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"zeroes_between", zeroes_between, NULL},
		{"only_the_middle_is_received", only_the_middle_is_received, NULL},
		{"nothing_comes_back", nothing_comes_back, NULL},
		{"no_peer_names_it", no_peer_names_it, NULL},
		{"lives_in_its_pd", lives_in_its_pd, NULL},
	};

	return run_tests(argc, argv, tests, COUNT(tests));
}
