/* XRC: a CQ that overruns, and the QPs of other processes that deliver into it. */
#include "qp_steps.h"

#include <fcntl.h>

enum { SMALL = 4, LENGTH = 64 };

static const struct wish receives = {.type = IBV_QPT_XRC_RECV};
static const struct wish quick = {.type = IBV_QPT_XRC_SEND, .timeout = 8, .retry_cnt = 1, .cqe = 64};

static struct ibv_xrcd *open_domain(struct ibv_context *context, int fd)
{
	struct ibv_xrcd_init_attr attr = {.comp_mask = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS, .fd = fd, .oflags = O_CREAT};
	struct ibv_xrcd *xrcd = ibv_open_xrcd(context, &attr);

	CHECK(xrcd, "ibv_open_xrcd: %s", strerror(errno));
	return xrcd;
}

static void connect_pair(struct end *a, struct end *b)
{
	struct address of_a = address_of(a), of_b = address_of(b);

	connect_to(a, &of_b, &quick);
	connect_to(b, &of_a, &receives);
}

static void send_one(struct end *a, uint32_t srqn)
{
	struct ibv_sge sge = part(a, 0, LENGTH);
	struct ibv_send_wr wr = request(1, IBV_WR_SEND, &sge, 1, NULL, 0);

	wr.qp_type.xrc.remote_srqn = srqn;
	post(a, &wr);
}

/* An SRQ that completes on a small CQ, which nobody reads. */
static uint32_t unread_srq(struct end *end)
{
	struct wish many = receives;

	many.srq_wr = 64;
	end->recv_cq = ibv_create_cq(end->context, SMALL, NULL, NULL, 0);
	CHECK(end->recv_cq, "ibv_create_cq: %s", strerror(errno));
	end->srq = make_srq(end, &many);
	for (int n = 0; n < 16; n++)
		post_recv(end, (uint64_t)n, 0, LENGTH);
	return srq_number(end->srq);
}

static void never_polls(int socket, const void *row)
{
	struct end end;
	uint32_t number;

	open_end(&end, &quick);
	end.xrcd = open_domain(end.context, *(const int *)row);
	number = unread_srq(&end);
	say(socket, &number, sizeof number);
	hear(socket, &number, sizeof number);
	CHECK_EQ(expect_async(end.context, 3000), IBV_EVENT_CQ_ERR);
	hear(socket, &number, sizeof number);
}

static void of_another_process(const void *row)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600), socket;
	pid_t child = split(never_polls, &fd, &socket);
	struct ibv_qp *bystander;
	struct end a, b, c;
	uint32_t srqn;

	(void)row;
	hear(socket, &srqn, sizeof srqn);
	open_end(&a, &quick);
	open_end(&b, &quick);
	CHECK_EQ(ibv_destroy_qp(b.qp), 0);
	b.xrcd = open_domain(b.context, fd);
	b.qp = make_qp(&b, &receives);
	c = b;
	bystander = c.qp = make_qp(&c, &receives);
	connect_pair(&a, &b);
	for (int n = 0; n < SMALL + 1; n++) {
		send_one(&a, srqn);
		expect(a.send_cq, 1, IBV_WC_SUCCESS); /* the last one too: it has arrived, and cannot be told */
	}
	CHECK_EQ(expect_async(b.context, 3000), IBV_EVENT_QP_FATAL);
	CHECK_EQ(state_of(b.qp), IBV_QPS_ERR);
	CHECK_EQ(state_of(bystander), IBV_QPS_RESET);
	send_one(&a, srqn);
	expect(a.send_cq, 1, IBV_WC_RETRY_EXC_ERR);
	CHECK_EQ(set_state(a.qp, IBV_QPS_RESET), 0);
	connect_pair(&a, &c);
	send_one(&a, srqn); /* who comes later finds it overrun already */
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	CHECK_EQ(expect_async(b.context, 3000), IBV_EVENT_QP_FATAL);
	CHECK_EQ(state_of(bystander), IBV_QPS_ERR);
	say(socket, &srqn, sizeof srqn);
	say(socket, &srqn, sizeof srqn);
	join(child);
}

/* A new CQ takes the place of one that the QP delivered into once: they have nothing in common. */
static void of_a_number_that_comes_again(const void *row)
{
	static const struct wish small = {.cqe = SMALL, .send_wr = 64};
	struct end a, b, c, d;
	uint32_t srqn;

	(void)row;
	open_end(&a, &quick);
	open_end(&b, &quick);
	CHECK_EQ(ibv_destroy_qp(b.qp), 0);
	b.xrcd = open_domain(b.context, -1);
	b.qp = make_qp(&b, &receives);
	connect_pair(&a, &b);
	srqn = unread_srq(&b);
	send_one(&a, srqn);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	CHECK_EQ(ibv_destroy_srq(b.srq), 0);
	CHECK_EQ(ibv_destroy_cq(b.recv_cq), 0);
	c = b, d = a;
	c.srq = NULL, c.xrcd = NULL;
	c.send_cq = ibv_create_cq(c.context, SMALL, NULL, NULL, 0);
	c.recv_cq = d.recv_cq = d.send_cq;
	c.recv_cq = b.send_cq;
	c.qp = make_qp(&c, &small), d.qp = make_qp(&d, &small);
	connect_to(&c, &(struct address){.qpn = d.qp->qp_num, .psn = address_of(&d).psn, .gid = d.gid}, &small);
	connect_to(&d, &(struct address){.qpn = c.qp->qp_num, .psn = address_of(&c).psn, .gid = c.gid}, &small);
	for (uint64_t n = 0; n < 40; n++)
		post_simple(&c, n, IBV_WR_RDMA_WRITE, 0, 8, &d, 0);
	CHECK_EQ(expect_async(c.context, 3000), IBV_EVENT_CQ_ERR);
	CHECK_EQ(expect_async(c.context, 3000), IBV_EVENT_QP_FATAL);
	CHECK_EQ(expect_async(c.context, 100), -1);
	CHECK_EQ(state_of(c.qp), IBV_QPS_ERR);
	CHECK_EQ(state_of(b.qp), IBV_QPS_RTS);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"of_another_process", of_another_process, NULL},
		{"of_a_number_that_comes_again", of_a_number_that_comes_again, NULL},
	};

	return run_tests(argc, argv, tests, COUNT(tests));
}
