/* Device, PD, MR and DM of another process: using them, and the end of each by either process. */
#include "import_steps.h"

static void traffic(const void *row)
{
	struct importer i;
	int socket;
	pid_t child = open_importer(&i, &socket);

	(void)row;
	both_ways(&i, 1);
	CHECK_EQ(tell(socket, 'c', 1), 0);
	CHECK_EQ(tell(socket, 'f', 2), 0);
	post_recv(&i.peer, 3, 0, LENGTH);
	post_simple(&i.end, 4, IBV_WR_SEND, 0, LENGTH, NULL, 0);
	expect(i.end.send_cq, 4, IBV_WC_SUCCESS);
	check_filled(i.peer.buffer, LENGTH, 2, "sent");
	post_recv(&i.end, 5, 0, LENGTH); /* into the exporter's memory */
	fill(i.peer.buffer, LENGTH, 6);
	post_simple(&i.peer, 6, IBV_WR_SEND, 0, LENGTH, NULL, 0);
	expect(i.end.recv_cq, 5, IBV_WC_SUCCESS);
	CHECK_EQ(tell(socket, 'c', 6), 0);
	leave_exporter(child, socket);
}

/* An MR of the importer's in the imported PD: named by a peer of the QP, and by the QP itself. */
static void memory_of_its_own(const void *row)
{
	struct importer i;
	int socket;
	pid_t child = open_importer(&i, &socket);

	(void)row;
	i.end.mr = ibv_reg_mr(i.end.pd, i.end.buffer = aligned_alloc(4096, LENGTH), LENGTH, ALL_ACCESS);
	CHECK(i.end.mr, "ibv_reg_mr: %s", strerror(errno));
	both_ways(&i, 1);
	check_filled(i.end.buffer, LENGTH, 1, "its own");
	CHECK_EQ(tell(socket, 'q', 0), 0);
	CHECK_EQ(tell(socket, 'm', 0), 0);
	CHECK_EQ(tell(socket, 's', 0), 0);
	CHECK_EQ(tell(socket, 'p', 0), EBUSY);
	leave_exporter(child, socket);
	both_ways(&i, 2); /* the PD is the importer's now */
	CHECK_EQ(ibv_dealloc_pd(i.end.pd), EBUSY);
}

static void device_memory(const void *row)
{
	static char bytes[DM_LENGTH];
	struct importer i;
	struct ibv_mr *mr;
	int socket;
	pid_t child = open_importer(&i, &socket);

	(void)row;
	CHECK_EQ(tell(socket, 'F', 7), 0);
	CHECK_EQ(ibv_memcpy_from_dm(bytes, i.dm, 0, DM_LENGTH), 0);
	check_filled(bytes, DM_LENGTH, 7, "device memory");
	fill(bytes, DM_LENGTH, 8);
	CHECK_EQ(ibv_memcpy_to_dm(i.dm, 0, bytes, DM_LENGTH), 0);
	CHECK_EQ(tell(socket, 'C', 8), 0);
	CHECK_EQ(ibv_memcpy_to_dm(i.dm, DM_LENGTH - 4, bytes, 8), EFAULT);
	CHECK_EQ(ibv_memcpy_to_dm(i.dm, 2, bytes, 4), EINVAL);
	mr = ibv_reg_dm_mr(i.end.pd, i.dm, 0, DM_LENGTH, ALL_ACCESS | IBV_ACCESS_ZERO_BASED);
	CHECK(mr, "ibv_reg_dm_mr: %s", strerror(errno));
	fill(bytes, DM_LENGTH, 9);
	memcpy(i.peer.buffer, bytes + 4096, LENGTH);
	i.end.mr = mr, i.end.buffer = NULL; /* zero based */
	post_simple(&i.peer, 10, IBV_WR_RDMA_WRITE, 0, LENGTH, &i.end, 4096);
	expect(i.peer.send_cq, 10, IBV_WC_SUCCESS);
	CHECK_EQ(ibv_memcpy_from_dm(bytes, i.dm, 4096, LENGTH), 0);
	CHECK(memcmp(bytes, i.peer.buffer, LENGTH) == 0, "the peer wrote something else");
	CHECK_EQ(tell(socket, 'd', 0), EBUSY);
	CHECK_EQ(ibv_dereg_mr(mr), 0);
	CHECK_EQ(tell(socket, 'd', 0), 0);
	CHECK_EQ(ibv_memcpy_from_dm(bytes, i.dm, 0, 4), EINVAL);
	CHECK_EQ(ibv_free_dm(i.dm), EINVAL);
	leave_exporter(child, socket);
}

