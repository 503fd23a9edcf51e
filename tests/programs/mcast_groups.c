/* Multicast: who is attached gets a copy, who is not does not; and what attaching refuses (ibv_attach_mcast(3)). */
#include "verbs_test.h"

enum { RECV_ID = 100, SEND_ID = 1, GRH = 40, LENGTH = 64, MULTICAST_QPN = 0xffffff };

static const struct wish usual = {.type = IBV_QPT_UD, .recv_wr = 64, .cqe = 512};
static const union ibv_gid group = {.raw = {0xff, 0x0e, [14] = 0x12, 0x34}}, other_group = {.raw = {0xff, 0x0e, [15] = 1}},
			   ipv4_group = {.raw = {[10] = 0xff, 0xff, 239, 1, 2, 3}};

static void attach(struct end *end, const union ibv_gid *gid)
{
	int error = ibv_attach_mcast(end->qp, gid, 0);

	CHECK(error == 0, "ibv_attach_mcast: %s", strerror(error));
}

static void open_ready(struct end *end)
{
	open_end(end, &usual);
	connect_to(end, &(struct address){0}, &usual);
	for (uint64_t n = 0; n < 4; n++)
		post_recv(end, RECV_ID + n, n * 256, GRH + LENGTH);
}

static void send_to_group(struct end *end, const union ibv_gid *gid)
{
	struct ibv_sge sge = part(end, 8192, LENGTH);
	struct ibv_send_wr wr = request(SEND_ID, IBV_WR_SEND_WITH_IMM, &sge, 1, NULL, 0);
	struct ibv_ah *ah = handle_to(end, gid);

	post_to(end, &wr, ah, MULTICAST_QPN);
	expect(end->send_cq, SEND_ID, IBV_WC_SUCCESS);
	CHECK_EQ(ibv_destroy_ah(ah), 0);
}

static void expect_copy(struct end *end, const struct end *from, uint64_t wr_id)
{
	struct ibv_wc wc = expect(end->recv_cq, wr_id, IBV_WC_SUCCESS);

	CHECK_EQ(wc.byte_len, GRH + LENGTH);
	CHECK_EQ(wc.src_qp, from->qp->qp_num);
	CHECK_EQ(wc.wc_flags, IBV_WC_GRH | IBV_WC_WITH_IMM);
	check_filled(end->buffer + (wr_id - RECV_ID) * 256 + GRH, LENGTH, 7, "the copy");
}

/* ---- who gets a copy --------------------------------------------------------------------------------------------- */

static void each_member_gets_one(const void *row)
{
	enum { MEMBERS = 5 };
	const union ibv_gid *gid = row;
	struct end from, to[MEMBERS], outsider;

	open_ready(&from);
	open_ready(&outsider);
	attach(&outsider, &other_group);
	fill(from.buffer + 8192, LENGTH, 7);
	for (int i = 0; i < MEMBERS; i++) {
		open_ready(&to[i]);
		attach(&to[i], gid);
	}
	attach(&to[0], gid);	     /* a second time: one copy all the same */
	attach(&to[1], &other_group); /* several groups: a copy of each one's messages */
	send_to_group(&from, gid);
	for (int i = 0; i < MEMBERS; i++)
		expect_copy(&to[i], &from, RECV_ID);
	CHECK_EQ(ibv_detach_mcast(to[0].qp, gid, 0), 0); /* once is enough */
	CHECK_EQ(ibv_detach_mcast(to[0].qp, gid, 0), EINVAL);
	send_to_group(&from, gid);
	for (int i = 1; i < MEMBERS; i++)
		expect_copy(&to[i], &from, RECV_ID + 1);
	expect_nothing(to[0].recv_cq, 5);
	expect_nothing(outsider.recv_cq, 5);
	expect_nothing(from.recv_cq, 5);
}

/* A sender that is attached hears itself, as a NIC without IBV_QP_CREATE_BLOCK_SELF_MCAST_LB lets it. */
static void the_sender_among_them(const void *row)
{
	struct end from;

	(void)row;
	open_ready(&from);
	fill(from.buffer + 8192, LENGTH, 7);
	attach(&from, &group);
	send_to_group(&from, &group);
	expect_copy(&from, &from, RECV_ID);
}

