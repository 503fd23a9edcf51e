/* Destroying: what is busy stays (EBUSY), what is gone is gone (EINVAL), and a handle that is nobody's is refused. */
#include "verbs_test.h"

#include <fcntl.h>

/* One of everything, so that each row can be about its own. */
struct world {
	struct end end; /* pd, channel, two CQs, RC QP, MR */
	struct ibv_ah *ah;
	struct ibv_srq *srq;
	struct ibv_xrcd *xrcd;
	struct ibv_td *td;
	struct ibv_pd *parent;
	struct ibv_mw *mw;
	struct ibv_dm *dm;
	struct ibv_mr *device_mr;
};

static struct world w;
static const struct wish with_channel = {.channel = 1}, datagrams = {.type = IBV_QPT_UD, .channel = 1};

static void open_world(const struct wish *wish)
{
	struct ibv_srq_init_attr srq = {.attr = {.max_wr = 8, .max_sge = 1}};
	struct ibv_xrcd_init_attr xrcd = {.comp_mask = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS,
					  .fd = -1, .oflags = O_CREAT};
	struct ibv_td_init_attr td = {0};
	struct ibv_parent_domain_init_attr parent = {0};
	struct ibv_alloc_dm_attr dm = {.length = 4096};

	memset(&w, 0, sizeof(w));
	open_end(&w.end, wish);
	w.ah = handle_to(&w.end, &w.end.gid);
	w.srq = ibv_create_srq(w.end.pd, &srq);
	w.xrcd = ibv_open_xrcd(w.end.context, &xrcd);
	w.td = ibv_alloc_td(w.end.context, &td);
	parent.pd = w.end.pd;
	parent.td = w.td;
	w.parent = ibv_alloc_parent_domain(w.end.context, &parent);
	w.mw = ibv_alloc_mw(w.end.pd, IBV_MW_TYPE_2);
	w.dm = ibv_alloc_dm(w.end.context, &dm);
	w.device_mr = w.dm ? ibv_reg_dm_mr(w.end.pd, w.dm, 0, 4096, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_ZERO_BASED) : NULL;
	CHECK(w.srq && w.xrcd && w.td && w.parent && w.mw && w.dm && w.device_mr, "one of everything: %s", strerror(errno));
}

/* Each destroys one object, and returns the errno. */
static int qp(void) { return ibv_destroy_qp(w.end.qp); }
static int send_cq(void) { return ibv_destroy_cq(w.end.send_cq); }
static int recv_cq(void) { return ibv_destroy_cq(w.end.recv_cq); }
static int channel(void) { return ibv_destroy_comp_channel(w.end.channel); }
static int mr(void) { return ibv_dereg_mr(w.end.mr); }
static int pd(void) { return ibv_dealloc_pd(w.end.pd); }
static int ah(void) { return ibv_destroy_ah(w.ah); }
static int srq(void) { return ibv_destroy_srq(w.srq); }
static int xrcd(void) { return ibv_close_xrcd(w.xrcd); }
static int td(void) { return ibv_dealloc_td(w.td); }
static int parent(void) { return ibv_dealloc_pd(w.parent); }
static int mw(void) { return ibv_dealloc_mw(w.mw); }
static int dm(void) { return ibv_free_dm(w.dm); }
static int device_mr(void) { return ibv_dereg_mr(w.device_mr); }
static int device(void) { return ibv_close_device(w.end.context) ? errno : 0; }

struct kind {
	const char *name;
	int (*destroy)(void);
	uint32_t *(*handle)(void); /* NULL: it has none that programs see */
};
static uint32_t *qp_handle(void) { return &w.end.qp->handle; }
static uint32_t *cq_handle(void) { return &w.end.send_cq->handle; }
static uint32_t *mr_handle(void) { return &w.end.mr->handle; }
static uint32_t *pd_handle(void) { return &w.end.pd->handle; }
static uint32_t *ah_handle(void) { return &w.ah->handle; }
static uint32_t *mw_handle(void) { return &w.mw->handle; }
static uint32_t *srq_handle(void) { return &w.srq->handle; }

