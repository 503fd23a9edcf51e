/* RC: what goes wrong, and how each side is told. Statuses as IBTA 9.9 and 10.7.3 have them and as NICs give them. */
#include "verbs_test.h"

enum { RECV_ID = 100, SEND_ID = 1, AFTER_ID = 2, NO_WC = -1, LENGTH = 64 };

/*
 * A row: how the pair is made, how the request is bent, and what the requester and the responder then see.
 * `bend` may change the request, its SGE and (by posting it) the receive; everything else is the usual pair.
 */
struct fault {
	struct wish wish;
	int opcode;
	void (*bend)(struct end *a, struct end *b, struct ibv_send_wr *wr, struct ibv_sge *sge);
	int requester;	       /* enum ibv_wc_status */
	int or_else;	       /* another status that the standard leaves room for, or 0 */
	int responder;	       /* its receive's status, or NO_WC */
	int responder_fails;   /* the responder's QP goes to ERR too */
};

static struct ibv_mr *foreign_mr(struct end *end) /* registered in another PD of the same device */
{
	struct end other = *end;

	other.pd = ibv_alloc_pd(end->context);
	CHECK(other.pd, "ibv_alloc_pd: %s", strerror(errno));
	return register_memory(&other, 4096, ALL_ACCESS);
}

#define BEND(name) static void name(struct end *a, struct end *b, struct ibv_send_wr *wr, struct ibv_sge *sge)
#define UNUSED (void)a, (void)b, (void)wr, (void)sge

BEND(nothing) { UNUSED; }
BEND(bad_lkey) { UNUSED; sge->lkey ^= 0x5a5; }
BEND(absent_lkey) { UNUSED; sge->lkey = 0x7ffff000; }
BEND(local_end) { UNUSED; sge->addr = (uintptr_t)a->buffer + a->size - LENGTH + 1; }
BEND(local_start) { UNUSED; sge->addr = (uintptr_t)a->buffer - 1; }
BEND(local_wrap) { UNUSED; sge->addr = UINT64_MAX - 10; }
BEND(local_other_pd)
{
	UNUSED;
	struct ibv_mr *mr = foreign_mr(a);

	sge->addr = (uintptr_t)mr->addr;
	sge->lkey = mr->lkey;
}
BEND(local_read_only)
{
	UNUSED;
	struct ibv_mr *mr = register_memory(a, 4096, NO_ACCESS);

	sge->addr = (uintptr_t)mr->addr;
	sge->lkey = mr->lkey;
}
BEND(local_deregistered)
{
	UNUSED;
	struct ibv_mr *mr = register_memory(a, 4096, ALL_ACCESS);

	sge->addr = (uintptr_t)mr->addr;
	sge->lkey = mr->lkey;
	CHECK_EQ(ibv_dereg_mr(mr), 0);
}
BEND(bad_rkey) { UNUSED; wr->wr.rdma.rkey ^= 0x5a5; }
BEND(absent_rkey) { UNUSED; wr->wr.rdma.rkey = 0x7ffff000; }
BEND(remote_end) { UNUSED; wr->wr.rdma.remote_addr = (uintptr_t)b->buffer + b->size - LENGTH + 1; }
BEND(remote_start) { UNUSED; wr->wr.rdma.remote_addr = (uintptr_t)b->buffer - 1; }
BEND(remote_wrap) { UNUSED; wr->wr.rdma.remote_addr = UINT64_MAX - 10; }
BEND(remote_other_pd)
{
	UNUSED;
	struct ibv_mr *mr = foreign_mr(b);

	wr->wr.rdma.remote_addr = (uintptr_t)mr->addr;
	wr->wr.rdma.rkey = mr->rkey;
}
BEND(remote_deregistered)
{
	UNUSED;
	struct ibv_mr *mr = register_memory(b, 4096, ALL_ACCESS);

	wr->wr.rdma.remote_addr = (uintptr_t)mr->addr;
	wr->wr.rdma.rkey = mr->rkey;
	CHECK_EQ(ibv_dereg_mr(mr), 0);
}
BEND(atomic_other_pd)
{
	UNUSED;
	struct ibv_mr *mr = foreign_mr(b);

	wr->wr.atomic.remote_addr = (uintptr_t)mr->addr;
	wr->wr.atomic.rkey = mr->rkey;
}
BEND(atomic_bad_rkey) { UNUSED; wr->wr.atomic.rkey ^= 0x5a5; }
BEND(atomic_misaligned) { UNUSED; wr->wr.atomic.remote_addr += 4; }
BEND(short_recv) { UNUSED; post_recv(b, RECV_ID, 0, LENGTH - 1); }
BEND(empty_recv) { UNUSED; post_recv(b, RECV_ID, 0, 0); }
static void recv_into(struct end *b, uint64_t addr, uint32_t lkey)
{
	struct ibv_sge sge = {.addr = addr, .length = 4096, .lkey = lkey};
	struct ibv_recv_wr wr = {.wr_id = RECV_ID, .sg_list = &sge, .num_sge = 1}, *bad;

	CHECK_EQ(ibv_post_recv(b->qp, &wr, &bad), 0);
}
BEND(recv_bad_lkey) { UNUSED; recv_into(b, (uintptr_t)b->buffer, b->mr->lkey ^ 0x5a5); }
BEND(recv_beyond) { UNUSED; recv_into(b, (uintptr_t)b->buffer + b->size - LENGTH / 2, b->mr->lkey); }
BEND(recv_other_pd)
{
	UNUSED;
	struct ibv_mr *mr = foreign_mr(b);

	recv_into(b, (uintptr_t)mr->addr, mr->lkey);
}
BEND(recv_read_only)
{
	UNUSED;
	struct ibv_mr *mr = register_memory(b, 4096, NO_ACCESS);

	recv_into(b, (uintptr_t)mr->addr, mr->lkey);
}

