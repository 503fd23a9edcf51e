/* Wrong values of what is about memory: MRs and their changes, device memory, windows, advice, importing; and address handles. */
#include "args_rows.h"

enum { LENGTH = 8192, ZERO_BASED = ALL_ACCESS | IBV_ACCESS_ZERO_BASED };

/* ---- MRs ---- */

static struct ibv_pd *another_pd(void)
{
	static struct ibv_pd *pd;
	return pd ? pd : (pd = ibv_alloc_pd(e.context));
}

static int reregister(int flags, struct ibv_pd *pd, void *addr, size_t length, int access)
{
	int result = ibv_rereg_mr(e.mr, flags, pd, addr, length, access);

	CHECK(result == 0 || result == IBV_REREG_MR_ERR_INPUT, "ibv_rereg_mr is %d", result); /* the MR is what it was */
	return result ? errno : 0;
}
enum { PD = IBV_REREG_MR_CHANGE_PD, RANGE = IBV_REREG_MR_CHANGE_TRANSLATION, ACCESS = IBV_REREG_MR_CHANGE_ACCESS };
ROW(rereg_nothing, "no flags", EINVAL, NUMBER, reregister(0, NULL, NULL, 0, 0))
ROW(rereg_unknown, "an unknown flag", EINVAL, NUMBER, reregister(1 << 10, NULL, NULL, 0, 0))
ROW(rereg_no_pd, "no PD", EINVAL, NUMBER, reregister(PD, NULL, NULL, 0, 0))
ROW(rereg_pd, "another context's PD", EINVAL, NUMBER, reregister(PD, other.pd, NULL, 0, 0))
ROW(rereg_no_addr, "no address", EINVAL, NUMBER, reregister(RANGE, NULL, NULL, LENGTH, 0))
ROW(rereg_empty, "no length", EINVAL, NUMBER, reregister(RANGE, NULL, e.buffer, 0, 0))
ROW(rereg_wraps, "a range beyond the address space", EINVAL, NUMBER, reregister(RANGE, NULL, (void *)~4095ul, 8192, 0))
ROW(rereg_access, "a peer may write, and the owner not", EINVAL, NUMBER, reregister(ACCESS, NULL, NULL, 0, IBV_ACCESS_REMOTE_WRITE))
ROW(rereg_flag, "access that is not asked for", EINVAL, NUMBER, reregister(PD, another_pd(), NULL, 0, ALL_ACCESS))
ROW(rereg_right, "right", 0, NUMBER, reregister(PD | RANGE | ACCESS, another_pd(), e.buffer, LENGTH, ALL_ACCESS))
ROW(rereg_back, "back", 0, NUMBER, reregister(PD, e.pd, NULL, 0, 0))

ROW(iova_wraps, "an iova that wraps", EINVAL, POINTER, ibv_reg_mr_iova(e.pd, e.buffer, LENGTH, ~0ull - 5, ALL_ACCESS))
ROW(iova_empty, "no length", EINVAL, POINTER, ibv_reg_mr_iova(e.pd, e.buffer, 0, 0, ALL_ACCESS))
ROW(iova_right, "right", 0, POINTER, ibv_reg_mr_iova(e.pd, e.buffer, LENGTH, 0x10000, ALL_ACCESS))
ROW(dmabuf, "a dma-buf", EOPNOTSUPP, POINTER, ibv_reg_dmabuf_mr(e.pd, 0, LENGTH, 0, 0, ALL_ACCESS))

/* ---- device memory ---- */

static struct ibv_dm *a_dm(size_t length, uint32_t align, uint32_t mask)
{
	struct ibv_alloc_dm_attr attr = {.length = length, .log_align_req = align, .comp_mask = mask};
	return ibv_alloc_dm(e.context, &attr);
}

static struct ibv_dm *the_dm(void)
{
	static struct ibv_dm *dm;
	return dm ? dm : (dm = a_dm(LENGTH, 0, 0));
}

static struct ibv_mr *a_dm_mr(struct ibv_pd *pd, uint64_t offset, size_t length, unsigned access)
{
	return ibv_reg_dm_mr(pd, the_dm(), offset, length, access);
}
ROW(dm_empty, "no length", EINVAL, POINTER, a_dm(0, 0, 0))
ROW(dm_mask, "an unknown comp_mask", EINVAL, POINTER, a_dm(LENGTH, 0, 1))
ROW(dm_align, "an alignment that is not to be had", EINVAL, POINTER, a_dm(LENGTH, 60, 0))
ROW(dm_right, "right", 0, POINTER, the_dm())
ROW(dm_mr_based, "not zero based", EINVAL, POINTER, a_dm_mr(e.pd, 0, LENGTH, ALL_ACCESS))
ROW(dm_mr_offset, "from beyond its end", EINVAL, POINTER, a_dm_mr(e.pd, LENGTH + 1, 0, ZERO_BASED))
ROW(dm_mr_length, "to beyond its end", EINVAL, POINTER, a_dm_mr(e.pd, 64, LENGTH, ZERO_BASED))
ROW(dm_mr_wraps, "a length that wraps", EINVAL, POINTER, a_dm_mr(e.pd, 64, ~0ul, ZERO_BASED))
ROW(dm_mr_pd, "another context's PD", EINVAL, POINTER, a_dm_mr(other.pd, 0, LENGTH, ZERO_BASED))
ROW(dm_mr_access, "a peer may write, and the owner not", EINVAL, POINTER,
    a_dm_mr(e.pd, 0, LENGTH, IBV_ACCESS_ZERO_BASED | IBV_ACCESS_REMOTE_WRITE))
