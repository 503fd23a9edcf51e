/* ibv_import_device in the same process and what is imported into such a context, and the end of each of them. */
#include "verbs_test.h"

#include <fcntl.h>

enum { LENGTH = 4096 };

static struct ibv_context *import_of(struct ibv_context *context)
{
	struct ibv_context *imported = ibv_import_device(dup(context->cmd_fd));

	CHECK(imported, "ibv_import_device: %s", strerror(errno));
	return imported;
}

/* b again, in a context, a PD and an MR that are imported from it; with CQs and a QP of its own. */
static void import_end(struct end *again, const struct end *b)
{
	const struct wish wish = {0};

	*again = *b;
	again->context = import_of(b->context);
	again->pd = ibv_import_pd(again->context, b->pd->handle);
	CHECK(again->pd, "ibv_import_pd: %s", strerror(errno));
	again->mr = ibv_import_mr(again->pd, b->mr->handle);
	CHECK(again->mr, "ibv_import_mr: %s", strerror(errno));
	CHECK(again->mr->addr == NULL && again->mr->length == b->mr->length, "addr %p", again->mr->addr);
	CHECK(again->mr->rkey == b->mr->rkey && again->mr->lkey == b->mr->lkey, "rkey %#x", again->mr->rkey);
	again->send_cq = ibv_create_cq(again->context, 16, NULL, NULL, 0);
	again->recv_cq = ibv_create_cq(again->context, 16, NULL, NULL, 0);
	CHECK(again->send_cq && again->recv_cq, "ibv_create_cq: %s", strerror(errno));
	again->qp = make_qp(again, &wish);
}

static void connect_ends(struct end *a, struct end *b)
{
	const struct wish wish = {0};
	struct address of_a = address_of(a), of_b = address_of(b);

	CHECK_EQ(set_state(a->qp, IBV_QPS_RESET), 0);
	CHECK_EQ(set_state(b->qp, IBV_QPS_RESET), 0);
	connect_to(a, &of_b, &wish);
	connect_to(b, &of_a, &wish);
}

static void write_to(struct end *a, const struct end *b, unsigned seed)
{
	fill(a->buffer, LENGTH, seed);
	post_simple(a, seed, IBV_WR_RDMA_WRITE, 0, LENGTH, b, 0);
	expect(a->send_cq, seed, IBV_WC_SUCCESS);
	check_filled(b->buffer, LENGTH, seed, "written");
}

static void open_three(struct end *a, struct end *b, struct end *again)
{
	const struct wish wish = {0};

	open_end(a, &wish);
	open_end(b, &wish);
	import_end(again, b);
}

static void traffic_by_what_is_imported(const void *row)
{
	struct end a, b, again;

	(void)row;
	open_three(&a, &b, &again);
	connect_ends(&a, &again);
	write_to(&a, &again, 1);
	post_recv(&a, 7, 8192, 64);
	post_simple(&again, 8, IBV_WR_SEND, 0, 64, NULL, 0);
	expect(a.recv_cq, 7, IBV_WC_SUCCESS);
	expect(again.send_cq, 8, IBV_WC_SUCCESS);
}

/* Whichever of the contexts is closed first, what was made in either stays until the last. */
static void the_first_to_close_takes_nothing(const void *row)
{
	struct end a, b, again;

	for (int first = 0; first < 2; first++) {
		(void)row;
		open_three(&a, &b, &again);
		connect_ends(&a, &again);
		CHECK_EQ(ibv_close_device(first ? again.context : b.context), 0);
		write_to(&a, &again, 2);
		CHECK_EQ(ibv_close_device(first ? b.context : again.context), 0);
		post_simple(&a, 3, IBV_WR_RDMA_WRITE, 0, 64, &again, 0);
		expect(a.send_cq, 3, IBV_WC_RETRY_EXC_ERR);
	}
}

static void unimported_it_stays(const void *row)
{
	struct end a, b, again;

	(void)row;
	open_three(&a, &b, &again);
	CHECK_EQ(ibv_destroy_qp(again.qp), 0);
	ibv_unimport_mr(again.mr);
	ibv_unimport_pd(again.pd);
	connect_ends(&a, &b);
	write_to(&a, &b, 4);
}