static struct fault table[] = {
/* names: see the list of tests */
#define WRITE IBV_WR_RDMA_WRITE
#define READ IBV_WR_RDMA_READ
#define ADD IBV_WR_ATOMIC_FETCH_AND_ADD
#define SEND IBV_WR_SEND
#define PROT IBV_WC_LOC_PROT_ERR
#define ACCESS IBV_WC_REM_ACCESS_ERR
#define INVALID IBV_WC_REM_INV_REQ_ERR
	/* the requester's own memory */
	{{0}, SEND, bad_lkey, PROT, 0, NO_WC, 0},
	{{0}, SEND, absent_lkey, PROT, 0, NO_WC, 0},
	{{0}, WRITE, local_end, PROT, 0, NO_WC, 0},
	{{0}, WRITE, local_start, PROT, 0, NO_WC, 0},
	{{0}, WRITE, local_wrap, PROT, 0, NO_WC, 0},
	{{0}, WRITE, local_other_pd, PROT, 0, NO_WC, 0},
	{{0}, WRITE, local_deregistered, PROT, 0, NO_WC, 0},
	{{0}, READ, bad_lkey, PROT, 0, NO_WC, 0},
	{{0}, READ, local_read_only, PROT, 0, NO_WC, 0},
	{{0}, ADD, local_read_only, PROT, 0, NO_WC, 0},
	/* the responder's memory, by key and range */
	{{0}, WRITE, bad_rkey, ACCESS, 0, NO_WC, 1},
	{{0}, WRITE, absent_rkey, ACCESS, 0, NO_WC, 1},
	{{0}, WRITE, remote_end, ACCESS, 0, NO_WC, 1},
	{{0}, WRITE, remote_start, ACCESS, 0, NO_WC, 1},
	{{0}, WRITE, remote_wrap, ACCESS, 0, NO_WC, 1},
	{{0}, WRITE, remote_other_pd, ACCESS, 0, NO_WC, 1},
	{{0}, WRITE, remote_deregistered, ACCESS, 0, NO_WC, 1},
	{{0}, READ, bad_rkey, ACCESS, 0, NO_WC, 1},
	{{0}, READ, remote_end, ACCESS, 0, NO_WC, 1},
	{{0}, READ, remote_other_pd, ACCESS, 0, NO_WC, 1},
	{{0}, ADD, atomic_bad_rkey, ACCESS, 0, NO_WC, 1},
	{{0}, ADD, atomic_other_pd, ACCESS, 0, NO_WC, 1},
	/* the responder's memory, by the MR's rights */
	{{.mr_access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ}, WRITE, nothing, ACCESS, 0, NO_WC, 1},
	{{.mr_access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE}, READ, nothing, ACCESS, 0, NO_WC, 1},
	{{.mr_access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ}, ADD, nothing, ACCESS, 0,
	 NO_WC, 1},
	/* by the QP's rights. The standard says access error or invalid request; NICs differ */
	{{.qp_access = NO_ACCESS}, WRITE, nothing, ACCESS, INVALID, NO_WC, 1},
	{{.qp_access = IBV_ACCESS_REMOTE_WRITE}, READ, nothing, ACCESS, INVALID, NO_WC, 1},
	{{.qp_access = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ}, ADD, nothing, ACCESS, INVALID, NO_WC, 1},
	{{0}, ADD, atomic_misaligned, INVALID, ACCESS, NO_WC, 1},
	/* the responder's receive */
	{{0}, SEND, short_recv, INVALID, 0, IBV_WC_LOC_LEN_ERR, 1},
	{{0}, SEND, empty_recv, INVALID, 0, IBV_WC_LOC_LEN_ERR, 1},
	{{0}, SEND, recv_bad_lkey, IBV_WC_REM_OP_ERR, 0, PROT, 1},
	{{0}, SEND, recv_beyond, IBV_WC_REM_OP_ERR, 0, PROT, 1},
	{{0}, SEND, recv_other_pd, IBV_WC_REM_OP_ERR, 0, PROT, 1},
	{{0}, SEND, recv_read_only, IBV_WC_REM_OP_ERR, 0, PROT, 1},
	/* no receive at all: the peer says "not ready", and the requester has no retry */
	{{.rnr_retry = NO_RETRY}, SEND, nothing, IBV_WC_RNR_RETRY_EXC_ERR, 0, NO_WC, 0},
	{{.rnr_retry = NO_RETRY}, IBV_WR_RDMA_WRITE_WITH_IMM, nothing, IBV_WC_RNR_RETRY_EXC_ERR, 0, NO_WC, 0},
};

