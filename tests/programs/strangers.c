/*
 * A file that two containers see is two XRC domains, and an SRQ's number reaches nobody in another container. For
 * tests/integration/test_xrc.py: one container runs "holds", the other "tries". STRANGERS_FILE is the file, STRANGERS_SRQN
 * what "holds" has printed.
 */
#include "verbs_test.h"

#include <fcntl.h>

static const struct wish sends = {.type = IBV_QPT_XRC_SEND}, receives = {.type = IBV_QPT_XRC_RECV};

static struct ibv_xrcd *open_file(struct ibv_context *context, int oflags)
{
	struct ibv_xrcd_init_attr attr = {.comp_mask = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS,
					  .fd = open(getenv("STRANGERS_FILE"), O_RDONLY), .oflags = oflags};

	CHECK(attr.fd >= 0, "%s: %s", getenv("STRANGERS_FILE"), strerror(errno));
	return ibv_open_xrcd(context, &attr);
}

static void holds(const void *row)
{
	struct end end;

	(void)row;
	open_end(&end, &sends);
	end.xrcd = open_file(end.context, O_CREAT | O_EXCL);
	CHECK(end.xrcd, "ibv_open_xrcd: %s", strerror(errno));
	end.srq = make_srq(&end, &receives);
	post_recv(&end, 1, 0, 64);
	printf("%u\n", srq_number(end.srq));
	fflush(stdout);
	CHECK(getchar() == EOF, "until it is told");
	expect_nothing(end.recv_cq, 1);
}

static void tries(const void *row)
{
	struct address of_a, of_b;
	struct ibv_sge sge;
	struct ibv_send_wr wr;
	struct end a, b;

	(void)row;
	open_end(&a, &sends);
	open_end(&b, &sends);
	CHECK(!open_file(b.context, 0) && errno == EAGAIN, "the other container's domain");
	b.xrcd = open_file(b.context, O_CREAT | O_EXCL);
	CHECK(b.xrcd, "one of our own: %s", strerror(errno));
	CHECK_EQ(ibv_destroy_qp(b.qp), 0);
	b.qp = make_qp(&b, &receives);
	of_a = address_of(&a);
	of_b = address_of(&b);
	connect_to(&a, &of_b, &sends);
	connect_to(&b, &of_a, &receives);
	sge = part(&a, 0, 64);
	wr = request(1, IBV_WR_SEND, &sge, 1, NULL, 0);
	wr.qp_type.xrc.remote_srqn = (uint32_t)strtoul(getenv("STRANGERS_SRQN"), NULL, 0);
	post(&a, &wr);
	expect(a.send_cq, 1, IBV_WC_REM_INV_REQ_ERR);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {{"holds", holds, NULL}, {"tries", tries, NULL}};

	return run_tests(argc, argv, tests, COUNT(tests));
}
