/*
 * Memory windows between two hosts: one side binds and receives, the other writes, reads and invalidates. Run in both with
 * the same test; WINDOWS_PEER: the address of the side that binds, on the side that does not.
 */
#include "verbs_test.h"


enum { PORT = 7471, LENGTH = 65536, BINDABLE = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND,
       REMOTE = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ };

static const uint32_t lengths[] = {8, 5000, LENGTH / 2}; /* one packet, some, many */

/* ---- the side that binds -------------------------------------------------------------------------------------------- */

struct told {
	uint32_t rkey, srqn;
	uint64_t addr;
};

/* On `by`: end's own QP, or of XRC the one on which it binds. */
static uint32_t bound(struct end *end, struct ibv_qp *by, struct ibv_mw *mw)
{
	struct ibv_mw_bind_info info = {.mr = end->mr, .addr = (uintptr_t)end->buffer, .length = LENGTH / 2, .mw_access_flags = REMOTE};
	struct ibv_mw_bind bind = {.wr_id = 50, .send_flags = IBV_SEND_SIGNALED, .bind_info = info};
	struct ibv_send_wr *bad, wr = {.wr_id = 50, .opcode = IBV_WR_BIND_MW, .send_flags = IBV_SEND_SIGNALED,
				       .bind_mw = {.mw = mw, .rkey = ibv_inc_rkey(mw->rkey), .bind_info = info}};

	if (mw->type == IBV_MW_TYPE_1)
		CHECK_EQ(ibv_bind_mw(by, mw, &bind), 0);
	else
		CHECK_EQ(ibv_post_send(by, &wr, &bad), 0);
	expect(end->send_cq, 50, IBV_WC_SUCCESS);
	return mw->rkey = mw->type == IBV_MW_TYPE_1 ? mw->rkey : wr.bind_mw.rkey;
}

static void binds(int socket, struct end *end, struct ibv_qp *by, enum ibv_mw_type type)
{
	struct ibv_mw *mw = ibv_alloc_mw(end->pd, type);
	struct told told = {.addr = (uintptr_t)end->buffer, .srqn = end->srq && end->xrcd ? srq_number(end->srq) : 0};
	struct ibv_wc wc;
	char byte;

	CHECK(mw, "ibv_alloc_mw: %s", strerror(errno));
	for (size_t i = 0; i < COUNT(lengths); i++) {
		told.rkey = bound(end, by, mw);
		post_recv(end, 71, LENGTH / 2, LENGTH / 2);
		say(socket, &told, sizeof told);
		hear(socket, &byte, 1); /* it has written */
		if (end->qp->qp_type == IBV_QPT_UC) /* ... as far as it knows */
			for (double limit = now_ms() + 5000; end->buffer[lengths[i] - 1] == 0; usleep(100))
				CHECK(now_ms() < limit, "the write has not come");
		check_filled(end->buffer, lengths[i], (unsigned)i + 1, "written through the window");
		say(socket, "", 1);
		wc = expect(end->recv_cq, 71, IBV_WC_SUCCESS);
		CHECK_EQ(wc.byte_len, lengths[i]);
		if (type == IBV_MW_TYPE_2)
			CHECK(wc.wc_flags & IBV_WC_WITH_INV && wc.invalidated_rkey == told.rkey, "flags %#x", wc.wc_flags);
		check_filled(end->buffer + LENGTH / 2, lengths[i], (unsigned)i + 1, "sent");
		memset(end->buffer, 0, LENGTH);
		say(socket, "", 1);
	}
	hear(socket, &byte, 1);
	check_bytes(end->buffer, 64, 0, "after the end of its window");
}

/* ---- the other ------------------------------------------------------------------------------------------------------ */

static enum ibv_wc_status post_one(struct end *a, int opcode, size_t offset, uint32_t length, const struct told *told)
{
	struct ibv_sge sge = part(a, offset, length);
	struct ibv_send_wr wr = request(1, opcode, &sge, 1, NULL, 0);

	if (opcode == IBV_WR_SEND_WITH_INV)
		wr.invalidate_rkey = told->rkey;
	else
		wr.wr.rdma.rkey = told->rkey, wr.wr.rdma.remote_addr = told->addr;
	wr.qp_type.xrc.remote_srqn = told->srqn;
	post(a, &wr);
	return next_wc(a->send_cq).status;
}