static const char *names[COUNT(table)] = {
	"send_bad_lkey", "send_absent_lkey", "write_local_end", "write_local_start", "write_local_wrap",
	"write_local_other_pd", "write_local_deregistered", "read_bad_lkey", "read_into_read_only", "atomic_into_read_only",
	"write_bad_rkey", "write_absent_rkey", "write_remote_end", "write_remote_start", "write_remote_wrap",
	"write_remote_other_pd", "write_remote_deregistered", "read_bad_rkey", "read_remote_end", "read_remote_other_pd",
	"atomic_bad_rkey", "atomic_other_pd", "write_mr_forbids", "read_mr_forbids", "atomic_mr_forbids", "write_qp_forbids",
	"read_qp_forbids", "atomic_qp_forbids", "atomic_misaligned", "recv_too_short", "recv_empty", "recv_bad_lkey",
	"recv_beyond_mr", "recv_other_pd", "recv_read_only", "send_no_recv", "write_imm_no_recv",
};

/* After a failed request its QP is in ERR, and what is posted behind it flushes. */
static void check_requester(struct end *a, const struct fault *f)
{
	struct ibv_wc wc = next_wc(a->send_cq);

	CHECK(wc.wr_id == SEND_ID, "completion of %" PRIu64, wc.wr_id);
	CHECK((int)wc.status == f->requester || (f->or_else && (int)wc.status == f->or_else), "the requester sees '%s', not '%s'",
	      ibv_wc_status_str(wc.status), ibv_wc_status_str((enum ibv_wc_status)f->requester));
	CHECK_EQ(wc.qp_num, a->qp->qp_num);
	CHECK_EQ(state_of(a->qp), IBV_QPS_ERR);
	post_simple(a, AFTER_ID, IBV_WR_SEND, 0, 8, NULL, 0);
	expect(a->send_cq, AFTER_ID, IBV_WC_WR_FLUSH_ERR);
}