/* A member without a receive, one with another Q_Key and one in error are left out; the others are served. */
static void not_everybody_can(const void *row)
{
	struct ibv_qp_attr attr = {.qkey = QKEY + 1};
	struct end from, good, empty, other_qkey, in_error;
	struct ibv_wc wc;

	(void)row;
	open_ready(&from);
	open_ready(&good);
	open_end(&empty, &usual);
	connect_to(&empty, &(struct address){0}, &usual);
	open_ready(&other_qkey);
	CHECK_EQ(ibv_modify_qp(other_qkey.qp, &attr, IBV_QP_QKEY), 0);
	open_ready(&in_error);
	CHECK_EQ(set_state(in_error.qp, IBV_QPS_ERR), 0);
	while (ibv_poll_cq(in_error.recv_cq, 1, &wc) > 0)
		CHECK_EQ(wc.status, IBV_WC_WR_FLUSH_ERR);
	attach(&empty, &group);
	attach(&other_qkey, &group);
	attach(&in_error, &group);
	attach(&good, &group);
	fill(from.buffer + 8192, LENGTH, 7);
	send_to_group(&from, &group);
	expect_copy(&good, &from, RECV_ID);
	expect_nothing(empty.recv_cq, 5);
	expect_nothing(other_qkey.recv_cq, 5);
}

/* A datagram to a group has one destination QPN only (IBTA 10.5.2); a group that nobody joined swallows it. */
static void other_destinations(const void *row)
{
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct end from, member;

	(void)row;
	open_ready(&from);
	open_ready(&member);
	attach(&member, &group);
	sge = part(&from, 0, LENGTH);
	wr = request(SEND_ID, IBV_WR_SEND, &sge, 1, NULL, 0);
	post_to(&from, &wr, handle_to(&from, &group), member.qp->qp_num);
	expect(from.send_cq, SEND_ID, IBV_WC_SUCCESS);
	expect_nothing(member.recv_cq, 5);
	send_to_group(&from, &other_group);
	expect_nothing(member.recv_cq, 5);
}

/* The answer to a datagram that came through a group goes to its sender alone. */
static void answer(const void *row)
{
	const union ibv_gid *gid = row;
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct ibv_ah *back;
	struct ibv_wc wc;
	struct end from, member;

	open_ready(&from);
	open_ready(&member);
	attach(&member, gid);
	send_to_group(&from, gid);
	wc = expect(member.recv_cq, RECV_ID, IBV_WC_SUCCESS);
	back = ibv_create_ah_from_wc(member.pd, &wc, (struct ibv_grh *)member.buffer, 1);
	CHECK(back, "ibv_create_ah_from_wc: %s", strerror(errno));
	sge = part(&member, 0, LENGTH);
	wr = request(SEND_ID, IBV_WR_SEND, &sge, 1, NULL, 0);
	post_to(&member, &wr, back, wc.src_qp);
	CHECK_EQ(expect(from.recv_cq, RECV_ID, IBV_WC_SUCCESS).src_qp, member.qp->qp_num);
}

/* ---- attaching --------------------------------------------------------------------------------------------------- */

static void refused(const void *row)
{
	static const union ibv_gid unicast = {.raw = {0xfe, 0x80, [15] = 1}}, zero = {.raw = {0}},
				   ipv4 = {.raw = {[10] = 0xff, 0xff, 10, 1, 2, 3}};
	const union ibv_gid *none[] = {&unicast, &zero, &ipv4};
	static const int types[] = {IBV_QPT_RC, IBV_QPT_UC};
	struct end a;

	(void)row;
	open_end(&a, &usual);
	for (size_t i = 0; i < COUNT(none); i++) {
		CHECK_EQ(ibv_attach_mcast(a.qp, none[i], 0), EINVAL);
		CHECK_EQ(ibv_detach_mcast(a.qp, none[i], 0), EINVAL);
	}
	CHECK_EQ(ibv_detach_mcast(a.qp, &group, 0), EINVAL); /* not attached */
	attach(&a, &group);
	CHECK_EQ(ibv_detach_mcast(a.qp, &other_group, 0), EINVAL);
	for (size_t i = 0; i < COUNT(types); i++) {
		const struct wish connected = {.type = types[i]};
		struct ibv_qp *qp = make_qp(&a, &connected);

		CHECK_EQ(ibv_attach_mcast(qp, &group, 0), EINVAL);
	}
}

