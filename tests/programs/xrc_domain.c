/* XRC domains: what a file stands for in the processes of a container, handles for one QP, and processes that die. */
#include "verbs_test.h"

#include <fcntl.h>

enum { RECV_ID = 100, LENGTH = 64 };

static const struct wish sends = {.type = IBV_QPT_XRC_SEND}, receives = {.type = IBV_QPT_XRC_RECV};

static int temporary_file(void)
{
	char name[] = "/tmp/xrcd-XXXXXX";
	int fd = mkstemp(name);

	CHECK(fd >= 0, "mkstemp: %s", strerror(errno));
	unlink(name);
	return fd;
}

static struct ibv_xrcd *open_domain(struct ibv_context *context, int fd, int oflags)
{
	struct ibv_xrcd_init_attr attr = {.comp_mask = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS, .fd = fd,
					  .oflags = oflags};

	errno = 0;
	return ibv_open_xrcd(context, &attr);
}

static struct ibv_qp *open_qp(struct ibv_context *context, struct ibv_xrcd *xrcd, uint32_t qpn)
{
	struct ibv_qp_open_attr attr = {.comp_mask = IBV_QP_OPEN_ATTR_NUM | IBV_QP_OPEN_ATTR_XRCD | IBV_QP_OPEN_ATTR_TYPE,
					.qp_num = qpn, .xrcd = xrcd, .qp_type = IBV_QPT_XRC_RECV};

	errno = 0;
	return ibv_open_qp(context, &attr);
}

static void connect_half(struct end *end, const struct end *other, const struct wish *wish)
{
	struct address address = address_of(other);

	connect_to(end, &address, wish);
}

static void send_to(struct end *a, uint32_t srqn)
{
	struct ibv_sge sge = part(a, 0, LENGTH);
	struct ibv_send_wr wr = request(1, IBV_WR_SEND, &sge, 1, NULL, 0);

	wr.qp_type.xrc.remote_srqn = srqn;
	post(a, &wr);
}

/* ---- arguments ------------------------------------------------------------------------------------------------------- */

static void wrong_arguments(const void *row)
{
	struct ibv_xrcd_init_attr attr = {.comp_mask = IBV_XRCD_INIT_ATTR_FD, .fd = -1, .oflags = O_CREAT};
	const struct wish wish = {0};
	struct ibv_qp_init_attr_ex qp = {.qp_type = IBV_QPT_XRC_RECV};
	struct ibv_xrcd *xrcd, *again;
	struct end end;
	int fd = temporary_file();

	(void)row;
	open_end(&end, &wish);
	CHECK(!ibv_open_xrcd(end.context, &attr) && errno == EINVAL, "without flags: %s", strerror(errno));
	attr.comp_mask = 7;
	CHECK(!ibv_open_xrcd(end.context, &attr) && errno == EOPNOTSUPP, "a mask that nobody knows: %s", strerror(errno));
	CHECK(!open_domain(end.context, 999, O_CREAT) && errno == EBADF, "no descriptor: %s", strerror(errno));
	CHECK(!open_domain(end.context, fd, 0) && errno == EAGAIN, "one that does not exist: %s", strerror(errno));
	xrcd = open_domain(end.context, fd, O_CREAT | O_EXCL);
	CHECK(xrcd, "a new one: %s", strerror(errno));
	CHECK(!open_domain(end.context, fd, O_CREAT | O_EXCL) && errno == EINVAL, "one that does: %s", strerror(errno));
	again = open_domain(end.context, fd, 0);
	CHECK(again, "the same: %s", strerror(errno));
	CHECK_EQ(ibv_close_xrcd(xrcd), 0);
	CHECK(open_domain(end.context, fd, 0), "it lasts as long as one handle: %s", strerror(errno));
	CHECK(!ibv_create_qp_ex(end.context, &qp) && errno == EINVAL, "an XRC_RECV QP of no domain: %s", strerror(errno));
	CHECK(!open_qp(end.context, again, 0x1234) && errno == EINVAL, "a QP that is not there: %s", strerror(errno));
	CHECK(!open_qp(end.context, again, end.qp->qp_num) && errno == EINVAL, "a QP of another type: %s", strerror(errno));
}

static void busy(const void *row)
{
	struct ibv_qp *handle;
	struct end end;

	(void)row;
	open_end(&end, &receives);
	CHECK_EQ(ibv_close_xrcd(end.xrcd), EBUSY);
	CHECK_EQ(ibv_destroy_cq(end.recv_cq), EBUSY);
	CHECK_EQ(ibv_destroy_srq(end.srq), 0);
	CHECK_EQ(ibv_destroy_cq(end.recv_cq), 0);
	CHECK_EQ(ibv_close_xrcd(end.xrcd), EBUSY);
	handle = open_qp(end.context, end.xrcd, end.qp->qp_num);
	CHECK(handle, "ibv_open_qp: %s", strerror(errno));
	CHECK_EQ(ibv_destroy_qp(end.qp), 0);
	CHECK_EQ(ibv_close_xrcd(end.xrcd), EBUSY);
	CHECK_EQ(ibv_destroy_qp(handle), 0);
	CHECK_EQ(ibv_close_xrcd(end.xrcd), 0);
}

