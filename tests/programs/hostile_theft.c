/*
 * A container that names what is not its own: handles and keys of another session, of another kind, and twice. For
 * tests/integration/test_hostile.py.
 */
#include "raw_session.h"

struct handles {
	uint32_t context, pd, mr, mw, dm, lkey, rkey;
};

/* Says what it has, and looks whether it still has it when it hears of the end. */
static void victim(int socket, const void *row)
{
	struct ibv_alloc_dm_attr attr = {.length = 4096};
	const struct wish wish = {.mr_access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND};
	struct handles mine = {0};
	struct ibv_send_wr wr = {.opcode = IBV_WR_BIND_MW, .send_flags = IBV_SEND_SIGNALED};
	struct ibv_sge sge;
	struct ibv_dm *dm;
	struct ibv_mw *mw;
	struct end a, b;
	uint64_t word = 0x600df00d, found;
	char done;

	(void)row;
	open_pair(&a, &b, &wish);
	dm = ibv_alloc_dm(b.context, &attr);
	mw = ibv_alloc_mw(b.pd, IBV_MW_TYPE_2);
	CHECK(dm && mw && ibv_memcpy_to_dm(dm, 0, &word, sizeof word) == 0, "%s", strerror(errno));
	mine.rkey = ibv_inc_rkey(mw->rkey);
	wr.bind_mw.mw = mw, wr.bind_mw.rkey = mine.rkey;
	wr.bind_mw.bind_info = (struct ibv_mw_bind_info){b.mr, (uintptr_t)b.buffer, 64, IBV_ACCESS_REMOTE_WRITE};
	post(&b, &wr);
	expect(b.send_cq, 0, IBV_WC_SUCCESS);
	mine.pd = b.pd->handle, mine.mr = b.mr->handle, mine.mw = mw->handle, mine.dm = dm->handle, mine.lkey = b.mr->lkey;
	say(socket, &mine, sizeof mine);
	hear(socket, &done, 1);
	sge = part(&a, 0, 64);
	wr = request(1, IBV_WR_RDMA_WRITE, &sge, 1, &b, 0);
	wr.wr.rdma.rkey = mine.rkey;
	post(&a, &wr);
	expect(a.send_cq, 1, IBV_WC_SUCCESS);
	CHECK_EQ(ibv_memcpy_from_dm(&found, dm, 0, sizeof found), 0);
	CHECK_EQ(found, word);
	CHECK_EQ(ibv_dealloc_mw(mw), 0);
	CHECK_EQ(ibv_dereg_mr(b.mr), 0);
	CHECK_EQ(ibv_free_dm(dm), 0);
}

static int ask(uint16_t op, const void *request, size_t size)
{
	struct ff_reply_reg_mr reply;

	return command(op, request, size, &reply, sizeof reply);
}

static int ask_of(uint16_t op, uint32_t handle)
{
	struct ff_cmd_handle request = {.handle = handle};

	return ask(op, &request, sizeof request);
}

/* A WQE of one of the attacker's own QPs; the completion's status. */
static uint8_t executed(int n, const struct ff_wqe *w)
{
	const struct ff_reply_create_qp *qp = &raw.qp[n];
	const struct ff_cq_shared *cq = (void *)(control + raw.cq[n].offset);
	struct ff_wqe *slot = (void *)(control + qp->sq_offset);
	double limit = now_ms() + 5000;

	memcpy((char *)slot + 4, (const char *)w + 4, FF_WQE_HEADER - 4);
	slot->flags = FF_WQE_SIGNALED;
	ff_store32_release(&slot->seq, 1);
	ring(qp->bell);
	while (ff_load32_acquire(&cq->cqe[0].seq) != 1)
		CHECK(now_ms() < limit, "no completion");
	return cq->cqe[0].status;
}

/* By their numbers alone; the process that has them is of the same container. */
static void imports_without_a_secret(const struct handles *his)
{
	struct ff_cmd_part pd = {raw.context, his->pd}, mr = {his->pd, his->mr}, mr_of_mine = {raw.pd, his->mr},
			   dm = {raw.context, his->dm}, key = {his->pd, his->lkey};
	struct ff_cmd_copy_dm copy = {.dm = his->dm, .length = 64};
	struct ff_cmd_import secret = {{0, 0}};

	CHECK_EQ(ask(FF_CMD_IMPORT_PD, &pd, sizeof pd), EINVAL);
	CHECK_EQ(ask(FF_CMD_IMPORT_MR, &mr, sizeof mr), EINVAL);
	CHECK_EQ(ask(FF_CMD_IMPORT_MR, &mr_of_mine, sizeof mr_of_mine), EINVAL);
	CHECK_EQ(ask(FF_CMD_IMPORT_DM, &dm, sizeof dm), EINVAL);
	CHECK_EQ(ask(FF_CMD_COPY_DM, &copy, sizeof copy), EINVAL);
	CHECK_EQ(ask(FF_CMD_QUERY_KEY, &key, sizeof key), EINVAL);
	CHECK_EQ(ask_of(FF_CMD_RECLAIM_MR, his->mr), EINVAL);
	CHECK_EQ(ask_of(FF_CMD_RECLAIM_DM, his->dm), EINVAL);
	CHECK_EQ(ask(FF_CMD_IMPORT_CONTEXT, &secret, sizeof secret), EINVAL);
}