static void check_responder(struct end *b, const struct fault *f)
{
	if (f->responder != NO_WC)
		expect(b->recv_cq, RECV_ID, (enum ibv_wc_status)f->responder);
	else
		expect_nothing(b->recv_cq, 5);
	CHECK_EQ(state_of(b->qp), f->responder_fails ? IBV_QPS_ERR : IBV_QPS_RTS);
	if (f->responder_fails && f->responder == NO_WC) { /* no completion tells its program, so an event does */
		int event = expect_async(b->context, 1000);

		CHECK(event == IBV_EVENT_QP_ACCESS_ERR || event == IBV_EVENT_QP_REQ_ERR, "the responder's event is %d", event);
	}
}

static void faulty(const void *row)
{
	const struct fault *f = row;
	struct ibv_send_wr wr, *bad;
	struct ibv_sge sge;
	struct end a, b;

	open_pair(&a, &b, &f->wish);
	fill(a.buffer, a.size, 1);
	memset(b.buffer, 0x77, b.size);
	sge = part(&a, 0, f->opcode == ADD ? 8 : LENGTH);
	wr = request(SEND_ID, f->opcode, &sge, 1, &b, 1024);
	if (f->wish.mr_access && f->opcode == READ) /* the landing place must stay good: only the peer's MR is bent */
		CHECK(f->wish.mr_access & IBV_ACCESS_LOCAL_WRITE, "a row that bends both sides");
	f->bend(&a, &b, &wr, &sge);
	if (f->bend == atomic_misaligned && ibv_post_send(a.qp, &wr, &bad) == EINVAL)
		return; /* a device may refuse it when it is posted */
	if (f->bend != atomic_misaligned)
		post(&a, &wr);
	check_requester(&a, f);
	check_responder(&b, f);
	if (f->opcode != READ)
		check_bytes(b.buffer + 64, b.size - 64, 0x77, "the responder's memory");
}

/* ---- flushing --------------------------------------------------------------------------------------------------- */

/* The first request fails; those behind it flush in order, unsignalled ones too, and so do the peer's receives. */
static void flush_in_order(const void *row)
{
	enum { BEHIND = 8, RECEIVES = 8 };
	const struct wish wish = {0};
	struct ibv_send_wr wr[1 + BEHIND];
	struct ibv_sge sge;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	sge = part(&a, 0, 64);
	for (uint64_t n = 0; n < RECEIVES; n++) {
		post_recv(&a, 100 + n, 0, 64);
		post_recv(&b, 200 + n, 0, 64);
	}
	for (uint64_t n = 0; n <= BEHIND; n++) {
		wr[n] = request(n, n == 3 ? IBV_WR_SEND : IBV_WR_RDMA_WRITE, &sge, 1, &b, 0);
		wr[n].send_flags = n % 2 ? 0 : IBV_SEND_SIGNALED;
		wr[n].next = n < BEHIND ? &wr[n + 1] : NULL;
	}
	wr[0].wr.rdma.rkey ^= 0x5a5;
	post(&a, wr);
	expect(a.send_cq, 0, IBV_WC_REM_ACCESS_ERR);
	for (uint64_t n = 1; n <= BEHIND; n++)
		expect(a.send_cq, n, IBV_WC_WR_FLUSH_ERR);
	for (uint64_t n = 0; n < RECEIVES; n++) {
		expect(a.recv_cq, 100 + n, IBV_WC_WR_FLUSH_ERR);
		expect(b.recv_cq, 200 + n, IBV_WC_WR_FLUSH_ERR);
	}
	expect_nothing(a.send_cq, 5);
	expect_nothing(b.recv_cq, 5);
}