static void as_many_as_promised(const void *row)
{
	const struct wish wish = {0};
	struct ibv_xrcd *first = NULL, *xrcd;
	struct end end;
	int n;

	(void)row;
	open_end(&end, &wish);
	for (n = 0; n < 100000 && (xrcd = open_domain(end.context, -1, O_CREAT)); n++)
		first = first ? first : xrcd;
	CHECK(errno == ENOMEM && n >= 16, "%d domains, then: %s", n, strerror(errno));
	CHECK_EQ(ibv_close_xrcd(first), 0);
	CHECK(open_domain(end.context, -1, O_CREAT), "room for one more: %s", strerror(errno));
}

/* ---- two processes of one container ---------------------------------------------------------------------------------- */

/* The child has an SRQ in the domain of a file, and tells its number; its connection is the parent's. */
static void has_an_srq(int socket, const void *row)
{
	struct end end;
	struct ibv_qp *handle;
	uint32_t number;
	char word;

	open_end(&end, &sends);
	hear(socket, &word, 1);
	end.xrcd = open_domain(end.context, *(const int *)row, 0);
	CHECK(end.xrcd, "the other's domain: %s", strerror(errno));
	end.srq = make_srq(&end, &receives);
	post_recv(&end, RECV_ID, 0, LENGTH);
	number = srq_number(end.srq);
	say(socket, &number, sizeof number);
	hear(socket, &number, sizeof number); /* of the QP through which it comes */
	handle = open_qp(end.context, end.xrcd, number);
	CHECK(handle, "ibv_open_qp: %s", strerror(errno));
	CHECK_EQ(state_of(handle), IBV_QPS_RTS);
	say(socket, "r", 1);
	CHECK_EQ(expect(end.recv_cq, RECV_ID, IBV_WC_SUCCESS).qp_num, number);
	check_filled(end.buffer, LENGTH, 7, "what came through the other's QP");
	say(socket, "g", 1);
	hear(socket, &word, 1); /* the other has let go of the QP: it is ours alone */
	post_recv(&end, RECV_ID + 1, 0, LENGTH);
	say(socket, "r", 1);
	expect(end.recv_cq, RECV_ID + 1, IBV_WC_SUCCESS);
	CHECK_EQ(ibv_destroy_qp(handle), 0);
	say(socket, "d", 1);
	hear(socket, &word, 1);
}

/* The QP lives as long as one of its handles, whoever has made it, and whether its maker closes or dies. */
static void shared_domain(const void *row)
{
	const struct wish quick = {.type = IBV_QPT_XRC_SEND, .timeout = 8, .retry_cnt = 1};
	int fd = temporary_file(), socket;
	struct ibv_context *stays;
	uint32_t srqn, qpn;
	struct end a, b;
	pid_t child;
	char word;

	(void)row;
	child = split(has_an_srq, &fd, &socket);
	stays = open_device();
	CHECK(open_domain(stays, fd, O_CREAT), "ibv_open_xrcd: %s", strerror(errno));
	say(socket, "o", 1);
	open_end(&a, &quick);
	open_end(&b, &sends);
	b.xrcd = open_domain(b.context, fd, 0);
	CHECK_EQ(ibv_destroy_qp(b.qp), 0);
	b.qp = make_qp(&b, &receives);
	connect_half(&a, &b, &quick);
	connect_half(&b, &a, &receives);
	hear(socket, &srqn, sizeof srqn);
	qpn = b.qp->qp_num;
	say(socket, &qpn, sizeof qpn);
	hear(socket, &word, 1);
	fill(a.buffer, LENGTH, 7);
	send_to(&a, srqn);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	hear(socket, &word, 1);
	CHECK_EQ(ibv_destroy_qp(b.qp), 0);
	CHECK_EQ(ibv_close_xrcd(b.xrcd), 0);
	say(socket, "k", 1);
	hear(socket, &word, 1);
	send_to(&a, srqn);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	hear(socket, &word, 1);
	send_to(&a, srqn);
	expect(a.send_cq, 1, IBV_WC_RETRY_EXC_ERR); /* the last handle is gone, and the QP with it */
	say(socket, "e", 1);
	join(child);
}