ROW(dm_mr_right, "right", 0, POINTER, a_dm_mr(e.pd, 64, LENGTH - 64, ZERO_BASED))
ROW(dm_to_end, "a copy to beyond its end", EFAULT, NUMBER, ibv_memcpy_to_dm(the_dm(), LENGTH - 4, e.buffer, 8))
ROW(dm_to_wraps, "an offset that wraps", EFAULT, NUMBER, ibv_memcpy_to_dm(the_dm(), ~3ull, e.buffer, 8))
ROW(dm_to_odd, "no multiple of 4", EINVAL, NUMBER, ibv_memcpy_to_dm(the_dm(), 0, e.buffer, 6))
ROW(dm_from_odd, "an offset that is none", EINVAL, NUMBER, ibv_memcpy_from_dm(e.buffer, the_dm(), 2, 4))
ROW(dm_from_end, "a copy from beyond its end", EFAULT, NUMBER, ibv_memcpy_from_dm(e.buffer, the_dm(), LENGTH, 4))
ROW(dm_copy_right, "right", 0, NUMBER, ibv_memcpy_from_dm(e.buffer, the_dm(), 0, LENGTH))

/* ---- windows ---- */

static int bind_to(struct ibv_pd *pd, enum ibv_mw_type type, struct ibv_mr *mr, unsigned access)
{
	struct ibv_mw *mw = ibv_alloc_mw(pd, type);
	struct ibv_mw_bind bind = {.bind_info = {.mr = mr, .addr = (uintptr_t)e.buffer, .length = 64, .mw_access_flags = access}};

	CHECK(mw, "ibv_alloc_mw: %s", strerror(errno));
	return ibv_bind_mw(e.qp, mw, &bind);
}

static int post_bind(struct ibv_mw *mw)
{
	struct ibv_send_wr *bad, wr = {.opcode = IBV_WR_BIND_MW, .bind_mw = {.mw = mw, .rkey = 1, .bind_info = {.mr = e.mr}}};
	return ibv_post_send(e.qp, &wr, &bad);
}
ROW(mw_type_0, "no type", EINVAL, POINTER, ibv_alloc_mw(e.pd, (enum ibv_mw_type)0))
ROW(mw_type_3, "an unknown type", EINVAL, POINTER, ibv_alloc_mw(e.pd, (enum ibv_mw_type)3))
ROW(mw_right, "right", 0, POINTER, ibv_alloc_mw(e.pd, IBV_MW_TYPE_2))
ROW(bind_type_2, "ibv_bind_mw of type 2", EINVAL, NUMBER, bind_to(e.pd, IBV_MW_TYPE_2, e.mr, IBV_ACCESS_REMOTE_READ))
ROW(bind_reset, "in RESET", EINVAL, NUMBER, bind_to(e.pd, IBV_MW_TYPE_1, e.mr, IBV_ACCESS_REMOTE_READ))
ROW(bind_post_1, "a WR for type 1", EINVAL, NUMBER, post_bind(ibv_alloc_mw(e.pd, IBV_MW_TYPE_1)))
ROW(bind_post_none, "a WR without window", EINVAL, NUMBER, post_bind(NULL))

/* ---- advice ---- */

static int advise(int advice, uint32_t flags, uint32_t lkey, uint32_t count)
{
	struct ibv_sge sge = {.addr = (uintptr_t)e.buffer, .length = 64, .lkey = lkey};
	return ibv_advise_mr(e.pd, (enum ib_uverbs_advise_mr_advice)advice, flags, &sge, count);
}

static uint32_t on_demand(void)
{
	static struct ibv_mr *mr;
	return (mr ? mr : (mr = ibv_reg_mr(e.pd, e.buffer, LENGTH, ALL_ACCESS | IBV_ACCESS_ON_DEMAND)))->lkey;
}
ROW(advice_unknown, "an unknown advice", EOPNOTSUPP, NUMBER, advise(99, 0, on_demand(), 1))
ROW(advice_flags, "an unknown flag", EINVAL, NUMBER, advise(IBV_ADVISE_MR_ADVICE_PREFETCH, 8, on_demand(), 1))
ROW(advice_none, "no SGE", EINVAL, NUMBER, advise(IBV_ADVISE_MR_ADVICE_PREFETCH, 0, on_demand(), 0))
ROW(advice_key, "no key", ENOENT, NUMBER, advise(IBV_ADVISE_MR_ADVICE_PREFETCH, 0, 0, 1))
ROW(advice_window, "a window's key", EINVAL, NUMBER, advise(IBV_ADVISE_MR_ADVICE_PREFETCH, 0, ibv_alloc_mw(e.pd, IBV_MW_TYPE_1)->rkey, 1))
ROW(advice_right, "right", 0, NUMBER, advise(IBV_ADVISE_MR_ADVICE_PREFETCH, 0, on_demand(), 1))

