/* Device memory: allocating, copying, registering, and messages to and from it. */
#include "verbs_test.h"

enum { SIZE = 65536, DM_ACCESS = ALL_ACCESS | IBV_ACCESS_ZERO_BASED };

static struct ibv_dm *allocate(struct ibv_context *context, size_t length)
{
	struct ibv_alloc_dm_attr attr = {.length = length, .log_align_req = 6};
	struct ibv_dm *dm = ibv_alloc_dm(context, &attr);

	CHECK(dm, "ibv_alloc_dm of %zu: %s", length, strerror(errno));
	return dm;
}

static struct ibv_mr *open_with_dm(struct end *a, struct end *b, struct ibv_dm **dm)
{
	const struct wish wish = {0};
	struct ibv_mr *mr;

	open_pair(a, b, &wish);
	*dm = allocate(b->context, SIZE);
	mr = ibv_reg_dm_mr(b->pd, *dm, 4096, SIZE - 4096, DM_ACCESS);
	CHECK(mr, "ibv_reg_dm_mr: %s", strerror(errno));
	fill(a->buffer, a->size, 1);
	return mr;
}

static uint64_t largest(struct ibv_context *context)
{
	struct ibv_device_attr_ex attr;

	CHECK_EQ(ibv_query_device_ex(context, NULL, &attr), 0);
	CHECK(attr.max_dm_size >= SIZE, "max_dm_size is %" PRIu64, attr.max_dm_size);
	return attr.max_dm_size;
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static void remote_operations(const void *row)
{
	const struct {int opcode; uint64_t to; size_t from; uint32_t length;} steps[] = {
		{IBV_WR_RDMA_WRITE, 8, 0, 40000}, {IBV_WR_RDMA_READ, 8, 45000, 1000}, {IBV_WR_ATOMIC_FETCH_AND_ADD, 0, 48000, 8}};
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct ibv_mr *mr;
	struct ibv_dm *dm;
	uint64_t five = 5, now;
	struct end a, b;
	char copy[40000];

	(void)row;
	mr = open_with_dm(&a, &b, &dm);
	CHECK_EQ(ibv_memcpy_to_dm(dm, 4096, &five, 8), 0);
	for (size_t i = 0; i < COUNT(steps); i++) {
		sge = part(&a, steps[i].from, steps[i].length);
		wr = request(i, steps[i].opcode, &sge, 1, &b, 0);
		if (steps[i].opcode == IBV_WR_ATOMIC_FETCH_AND_ADD)
			wr.wr.atomic.rkey = mr->rkey, wr.wr.atomic.remote_addr = steps[i].to, wr.wr.atomic.compare_add = 3;
		else
			wr.wr.rdma.rkey = mr->rkey, wr.wr.rdma.remote_addr = steps[i].to;
		post(&a, &wr);
		expect(a.send_cq, i, IBV_WC_SUCCESS);
	}
	CHECK_EQ(ibv_memcpy_from_dm(copy, dm, 4096 + 8, sizeof copy), 0);
	check_filled(copy, sizeof copy, 1, "written to device memory");
	CHECK(memcmp(a.buffer + 45000, a.buffer, 1000) == 0, "read from device memory");
	CHECK_EQ(ibv_memcpy_from_dm(&now, dm, 4096, 8), 0);
	CHECK_EQ(now, 8);
	memcpy(&now, a.buffer + 48000, 8);
	CHECK_EQ(now, 5);
}

static void sends_and_receives(const void *row)
{
	struct ibv_sge sge = {.length = 5000};
	struct ibv_recv_wr recv = {.wr_id = 2, .sg_list = &sge, .num_sge = 1}, *bad;
	struct ibv_send_wr wr;
	struct ibv_mr *mr;
	struct ibv_dm *dm;
	struct end a, b;

	(void)row;
	mr = open_with_dm(&a, &b, &dm);
	sge.lkey = mr->lkey;
	CHECK_EQ(ibv_post_recv(b.qp, &recv, &bad), 0);
	post_simple(&a, 1, IBV_WR_SEND, 0, 5000, NULL, 0);
	expect(b.recv_cq, 2, IBV_WC_SUCCESS);
	post_recv(&a, 3, 20000, 5000);
	wr = request(4, IBV_WR_SEND, &sge, 1, NULL, 0);
	post(&b, &wr);
	expect(a.recv_cq, 3, IBV_WC_SUCCESS);
	CHECK(memcmp(a.buffer + 20000, a.buffer, 5000) == 0, "there and back");
}

static void its_range_and_rights_hold(const void *row)
{
	const struct {uint64_t addr; uint32_t length; int access;} wrong[] = {
		{SIZE - 4096 - 63, 64, DM_ACCESS}, {-8ull, 64, DM_ACCESS}, {0, 64, IBV_ACCESS_ZERO_BASED | IBV_ACCESS_LOCAL_WRITE}};
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct ibv_mr *mr;
	struct ibv_dm *dm;
	struct end a, b;

	(void)row;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		open_with_dm(&a, &b, &dm);
		mr = ibv_reg_dm_mr(b.pd, dm, 4096, SIZE - 4096, wrong[i].access);
		sge = part(&a, 0, wrong[i].length);
		wr = request(1, IBV_WR_RDMA_WRITE, &sge, 1, &b, 0);
		wr.wr.rdma.rkey = mr->rkey, wr.wr.rdma.remote_addr = wrong[i].addr;
		post(&a, &wr);
		expect(a.send_cq, 1, IBV_WC_REM_ACCESS_ERR);
	}
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static void as_much_as_promised(const void *row)
{
	struct ibv_context *context = open_device();
	struct ibv_alloc_dm_attr attr = {.length = largest(context)};
	struct ibv_dm *dm, *rest;

	(void)row;
	for (int round = 0; round < 3; round++) {
		dm = allocate(context, attr.length / 2);
		rest = allocate(context, attr.length - attr.length / 2);
		attr.length = 4;
		CHECK(!ibv_alloc_dm(context, &attr), "more than max_dm_size");
		CHECK_EQ(errno, ENOMEM);
		attr.length = largest(context);
		CHECK_EQ(ibv_free_dm(dm), 0);
		CHECK_EQ(ibv_free_dm(rest), 0);
	}
	attr.length++;
	CHECK(!ibv_alloc_dm(context, &attr), "more than max_dm_size at once");
	CHECK_EQ(errno, ENOMEM);
}

/* Nobody finds what was there before, and what is side by side does not touch. */
static void fresh_and_apart(const void *row)
{
	struct ibv_context *context = open_device();
	struct ibv_dm *dm[8];
	char bytes[8192];

	(void)row;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < COUNT(dm); i++) {
			dm[i] = allocate(context, sizeof bytes);
			CHECK_EQ(ibv_memcpy_from_dm(bytes, dm[i], 0, sizeof bytes), 0);
			check_bytes(bytes, sizeof bytes, 0, "fresh device memory");
			memset(bytes, (int)i + 1, sizeof bytes);
			CHECK_EQ(ibv_memcpy_to_dm(dm[i], 0, bytes, sizeof bytes), 0);
		}
		for (size_t i = 0; i < COUNT(dm); i++) {
			CHECK_EQ(ibv_memcpy_from_dm(bytes, dm[i], 0, sizeof bytes), 0);
			check_bytes(bytes, sizeof bytes, (char)(i + 1), "its neighbours");
			CHECK_EQ(ibv_free_dm(dm[i]), 0);
		}
	}
}