/* A QP that is attached is busy. */
static void busy_qp(const void *row)
{
	struct end a;

	(void)row;
	open_end(&a, &usual);
	attach(&a, &group);
	attach(&a, &other_group);
	CHECK_EQ(ibv_destroy_qp(a.qp), EBUSY);
	CHECK_EQ(ibv_detach_mcast(a.qp, &group, 0), 0);
	CHECK_EQ(ibv_destroy_qp(a.qp), EBUSY);
	CHECK_EQ(ibv_detach_mcast(a.qp, &other_group, 0), 0);
	CHECK_EQ(ibv_destroy_qp(a.qp), 0);
}

/* Both bounds that the device names are kept, and end with ENOMEM. */
static void as_many_as_promised(const void *row)
{
	struct ibv_device_attr device;
	union ibv_gid gid = group;
	struct end a;
	int n, error = 0;

	(void)row;
	open_end(&a, &usual);
	CHECK_EQ(ibv_query_device(a.context, &device), 0);
	CHECK(device.max_mcast_grp > 0 && device.max_mcast_qp_attach > 0, "no multicast");
	for (n = 0; n <= device.max_total_mcast_qp_attach && error == 0; n++) {
		gid.raw[8] = (uint8_t)(n >> 8);
		gid.raw[9] = (uint8_t)n;
		error = ibv_attach_mcast(a.qp, &gid, 0);
	}
	CHECK_EQ(error, ENOMEM);
	CHECK_EQ(n - 1, device.max_total_mcast_qp_attach);
	for (int i = 0; i < n - 1; i++) {
		gid.raw[8] = (uint8_t)(i >> 8);
		gid.raw[9] = (uint8_t)i;
		CHECK_EQ(ibv_detach_mcast(a.qp, &gid, 0), 0);
	}
	for (n = 0, error = 0; error == 0; n++) {
		struct ibv_qp *qp = make_qp(&a, &(struct wish){.type = IBV_QPT_UD, .send_wr = 1, .recv_wr = 1});

		error = ibv_attach_mcast(qp, &group, 0);
	}
	CHECK_EQ(error, ENOMEM);
	CHECK_EQ(n - 1, device.max_mcast_qp_attach);
}

/* A member that dies is a member no more. */
static void member_process(int socket, const void *row)
{
	struct end member;
	char word = 1;

	(void)row;
	open_ready(&member);
	attach(&member, &group);
	say(socket, &word, 1);
	pause();
}

static void a_member_dies(const void *row)
{
	int socket, status;
	pid_t child = split(member_process, NULL, &socket);
	struct end from;
	char word;

	(void)row;
	hear(socket, &word, 1);
	open_ready(&from);
	send_to_group(&from, &group);
	kill(child, SIGKILL);
	CHECK_EQ(waitpid(child, &status, 0), child);
	for (int n = 0; n < 20; n++) {
		send_to_group(&from, &group);
		usleep(1000);
	}
	attach(&from, &group);
	send_to_group(&from, &group);
	CHECK_EQ(expect(from.recv_cq, RECV_ID, IBV_WC_SUCCESS).src_qp, from.qp->qp_num);
}

static const struct test tests[] = {
	{"each_member_gets_one", each_member_gets_one, &group},
	{"each_member_of_an_ipv4_group", each_member_gets_one, &ipv4_group},
	{"the_sender_among_them", the_sender_among_them, NULL},
	{"not_everybody_can", not_everybody_can, NULL},
	{"other_destinations", other_destinations, NULL},
	{"answer", answer, &group},
	{"answer_in_an_ipv4_group", answer, &ipv4_group},
	{"refused", refused, NULL},
	{"busy_qp", busy_qp, NULL},
	{"as_many_as_promised", as_many_as_promised, NULL},
	{"a_member_dies", a_member_dies, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
