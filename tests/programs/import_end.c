/* Processes that die while they share objects; and who gets nothing by importing. */
#include "import_steps.h"

#include <sys/mman.h>

static void kill_it(pid_t child)
{
	int status;

	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
}

/* ---- deaths ------------------------------------------------------------------------------------------------------- */

/* The exporter's second MR, which nobody has imported, ends with its maker. */
static void until_it_is_gone(struct importer *i)
{
	struct ibv_mr second = {.rkey = i->offer.second_rkey};
	struct end named = {.mr = &second, .buffer = (char *)(uintptr_t)i->offer.second_addr};
	enum ibv_wc_status status;
	double limit = now_ms() + 5000;

	do {
		CHECK(now_ms() < limit, "an MR of nobody's is still there");
		post_simple(&i->peer, 99, IBV_WR_RDMA_WRITE, 0, 64, &named, 0);
		status = next_wc(i->peer.send_cq).status;
	} while (status == IBV_WC_SUCCESS);
	CHECK_EQ(status, IBV_WC_REM_ACCESS_ERR);
}

/* What was imported stays. */
static void check_what_is_left(struct importer *i)
{
	const struct wish wish = {0};
	char byte[4] = "abc";

	both_ways(i, 20);
	CHECK_EQ(ibv_memcpy_to_dm(i->dm, 0, byte, 4), 0);
	until_it_is_gone(i);
	CHECK(!ibv_import_mr(i->end.pd, i->offer.second_mr) && errno == EINVAL, "an MR of nobody's");
	CHECK_EQ(ibv_destroy_qp(i->end.qp), 0);
	CHECK_EQ(set_state(i->peer.qp, IBV_QPS_RESET), 0);
	i->end.qp = make_qp(&i->end, &wish); /* the PD is as good as new */
	connect_both(i);
	both_ways(i, 21);
	CHECK_EQ(ibv_destroy_qp(i->end.qp), 0);
	CHECK_EQ(ibv_dereg_mr(i->end.mr), 0);
	CHECK_EQ(ibv_free_dm(i->dm), 0);
	CHECK_EQ(ibv_dealloc_pd(i->end.pd), 0);
}

/* Many requests under way to and from the exporter's memory, and it is killed at some moment. */
static void exporter_killed_under_way(const void *row)
{
	struct importer i;
	int socket, left = 400;
	pid_t child = open_importer(&i, &socket);

	(void)row;
	for (int n = 0; n < left; n++) {
		if (n == 100)
			CHECK_EQ(kill(child, SIGKILL), 0);
		post_simple(&i.peer, n, n % 2 ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ, 0, LENGTH, &i.end, 0);
		expect(i.peer.send_cq, n, IBV_WC_SUCCESS);
	}
	CHECK_EQ(waitpid(child, NULL, 0), child);
	check_what_is_left(&i);
}

static void exporter_closes(const void *row)
{
	struct importer i;
	int socket;
	pid_t child = open_importer(&i, &socket);

	(void)row;
	CHECK_EQ(tell(socket, 'x', 0), 0);
	check_what_is_left(&i);
	leave_exporter(child, socket);
}

/* A window of the importer's over the exporter's second MR, which it has not imported: it keeps that, as long as it is bound. */
static void a_window_keeps_its_memory(const void *row)
{
	struct ibv_send_wr wr, *bad;
	struct importer i;
	struct ibv_mr named = {0};
	struct ibv_mw *mw;
	int socket;
	pid_t child = open_importer(&i, &socket);

	(void)row;
	mw = ibv_alloc_mw(i.end.pd, IBV_MW_TYPE_2);
	CHECK(mw, "ibv_alloc_mw: %s", strerror(errno));
	named.context = i.end.context, named.pd = i.end.pd, named.lkey = i.offer.second_rkey;
	wr = (struct ibv_send_wr){.wr_id = 1, .opcode = IBV_WR_BIND_MW, .send_flags = IBV_SEND_SIGNALED,
				  .bind_mw = {.mw = mw, .rkey = ibv_inc_rkey(mw->rkey),
					      .bind_info = {.mr = &named, .addr = i.offer.second_addr, .length = LENGTH,
							    .mw_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ}}};
	CHECK_EQ(ibv_post_send(i.end.qp, &wr, &bad), 0);
	expect(i.end.send_cq, 1, IBV_WC_SUCCESS);
	CHECK_EQ(tell(socket, 'x', 0), 0);
	kill_it(child);
	named.rkey = wr.bind_mw.rkey, i.end.mr = &named, i.end.buffer = (char *)(uintptr_t)i.offer.second_addr;
	fill(i.peer.buffer, LENGTH, 2);
	post_simple(&i.peer, 2, IBV_WR_RDMA_WRITE, 0, LENGTH, &i.end, 0);
	expect(i.peer.send_cq, 2, IBV_WC_SUCCESS);
	memset(i.peer.buffer, 0, LENGTH);
	post_simple(&i.peer, 3, IBV_WR_RDMA_READ, 0, LENGTH, &i.end, 0);
	expect(i.peer.send_cq, 3, IBV_WC_SUCCESS);
	check_filled(i.peer.buffer, LENGTH, 2, "through the window");
	CHECK_EQ(ibv_dealloc_mw(mw), 0);
	CHECK(!ibv_import_mr(i.end.pd, i.offer.second_mr) && errno == EINVAL, "nothing kept it");
}

