/* ibv_rereg_mr with each flag, what it refuses, and registrations that cannot be. */
#include "verbs_test.h"

#include <sys/mman.h>

enum { LENGTH = 4096, ACCESS = IBV_REREG_MR_CHANGE_ACCESS, PLACE = IBV_REREG_MR_CHANGE_TRANSLATION, PD = IBV_REREG_MR_CHANGE_PD };

static char *fresh(size_t size, int protection)
{
	char *memory = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED, "mmap: %s", strerror(errno));
	return memory;
}

static void write_at(struct end *a, const struct end *b, char *at, enum ibv_wc_status status)
{
	struct ibv_sge sge = part(a, 0, LENGTH);
	struct ibv_send_wr wr = request(1, IBV_WR_RDMA_WRITE, &sge, 1, b, 0);

	wr.wr.rdma.remote_addr = (uintptr_t)at;
	post(a, &wr);
	expect(a->send_cq, 1, status);
}

static void reconnect(struct end *a, struct end *b)
{
	const struct wish wish = {0};
	struct address of_a = address_of(a), of_b = address_of(b);

	CHECK_EQ(set_state(a->qp, IBV_QPS_RESET), 0);
	CHECK_EQ(set_state(b->qp, IBV_QPS_RESET), 0);
	connect_to(a, &of_b, &wish);
	connect_to(b, &of_a, &wish);
}

static void open_filled(struct end *a, struct end *b)
{
	const struct wish wish = {0};

	open_pair(a, b, &wish);
	fill(a->buffer, LENGTH, 1);
}

static void access_is_taken_and_given(const void *row)
{
	struct end a, b;

	(void)row;
	open_filled(&a, &b);
	write_at(&a, &b, b.buffer, IBV_WC_SUCCESS);
	CHECK_EQ(ibv_rereg_mr(b.mr, ACCESS, NULL, NULL, 0, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ), 0);
	write_at(&a, &b, b.buffer, IBV_WC_REM_ACCESS_ERR);
	CHECK_EQ(ibv_rereg_mr(b.mr, ACCESS, NULL, NULL, 0, ALL_ACCESS | IBV_ACCESS_RELAXED_ORDERING), 0);
	reconnect(&a, &b);
	write_at(&a, &b, b.buffer + LENGTH, IBV_WC_SUCCESS);
	check_filled(b.buffer + LENGTH, LENGTH, 1, "after the right was given back");
}

static void another_place(const void *row)
{
	struct end a, b;
	uint32_t rkey;
	char *place, *old;

	(void)row;
	open_filled(&a, &b);
	place = fresh(1 << 20, PROT_READ | PROT_WRITE);
	memset(place, 0x33, 1 << 20);
	old = b.buffer, rkey = b.mr->rkey;
	memset(old, 0x44, b.size);
	CHECK_EQ(ibv_rereg_mr(b.mr, PLACE, NULL, place + 100, 300000, 0), 0);
	CHECK(b.mr->addr == place + 100 && b.mr->length == 300000, "addr %p, length %zu", b.mr->addr, b.mr->length);
	CHECK_EQ(b.mr->rkey, rkey);
	write_at(&a, &b, place + 100, IBV_WC_SUCCESS);
	check_filled(place + 100, LENGTH, 1, "the new place");
	check_bytes(place + 100 + LENGTH, 300000 - LENGTH, 0x33, "behind it");
	write_at(&a, &b, old, IBV_WC_REM_ACCESS_ERR);
	check_bytes(old, b.size, 0x44, "the old place");
	CHECK_EQ(ibv_dereg_mr(b.mr), 0);
	check_filled(place + 100, LENGTH, 1, "after dereg");
}

