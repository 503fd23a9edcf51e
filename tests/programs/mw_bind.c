/*
 * Memory windows: what a bound one allows, and to whom; how it ends; what cannot be bound. Windows of type 2 are of kind
 * B here: they belong to the QP that binds them.
 */
#include "verbs_test.h"

enum {
	LENGTH = 4096,
	BINDABLE = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND,
	REMOTE = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC,
	WRITE = IBV_WR_RDMA_WRITE,
	READ = IBV_WR_RDMA_READ,
	ADD = IBV_WR_ATOMIC_FETCH_AND_ADD,
};

/* b's MR can be bound to, and gives its peer nothing by itself. */
static void open_bindable(struct end *a, struct end *b)
{
	const struct wish wish = {.mr_access = BINDABLE};

	open_pair(a, b, &wish);
	fill(a->buffer, a->size, 1);
	memset(b->buffer, 0x77, b->size);
}

static struct ibv_mw *make(const struct end *end, enum ibv_mw_type type)
{
	struct ibv_mw *mw = ibv_alloc_mw(end->pd, type);

	CHECK(mw, "ibv_alloc_mw: %s", strerror(errno));
	CHECK_EQ(mw->type, type);
	return mw;
}

static struct ibv_mw_bind_info span(const struct end *end, size_t offset, size_t length, int access)
{
	return (struct ibv_mw_bind_info){.mr = end->mr, .addr = (uintptr_t)end->buffer + offset, .length = length,
					 .mw_access_flags = (unsigned)access};
}

static uint32_t post_bind(struct end *end, struct ibv_mw *mw, struct ibv_mw_bind_info info)
{
	struct ibv_mw_bind bind = {.wr_id = 50, .send_flags = IBV_SEND_SIGNALED, .bind_info = info};
	struct ibv_send_wr wr = {.wr_id = 50, .opcode = IBV_WR_BIND_MW, .send_flags = IBV_SEND_SIGNALED,
				 .bind_mw = {.mw = mw, .rkey = ibv_inc_rkey(mw->rkey), .bind_info = info}};

	if (mw->type == IBV_MW_TYPE_1) {
		CHECK_EQ(ibv_bind_mw(end->qp, mw, &bind), 0);
		return mw->rkey;
	}
	post(end, &wr);
	return wr.bind_mw.rkey;
}

/* The new key. */
static uint32_t bound(struct end *end, struct ibv_mw *mw, size_t offset, size_t length, int access)
{
	uint32_t rkey = post_bind(end, mw, span(end, offset, length, access));

	CHECK_EQ(expect(end->send_cq, 50, IBV_WC_SUCCESS).opcode, IBV_WC_BIND_MW);
	return rkey;
}

static void try(struct end *a, int opcode, uint32_t rkey, uint64_t addr, uint32_t length, enum ibv_wc_status status)
{
	struct ibv_sge sge = part(a, 0, length);
	struct ibv_send_wr wr = request(1, opcode, &sge, 1, a, 0);

	if (opcode == ADD)
		wr.wr.atomic.rkey = rkey, wr.wr.atomic.remote_addr = addr;
	else
		wr.wr.rdma.rkey = rkey, wr.wr.rdma.remote_addr = addr;
	post(a, &wr);
	expect(a->send_cq, 1, status);
}

static void post_key(struct end *end, int opcode, uint32_t rkey, unsigned flags)
{
	struct ibv_send_wr wr = {.wr_id = 60, .opcode = (enum ibv_wr_opcode)opcode, .send_flags = IBV_SEND_SIGNALED | flags,
				 .invalidate_rkey = rkey};

	post(end, &wr);
}

/* ---- what a window allows, by its type, range and rights ---------------------------------------------------------- */

