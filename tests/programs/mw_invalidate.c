/* SEND_WITH_INV over UC, which tells its sender nothing, and over XRC, whose receiving QP binds nothing. */
#include "verbs_test.h"

enum { LENGTH = 4096, LONG = 400000, REMOTE = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ };

static const struct wish sends = {.type = IBV_QPT_XRC_SEND, .mr_access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND};
static const struct wish receives = {.type = IBV_QPT_XRC_RECV, .mr_access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND, .size = LONG};

/* A window over end's memory, bound on `by`: the new key. */
static uint32_t bound(struct end *end, struct ibv_qp *by, struct ibv_mw *mw)
{
	struct ibv_send_wr *bad, wr = {.wr_id = 50, .opcode = IBV_WR_BIND_MW, .send_flags = IBV_SEND_SIGNALED,
				       .bind_mw = {.mw = mw, .rkey = ibv_inc_rkey(mw->rkey),
						   .bind_info = {.mr = end->mr, .addr = (uintptr_t)end->buffer, .length = LENGTH,
								 .mw_access_flags = REMOTE}}};

	CHECK_EQ(ibv_post_send(by, &wr, &bad), 0);
	expect(end->send_cq, 50, IBV_WC_SUCCESS);
	return mw->rkey = wr.bind_mw.rkey;
}

static void send_inv(struct end *a, uint32_t length, uint32_t rkey, uint32_t srqn)
{
	struct ibv_sge sge = part(a, 0, length);
	struct ibv_send_wr wr = request(70, IBV_WR_SEND_WITH_INV, &sge, 1, NULL, 0);

	wr.invalidate_rkey = rkey;
	wr.qp_type.xrc.remote_srqn = srqn;
	post(a, &wr);
}

static void arrived(struct end *b, uint32_t length, uint32_t rkey)
{
	struct ibv_wc wc = expect(b->recv_cq, 71, IBV_WC_SUCCESS);

	CHECK_EQ(wc.wc_flags & (IBV_WC_WITH_INV | IBV_WC_WITH_IMM), IBV_WC_WITH_INV);
	CHECK_EQ(wc.invalidated_rkey, rkey);
	CHECK_EQ(wc.byte_len, length);
}

static void write_by(struct end *a, uint32_t rkey, const struct end *b, uint32_t srqn, enum ibv_wc_status status)
{
	struct ibv_sge sge = part(a, 0, 64);
	struct ibv_send_wr wr = request(72, IBV_WR_RDMA_WRITE, &sge, 1, NULL, 0);

	wr.wr.rdma.rkey = rkey, wr.wr.rdma.remote_addr = (uintptr_t)b->buffer;
	wr.qp_type.xrc.remote_srqn = srqn;
	post(a, &wr);
	expect(a->send_cq, 72, status);
}

/* ---- UC ------------------------------------------------------------------------------------------------------------- */

static void unreliable(const void *row)
{
	const struct wish wish = {.type = IBV_QPT_UC, .mr_access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND, .size = LONG};
	static const uint32_t lengths[] = {0, 64, LONG / 2};
	struct ibv_mw *mw;
	struct end a, b;
	uint32_t rkey;

	(void)row;
	open_pair(&a, &b, &wish);
	mw = ibv_alloc_mw(b.pd, IBV_MW_TYPE_2);
	CHECK(mw, "ibv_alloc_mw: %s", strerror(errno));
	for (size_t i = 0; i < COUNT(lengths); i++) {
		rkey = bound(&b, b.qp, mw);
		fill(a.buffer, 64, (unsigned)i);
		write_by(&a, rkey, &b, 0, IBV_WC_SUCCESS);
		check_filled(b.buffer, 64, (unsigned)i, "while it is bound");
		post_recv(&b, 71, LONG / 2, LONG / 2);
		send_inv(&a, lengths[i], rkey, 0);
		expect(a.send_cq, 70, IBV_WC_SUCCESS);
		arrived(&b, lengths[i], rkey);
		fill(a.buffer, 64, (unsigned)i + 7);
		write_by(&a, rkey, &b, 0, IBV_WC_SUCCESS); /* dropped, and nobody is told */
		check_filled(b.buffer, 64, (unsigned)i, "when it is not");
	}
	post_recv(&b, 71, LONG / 2, 64);
	send_inv(&a, 64, rkey, 0); /* bound no more: lost, and its receive serves the next */
	expect(a.send_cq, 70, IBV_WC_SUCCESS);
	rkey = bound(&b, b.qp, mw);
	send_inv(&a, 32, rkey, 0);
	expect(a.send_cq, 70, IBV_WC_SUCCESS);
	arrived(&b, 32, rkey);
	CHECK_EQ(state_of(b.qp), IBV_QPS_RTS);
	CHECK_EQ(ibv_dereg_mr(b.mr), 0);
}