/* As after realloc: the same pages and more, bytes intact, and again the smaller range. */
static void grows_and_shrinks(const void *row)
{
	struct end a, b;
	char *place;

	(void)row;
	open_filled(&a, &b);
	place = fresh(1 << 20, PROT_READ | PROT_WRITE);
	fill(place, 1 << 20, 5);
	CHECK_EQ(ibv_rereg_mr(b.mr, PLACE, NULL, place, LENGTH, 0), 0);
	CHECK_EQ(ibv_rereg_mr(b.mr, PLACE, NULL, place, 1 << 20, 0), 0);
	check_filled(place, 1 << 20, 5, "after growing");
	write_at(&a, &b, place + (1 << 20) - LENGTH, IBV_WC_SUCCESS);
	check_filled(place + (1 << 20) - LENGTH, LENGTH, 1, "its end");
	CHECK_EQ(ibv_rereg_mr(b.mr, PLACE, NULL, place + LENGTH, LENGTH, 0), 0);
	write_at(&a, &b, place + LENGTH, IBV_WC_SUCCESS);
	write_at(&a, &b, place, IBV_WC_REM_ACCESS_ERR);
	place[0] = 7; /* its own again */
}

static void another_pd(const void *row)
{
	struct ibv_pd *other;
	struct end a, b;

	(void)row;
	open_filled(&a, &b);
	other = ibv_alloc_pd(b.context);
	CHECK_EQ(ibv_rereg_mr(b.mr, PD, other, NULL, 0, 0), 0);
	CHECK(b.mr->pd == other, "mr->pd is not the new one");
	CHECK_EQ(ibv_dealloc_pd(other), EBUSY);
	write_at(&a, &b, b.buffer, IBV_WC_REM_ACCESS_ERR);
	CHECK_EQ(ibv_rereg_mr(b.mr, PD, b.pd, NULL, 0, 0), 0);
	CHECK_EQ(ibv_dealloc_pd(other), 0);
	reconnect(&a, &b);
	write_at(&a, &b, b.buffer, IBV_WC_SUCCESS);
}

static void all_at_once(const void *row)
{
	struct ibv_pd *other;
	struct end a, b;
	char *place;

	(void)row;
	open_filled(&a, &b);
	other = ibv_alloc_pd(b.context);
	place = fresh(65536, PROT_READ | PROT_WRITE);
	CHECK_EQ(ibv_rereg_mr(b.mr, PD | PLACE | ACCESS, other, place, 65536, IBV_ACCESS_LOCAL_WRITE), 0);
	CHECK_EQ(ibv_rereg_mr(b.mr, PD | ACCESS, b.pd, NULL, 0, ALL_ACCESS), 0);
	write_at(&a, &b, place, IBV_WC_SUCCESS);
	check_filled(place, LENGTH, 1, "the new place");
}

/* ---- refusals: the code, errno, and an MR that is what it was ---------------------------------------------------- */

static char wall[1]; /* stands for memory that nobody may touch */

static const struct refusal {
	const char *name;
	int flags, access;
	char *addr;
	size_t length;
	int other_pd; /* 1: NULL, 2: of another context */
	int error;
} refusals[] = {
	{"refuses_no_flag", 0, 0, NULL, 0, 0, EINVAL},
	{"refuses_unknown_flags", 8 | ACCESS, ALL_ACCESS, NULL, 0, 0, EINVAL},
	{"refuses_length_0", PLACE, 0, wall, 0, 0, EINVAL},
	{"refuses_no_address", PLACE, 0, NULL, LENGTH, 0, EINVAL},
	{"refuses_to_wrap", PLACE, 0, (char *)-4096l, 8192, 0, EINVAL},
	{"refuses_unmapped", PLACE, 0, wall, LENGTH, 0, EFAULT},
	{"refuses_access_unasked", PD, IBV_ACCESS_LOCAL_WRITE, NULL, 0, 0, EINVAL},
	{"refuses_remote_without_local", ACCESS, IBV_ACCESS_REMOTE_WRITE, NULL, 0, 0, EINVAL},
	{"refuses_unknown_access", ACCESS, 1 << 19, NULL, 0, 0, EOPNOTSUPP},
	{"refuses_to_become_on_demand", ACCESS, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_ON_DEMAND, NULL, 0, 0, EOPNOTSUPP},
	{"refuses_no_pd", PD, 0, NULL, 0, 1, EINVAL},
	{"refuses_a_foreign_pd", PD, 0, NULL, 0, 2, EINVAL},
};