static const struct use {
	const char *name;
	int type, access, opcode;
	long long offset; /* of the access, from the window's start */
	uint32_t length;
	enum ibv_wc_status status;
} uses[] = {
	{"type_1_is_written", IBV_MW_TYPE_1, IBV_ACCESS_REMOTE_WRITE, WRITE, 0, LENGTH, IBV_WC_SUCCESS},
	{"type_1_is_read", IBV_MW_TYPE_1, IBV_ACCESS_REMOTE_READ, READ, 16, 64, IBV_WC_SUCCESS},
	{"type_1_is_added_to", IBV_MW_TYPE_1, IBV_ACCESS_REMOTE_ATOMIC, ADD, 8, 8, IBV_WC_SUCCESS},
	{"type_2_is_written", IBV_MW_TYPE_2, IBV_ACCESS_REMOTE_WRITE, WRITE, LENGTH - 64, 64, IBV_WC_SUCCESS},
	{"type_2_is_read", IBV_MW_TYPE_2, IBV_ACCESS_REMOTE_READ, READ, 0, LENGTH, IBV_WC_SUCCESS},
	{"type_2_is_added_to", IBV_MW_TYPE_2, REMOTE, ADD, 0, 8, IBV_WC_SUCCESS},
	{"read_only_is_not_written", IBV_MW_TYPE_1, IBV_ACCESS_REMOTE_READ, WRITE, 0, 64, IBV_WC_REM_ACCESS_ERR},
	{"write_only_is_not_read", IBV_MW_TYPE_2, IBV_ACCESS_REMOTE_WRITE, READ, 0, 64, IBV_WC_REM_ACCESS_ERR},
	{"no_atomics_unless_allowed", IBV_MW_TYPE_2, IBV_ACCESS_REMOTE_WRITE, ADD, 0, 8, IBV_WC_REM_ACCESS_ERR},
	{"no_rights_no_access", IBV_MW_TYPE_2, IBV_ACCESS_LOCAL_WRITE, WRITE, 0, 64, IBV_WC_REM_ACCESS_ERR},
	{"not_beyond_its_end", IBV_MW_TYPE_1, REMOTE, WRITE, LENGTH - 63, 64, IBV_WC_REM_ACCESS_ERR},
	{"not_before_its_start", IBV_MW_TYPE_2, REMOTE, READ, -1, 64, IBV_WC_REM_ACCESS_ERR},
};

static void used(const void *row)
{
	const struct use *u = row;
	struct end a, b;
	uint32_t rkey;
	char *at;

	for (int zero_based = 0; zero_based < 2; zero_based++) {
		open_bindable(&a, &b);
		at = b.buffer + 8192 + u->offset;
		rkey = bound(&b, make(&b, (enum ibv_mw_type)u->type), 8192, LENGTH,
			    u->access | (zero_based ? IBV_ACCESS_ZERO_BASED : 0));
		try(&a, u->opcode, rkey, zero_based ? (uint64_t)u->offset : (uintptr_t)at, u->length, u->status);
		if (u->status != IBV_WC_SUCCESS)
			check_bytes(b.buffer, b.size, 0x77, "the MR");
		else if (u->opcode == WRITE)
			check_filled(at, u->length, 1, "through the window");
		else if (u->opcode == READ)
			check_bytes(a.buffer, u->length, 0x77, "through the window");
	}
}

/* ---- how a window ends ---------------------------------------------------------------------------------------------- */

static void a_new_key_each_time(const void *row)
{
	struct ibv_mw *mw;
	uint32_t first, second;
	struct end a, b;

	(void)row;
	open_bindable(&a, &b);
	mw = make(&b, IBV_MW_TYPE_1);
	first = bound(&b, mw, 0, LENGTH, REMOTE);
	second = bound(&b, mw, LENGTH, LENGTH, REMOTE);
	CHECK(first != second && first >> 8 == second >> 8, "%#x, then %#x", first, second);
	try(&a, WRITE, second, (uintptr_t)b.buffer + LENGTH, 64, IBV_WC_SUCCESS);
	try(&a, WRITE, first, (uintptr_t)b.buffer, 64, IBV_WC_REM_ACCESS_ERR);
}

