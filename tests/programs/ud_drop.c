/*
 * UD: what does not arrive. A datagram that is not welcome is dropped without a word (IBTA 9.8.3, 9.9.3 class D); a
 * mistake at home is told, and stops the send queue alone (SQE, 10.3.1.6).
 */
#include "verbs_test.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>

enum { RECV_ID = 100, SEND_ID = 1, AFTER_ID = 2, GRH = 40, LENGTH = 64, MTU = 4096 };

static const struct wish usual = {.type = IBV_QPT_UD};

struct fault {
	void (*bend)(struct end *a, struct end *b, struct ibv_send_wr *wr, struct ibv_sge *sge);
	int requester;	/* enum ibv_wc_status */
	int no_receive; /* the responder has none, or `bend` posts it */
};

#define BEND(name) static void name(struct end *a, struct end *b, struct ibv_send_wr *wr, struct ibv_sge *sge)
#define UNUSED (void)a, (void)b, (void)wr, (void)sge

BEND(nothing) { UNUSED; }
BEND(other_qkey) { UNUSED; wr->wr.ud.remote_qkey = QKEY + 1; }
BEND(other_qpn) { UNUSED; wr->wr.ud.remote_qpn ^= 0x10000; } /* an earlier life of the same place */
BEND(absent_qpn) { UNUSED; wr->wr.ud.remote_qpn = 0xabcdef; }
BEND(short_recv) { UNUSED; post_recv(b, RECV_ID, 0, GRH + LENGTH - 1); }
BEND(recv_shorter_than_grh) { UNUSED; post_recv(b, RECV_ID, 0, GRH - 1); }
BEND(peer_in_error) { UNUSED; CHECK_EQ(set_state(b->qp, IBV_QPS_ERR), 0); next_wc(b->recv_cq); }
BEND(peer_reset) { UNUSED; CHECK_EQ(set_state(b->qp, IBV_QPS_RESET), 0); }
BEND(foreign_gid)
{
	UNUSED;
	union ibv_gid gid = a->gid;

	gid.raw[15] ^= 0x55;
	wr->wr.ud.ah = handle_to(a, &gid);
}
BEND(rc_qp)
{
	UNUSED;
	const struct wish rc = {0};
	struct address mine = address_of(a);
	struct end other;

	open_end(&other, &rc);
	connect_to(&other, &mine, &rc);
	wr->wr.ud.remote_qpn = other.qp->qp_num;
}
BEND(too_long) { UNUSED; sge->length = MTU + 1; }
BEND(bad_lkey) { UNUSED; sge->lkey ^= 0x5a5; }
BEND(other_pds_ah)
{
	UNUSED;
	struct end other = *a;

	other.pd = ibv_alloc_pd(a->context);
	CHECK(other.pd, "ibv_alloc_pd: %s", strerror(errno));
	wr->wr.ud.ah = handle_to(&other, &b->gid);
}
BEND(destroyed_ah)
{
	static struct ibv_ah copy;

	UNUSED;
	copy = *wr->wr.ud.ah;
	CHECK_EQ(ibv_destroy_ah(wr->wr.ud.ah), 0);
	wr->wr.ud.ah = &copy;
}

static void faulty(const void *row)
{
	const struct fault *f = row;
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct end a, b;

	open_pair(&a, &b, &usual);
	memset(b.buffer, 0x77, b.size);
	if (!f->no_receive)
		post_recv(&b, RECV_ID, 0, b.size);
	sge = part(&a, 0, LENGTH);
	wr = request(SEND_ID, IBV_WR_SEND, &sge, 1, NULL, 0);
	wr.wr.ud.ah = handle_to(&a, &b.gid);
	wr.wr.ud.remote_qpn = b.qp->qp_num;
	wr.wr.ud.remote_qkey = QKEY;
	f->bend(&a, &b, &wr, &sge);
	post(&a, &wr);
	expect(a.send_cq, SEND_ID, (enum ibv_wc_status)f->requester);
	expect_nothing(b.recv_cq, 5);
	check_bytes(b.buffer, b.size, 0x77, "the responder's memory");
	CHECK_EQ(state_of(a.qp), f->requester == IBV_WC_SUCCESS ? IBV_QPS_RTS : IBV_QPS_SQE);
	if (f->requester != IBV_WC_SUCCESS) { /* RTS sets the queue going again */
		CHECK_EQ(set_state(a.qp, IBV_QPS_RTS), 0);
	} else if (state_of(b.qp) != IBV_QPS_RTS) {
		return;
	}
	if (f->no_receive)
		post_recv(&b, RECV_ID + 1, 0, GRH + LENGTH);
	sge = part(&a, 0, f->bend == short_recv ? LENGTH - 1 : LENGTH);
	wr = request(AFTER_ID, IBV_WR_SEND, &sge, 1, NULL, 0);
	post_to(&a, &wr, handle_to(&a, &b.gid), b.qp->qp_num);
	expect(a.send_cq, AFTER_ID, IBV_WC_SUCCESS);
	if (f->bend == recv_shorter_than_grh) /* it fits nothing, and stays */
		expect_nothing(b.recv_cq, 5);
	else
		expect(b.recv_cq, f->no_receive && f->bend != short_recv ? RECV_ID + 1 : RECV_ID, IBV_WC_SUCCESS);
}