static void busy_while_registered(const void *row)
{
	struct ibv_dm *dm;
	struct ibv_mr *mr;
	struct end a, b;

	(void)row;
	mr = open_with_dm(&a, &b, &dm);
	CHECK_EQ(ibv_free_dm(dm), EBUSY);
	CHECK_EQ(ibv_dereg_mr(mr), 0);
	CHECK_EQ(ibv_free_dm(dm), 0);
}

/* A context that is closed takes it along: there is room again. */
static void goes_with_its_context(const void *row)
{
	struct ibv_context *keeps = open_device();
	size_t size = largest(keeps);

	(void)row;
	for (int i = 0; i < 3; i++) {
		struct ibv_context *context = open_device();
		struct ibv_dm *dm = allocate(context, size);
		struct ibv_pd *pd = ibv_alloc_pd(context);

		CHECK(ibv_reg_dm_mr(pd, dm, 0, size, DM_ACCESS), "ibv_reg_dm_mr: %s", strerror(errno));
		CHECK_EQ(ibv_close_device(context), 0);
	}
}

/* A child may go on with its parent's context, and has memory of its own there. */
static void a_fork_has_its_own(const void *row)
{
	struct ibv_context *context = open_device();
	struct ibv_dm *dm = allocate(context, SIZE);
	int status, mine = 1, found;
	pid_t child;

	(void)row;
	CHECK_EQ(ibv_memcpy_to_dm(dm, 0, &mine, 4), 0);
	child = fork();
	if (child == 0) {
		struct ibv_dm *own = allocate(context, largest(context));
		int theirs = 2;

		CHECK_EQ(ibv_memcpy_to_dm(own, 0, &theirs, 4), 0);
		CHECK(ibv_alloc_pd(context), "ibv_alloc_pd: %s", strerror(errno));
		CHECK_EQ(ibv_free_dm(own), 0);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0, "the child failed");
	CHECK_EQ(ibv_memcpy_from_dm(&found, dm, 0, 4), 0);
	CHECK_EQ(found, mine);
	CHECK_EQ(ibv_free_dm(dm), 0);
}