static void length_0_unbinds_type_1(const void *row)
{
	struct ibv_mw *mw;
	struct end a, b;
	uint32_t rkey;

	(void)row;
	open_bindable(&a, &b);
	mw = make(&b, IBV_MW_TYPE_1);
	bound(&b, mw, 0, LENGTH, REMOTE);
	CHECK_EQ(ibv_dereg_mr(b.mr), EBUSY);
	b.mr = NULL;
	rkey = post_bind(&b, mw, (struct ibv_mw_bind_info){0});
	expect(b.send_cq, 50, IBV_WC_SUCCESS);
	try(&a, WRITE, rkey, (uintptr_t)b.buffer, 64, IBV_WC_REM_ACCESS_ERR);
}

static void local_invalidate(const void *row)
{
	struct ibv_mw *mw;
	struct end a, b;
	uint32_t rkey;

	(void)row;
	open_bindable(&a, &b);
	mw = make(&b, IBV_MW_TYPE_2);
	rkey = bound(&b, mw, 0, LENGTH, REMOTE);
	CHECK_EQ(ibv_dereg_mr(b.mr), EBUSY);
	post_key(&b, IBV_WR_LOCAL_INV, rkey, IBV_SEND_FENCE);
	CHECK_EQ(expect(b.send_cq, 60, IBV_WC_SUCCESS).opcode, IBV_WC_LOCAL_INV);
	mw->rkey = rkey; /* the next key must differ from this one */
	rkey = bound(&b, mw, 0, LENGTH, REMOTE);
	try(&a, WRITE, rkey, (uintptr_t)b.buffer, 64, IBV_WC_SUCCESS);
	post_key(&b, IBV_WR_LOCAL_INV, rkey, 0);
	expect(b.send_cq, 60, IBV_WC_SUCCESS);
	try(&a, WRITE, rkey, (uintptr_t)b.buffer, 64, IBV_WC_REM_ACCESS_ERR);
	CHECK_EQ(ibv_dereg_mr(b.mr), 0);
}

/* SEND_WITH_INV: the receiver learns the key, which is dead by then. */
static void remote_invalidate(const void *row)
{
	struct ibv_send_wr wr = {.wr_id = 70, .opcode = IBV_WR_SEND_WITH_INV, .send_flags = IBV_SEND_SIGNALED, .num_sge = 1};
	const struct wish wish = {.mr_access = BINDABLE, .inline_bytes = 64};
	struct ibv_sge sge;
	struct ibv_wc wc;
	struct ibv_mw *mw;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	fill(a.buffer, 64, 1);
	mw = make(&b, IBV_MW_TYPE_2);
	for (int in_line = 0; in_line < 2; in_line++) {
		mw->rkey = wr.invalidate_rkey = bound(&b, mw, 0, LENGTH, REMOTE);
		post_recv(&b, 71, 8192, 64);
		sge = part(&a, 0, 64);
		wr.sg_list = &sge;
		wr.send_flags = IBV_SEND_SIGNALED | (in_line ? IBV_SEND_INLINE : 0);
		post(&a, &wr);
		expect(a.send_cq, 70, IBV_WC_SUCCESS);
		wc = expect(b.recv_cq, 71, IBV_WC_SUCCESS);
		CHECK_EQ(wc.wc_flags & (IBV_WC_WITH_INV | IBV_WC_WITH_IMM), IBV_WC_WITH_INV);
		CHECK_EQ(wc.invalidated_rkey, wr.invalidate_rkey);
		CHECK_EQ(wc.opcode, IBV_WC_RECV);
		check_filled(b.buffer + 8192, 64, 1, "what came with it");
	}
	try(&a, WRITE, wr.invalidate_rkey, (uintptr_t)b.buffer, 64, IBV_WC_REM_ACCESS_ERR);
	CHECK_EQ(ibv_dereg_mr(b.mr), 0);
}