#define ROW(name, ...) static const struct fault row_##name = {name, __VA_ARGS__}
ROW(nothing, IBV_WC_SUCCESS, 1);
ROW(other_qkey, IBV_WC_SUCCESS, 0);
ROW(other_qpn, IBV_WC_SUCCESS, 0);
ROW(absent_qpn, IBV_WC_SUCCESS, 0);
ROW(foreign_gid, IBV_WC_SUCCESS, 0);
ROW(rc_qp, IBV_WC_SUCCESS, 0);
ROW(short_recv, IBV_WC_SUCCESS, 1);
ROW(recv_shorter_than_grh, IBV_WC_SUCCESS, 1);
ROW(peer_in_error, IBV_WC_SUCCESS, 0);
ROW(peer_reset, IBV_WC_SUCCESS, 0);
ROW(too_long, IBV_WC_LOC_LEN_ERR, 0);
ROW(bad_lkey, IBV_WC_LOC_PROT_ERR, 0);
ROW(other_pds_ah, IBV_WC_LOC_QP_OP_ERR, 0);
ROW(destroyed_ah, IBV_WC_LOC_QP_OP_ERR, 0);

/* A wrong Q_Key is counted (IBTA 10.2.5). */
static void violations_are_counted(const void *row)
{
	struct ibv_port_attr before, after;
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &usual);
	CHECK_EQ(ibv_query_port(b.context, 1, &before), 0);
	sge = part(&a, 0, 8);
	wr = request(SEND_ID, IBV_WR_SEND, &sge, 1, NULL, 0);
	wr.wr.ud.ah = handle_to(&a, &b.gid);
	wr.wr.ud.remote_qpn = b.qp->qp_num;
	wr.wr.ud.remote_qkey = QKEY + 1;
	for (int n = 0; n < 3; n++) {
		post(&a, &wr);
		expect(a.send_cq, SEND_ID, IBV_WC_SUCCESS);
	}
	CHECK_EQ(ibv_query_port(b.context, 1, &after), 0);
	CHECK_EQ(after.qkey_viol_cntr - before.qkey_viol_cntr, 3);
}

/* A receiver that never posts holds its senders up once, and not for each datagram; others are not held up by it. */
static void a_silent_receiver_holds_nobody_up(const void *row)
{
	enum { MESSAGES = 500 };
	const struct wish wish = {.type = IBV_QPT_UD, .send_wr = 2 * MESSAGES, .recv_wr = MESSAGES, .cqe = 2 * MESSAGES};
	struct ibv_ah *to_b, *to_c;
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct end a, b, c;
	double before;

	(void)row;
	open_pair(&a, &b, &wish);
	open_end(&c, &wish);
	connect_to(&c, &(struct address){0}, &wish);
	to_b = handle_to(&a, &b.gid);
	to_c = handle_to(&a, &c.gid);
	for (uint64_t n = 0; n < MESSAGES; n++)
		post_recv(&c, n, 0, GRH + 8);
	before = now_ms();
	for (uint64_t n = 0; n < 2 * MESSAGES; n++) {
		sge = part(&a, 0, 8);
		wr = request(n, IBV_WR_SEND, &sge, 1, NULL, 0);
		post_to(&a, &wr, n % 2 ? to_c : to_b, n % 2 ? c.qp->qp_num : b.qp->qp_num);
	}
	for (uint64_t n = 0; n < 2 * MESSAGES; n++)
		expect(a.send_cq, n, IBV_WC_SUCCESS);
	for (uint64_t n = 0; n < MESSAGES; n++)
		expect(c.recv_cq, n, IBV_WC_SUCCESS);
	CHECK(now_ms() - before < 2000, "%d datagrams to nobody took %.0f ms", MESSAGES, now_ms() - before);
}

/* ---- memory that is taken away ----------------------------------------------------------------------------------- */

