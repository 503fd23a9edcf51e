/* A GID index that is not in use is refused at the verb that names it. */
#include "verbs_test.h"

enum { UNUSED = 15 };

static void connecting(const void *row)
{
	const struct wish wish = {0};
	struct ibv_qp_attr attr;
	struct address self;
	struct end end;
	int mask;

	(void)row;
	open_end(&end, &wish);
	self = address_of(&end);
	to_init(&end, &wish);
	mask = rtr_attr(&attr, &end, &self, &wish);
	attr.ah_attr.grh.sgid_index = UNUSED;
	CHECK_EQ(ibv_modify_qp(end.qp, &attr, mask), EINVAL);
	attr.ah_attr.grh.sgid_index = 0;
	CHECK_EQ(ibv_modify_qp(end.qp, &attr, mask), 0);
}

static void addressing(const void *row)
{
	const struct wish wish = {0};
	struct ibv_ah_attr attr = {.is_global = 1, .port_num = 1, .grh = {.sgid_index = UNUSED, .hop_limit = 64}};
	struct end end;

	(void)row;
	open_end(&end, &wish);
	attr.grh.dgid = end.gid;
	CHECK(!ibv_create_ah(end.pd, &attr) && errno == EINVAL, "%s", strerror(errno));
	attr.grh.sgid_index = 0;
	CHECK(ibv_create_ah(end.pd, &attr), "%s", strerror(errno));
}

static const struct test tests[] = {
	{"connecting", connecting, NULL},
	{"addressing", addressing, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