static void freeing_unbinds(const void *row)
{
	struct ibv_mw *mw;
	struct end a, b;
	uint32_t rkey;

	for (int type = IBV_MW_TYPE_1; type <= IBV_MW_TYPE_2; type++) {
		(void)row;
		open_bindable(&a, &b);
		mw = make(&b, (enum ibv_mw_type)type);
		rkey = bound(&b, mw, 0, LENGTH, REMOTE);
		CHECK_EQ(ibv_dealloc_mw(mw), 0);
		try(&a, WRITE, rkey, (uintptr_t)b.buffer, 64, IBV_WC_REM_ACCESS_ERR);
		CHECK_EQ(ibv_dereg_mr(b.mr), 0);
	}
}

static void its_pd_and_mr_wait_for_it(const void *row)
{
	struct ibv_mw *mw, *idle;
	struct ibv_pd *pd;
	struct end a, b;

	(void)row;
	open_bindable(&a, &b);
	pd = ibv_alloc_pd(b.context);
	idle = ibv_alloc_mw(pd, IBV_MW_TYPE_2);
	CHECK_EQ(ibv_dealloc_pd(pd), EBUSY);
	CHECK_EQ(ibv_dealloc_mw(idle), 0);
	CHECK_EQ(ibv_dealloc_pd(pd), 0);
	mw = make(&b, IBV_MW_TYPE_2);
	bound(&b, mw, 0, LENGTH, REMOTE);
	CHECK_EQ(ibv_rereg_mr(b.mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, IBV_ACCESS_LOCAL_WRITE), IBV_REREG_MR_ERR_INPUT);
	CHECK_EQ(errno, EBUSY);
	CHECK_EQ(ibv_dereg_mr(b.mr), EBUSY);
	CHECK_EQ(ibv_dealloc_mw(mw), 0);
	CHECK_EQ(ibv_dereg_mr(b.mr), 0);
}

/* A context that is closed takes windows and MRs along, bound or not. */
static void goes_with_its_context(const void *row)
{
	struct end a, b;

	(void)row;
	for (int i = 0; i < 4; i++) {
		open_bindable(&a, &b);
		bound(&b, make(&b, i % 2 ? IBV_MW_TYPE_1 : IBV_MW_TYPE_2), 0, LENGTH, REMOTE);
		CHECK_EQ(ibv_close_device(b.context), 0);
	}
}

/* ---- whose a window is ---------------------------------------------------------------------------------------------- */

/* A second pair in the same PD: type 1 is for all its QPs, type 2 for the one that bound it. */
static void of_a_qp_or_of_a_pd(const void *row)
{
	const struct wish wish = {.mr_access = BINDABLE};
	struct address of_a, of_b;
	struct end a, b, c;
	uint32_t one, two;

	(void)row;
	open_bindable(&a, &b);
	open_end(&c, &wish);
	one = bound(&b, make(&b, IBV_MW_TYPE_1), 0, LENGTH, REMOTE);
	two = bound(&b, make(&b, IBV_MW_TYPE_2), 0, LENGTH, REMOTE);
	b.qp = make_qp(&b, &wish);
	of_a = address_of(&c), of_b = address_of(&b);
	connect_to(&c, &of_b, &wish);
	connect_to(&b, &of_a, &wish);
	try(&c, WRITE, one, (uintptr_t)b.buffer, 64, IBV_WC_SUCCESS);
	try(&c, WRITE, two, (uintptr_t)b.buffer, 64, IBV_WC_REM_ACCESS_ERR);
}

static void invalidate_anothers(struct end *from, struct end *to, uint32_t rkey)
{
	post_recv(to, 80, 0, 64);
	post_key(from, IBV_WR_SEND_WITH_INV, rkey, 0);
	expect(from->send_cq, 60, IBV_WC_REM_ACCESS_ERR);
	expect(to->recv_cq, 80, IBV_WC_WR_FLUSH_ERR);
	CHECK_EQ(expect_async(to->context, 1000), IBV_EVENT_QP_ACCESS_ERR);
}