/* ---- XRC ------------------------------------------------------------------------------------------------------------ */

/* b has an XRC_SEND QP too, on which it binds. */
static uint32_t open_xrc(struct end *a, struct end *b, struct ibv_qp **binder, struct end *other)
{
	struct address of_a, of_b;
	struct end back;

	open_end(a, &sends);
	open_end(b, &receives);
	of_a = address_of(a), of_b = address_of(b);
	connect_to(a, &of_b, &sends);
	connect_to(b, &of_a, &receives);
	back = *b, back.srq = NULL;
	back.qp = make_qp(&back, &sends);
	open_end(other, &receives);
	of_a = address_of(other), of_b = address_of(&back);
	connect_to(other, &of_b, &receives);
	connect_to(&back, &of_a, &sends);
	*binder = back.qp;
	return srq_number(b->srq);
}

static void by_xrc(const void *row)
{
	struct end a, b, other;
	struct ibv_qp *binder;
	struct ibv_mw *mw;
	uint32_t srqn, rkey;

	(void)row;
	srqn = open_xrc(&a, &b, &binder, &other);
	mw = ibv_alloc_mw(b.pd, IBV_MW_TYPE_2);
	CHECK(mw, "ibv_alloc_mw: %s", strerror(errno));
	for (int n = 0; n < 3; n++) {
		rkey = bound(&b, binder, mw);
		fill(a.buffer, 64, (unsigned)n);
		write_by(&a, rkey, &b, srqn, IBV_WC_SUCCESS);
		check_filled(b.buffer, 64, (unsigned)n, "through the window");
		post_recv(&b, 71, LONG / 2, LENGTH);
		send_inv(&a, LENGTH, rkey, srqn);
		expect(a.send_cq, 70, IBV_WC_SUCCESS);
		arrived(&b, LENGTH, rkey);
	}
	write_by(&a, rkey, &b, srqn, IBV_WC_REM_ACCESS_ERR);
	CHECK_EQ(ibv_dereg_mr(b.mr), 0);
}

/* A window that an RC QP has bound is that one's alone; and one of another PD is nobody's here. */
static void not_by_xrc(const void *row)
{
	const struct wish rc = {.mr_access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND};
	struct end a, b, other, mine, peer;
	struct address of_mine, of_peer;
	struct ibv_qp *binder;
	uint32_t srqn, rkey;

	srqn = open_xrc(&a, &b, &binder, &other);
	mine = b, mine.srq = NULL, mine.xrcd = NULL;
	if (row)
		mine.pd = ibv_alloc_pd(b.context), mine.mr = register_memory(&mine, LENGTH, rc.mr_access), mine.buffer = mine.mr->addr;
	mine.qp = make_qp(&mine, &rc);
	open_end(&peer, &rc);
	of_mine = address_of(&mine), of_peer = address_of(&peer);
	connect_to(&mine, &of_peer, &rc);
	connect_to(&peer, &of_mine, &rc);
	rkey = bound(&mine, mine.qp, ibv_alloc_mw(mine.pd, IBV_MW_TYPE_2));
	post_recv(&b, 71, LONG / 2, LENGTH);
	send_inv(&a, 64, rkey, srqn);
	expect(a.send_cq, 70, IBV_WC_REM_ACCESS_ERR);
	write_by(&peer, rkey, &mine, 0, IBV_WC_SUCCESS); /* it is bound still */
}

int main(int argc, char **argv)
{
	static const int another_pd = 1;
	static const struct test tests[] = {
		{"unreliable", unreliable, NULL},
		{"by_xrc", by_xrc, NULL},
		{"not_by_xrc", not_by_xrc, NULL},
		{"not_by_xrc_of_another_pd", not_by_xrc, &another_pd},
	};

	return run_tests(argc, argv, tests, COUNT(tests));
}