/* ---- importing ---- */

ROW(import_none, "no descriptor", EBADF, POINTER, ibv_import_device(-1))
ROW(import_other, "another file", EINVAL, POINTER, ibv_import_device(0))
ROW(import_async, "the context's other descriptor", EINVAL, POINTER, ibv_import_device(e.context->async_fd))
ROW(import_pd, "another context's PD", EINVAL, POINTER, ibv_import_pd(e.context, other.pd->handle))
ROW(import_pd_none, "no PD", EINVAL, POINTER, ibv_import_pd(e.context, ~0u))
ROW(import_mr, "another PD's MR", EINVAL, POINTER, ibv_import_mr(another_pd(), e.mr->handle))
ROW(import_mr_none, "no MR", EINVAL, POINTER, ibv_import_mr(e.pd, ~0u))
ROW(import_dm_none, "no DM", EINVAL, POINTER, ibv_import_dm(e.context, ~0u))
ROW(import_right, "right", 0, POINTER, ibv_import_device(dup(e.context->cmd_fd)))

/* ---- address handles ---- */

static struct ibv_ah *an_ah(int is_global, int port, int sgid_index)
{
	struct ibv_ah_attr attr = {.is_global = (uint8_t)is_global, .port_num = (uint8_t)port, .grh = {.dgid = other.gid, .sgid_index = (uint8_t)sgid_index}};
	return ibv_create_ah(e.pd, &attr);
}

static int ah_from_wc(int port, int flags)
{
	struct ibv_wc wc = {.wc_flags = (unsigned)flags};
	struct ibv_grh grh = {0};
	struct ibv_ah_attr attr;
	return ibv_init_ah_from_wc(e.context, (uint8_t)port, &wc, &grh, &attr);
}
ROW(ah_local, "no GRH", EINVAL, POINTER, an_ah(0, 1, e.gid_index))
ROW(ah_port_0, "port 0", EINVAL, POINTER, an_ah(1, 0, e.gid_index))
ROW(ah_port_2, "port 2", EINVAL, POINTER, an_ah(1, 2, e.gid_index))
ROW(ah_sgid, "a GID that is not in the table", EINVAL, POINTER, an_ah(1, 1, 200))
ROW(ah_right, "right", 0, POINTER, an_ah(1, 1, e.gid_index))
ROW(ah_wc_no_grh, "a completion without GRH", EINVAL, NUMBER, ah_from_wc(1, 0))
ROW(ah_wc_bad_grh, "a GRH that is none", EINVAL, NUMBER, ah_from_wc(1, IBV_WC_GRH))

TABLE(rereg, &row_rereg_nothing, &row_rereg_unknown, &row_rereg_no_pd, &row_rereg_pd, &row_rereg_no_addr, &row_rereg_empty,
      &row_rereg_wraps, &row_rereg_access, &row_rereg_flag, &row_rereg_right, &row_rereg_back);
TABLE(registering, &row_iova_wraps, &row_iova_empty, &row_iova_right, &row_dmabuf);
TABLE(dm, &row_dm_empty, &row_dm_mask, &row_dm_align, &row_dm_right, &row_dm_mr_based, &row_dm_mr_offset, &row_dm_mr_length,
      &row_dm_mr_wraps, &row_dm_mr_pd, &row_dm_mr_access, &row_dm_mr_right, &row_dm_to_end, &row_dm_to_wraps, &row_dm_to_odd,
      &row_dm_from_odd, &row_dm_from_end, &row_dm_copy_right);
TABLE(mw, &row_mw_type_0, &row_mw_type_3, &row_mw_right, &row_bind_type_2, &row_bind_reset, &row_bind_post_1, &row_bind_post_none);
TABLE(advice, &row_advice_unknown, &row_advice_flags, &row_advice_none, &row_advice_key, &row_advice_window, &row_advice_right);
TABLE(importing, &row_import_none, &row_import_other, &row_import_async, &row_import_pd, &row_import_pd_none, &row_import_mr,
      &row_import_mr_none, &row_import_dm_none, &row_import_right);
TABLE(ah, &row_ah_local, &row_ah_port_0, &row_ah_port_2, &row_ah_sgid, &row_ah_right, &row_ah_wc_no_grh, &row_ah_wc_bad_grh);

static const struct test tests[] = {
	{"rereg_mr", all_rows, rereg}, {"reg_mr_iova", all_rows, registering}, {"dm", all_rows, dm},
	{"mw", all_rows, mw},	       {"advise_mr", all_rows, advice},	      {"import", all_rows, importing},
	{"create_ah", all_rows, ah},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