/* Handles and keys of another session, of another kind, and twice. */
static void takes_what_is_anothers(const void *row)
{
	struct ff_cmd_reg_dm_mr dm_mr = {.length = 64};
	struct ff_cmd_rereg_mr rereg = {.flags = IBV_REREG_MR_CHANGE_ACCESS, .to = {.access = ALL_ACCESS}};
	struct ff_cmd_alloc_mw window = {.type = IBV_MW_TYPE_2};
	struct ff_cmd_alloc_dm device = {.length = 4096};
	struct ff_reply_alloc_dm dm;
	struct ff_reply_reg_mr mw;
	struct handles his;
	int socket;
	pid_t child = split(victim, NULL, &socket);

	(void)row;
	hear(socket, &his, sizeof his);
	open_raw();
	device.context = raw.context, window.pd = raw.pd;
	CHECK_EQ(command(FF_CMD_ALLOC_DM, &device, sizeof device, &dm, sizeof dm), 0);
	CHECK_EQ(command(FF_CMD_ALLOC_MW, &window, sizeof window, &mw, sizeof mw), 0);
	CHECK_EQ(ask_of(FF_CMD_FREE_DM, his.dm), EINVAL);
	CHECK_EQ(ask_of(FF_CMD_DEALLOC_MW, his.mw), EINVAL);
	CHECK_EQ(ask_of(FF_CMD_DEREG_MR, his.mr), EINVAL);
	CHECK_EQ(ask_of(FF_CMD_ALLOC_NULL_MR, his.pd), EINVAL);
	CHECK_EQ(ask_of(FF_CMD_DEREG_MR, mw.handle), EINVAL); /* a window is no MR, and an MR no window */
	CHECK_EQ(ask_of(FF_CMD_DEALLOC_MW, raw.mr >> 12), EINVAL);
	dm_mr.pd = raw.pd, dm_mr.dm = his.dm;
	CHECK_EQ(ask(FF_CMD_REG_DM_MR, &dm_mr, sizeof dm_mr), EINVAL);
	dm_mr.pd = his.pd, dm_mr.dm = dm.handle;
	CHECK_EQ(ask(FF_CMD_REG_DM_MR, &dm_mr, sizeof dm_mr), EINVAL);
	window.pd = his.pd;
	CHECK_EQ(ask(FF_CMD_ALLOC_MW, &window, sizeof window), EINVAL);
	for (uint32_t handle = his.mr; handle != 0; handle = handle == his.mr ? mw.handle : handle == mw.handle ? ~0u : 0) {
		rereg.handle = handle;
		CHECK_EQ(ask(FF_CMD_REREG_MR, &rereg, sizeof rereg), EINVAL);
	}
	rereg.handle = raw.mr >> 12, rereg.flags = IBV_REREG_MR_CHANGE_PD, rereg.to.pd = his.pd;
	CHECK_EQ(ask(FF_CMD_REREG_MR, &rereg, sizeof rereg), EINVAL);
	CHECK_EQ(executed(0, &(struct ff_wqe){.opcode = FF_OP_BIND_MW, .rkey = mw.rkey ^ 1, .bind_lkey = his.lkey,
					     .bind_length = 64}), IBV_WC_MW_BIND_ERR);
	CHECK_EQ(executed(2, &(struct ff_wqe){.opcode = FF_OP_BIND_MW, .rkey = his.rkey ^ 1, .bind_lkey = raw.mr,
					     .bind_length = 64}), IBV_WC_MW_BIND_ERR);
	CHECK_EQ(executed(4, &(struct ff_wqe){.opcode = FF_OP_LOCAL_INV, .imm = his.rkey}), IBV_WC_MW_BIND_ERR);
	imports_without_a_secret(&his);
	CHECK_EQ(ask_of(FF_CMD_FREE_DM, dm.handle), 0);
	CHECK_EQ(ask_of(FF_CMD_FREE_DM, dm.handle), EINVAL);
	CHECK_EQ(ask_of(FF_CMD_DEALLOC_MW, mw.handle), 0);
	CHECK_EQ(ask_of(FF_CMD_DEALLOC_MW, mw.handle), EINVAL);
	say(socket, "", 1);
	join(child);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {{"takes_what_is_anothers", takes_what_is_anothers, NULL}};

	return run_tests(argc, argv, tests, COUNT(tests));
}