/* Punches a page out of the file behind registered memory, as only a hostile program would. 0: this device has none. */
static int punch(const char *at)
{
	char line[512], path[64];
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end, offset, inode;
	struct stat file;

	CHECK(maps, "/proc/self/maps: %s", strerror(errno));
	while (fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx %*s %lx %*s %lu", &start, &end, &offset, &inode) == 4 &&
		    start <= (uintptr_t)at && (uintptr_t)at < end)
			break;
	fclose(maps);
	for (int fd = 3; fd < 256 && inode; fd++)
		if (fstat(fd, &file) == 0 && file.st_ino == inode) {
			snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
			CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					   (off_t)(offset + (uintptr_t)at - start) & ~4095l, 4096), 0);
			return 1;
		}
	return 0;
}

/* Whose memory is gone is told, and only they are; the other side and the router go on. */
static void a_hole(const void *row)
{
	int senders = row != NULL;
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct ibv_ah *ah;
	struct end a, b;

	open_pair(&a, &b, &usual);
	ah = handle_to(&a, &b.gid);
	memset(a.buffer, 1, a.size);
	memset(b.buffer, 1, b.size);
	post_recv(&b, RECV_ID, 8192, GRH + LENGTH);
	if (!punch((senders ? &a : &b)->buffer + 8192))
		return;
	sge = part(&a, 8192, LENGTH);
	wr = request(SEND_ID, IBV_WR_SEND, &sge, 1, NULL, 0);
	post_to(&a, &wr, ah, b.qp->qp_num);
	expect(a.send_cq, SEND_ID, senders ? IBV_WC_LOC_PROT_ERR : IBV_WC_SUCCESS);
	if (senders) {
		expect_nothing(b.recv_cq, 5);
		CHECK_EQ(set_state(a.qp, IBV_QPS_RTS), 0);
		sge = part(&a, 0, LENGTH);
		post_to(&a, &wr, ah, b.qp->qp_num);
		expect(a.send_cq, SEND_ID, IBV_WC_SUCCESS);
		expect(b.recv_cq, RECV_ID, IBV_WC_SUCCESS);
	} else {
		expect(b.recv_cq, RECV_ID, IBV_WC_LOC_PROT_ERR);
		CHECK_EQ(state_of(b.qp), IBV_QPS_ERR);
		CHECK_EQ(state_of(a.qp), IBV_QPS_RTS);
	}
}

/* What ibv_post_send itself refuses. */
static void refused_at_once(const void *row)
{
	struct ibv_send_wr wr, *bad = NULL;
	struct ibv_sge sge;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &usual);
	sge = part(&a, 0, 8);
	wr = request(SEND_ID, IBV_WR_SEND, &sge, 1, NULL, 0);
	CHECK_EQ(ibv_post_send(a.qp, &wr, &bad), EINVAL); /* no address handle */
	CHECK(bad == &wr, "bad_wr");
	wr = request(SEND_ID, IBV_WR_RDMA_WRITE, &sge, 1, &b, 0);
	CHECK_EQ(ibv_post_send(a.qp, &wr, &bad), EINVAL);
	wr = request(SEND_ID, IBV_WR_RDMA_READ, &sge, 1, &b, 0);
	CHECK_EQ(ibv_post_send(a.qp, &wr, &bad), EINVAL);
	wr = request(SEND_ID, IBV_WR_ATOMIC_FETCH_AND_ADD, &sge, 1, &b, 0);
	CHECK_EQ(ibv_post_send(a.qp, &wr, &bad), EINVAL);
}

static const struct test tests[] = {
	{"no_receive", faulty, &row_nothing},
	{"other_qkey", faulty, &row_other_qkey},
	{"other_qpn", faulty, &row_other_qpn},
	{"absent_qpn", faulty, &row_absent_qpn},
	{"foreign_gid", faulty, &row_foreign_gid},
	{"rc_qp", faulty, &row_rc_qp},
	{"recv_too_short", faulty, &row_short_recv},
	{"recv_shorter_than_grh", faulty, &row_recv_shorter_than_grh},
	{"peer_in_error", faulty, &row_peer_in_error},
	{"peer_reset", faulty, &row_peer_reset},
	{"longer_than_mtu", faulty, &row_too_long},
	{"bad_lkey", faulty, &row_bad_lkey},
	{"other_pds_ah", faulty, &row_other_pds_ah},
	{"destroyed_ah", faulty, &row_destroyed_ah},
	{"violations_are_counted", violations_are_counted, NULL},
	{"a_silent_receiver_holds_nobody_up", a_silent_receiver_holds_nobody_up, NULL},
	{"a_hole_in_the_senders_memory", a_hole, &usual},
	{"a_hole_in_the_receivers_memory", a_hole, NULL},
	{"refused_at_once", refused_at_once, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