static void imports_and_waits(int socket, const void *row)
{
	struct importer i;
	struct offer offer;
	int fd = receive_fd(socket);
	const struct wish wish = {.size = LENGTH};

	(void)row;
	memset(&i, 0, sizeof i);
	hear(socket, &offer, sizeof offer);
	open_end(&i.peer, &wish);
	import_from(&i, fd, &offer);
	connect_both(&i);
	both_ways(&i, 1);
	say(socket, "", 1);
	pause();
}

/* Importers come and are killed; the exporter has what it had. */
static void importers_killed(const void *row)
{
	struct exporter x = {0};
	struct offer offer;
	int socket;
	char byte;

	(void)row;
	open_exporter(&x, &offer);
	for (int n = 0; n < 8; n++) {
		pid_t child = split(imports_and_waits, NULL, &socket);

		send_fd(socket, x.end.context->cmd_fd);
		say(socket, &offer, sizeof offer);
		hear(socket, &byte, 1);
		check_filled(x.end.buffer, LENGTH, 1, "the exporter's memory");
		memset(x.end.buffer, 0, LENGTH);
		if (n % 2)
			CHECK_EQ(ibv_dealloc_pd(x.end.pd), EBUSY);
		kill_it(child);
		close(socket);
	}
	CHECK_EQ(ibv_destroy_qp(x.end.qp), 0);
	CHECK_EQ(ibv_dereg_mr(x.end.mr), 0);
	CHECK_EQ(ibv_dereg_mr(x.second), 0);
	CHECK_EQ(ibv_free_dm(x.dm), 0);
	for (double limit = now_ms() + 5000; ibv_dealloc_pd(x.end.pd) == EBUSY; usleep(1000)) /* the last one's QP */
		CHECK(now_ms() < limit, "what a dead importer had stays");
}

/* From hand to hand: whoever has a duplicate may import while somebody has it open. */
static void handed_on(const void *row)
{
	struct importer i, next = {0};
	const struct wish wish = {.size = LENGTH};
	int socket, second, status;
	pid_t child = open_importer(&i, &socket), heir;
	char byte;

	(void)row;
	kill_it(child);
	heir = split(imports_and_waits, NULL, &second);
	send_fd(second, i.fd);
	say(second, &i.offer, sizeof i.offer);
	hear(second, &byte, 1);
	CHECK_EQ(ibv_destroy_qp(i.end.qp), 0);
	CHECK_EQ(ibv_close_device(i.end.context), 0); /* now the heir's alone */
	open_end(&next.peer, &wish);
	import_from(&next, dup(i.fd), &i.offer);
	connect_both(&next);
	both_ways(&next, 3);
	kill(heir, SIGKILL);
	waitpid(heir, &status, 0);
	both_ways(&next, 4);
}

/* ---- who gets nothing ---------------------------------------------------------------------------------------------- */

static void other_numbers_are_refused(const void *row)
{
	struct importer i;
	int socket;
	pid_t child = open_importer(&i, &socket);
	struct ibv_alloc_dm_attr attr = {.length = 4096};
	struct ibv_pd *own = ibv_alloc_pd(i.end.context);
	struct ibv_context *other = open_device();

	(void)row;
	CHECK(!ibv_import_pd(i.end.context, i.peer.pd->handle) && errno == EINVAL, "a PD of another context's");
	CHECK(!ibv_import_pd(other, i.offer.pd) && errno == EINVAL, "into a context that has nothing to do with it");
	CHECK(!ibv_import_dm(other, i.offer.dm) && errno == EINVAL, "... a DM");
	CHECK(!ibv_import_mr(own, i.offer.mr) && errno == EINVAL, "into another PD");
	CHECK(!ibv_import_mr(i.peer.pd, i.offer.mr) && errno == EINVAL, "into another context's PD");
	for (uint32_t handle = 1u << 15; handle; handle <<= 1) {
		CHECK(!ibv_import_pd(i.end.context, handle) && errno == EINVAL, "PD %#x", handle);
		CHECK(!ibv_import_mr(i.end.pd, handle) && errno == EINVAL, "MR %#x", handle);
		CHECK(!ibv_import_dm(i.end.context, handle) && errno == EINVAL, "DM %#x", handle);
	}
	CHECK(!ibv_reg_dm_mr(i.peer.pd, i.dm, 0, 4096, ALL_ACCESS | IBV_ACCESS_ZERO_BASED) && errno == EINVAL, "another PD");
	CHECK(!ibv_reg_dm_mr(i.end.pd, ibv_alloc_dm(other, &attr), 0, 4096, ALL_ACCESS | IBV_ACCESS_ZERO_BASED), "another DM");
	CHECK_EQ(ibv_rereg_mr(i.end.mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, ALL_ACCESS), IBV_REREG_MR_ERR_INPUT);
	both_ways(&i, 1);
	leave_exporter(child, socket);
}