/* ---- processes that die ------------------------------------------------------------------------------------------------ */

/* Makes the QP and connects it; then it is killed. */
static void makes_and_dies(int socket, const void *row)
{
	struct address peer, mine;
	struct end end;
	char word;

	open_end(&end, &sends);
	end.xrcd = open_domain(end.context, *(const int *)row, O_CREAT);
	CHECK(end.xrcd, "ibv_open_xrcd: %s", strerror(errno));
	CHECK_EQ(ibv_destroy_qp(end.qp), 0);
	end.qp = make_qp(&end, &receives);
	mine = address_of(&end);
	say(socket, &mine, sizeof mine);
	hear(socket, &peer, sizeof peer);
	connect_to(&end, &peer, &receives);
	say(socket, "r", 1);
	hear(socket, &word, 1);
	kill(getpid(), SIGKILL);
}

/* Its maker is killed: who has opened the QP receives through it as before, modifies it, and destroys it. */
static void maker_dies(const void *row)
{
	int fd = temporary_file(), socket, status;
	struct address peer, mine;
	struct end a, b;
	pid_t child;
	char word;

	(void)row;
	child = split(makes_and_dies, &fd, &socket);
	hear(socket, &peer, sizeof peer);
	open_end(&a, &sends);
	open_end(&b, &sends);
	CHECK_EQ(ibv_destroy_qp(b.qp), 0);
	b.xrcd = open_domain(b.context, fd, 0);
	CHECK(b.xrcd, "ibv_open_xrcd: %s", strerror(errno));
	b.srq = make_srq(&b, &receives);
	b.qp = open_qp(b.context, b.xrcd, peer.qpn);
	CHECK(b.qp, "ibv_open_qp: %s", strerror(errno));
	mine = address_of(&a);
	connect_to(&a, &peer, &sends);
	say(socket, &mine, sizeof mine);
	hear(socket, &word, 1);
	for (int n = 0; n < 20; n++) {
		if (n == 10) {
			say(socket, "k", 1);
			CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status), "the maker did not die");
			usleep(20000);
		}
		post_recv(&b, (uint64_t)n, 0, LENGTH);
		send_to(&a, srq_number(b.srq));
		expect(a.send_cq, 1, IBV_WC_SUCCESS);
		expect(b.recv_cq, (uint64_t)n, IBV_WC_SUCCESS);
	}
	CHECK_EQ(set_state(b.qp, IBV_QPS_ERR), 0);
	CHECK_EQ(state_of(b.qp), IBV_QPS_ERR);
	CHECK_EQ(ibv_destroy_qp(b.qp), 0);
	CHECK_EQ(ibv_destroy_srq(b.srq), 0);
	CHECK_EQ(ibv_close_xrcd(b.xrcd), 0);
}

static void owns_the_srq_and_dies(int socket, const void *row)
{
	struct end end;
	uint32_t number;
	char word;

	open_end(&end, &sends);
	end.xrcd = open_domain(end.context, *(const int *)row, O_CREAT);
	end.srq = make_srq(&end, &receives);
	post_recv(&end, RECV_ID, 0, LENGTH);
	number = srq_number(end.srq);
	say(socket, &number, sizeof number);
	hear(socket, &word, 1);
	kill(getpid(), SIGKILL);
}

/* The SRQ's process is killed: requests that name it are refused, and its domain stays. */
static void srq_dies(const void *row)
{
	int fd = temporary_file(), socket, status;
	struct end a, b;
	uint32_t srqn;
	pid_t child;

	(void)row;
	child = split(owns_the_srq_and_dies, &fd, &socket);
	hear(socket, &srqn, sizeof srqn);
	open_end(&a, &sends);
	open_end(&b, &sends);
	CHECK_EQ(ibv_destroy_qp(b.qp), 0);
	b.xrcd = open_domain(b.context, fd, 0);
	CHECK(b.xrcd, "ibv_open_xrcd: %s", strerror(errno));
	b.qp = make_qp(&b, &receives);
	connect_half(&a, &b, &sends);
	connect_half(&b, &a, &receives);
	send_to(&a, srqn);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	say(socket, "k", 1);
	CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status), "it did not die");
	usleep(20000);
	send_to(&a, srqn);
	expect(a.send_cq, 1, IBV_WC_REM_INV_REQ_ERR);
	CHECK(open_domain(b.context, fd, 0), "the domain: %s", strerror(errno));
}

static const struct test tests[] = {
	{"wrong_arguments", wrong_arguments, NULL},
	{"busy", busy, NULL},
	{"as_many_as_promised", as_many_as_promised, NULL},
	{"shared_domain", shared_domain, NULL},
	{"maker_dies", maker_dies, NULL},
	{"srq_dies", srq_dies, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