/* A peer may invalidate a window of type 2 of the QP that it is connected to, and nothing else. */
static void what_no_peer_invalidates(const void *row)
{
	const struct wish wish = {.mr_access = BINDABLE};
	struct end a, b, c, d;
	uint32_t keys[4];

	(void)row;
	open_bindable(&a, &b);
	keys[0] = b.mr->rkey;
	keys[1] = bound(&b, make(&b, IBV_MW_TYPE_1), 0, LENGTH, REMOTE);
	keys[2] = make(&b, IBV_MW_TYPE_2)->rkey; /* not bound */
	keys[3] = bound(&b, make(&b, IBV_MW_TYPE_2), 0, LENGTH, REMOTE);
	for (size_t i = 0; i < COUNT(keys); i++) {
		struct address of_c, of_d;

		open_end(&c, &wish);
		d = b;
		d.qp = make_qp(&b, &wish); /* of the same PD as the windows */
		of_c = address_of(&c), of_d = address_of(&d);
		connect_to(&c, &of_d, &wish);
		connect_to(&d, &of_c, &wish);
		invalidate_anothers(&c, &d, keys[i]);
	}
	try(&a, WRITE, keys[1], (uintptr_t)b.buffer, 64, IBV_WC_SUCCESS);
	try(&a, WRITE, keys[3], (uintptr_t)b.buffer, 64, IBV_WC_SUCCESS);
}

static void no_lkey(const void *row)
{
	struct ibv_sge sge;
	struct ibv_send_wr wr;
	struct end a, b;

	(void)row;
	open_bindable(&a, &b);
	sge = part(&b, 0, 64);
	sge.lkey = bound(&b, make(&b, IBV_MW_TYPE_1), 0, LENGTH, REMOTE);
	wr = request(1, IBV_WR_SEND, &sge, 1, NULL, 0);
	post(&b, &wr);
	expect(b.send_cq, 1, IBV_WC_LOC_PROT_ERR);
}

static void over_device_memory(const void *row)
{
	struct ibv_alloc_dm_attr attr = {.length = 65536};
	struct ibv_dm *dm;
	struct end a, b;
	uint32_t rkey;
	char copy[64];

	(void)row;
	open_bindable(&a, &b);
	dm = ibv_alloc_dm(b.context, &attr);
	b.mr = ibv_reg_dm_mr(b.pd, dm, 4096, 8192, IBV_ACCESS_ZERO_BASED | BINDABLE);
	CHECK(b.mr, "ibv_reg_dm_mr: %s", strerror(errno));
	b.buffer = NULL;
	rkey = bound(&b, make(&b, IBV_MW_TYPE_2), 1000, LENGTH, REMOTE);
	try(&a, WRITE, rkey, 1000 + 24, 64, IBV_WC_SUCCESS);
	CHECK_EQ(ibv_memcpy_from_dm(copy, dm, 4096 + 1024, 64), 0);
	check_filled(copy, 64, 1, "through a window on device memory");
}

static void unreliable_connections_bind_too(const void *row)
{
	const struct wish wish = {.type = IBV_QPT_UC, .mr_access = BINDABLE};
	struct end a, b;
	uint32_t rkey;

	(void)row;
	open_pair(&a, &b, &wish);
	fill(a.buffer, 64, 1);
	rkey = bound(&b, make(&b, IBV_MW_TYPE_2), 0, LENGTH, IBV_ACCESS_REMOTE_WRITE);
	try(&a, WRITE, rkey, (uintptr_t)b.buffer, 64, IBV_WC_SUCCESS);
	check_filled(b.buffer, 64, 1, "through the window");
	post_key(&b, IBV_WR_LOCAL_INV, rkey, 0);
	expect(b.send_cq, 60, IBV_WC_SUCCESS);
}

/* ---- what cannot be bound or invalidated ---------------------------------------------------------------------------- */

#define BEND(name) static void name(struct end *b, struct ibv_send_wr *wr, struct ibv_mw_bind_info *info)
#define UNUSED (void)b, (void)wr, (void)info