static void other_files_are_refused(const void *row)
{
	struct importer i;
	int socket, forged = memfd_create("freeflow-context", 0);
	pid_t child = open_importer(&i, &socket);
	char claim[24];

	(void)row;
	CHECK_EQ(pread(i.fd, claim, sizeof claim, 0), sizeof claim);
	CHECK(pwrite(i.fd, claim, sizeof claim, 0) < 0 && errno == EPERM, "a claim can be written to");
	CHECK(ftruncate(i.fd, 0) < 0 && errno == EPERM, "a claim can be truncated");
	for (size_t at = 8; at < sizeof claim; at++) { /* every byte of the secret counts */
		claim[at] ^= 1;
		CHECK_EQ(pwrite(forged, claim, sizeof claim, 0), sizeof claim);
		CHECK(!ibv_import_device(forged) && errno == EINVAL, "byte %zu: %s", at, strerror(errno));
		claim[at] ^= 1;
	}
	memset(claim + 8, 0, sizeof claim - 8);
	CHECK_EQ(pwrite(forged, claim, sizeof claim, 0), sizeof claim);
	CHECK(!ibv_import_device(forged) && errno == EINVAL, "a secret of zeroes");
	CHECK(!ibv_import_device(socket) && errno == EINVAL, "a socket: %s", strerror(errno));
	CHECK(fcntl(socket, F_GETFD) >= 0 && fcntl(forged, F_GETFD) >= 0, "what was refused was closed");
	leave_exporter(child, socket);
}

static void exports_and_closes(int socket, const void *row)
{
	struct ibv_context *context = open_device();

	send_fd(socket, context->cmd_fd);
	if (row)
		CHECK_EQ(ibv_close_device(context), 0);
}

/* Nobody had imported it: a descriptor alone keeps nothing. The numbers come again, and it still names nothing. */
static void of_a_context_that_is_gone(const void *row)
{
	int socket, fd;
	pid_t child = split(exports_and_closes, row, &socket);

	fd = receive_fd(socket);
	join(child);
	for (double limit = now_ms() + 2000; now_ms() < limit; usleep(1000)) {
		struct ibv_context *context = ibv_import_device(dup(fd));

		if (!context)
			break;
		ibv_close_device(context); /* the router has not seen the death yet */
	}
	open_device();
	CHECK(!ibv_import_device(fd) && errno == EINVAL, "%s", strerror(errno));
}

/* For two containers: one end of a socket pair as descriptor 0 each. */
static void offers_on_stdin(const void *row)
{
	export_to(0, row);
}

static void refused_on_stdin(const void *row)
{
	int fd = receive_fd(0);
	struct offer offer;

	(void)row;
	hear(0, &offer, sizeof offer);
	CHECK(!ibv_import_device(fd) && errno == EINVAL, "%s", strerror(errno));
	CHECK(!ibv_import_pd(open_device(), offer.pd) && errno == EINVAL, "%s", strerror(errno));
	CHECK_EQ(tell(0, 'f', 1), 0);
}

int main(int argc, char **argv)
{
	static const int closes = 1;
	static const struct test tests[] = {
		{"exporter_killed_under_way", exporter_killed_under_way, NULL},
		{"exporter_closes", exporter_closes, NULL},
		{"a_window_keeps_its_memory", a_window_keeps_its_memory, NULL},
		{"importers_killed", importers_killed, NULL},
		{"handed_on", handed_on, NULL},
		{"other_numbers_are_refused", other_numbers_are_refused, NULL},
		{"other_files_are_refused", other_files_are_refused, NULL},
		{"of_a_context_that_is_closed", of_a_context_that_is_gone, &closes},
		{"of_a_process_that_is_gone", of_a_context_that_is_gone, NULL},
		{"offers_on_stdin", offers_on_stdin, NULL},
		{"refused_on_stdin", refused_on_stdin, NULL},
	};

	return run_tests(argc, argv, tests, COUNT(tests));
}