/* ---- wrong arguments ------------------------------------------------------------------------------------------------ */

static void allocation_refuses(const void *row)
{
	const struct ibv_alloc_dm_attr wrong[] = {{.length = 64, .comp_mask = 1}, {.length = 0}, {.length = 64, .log_align_req = 13}};
	struct ibv_context *context = open_device();

	(void)row;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		CHECK(!ibv_alloc_dm(context, (struct ibv_alloc_dm_attr *)&wrong[i]), "row %zu", i);
		CHECK_EQ(errno, EINVAL);
	}
}

static void copies_refuse(const void *row)
{
	const struct {uint64_t offset; size_t length; int error;} wrong[] = {
		{3, 4, EINVAL}, {4, 3, EINVAL}, {104, 4, EFAULT}, {0, 104, EFAULT}, {96, 8, EFAULT}, {-4ull, 8, EFAULT}, {4, -4ull, EFAULT}};
	struct ibv_dm *dm = allocate(open_device(), 100);
	char bytes[128] = {0};

	(void)row;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		CHECK_EQ(ibv_memcpy_to_dm(dm, wrong[i].offset, bytes, wrong[i].length), wrong[i].error);
		CHECK_EQ(ibv_memcpy_from_dm(bytes, dm, wrong[i].offset, wrong[i].length), wrong[i].error);
	}
	CHECK_EQ(ibv_memcpy_to_dm(dm, 96, bytes, 4), 0);
	CHECK_EQ(ibv_memcpy_to_dm(dm, 100, bytes, 0), 0);
}

static void registration_refuses(const void *row)
{
	const struct {uint64_t offset; size_t length; unsigned access;} wrong[] = {
		{0, 100, IBV_ACCESS_LOCAL_WRITE}, {0, 104, DM_ACCESS}, {101, 0, DM_ACCESS}, {50, 51, DM_ACCESS}, {-4ull, 8, DM_ACCESS},
		{0, 100, IBV_ACCESS_ZERO_BASED | IBV_ACCESS_REMOTE_WRITE}, {0, 100, DM_ACCESS | IBV_ACCESS_ON_DEMAND}};
	const struct wish wish = {0};
	struct end end, other;
	struct ibv_dm *dm;
	struct ibv_mr *mr;

	(void)row;
	open_end(&end, &wish);
	open_end(&other, &wish);
	dm = allocate(end.context, 100);
	for (size_t i = 0; i < COUNT(wrong); i++) {
		CHECK(!ibv_reg_dm_mr(end.pd, dm, wrong[i].offset, wrong[i].length, wrong[i].access), "row %zu", i);
		CHECK_EQ(errno, EINVAL);
	}
	CHECK(!ibv_reg_dm_mr(other.pd, dm, 0, 100, DM_ACCESS), "in another context");
	CHECK_EQ(errno, EINVAL);
	mr = ibv_reg_dm_mr(end.pd, dm, 40, 60, DM_ACCESS | IBV_ACCESS_RELAXED_ORDERING);
	CHECK(mr, "ibv_reg_dm_mr: %s", strerror(errno));
	CHECK(mr->addr == NULL && mr->length == 60, "addr %p, length %zu", mr->addr, mr->length);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"remote_operations", remote_operations, NULL},
		{"sends_and_receives", sends_and_receives, NULL},
		{"its_range_and_rights_hold", its_range_and_rights_hold, NULL},
		{"as_much_as_promised", as_much_as_promised, NULL},
		{"fresh_and_apart", fresh_and_apart, NULL},
		{"busy_while_registered", busy_while_registered, NULL},
		{"goes_with_its_context", goes_with_its_context, NULL},
		{"a_fork_has_its_own", a_fork_has_its_own, NULL},
		{"allocation_refuses", allocation_refuses, NULL},
		{"copies_refuse", copies_refuse, NULL},
		{"registration_refuses", registration_refuses, NULL},
	};

	return run_tests(argc, argv, tests, COUNT(tests));
}