/* Ended by either object, it is ended, and its pages are the program's own again. */
static void ended_by_the_import(const void *row)
{
	struct end a, b, again;
	struct ibv_pd *pd;

	(void)row;
	open_three(&a, &b, &again);
	fill(b.buffer, LENGTH, 5);
	CHECK_EQ(ibv_dealloc_pd(again.pd), EBUSY);
	CHECK_EQ(ibv_destroy_qp(again.qp), 0);
	CHECK_EQ(ibv_destroy_qp(b.qp), 0);
	CHECK_EQ(ibv_dereg_mr(again.mr), 0);
	CHECK_EQ(ibv_dereg_mr(b.mr), EINVAL);
	check_filled(b.buffer, LENGTH, 5, "after dereg");
	ibv_unimport_mr(b.mr);
	pd = ibv_alloc_pd(b.context);
	CHECK(ibv_reg_mr(pd, b.buffer, LENGTH, ALL_ACCESS), "once more: %s", strerror(errno));
	CHECK_EQ(ibv_dealloc_pd(again.pd), 0);
	CHECK_EQ(ibv_dealloc_pd(b.pd), EINVAL);
	ibv_unimport_pd(b.pd);
}

static void device_memory(const void *row)
{
	struct ibv_alloc_dm_attr attr = {.length = LENGTH};
	struct ibv_context *context = open_device(), *imported = import_of(context);
	struct ibv_dm *dm = ibv_alloc_dm(context, &attr), *again = ibv_import_dm(imported, dm->handle);
	char bytes[LENGTH], found[LENGTH];

	(void)row;
	CHECK(dm && again, "%s", strerror(errno));
	fill(bytes, LENGTH, 6);
	CHECK_EQ(ibv_memcpy_to_dm(dm, 0, bytes, LENGTH), 0);
	CHECK_EQ(ibv_memcpy_from_dm(found, again, 0, LENGTH), 0);
	check_filled(found, LENGTH, 6, "the same memory");
	CHECK_EQ(ibv_memcpy_from_dm(found, again, LENGTH, 4), EFAULT);
	ibv_unimport_dm(again);
	CHECK_EQ(ibv_free_dm(dm), 0);
	CHECK(!ibv_import_dm(imported, dm->handle), "what is gone");
}

static void other_handles_are_refused(const void *row)
{
	struct ibv_alloc_dm_attr attr = {.length = LENGTH};
	struct end a, b, again;
	struct ibv_pd *pd;

	(void)row;
	open_three(&a, &b, &again);
	pd = ibv_alloc_pd(b.context);
	CHECK(!ibv_import_pd(again.context, a.pd->handle) && errno == EINVAL, "a PD of another context");
	CHECK(!ibv_import_pd(again.context, ~0u) && errno == EINVAL, "no PD");
	CHECK(!ibv_import_mr(pd, b.mr->handle) && errno == EINVAL, "an MR of another PD");
	CHECK(!ibv_import_mr(again.pd, a.mr->handle) && errno == EINVAL, "an MR of another context");
	CHECK(!ibv_import_dm(again.context, ibv_alloc_dm(a.context, &attr)->handle) && errno == EINVAL, "another's memory");
	CHECK_EQ(ibv_rereg_mr(again.mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, ALL_ACCESS), IBV_REREG_MR_ERR_INPUT);
}

static void other_files_are_refused(const void *row)
{
	struct ibv_context *context = open_device();
	int closed = dup(context->cmd_fd), null = open("/dev/null", O_RDWR);

	(void)row;
	CHECK(!ibv_import_device(-1) && errno == EBADF, "no file: %s", strerror(errno));
	CHECK(!ibv_import_device(null) && errno == EINVAL, "another file: %s", strerror(errno));
	CHECK(fcntl(null, F_GETFD) >= 0, "it was closed");
	CHECK_EQ(ibv_close_device(context), 0);
	context = open_device();
	CHECK(!ibv_import_device(closed) && errno == EINVAL, "of a context that is closed: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"traffic_by_what_is_imported", traffic_by_what_is_imported, NULL},
		{"the_first_to_close_takes_nothing", the_first_to_close_takes_nothing, NULL},
		{"unimported_it_stays", unimported_it_stays, NULL},
		{"ended_by_the_import", ended_by_the_import, NULL},
		{"device_memory", device_memory, NULL},
		{"other_handles_are_refused", other_handles_are_refused, NULL},
		{"other_files_are_refused", other_files_are_refused, NULL},
	};

	return run_tests(argc, argv, tests, COUNT(tests));
}