BEND(beyond_the_mr) { UNUSED; info->length = b->size + 1; }
BEND(before_the_mr) { UNUSED; info->addr--; }
BEND(wrapping) { UNUSED; info->length = -1ull; }
BEND(mr_of_another_pd)
{
	UNUSED;
	info->mr = ibv_reg_mr(ibv_alloc_pd(b->context), b->buffer, b->size, BINDABLE);
}
BEND(not_bindable) { UNUSED; info->mr = ibv_reg_mr(b->pd, b->buffer, b->size, ALL_ACCESS); }
BEND(read_only)
{
	UNUSED;
	info->mr = ibv_reg_mr(b->pd, b->buffer, b->size, IBV_ACCESS_MW_BIND | IBV_ACCESS_REMOTE_READ);
}
BEND(null_mr) { UNUSED; info->mr = ibv_alloc_null_mr(b->pd); }
BEND(no_length) { UNUSED; info->length = 0; }
BEND(no_mr) { UNUSED; info->mr = NULL; }
BEND(the_same_key) { UNUSED; wr->bind_mw.rkey = wr->bind_mw.mw->rkey; }
BEND(anothers_key) { UNUSED; wr->bind_mw.rkey = ibv_inc_rkey(make(b, IBV_MW_TYPE_2)->rkey) ^ 0xf00; }
BEND(an_mrs_key) { UNUSED; wr->bind_mw.rkey = ibv_inc_rkey(b->mr->rkey); }
BEND(window_of_another_pd)
{
	UNUSED;
	wr->bind_mw.mw = ibv_alloc_mw(ibv_alloc_pd(b->context), IBV_MW_TYPE_2);
	wr->bind_mw.rkey = ibv_inc_rkey(wr->bind_mw.mw->rkey);
}
BEND(bound_already)
{
	UNUSED;
	wr->bind_mw.rkey = ibv_inc_rkey(bound(b, wr->bind_mw.mw, 0, LENGTH, REMOTE));
}
BEND(another_windows_mr)
{
	static struct ibv_mr fake;

	UNUSED;
	fake = *info->mr;
	fake.lkey = bound(b, make(b, IBV_MW_TYPE_1), 0, LENGTH, REMOTE);
	info->mr = &fake;
}

static const struct wrong {
	const char *name;
	void (*bend)(struct end *b, struct ibv_send_wr *wr, struct ibv_mw_bind_info *info);
} wrongs[] = {
	{"bind_beyond_the_mr", beyond_the_mr}, {"bind_before_the_mr", before_the_mr}, {"bind_wrapping", wrapping},
	{"bind_mr_of_another_pd", mr_of_another_pd}, {"bind_not_bindable", not_bindable}, {"bind_read_only", read_only},
	{"bind_null_mr", null_mr}, {"bind_no_length", no_length}, {"bind_no_mr", no_mr}, {"bind_the_same_key", the_same_key},
	{"bind_anothers_key", anothers_key}, {"bind_an_mrs_key", an_mrs_key},
	{"bind_window_of_another_pd", window_of_another_pd}, {"bind_bound_already", bound_already},
	{"bind_to_a_window", another_windows_mr},
};

static void not_bound(const void *row)
{
	const struct wrong *w = row;
	struct ibv_send_wr wr = {.wr_id = 5, .opcode = IBV_WR_BIND_MW, .send_flags = IBV_SEND_SIGNALED};
	struct end a, b;

	open_bindable(&a, &b);
	wr.bind_mw.mw = make(&b, IBV_MW_TYPE_2);
	wr.bind_mw.rkey = ibv_inc_rkey(wr.bind_mw.mw->rkey);
	wr.bind_mw.bind_info = span(&b, 0, LENGTH, REMOTE);
	w->bend(&b, &wr, &wr.bind_mw.bind_info);
	post(&b, &wr);
	expect(b.send_cq, 5, IBV_WC_MW_BIND_ERR);
	CHECK_EQ(state_of(b.qp), IBV_QPS_ERR);
	CHECK_EQ(ibv_dealloc_mw(wr.bind_mw.mw), 0);
}