/* A parent's context, in its child, by the descriptor that it has inherited. */
static void over_a_fork(const void *row)
{
	struct exporter x = {0};
	struct importer i = {0};
	const struct wish wish = {.size = LENGTH};
	struct offer offer;
	int status;
	pid_t child;

	(void)row;
	open_exporter(&x, &offer);
	child = fork();
	if (child == 0) {
		open_end(&i.peer, &wish);
		import_from(&i, dup(x.end.context->cmd_fd), &offer);
		connect_both(&i);
		both_ways(&i, 3);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0, "the child failed");
	check_filled(x.end.buffer, LENGTH, 3, "the parent's memory");
}

/* ---- ends ---------------------------------------------------------------------------------------------------------- */

static void unimported_it_stays(const void *row)
{
	struct importer i;
	int socket;
	pid_t child = open_importer(&i, &socket);

	(void)row;
	CHECK_EQ(ibv_destroy_qp(i.end.qp), 0);
	ibv_unimport_mr(i.end.mr);
	ibv_unimport_mr(i.end.mr); /* twice is harmless */
	ibv_unimport_dm(i.dm);
	ibv_unimport_pd(i.end.pd);
	CHECK_EQ(ibv_close_device(i.end.context), 0);
	CHECK_EQ(tell(socket, 'F', 1), 0);
	CHECK_EQ(tell(socket, 'C', 1), 0);
	CHECK_EQ(tell(socket, 'm', 0), 0);
	CHECK_EQ(tell(socket, 'd', 0), 0);
	leave_exporter(child, socket);
}

static void ended_by_the_exporter(const void *row)
{
	struct importer i;
	int socket;
	pid_t child = open_importer(&i, &socket);

	(void)row;
	CHECK_EQ(tell(socket, 'm', 0), 0);
	CHECK_EQ(ibv_dereg_mr(i.end.mr), EINVAL);
	post_simple(&i.end, 1, IBV_WR_SEND, 0, 64, NULL, 0);
	expect(i.end.send_cq, 1, IBV_WC_LOC_PROT_ERR);
	CHECK_EQ(tell(socket, 's', 0), 0);
	CHECK_EQ(tell(socket, 'q', 0), 0);
	CHECK_EQ(tell(socket, 'p', 0), EBUSY); /* the importer's QP */
	CHECK_EQ(ibv_destroy_qp(i.end.qp), 0);
	CHECK_EQ(tell(socket, 'p', 0), 0);
	CHECK_EQ(ibv_dealloc_pd(i.end.pd), EINVAL);
	CHECK(!ibv_import_pd(i.end.context, i.offer.pd) && errno == EINVAL, "what is gone was imported");
	leave_exporter(child, socket);
}

/* What the importer ends is ended for the exporter too, whose pages are its own again. */
static void ended_by_the_importer(const void *row)
{
	struct importer i;
	int socket;
	pid_t child = open_importer(&i, &socket);

	CHECK_EQ(tell(socket, 'f', 5), 0);
	CHECK_EQ(ibv_dealloc_pd(i.end.pd), EBUSY);
	CHECK_EQ(ibv_dereg_mr(i.end.mr), 0);
	CHECK_EQ(ibv_dereg_mr(i.end.mr), EINVAL);
	post_simple(&i.peer, 1, IBV_WR_RDMA_WRITE, 0, 64, &i.end, 0);
	expect(i.peer.send_cq, 1, IBV_WC_REM_ACCESS_ERR);
	if (row)
		CHECK_EQ(tell(socket, 'u', 0), 0);
	else
		CHECK_EQ(tell(socket, 'm', 0), EINVAL);
	CHECK_EQ(tell(socket, 'c', 5), 0);
	CHECK_EQ(tell(socket, 'M', 0), 0);
	CHECK_EQ(tell(socket, 'c', 5), 0);
	CHECK_EQ(tell(socket, 'm', 0), 0);
	CHECK_EQ(tell(socket, 's', 0), 0);
	CHECK_EQ(ibv_free_dm(i.dm), 0);
	CHECK_EQ(tell(socket, 'F', 6), 0); /* still its own, until it is told */
	CHECK_EQ(tell(socket, 'd', 0), EINVAL);
	CHECK_EQ(ibv_destroy_qp(i.end.qp), 0);
	CHECK_EQ(tell(socket, 'q', 0), 0);
	CHECK_EQ(ibv_dealloc_pd(i.end.pd), 0);
	CHECK_EQ(tell(socket, 'p', 0), EINVAL);
	leave_exporter(child, socket);
}

int main(int argc, char **argv)
{
	static const int by_unimport = 1;
	static const struct test tests[] = {
		{"traffic", traffic, NULL},
		{"memory_of_its_own", memory_of_its_own, NULL},
		{"device_memory", device_memory, NULL},
		{"over_a_fork", over_a_fork, NULL},
		{"unimported_it_stays", unimported_it_stays, NULL},
		{"ended_by_the_exporter", ended_by_the_exporter, NULL},
		{"ended_by_the_importer", ended_by_the_importer, NULL},
		{"ended_by_the_importer_and_unimported", ended_by_the_importer, &by_unimport},
	};

	return run_tests(argc, argv, tests, COUNT(tests));
}
