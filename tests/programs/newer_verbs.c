/* Verbs of releases that are younger than the header here: looked up by name, as a program that must run with older ones does. */
#include "verbs_test.h"

#include <dlfcn.h>

enum { SIZE = 8192, BY_IOVA = 1, BY_ADDR = 2, BY_FILE = 4, BY_BUFFER = 32, FLUSH = 3 << 8 };

struct attr { /* struct ibv_mr_init_attr */
	size_t length;
	int access;
	uint64_t comp_mask, iova;
	void *addr;
	int fd;
	uint64_t fd_offset;
	void *dmah, *buf;
};

static void *(*alloc_buf)(struct ibv_pd *, size_t, void **);
static void (*free_buf)(void *);
static struct ibv_mr *(*reg_buf_mr)(struct ibv_pd *, void *, void *, size_t, int);
static struct ibv_mr *(*reg_mr_ex)(struct ibv_pd *, struct attr *);
static int (*query_port_speed)(struct ibv_context *, uint32_t, uint64_t *);

static void *find(const char *name, const char *node)
{
	void *found = dlvsym(RTLD_DEFAULT, name, node);

	CHECK(found, "%s", name);
	return found;
}

static void open_newer(struct end *end)
{
	const struct wish wish = {0};

	alloc_buf = find("ibv_alloc_buf", "IBVERBS_1.17");
	free_buf = find("ibv_free_buf", "IBVERBS_1.17");
	reg_buf_mr = find("ibv_reg_buf_mr", "IBVERBS_1.17");
	reg_mr_ex = find("ibv_reg_mr_ex", "IBVERBS_1.15");
	query_port_speed = find("ibv_query_port_speed", "IBVERBS_1.16");
	open_end(end, &wish);
}

static void buffers(const void *row)
{
	struct ibv_mr *first, *second;
	struct address self;
	struct ibv_pd *other;
	struct end end;
	void *buffer;
	char *at;

	(void)row;
	open_newer(&end);
	at = alloc_buf(end.pd, SIZE, &buffer);
	CHECK(at && buffer && (uintptr_t)at % 4096 == 0, "%p: %s", (void *)at, strerror(errno));
	check_bytes(at, SIZE, 0, "a new buffer");
	first = reg_buf_mr(end.pd, buffer, at, SIZE, ALL_ACCESS);
	second = reg_buf_mr(end.pd, buffer, at + 4096, 4096, ALL_ACCESS);
	CHECK(first && second && first->lkey != second->lkey, "%s", strerror(errno));
	other = ibv_alloc_pd(end.context);
	CHECK(!reg_buf_mr(other, buffer, at, SIZE, 0) && errno == EINVAL, "another PD's");
	CHECK(!reg_buf_mr(end.pd, buffer, at, SIZE + 1, 0) && errno == EINVAL, "beyond its end");
	CHECK(!reg_buf_mr(end.pd, buffer, at + SIZE, 4096, 0) && errno == EINVAL, "behind its end");
	CHECK(!reg_buf_mr(end.pd, buffer, at - 1, 1, 0) && errno == EINVAL, "before its start");
	CHECK(!alloc_buf(end.pd, 0, &buffer) && errno == EINVAL, "of no size");
	self = address_of(&end);
	connect_to(&end, &self, &(struct wish){0});
	fill(at, 4096, 1);
	struct ibv_sge sge = {(uintptr_t)at, 4096, first->lkey};
	struct ibv_send_wr wr = request(1, IBV_WR_RDMA_WRITE, &sge, 1, &end, 0);

	wr.wr.rdma.remote_addr = (uintptr_t)at + 4096;
	wr.wr.rdma.rkey = second->rkey;
	post(&end, &wr);
	expect(end.send_cq, 1, IBV_WC_SUCCESS);
	check_filled(at + 4096, 4096, 1, "what was written");
	CHECK_EQ(ibv_dereg_mr(first), 0);
	CHECK_EQ(ibv_dereg_mr(second), 0);
	free_buf(buffer);
	free_buf(NULL);
}

static void by_attributes(const void *row)
{
	struct attr attr = {.length = 4096, .access = ALL_ACCESS, .comp_mask = BY_ADDR};
	struct ibv_mr *mr;
	struct end end;
	void *buffer;

	(void)row;
	open_newer(&end);
	attr.addr = end.buffer;
	mr = reg_mr_ex(end.pd, &attr);
	CHECK(mr && mr->addr == end.buffer && mr->length == 4096, "%s", strerror(errno));
	CHECK_EQ(ibv_dereg_mr(mr), 0);
	attr.comp_mask = BY_ADDR | BY_IOVA;
	attr.iova = 0x10000;
	CHECK(reg_mr_ex(end.pd, &attr), "%s", strerror(errno));
	attr.comp_mask = BY_ADDR | BY_FILE;
	CHECK(!reg_mr_ex(end.pd, &attr) && errno == EOPNOTSUPP, "a device's memory");
	attr.comp_mask = BY_ADDR | 1ull << 40;
	CHECK(!reg_mr_ex(end.pd, &attr) && errno == EOPNOTSUPP, "nobody knows what");
	attr.comp_mask = 0;
	CHECK(!reg_mr_ex(end.pd, &attr) && errno == EINVAL, "nothing");
	CHECK(alloc_buf(end.pd, SIZE, &buffer), "%s", strerror(errno));
	attr.comp_mask = BY_ADDR | BY_BUFFER;
	attr.buf = buffer;
	CHECK(!reg_mr_ex(end.pd, &attr) && errno == EINVAL, "not in that buffer");
}

/* A byte and, of newer headers, a word: the same enum in both. */
static void speeds(const void *row)
{
	struct {
		struct ibv_port_attr port;
		char room[16];
	} old = {0}, new = {0};
	struct verbs_context *v;
	struct end end;
	uint64_t speed;
	uint32_t wide;

	(void)row;
	open_newer(&end);
	CHECK_EQ(query_port_speed(end.context, 1, &speed), 0);
	CHECK_EQ(query_port_speed(end.context, 2, &speed), EINVAL);
	CHECK_EQ(speed, 1000);
	v = verbs_get_ctx_op(end.context, query_port);
	CHECK_EQ(v->query_port(end.context, 1, &old.port, 52), 0);
	CHECK_EQ(v->query_port(end.context, 1, &new.port, 56), 0);
	memcpy(&wide, (char *)&new + 52, sizeof(wide));
	CHECK_EQ(new.port.active_speed, 32);
	CHECK_EQ(wide, 32);
}

static void flags_of_flushing(const void *row)
{
	const struct wish plain = {0}, wish = {.qp_access = ALL_ACCESS | FLUSH}, unknown = {.qp_access = ALL_ACCESS | 1 << 19};
	struct ibv_qp_attr attr;
	struct ibv_qp *qp;
	struct end end;

	(void)row;
	open_end(&end, &plain);
	CHECK(!ibv_reg_mr(end.pd, end.buffer, 4096, ALL_ACCESS | FLUSH) && errno == EOPNOTSUPP, "an MR to flush");
	to_init(&end, &wish);
	qp = make_qp(&end, &plain);
	init_attr(&attr, &unknown);
	CHECK_EQ(ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS), EINVAL);
}

static const struct test tests[] = {
	{"buffers", buffers, NULL},
	{"by_attributes", by_attributes, NULL},
	{"speeds", speeds, NULL},
	{"flags_of_flushing", flags_of_flushing, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