static void not_invalidated(const void *row)
{
	uint32_t keys[3];
	struct end a, b;

	(void)row;
	for (size_t i = 0; i < COUNT(keys); i++) {
		open_bindable(&a, &b);
		keys[0] = b.mr->rkey;
		keys[1] = bound(&b, make(&b, IBV_MW_TYPE_1), 0, LENGTH, REMOTE);
		keys[2] = make(&b, IBV_MW_TYPE_2)->rkey;
		post_key(&b, IBV_WR_LOCAL_INV, keys[i], 0);
		expect(b.send_cq, 60, IBV_WC_MW_BIND_ERR);
	}
}

static void refused_when_posted(const void *row)
{
	struct ibv_send_wr wr = {.opcode = IBV_WR_BIND_MW}, *bad;
	const struct wish datagrams = {.type = IBV_QPT_UD};
	struct ibv_mw_bind info = {0};
	struct ibv_mw *one, *two;
	struct end a, b, u;

	(void)row;
	open_bindable(&a, &b);
	one = make(&b, IBV_MW_TYPE_1), two = make(&b, IBV_MW_TYPE_2);
	info.bind_info = wr.bind_mw.bind_info = span(&b, 0, LENGTH, REMOTE);
	CHECK_EQ(ibv_bind_mw(b.qp, two, &info), EINVAL);
	wr.bind_mw.mw = one;
	CHECK_EQ(ibv_post_send(b.qp, &wr, &bad), EINVAL);
	wr.bind_mw.mw = NULL;
	CHECK_EQ(ibv_post_send(b.qp, &wr, &bad), EINVAL);
	CHECK_EQ(ibv_bind_mw(a.qp, one, &info), EINVAL);
	info.bind_info.mr = ibv_reg_mr(ibv_alloc_pd(b.context), b.buffer, b.size, BINDABLE);
	CHECK_EQ(ibv_bind_mw(b.qp, one, &info), EPERM);
	open_end(&u, &datagrams);
	wr.bind_mw.mw = make(&u, IBV_MW_TYPE_2);
	CHECK_EQ(ibv_post_send(u.qp, &wr, &bad), EINVAL);
	CHECK(!ibv_alloc_mw(b.pd, (enum ibv_mw_type)3), "a window of type 3");
	CHECK_EQ(errno, EINVAL);
}

int main(int argc, char **argv)
{
	static const struct test others[] = {
		{"a_new_key_each_time", a_new_key_each_time, NULL},
		{"length_0_unbinds_type_1", length_0_unbinds_type_1, NULL},
		{"local_invalidate", local_invalidate, NULL},
		{"remote_invalidate", remote_invalidate, NULL},
		{"freeing_unbinds", freeing_unbinds, NULL},
		{"its_pd_and_mr_wait_for_it", its_pd_and_mr_wait_for_it, NULL},
		{"goes_with_its_context", goes_with_its_context, NULL},
		{"of_a_qp_or_of_a_pd", of_a_qp_or_of_a_pd, NULL},
		{"what_no_peer_invalidates", what_no_peer_invalidates, NULL},
		{"no_lkey", no_lkey, NULL},
		{"over_device_memory", over_device_memory, NULL},
		{"unreliable_connections_bind_too", unreliable_connections_bind_too, NULL},
		{"not_invalidated", not_invalidated, NULL},
		{"refused_when_posted", refused_when_posted, NULL},
	};
	struct test all[COUNT(uses) + COUNT(wrongs) + COUNT(others)];

	for (size_t i = 0; i < COUNT(uses); i++)
		all[i] = (struct test){uses[i].name, used, &uses[i]};
	for (size_t i = 0; i < COUNT(wrongs); i++)
		all[COUNT(uses) + i] = (struct test){wrongs[i].name, not_bound, &wrongs[i]};
	memcpy(all + COUNT(uses) + COUNT(wrongs), others, sizeof others);
	return run_tests(argc, argv, all, COUNT(all));
}