/* In an order in which nothing is busy any more when its turn comes. */
static const struct kind kinds[] = {
	{"qp", qp, qp_handle},	   {"srq", srq, srq_handle}, {"send cq", send_cq, cq_handle}, {"recv cq", recv_cq, NULL},
	{"channel", channel, NULL}, {"mr", mr, mr_handle},    {"ah", ah, ah_handle},	       {"xrcd", xrcd, NULL},
	{"mw", mw, mw_handle},	    {"device mr", device_mr, NULL}, {"dm", dm, NULL},
	{"parent", parent, NULL},   {"td", td, NULL},	     {"pd", pd, pd_handle},	       {"device", device, NULL},
};

/* The second time, and the third, it is EINVAL, at once and after the others are gone as well. */
static void twice(const void *row)
{
	(void)row;
	open_world(&with_channel);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		int error = kinds[i].destroy();

		CHECK(error == 0, "%s: %s", kinds[i].name, strerror(error));
		for (int again = 0; again < 2; again++) {
			error = kinds[i].destroy();
			CHECK(error == EINVAL, "%s again: %s", kinds[i].name, strerror(error));
		}
	}
	for (size_t i = 0; i < COUNT(kinds); i++)
		CHECK(kinds[i].destroy() == EINVAL, "%s at the end", kinds[i].name);
}

/* Many others later: whatever took its place is not destroyed in its stead. */
static void long_ago(const void *row)
{
	struct ibv_pd *pds[64];
	int error;

	(void)row;
	open_world(&with_channel);
	CHECK_EQ(ibv_destroy_ah(w.ah), 0);
	for (size_t i = 0; i < COUNT(pds); i++)
		CHECK((pds[i] = ibv_alloc_pd(w.end.context)) != NULL, "pd %zu", i);
	error = ibv_destroy_ah(w.ah);
	CHECK(error == EINVAL, "an AH that was destroyed long ago: %s", strerror(error));
	for (size_t i = 0; i < COUNT(pds); i++)
		CHECK_EQ(ibv_dealloc_pd(pds[i]), 0);
}

/* A handle that a program has written over. */
static void wrong_handles(const void *row)
{
	static const uint32_t wrong[] = {0xffffffff, 0xfffffffe, 0x7fffffff, 0x80000000, 65536, 4097};

	(void)row;
	open_world(&with_channel);
	CHECK_EQ(ibv_dealloc_pd(w.parent), 0); /* it would keep the PD busy, whatever its handle */
	for (size_t i = 0; i < COUNT(kinds); i++) {
		uint32_t right;

		if (!kinds[i].handle)
			continue;
		right = *kinds[i].handle();
		for (size_t k = 0; k < COUNT(wrong); k++) {
			int error;

			*kinds[i].handle() = right + wrong[k] == right ? right + 1 : wrong[k];
			error = kinds[i].destroy();
			CHECK(error == EINVAL, "%s with handle %#x: %s", kinds[i].name, wrong[k], strerror(error));
		}
		*kinds[i].handle() = right;
	}
	for (size_t i = 0; i < COUNT(kinds); i++)
		if (kinds[i].destroy != parent)
			CHECK_EQ(kinds[i].destroy(), 0);
}

/* ---- what is busy ---- */

struct busy {
	const struct wish *wish;
	void (*use)(void); /* makes it busy with what open_world does not */
	int (*destroy)(void);
	int (*first)(void); /* who has to go before it */
};

static void nothing(void) {}

static void srq_in_use(void)
{
	struct ibv_qp_init_attr attr = {.qp_type = IBV_QPT_RC, .send_cq = w.end.send_cq, .recv_cq = w.end.recv_cq,
					.srq = w.srq, .cap = {.max_send_wr = 4, .max_send_sge = 1}};
	CHECK_EQ(ibv_destroy_qp(w.end.qp), 0);
	w.end.qp = ibv_create_qp(w.end.pd, &attr);
	CHECK(w.end.qp != NULL, "a QP with an SRQ: %s", strerror(errno));
}

static struct ibv_qp *xrc_receiver;
static int end_receiver(void) { return ibv_destroy_qp(xrc_receiver); }

static void xrcd_in_use(void)
{
	struct ibv_qp_init_attr_ex attr = {.qp_type = IBV_QPT_XRC_RECV, .comp_mask = IBV_QP_INIT_ATTR_XRCD,
					   .xrcd = w.xrcd};
	xrc_receiver = ibv_create_qp_ex(w.end.context, &attr);
	CHECK(xrc_receiver != NULL, "an XRC receiving QP: %s", strerror(errno));
}