static void refuses(const void *row)
{
	const struct refusal *f = row;
	struct end a, b;
	char *addr;

	open_filled(&a, &b);
	addr = f->addr == wall ? fresh(65536, PROT_NONE) : f->addr;
	errno = 0;
	CHECK_EQ(ibv_rereg_mr(b.mr, f->flags, f->other_pd == 1 ? NULL : f->other_pd ? a.pd : b.pd, addr, f->length, f->access),
		 IBV_REREG_MR_ERR_INPUT);
	CHECK_EQ(errno, f->error);
	write_at(&a, &b, b.buffer, IBV_WC_SUCCESS);
	check_filled(b.buffer, LENGTH, 1, "through the old MR");
	CHECK_EQ(ibv_dereg_mr(b.mr), 0);
}

static void other_kinds_do_not_change(const void *row)
{
	const struct wish wish = {0};
	struct ibv_alloc_dm_attr attr = {.length = LENGTH};
	struct ibv_mr *null, *device;
	struct ibv_dm *dm;
	struct end end;

	(void)row;
	open_end(&end, &wish);
	null = ibv_alloc_null_mr(end.pd);
	dm = ibv_alloc_dm(end.context, &attr);
	device = ibv_reg_dm_mr(end.pd, dm, 0, LENGTH, IBV_ACCESS_ZERO_BASED | IBV_ACCESS_LOCAL_WRITE);
	CHECK(null && device, "%s", strerror(errno));
	CHECK_EQ(ibv_rereg_mr(null, ACCESS, NULL, NULL, 0, ALL_ACCESS), IBV_REREG_MR_ERR_INPUT);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(ibv_rereg_mr(device, PLACE, NULL, end.buffer, LENGTH, 0), IBV_REREG_MR_ERR_INPUT);
	CHECK_EQ(errno, EINVAL);
}

/* A message of no bytes needs no MR, and there is none of no bytes. */
static void no_mr_of_length_0(const void *row)
{
	const struct wish wish = {0};
	struct end end;

	(void)row;
	open_end(&end, &wish);
	CHECK(!ibv_reg_mr(end.pd, end.buffer, 0, ALL_ACCESS), "an MR of length 0");
	CHECK_EQ(errno, EINVAL);
	CHECK(!ibv_reg_mr_iova2(end.pd, NULL, 0, 0, ALL_ACCESS | IBV_ACCESS_RELAXED_ORDERING), "an MR of nothing");
	CHECK_EQ(errno, EINVAL);
}

static void dmabuf_is_refused(const void *row)
{
	const struct wish wish = {0};
	struct end end;

	(void)row;
	open_end(&end, &wish);
	CHECK(!ibv_reg_dmabuf_mr(end.pd, 0, LENGTH, 0, 0, IBV_ACCESS_LOCAL_WRITE), "a dma-buf was registered");
	CHECK_EQ(errno, EOPNOTSUPP);
}

int main(int argc, char **argv)
{
	static const struct test others[] = {
		{"access_is_taken_and_given", access_is_taken_and_given, NULL},
		{"another_place", another_place, NULL},
		{"grows_and_shrinks", grows_and_shrinks, NULL},
		{"another_pd", another_pd, NULL},
		{"all_at_once", all_at_once, NULL},
		{"other_kinds_do_not_change", other_kinds_do_not_change, NULL},
		{"no_mr_of_length_0", no_mr_of_length_0, NULL},
		{"dmabuf_is_refused", dmabuf_is_refused, NULL},
	};
	struct test all[COUNT(refusals) + COUNT(others)];

	for (size_t i = 0; i < COUNT(refusals); i++)
		all[i] = (struct test){refusals[i].name, refuses, &refusals[i]};
	memcpy(all + COUNT(refusals), others, sizeof others);
	return run_tests(argc, argv, all, COUNT(all));
}