static void uses(int socket, struct end *a, enum ibv_mw_type type)
{
	struct told told;
	int unreliable = a->qp->qp_type == IBV_QPT_UC;
	char byte;

	for (size_t i = 0; i < COUNT(lengths); i++) {
		hear(socket, &told, sizeof told);
		fill(a->buffer, lengths[i], (unsigned)i + 1);
		CHECK_EQ(post_one(a, IBV_WR_RDMA_WRITE, 0, lengths[i], &told), IBV_WC_SUCCESS);
		if (!unreliable) {
			CHECK_EQ(post_one(a, IBV_WR_RDMA_READ, LENGTH / 2, lengths[i], &told), IBV_WC_SUCCESS);
			check_filled(a->buffer + LENGTH / 2, lengths[i], (unsigned)i + 1, "read through the window");
		}
		say(socket, "", 1);
		hear(socket, &byte, 1);
		CHECK_EQ(post_one(a, type == IBV_MW_TYPE_2 ? IBV_WR_SEND_WITH_INV : IBV_WR_SEND, 0, lengths[i], &told), IBV_WC_SUCCESS);
		hear(socket, &byte, 1);
	}
	if (type == IBV_MW_TYPE_2) /* dead by now */
		CHECK_EQ(post_one(a, IBV_WR_RDMA_WRITE, 0, 64, &told), unreliable ? IBV_WC_SUCCESS : IBV_WC_REM_ACCESS_ERR);
	usleep(unreliable ? 50000 : 0);
	say(socket, "", 1);
}

/* ---- both ----------------------------------------------------------------------------------------------------------- */

struct kind {
	int transport;
	enum ibv_mw_type type;
};

static void connected(const void *row)
{
	const struct kind *kind = row;
	const struct wish wish = {.type = kind->transport, .mr_access = BINDABLE, .size = LENGTH};
	int socket = meet_the_other(getenv("WINDOWS_PEER"), PORT);
	struct address peer;
	struct end end;

	open_end(&end, &wish);
	meet(socket, &end, &peer, &wish);
	if (getenv("WINDOWS_PEER"))
		uses(socket, &end, kind->type);
	else
		binds(socket, &end, end.qp, kind->type);
}

/* The side that binds receives by one QP and binds on another, which sends to the other side's. */
static void xrc(const void *row)
{
	const struct wish sends = {.type = IBV_QPT_XRC_SEND, .mr_access = BINDABLE, .size = LENGTH};
	const struct wish receives = {.type = IBV_QPT_XRC_RECV, .mr_access = BINDABLE, .size = LENGTH};
	int socket = meet_the_other(getenv("WINDOWS_PEER"), PORT), binder = getenv("WINDOWS_PEER") == NULL;
	struct address peer;
	struct end end, back;

	(void)row;
	open_end(&end, binder ? &receives : &sends);
	meet(socket, &end, &peer, binder ? &receives : &sends);
	if (!binder) {
		open_end(&back, &receives);
		meet(socket, &back, &peer, &receives);
		uses(socket, &end, IBV_MW_TYPE_2);
		return;
	}
	back = end, back.srq = NULL;
	back.qp = make_qp(&back, &sends);
	meet(socket, &back, &peer, &sends);
	binds(socket, &end, back.qp, IBV_MW_TYPE_2);
}

int main(int argc, char **argv)
{
	static const struct kind rc_1 = {IBV_QPT_RC, IBV_MW_TYPE_1}, rc_2 = {IBV_QPT_RC, IBV_MW_TYPE_2},
				 uc_1 = {IBV_QPT_UC, IBV_MW_TYPE_1}, uc_2 = {IBV_QPT_UC, IBV_MW_TYPE_2};
	static const struct test tests[] = {
		{"rc_type_1", connected, &rc_1},
		{"rc_type_2", connected, &rc_2},
		{"uc_type_1", connected, &uc_1},
		{"uc_type_2", connected, &uc_2},
		{"xrc_type_2", xrc, NULL},
	};

	return run_tests(argc, argv, tests, COUNT(tests));
}