static union ibv_gid group = {.raw = {[10] = 0xff, 0xff, 239, 1, 2, 3}};
static int leave(void) { return ibv_detach_mcast(w.end.qp, &group, 0); }
static void join_group(void) { CHECK_EQ(ibv_attach_mcast(w.end.qp, &group, 0), 0); }

static int rest(void) { return device_mr() ?: mw(); }
static int all_of_the_pd_but_the_mr(void) { return qp() ?: srq() ?: ah() ?: parent() ?: rest(); }
static int all_of_the_pd_but_the_qp(void) { return mr() ?: srq() ?: ah() ?: parent() ?: rest(); }
static int all_of_the_pd_but_the_ah(void) { return mr() ?: srq() ?: qp() ?: parent() ?: rest(); }
static int all_of_the_pd_but_the_srq(void) { return mr() ?: ah() ?: qp() ?: parent() ?: rest(); }
static int all_of_the_pd_but_the_parent(void) { return mr() ?: ah() ?: qp() ?: srq() ?: rest(); }
static int all_of_the_pd_but_the_mw(void) { return mr() ?: ah() ?: qp() ?: srq() ?: parent() ?: device_mr(); }

static void less(int (*others)(void)) { CHECK_EQ(others(), 0); }
static void mr_alone(void) { less(all_of_the_pd_but_the_mr); }
static void qp_alone(void) { less(all_of_the_pd_but_the_qp); }
static void ah_alone(void) { less(all_of_the_pd_but_the_ah); }
static void srq_alone(void) { less(all_of_the_pd_but_the_srq); }
static void mw_alone(void) { less(all_of_the_pd_but_the_mw); }
static void parent_alone(void) { less(all_of_the_pd_but_the_parent); }
static int both_cqs(void) { return send_cq() ?: recv_cq(); }
static void without_qp(void) { CHECK_EQ(qp(), 0); }

static const struct busy pd_of_mr = {&with_channel, mr_alone, pd, mr}, pd_of_qp = {&with_channel, qp_alone, pd, qp},
			 pd_of_ah = {&with_channel, ah_alone, pd, ah}, pd_of_srq = {&with_channel, srq_alone, pd, srq},
			 pd_of_mw = {&with_channel, mw_alone, pd, mw},
			 dm_of_mr = {&with_channel, nothing, dm, device_mr},
			 pd_of_parent = {&with_channel, parent_alone, pd, parent},
			 send_cq_of_qp = {&with_channel, nothing, send_cq, qp},
			 recv_cq_of_qp = {&with_channel, nothing, recv_cq, qp},
			 channel_of_cqs = {&with_channel, without_qp, channel, both_cqs},
			 srq_of_qp = {&with_channel, srq_in_use, srq, qp},
			 xrcd_of_qp = {&with_channel, xrcd_in_use, xrcd, end_receiver},
			 td_of_parent = {&with_channel, nothing, td, parent},
			 qp_of_group = {&datagrams, join_group, qp, leave};

static void busy(const void *row)
{
	const struct busy *b = row;

	open_world(b->wish);
	b->use();
	for (int i = 0; i < 2; i++) {
		int error = b->destroy();

		CHECK(error == EBUSY, "while it is in use: %s", strerror(error));
	}
	CHECK_EQ(b->first(), 0);
	CHECK_EQ(b->destroy(), 0);
}

static const struct test tests[] = {
	{"twice", twice, NULL},
	{"long_ago", long_ago, NULL},
	{"wrong_handles", wrong_handles, NULL},
	{"pd_of_mr", busy, &pd_of_mr},
	{"pd_of_qp", busy, &pd_of_qp},
	{"pd_of_ah", busy, &pd_of_ah},
	{"pd_of_srq", busy, &pd_of_srq},
	{"pd_of_mw", busy, &pd_of_mw},
	{"dm_of_mr", busy, &dm_of_mr},
	{"pd_of_parent_domain", busy, &pd_of_parent},
	{"send_cq_of_qp", busy, &send_cq_of_qp},
	{"recv_cq_of_qp", busy, &recv_cq_of_qp},
	{"channel_of_cqs", busy, &channel_of_cqs},
	{"srq_of_qp", busy, &srq_of_qp},
	{"xrcd_of_qp", busy, &xrcd_of_qp},
	{"td_of_parent_domain", busy, &td_of_parent},
	{"qp_of_group", busy, &qp_of_group},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