/* ERR by hand: receives flush, and what is posted afterwards flushes too. RESET and back: the QP works again. */
static void error_by_hand_and_back(const void *row)
{
	const struct wish wish = {0};
	struct address of_a, of_b;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	for (uint64_t n = 0; n < 4; n++)
		post_recv(&b, n, 0, 64);
	CHECK_EQ(set_state(b.qp, IBV_QPS_ERR), 0);
	for (uint64_t n = 0; n < 4; n++)
		expect(b.recv_cq, n, IBV_WC_WR_FLUSH_ERR);
	post_recv(&b, 50, 0, 64);
	expect(b.recv_cq, 50, IBV_WC_WR_FLUSH_ERR);
	post_simple(&b, 51, IBV_WR_SEND, 0, 8, NULL, 0);
	expect(b.send_cq, 51, IBV_WC_WR_FLUSH_ERR);
	CHECK_EQ(set_state(a.qp, IBV_QPS_RESET), 0);
	CHECK_EQ(set_state(b.qp, IBV_QPS_RESET), 0);
	of_a = address_of(&a);
	of_b = address_of(&b);
	connect_to(&a, &of_b, &wish);
	connect_to(&b, &of_a, &wish);
	fill(a.buffer, 64, 9);
	post_recv(&b, 60, 0, 64);
	post_simple(&a, 61, IBV_WR_SEND, 0, 64, NULL, 0);
	expect(b.recv_cq, 60, IBV_WC_SUCCESS);
	expect(a.send_cq, 61, IBV_WC_SUCCESS);
	check_filled(b.buffer, 64, 9, "after RESET");
}

/* RESET takes the QP's completions out of its CQs, and its receives are gone without a word. */
static void reset_purges(const void *row)
{
	const struct wish wish = {0};
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	post_recv(&b, 1, 0, 64);
	post_recv(&b, 2, 0, 64);
	post_simple(&a, 3, IBV_WR_SEND, 0, 64, NULL, 0);
	expect(a.send_cq, 3, IBV_WC_SUCCESS);
	CHECK_EQ(set_state(b.qp, IBV_QPS_RESET), 0);
	expect_nothing(b.recv_cq, 20);
}

/* A zero-length WRITE or READ names no memory, so any key will do (IBTA 9.7.4.1.5). */
static void zero_length_needs_no_key(const void *row)
{
	const struct wish wish = {0};
	struct ibv_send_wr wr;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	for (int read = 0; read < 2; read++) {
		wr = request(1, read ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE, NULL, 0, &b, 0);
		wr.wr.rdma.rkey = 0x12345678;
		wr.wr.rdma.remote_addr = 0;
		post(&a, &wr);
		expect(a.send_cq, 1, IBV_WC_SUCCESS);
	}
}

/* A bad receive that no message has reached yet does no harm. */
static void local_error_spares_the_peer(const void *row)
{
	const struct wish wish = {0};
	struct address of_b, of_c;
	struct end a, b, c;
	struct ibv_sge sge;
	struct ibv_send_wr wr;

	(void)row;
	open_pair(&a, &b, &wish);
	sge = part(&a, 0, 64);
	sge.lkey ^= 0x5a5;
	wr = request(1, IBV_WR_SEND, &sge, 1, NULL, 0);
	post_recv(&b, 2, 0, 64);
	post(&a, &wr);
	expect(a.send_cq, 1, IBV_WC_LOC_PROT_ERR);
	CHECK_EQ(state_of(b.qp), IBV_QPS_RTS);
	open_end(&c, &wish); /* b meets somebody new, its receive still there */
	CHECK_EQ(set_state(b.qp, IBV_QPS_RESET), 0);
	of_b = address_of(&b);
	of_c = address_of(&c);
	connect_to(&b, &of_c, &wish);
	connect_to(&c, &of_b, &wish);
	post_recv(&b, 3, 0, 64);
	post_simple(&c, 4, IBV_WR_SEND, 0, 64, NULL, 0);
	expect(b.recv_cq, 3, IBV_WC_SUCCESS);
}

int main(int argc, char **argv)
{
	static const struct test others[] = {
		{"flush_in_order", flush_in_order, NULL},
		{"error_by_hand_and_back", error_by_hand_and_back, NULL},
		{"reset_purges", reset_purges, NULL},
		{"zero_length_needs_no_key", zero_length_needs_no_key, NULL},
		{"local_error_spares_the_peer", local_error_spares_the_peer, NULL},
	};
	struct test all[COUNT(table) + COUNT(others)];

	for (size_t i = 0; i < COUNT(table); i++)
		all[i] = (struct test){names[i], faulty, &table[i]};
	memcpy(all + COUNT(table), others, sizeof others);
	return run_tests(argc, argv, all, COUNT(all));
}
