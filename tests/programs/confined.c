/* Programs that give up what they do not need: system calls, and memory that may leave. */
#include "verbs_test.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* ---- a filter that allows what a kernel's device needs -------------------------------------------------------------- */

static void confine(void)
{
#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read), ALLOW(SYS_write), ALLOW(SYS_poll), ALLOW(SYS_futex), ALLOW(SYS_exit_group),
		ALLOW(SYS_sched_yield), /* what who polls calls where cores are few; the test's own exit, above */
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {.len = COUNT(filter), .filter = filter};

	CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void read_write_poll_futex(const void *row)
{
	const struct wish wish = {.channel = 1, .send_wr = 64, .recv_wr = 64};
	struct end a, b;
	struct ibv_cq *cq;
	void *context;

	(void)row;
	open_pair(&a, &b, &wish);
	fill(a.buffer, 64, 1);
	confine();
	for (int i = 0; i < 200; i++) {
		struct pollfd ready = {.fd = b.channel->fd, .events = POLLIN};

		CHECK_EQ(ibv_req_notify_cq(b.recv_cq, 0), 0);
		post_recv(&b, 2, 0, 64);
		post_simple(&a, 1, IBV_WR_SEND, 0, 64, NULL, 0);
		CHECK_EQ(poll(&ready, 1, 5000), 1);
		CHECK_EQ(ibv_get_cq_event(b.channel, &cq, &context), 0);
		ibv_ack_cq_events(cq, 1);
		expect(b.recv_cq, 2, IBV_WC_SUCCESS);
		expect(a.send_cq, 1, IBV_WC_SUCCESS);
	}
	check_filled(b.buffer, 64, 1, "what came");
}

/* ---- everything that will be mapped is locked, and little may be ------------------------------------------------------ */

static void locked(const void *row)
{
	const struct rlimit eight_mib = {8 << 20, 8 << 20};
	const struct wish wish = {0};
	struct end a, b;

	(void)row;
	CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &eight_mib), 0);
	if (!getuid()) /* root locks as much as it likes */
		CHECK(!setgid(65534) && !setuid(65534), "%s", strerror(errno));
	CHECK_EQ(mlockall(MCL_FUTURE), 0);
	open_pair(&a, &b, &wish);
	fill(a.buffer, 64, 1);
	post_simple(&a, 1, IBV_WR_RDMA_WRITE, 0, 64, &b, 0);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	check_filled(b.buffer, 64, 1, "what was written");
}

static const struct test tests[] = {
	{"read_write_poll_futex", read_write_poll_futex, NULL},
	{"locked", locked, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
