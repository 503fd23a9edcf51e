/*
 * Many idle programs: --sessions processes, each with an opened device, a registered page and its share of --qps QPs
 * connected to themselves. Prints "ready" when all are in RTS, and stays until its stdin ends.
 */
#include "members.h"

static int qps_each;

static void member(int number)
{
	char *page = aligned_alloc(4096, 4096);
	struct device device;

	(void)number;
	open_device(&device, 64);
	if (!page || !ibv_reg_mr(device.pd, page, 4096, IBV_ACCESS_LOCAL_WRITE))
		die("MR");
	for (int i = 0; i < qps_each; i++) {
		struct ibv_qp *qp = make_qp(&device, 16, 0);

		to_rts(qp, &device.gid, qp->qp_num, 14);
	}
}

int main(int argc, char **argv)
{
	int sessions = argc > 2 ? atoi(argv[2]) : 100, qps = argc > 4 ? atoi(argv[4]) : 10 * sessions;

	if (argc != 5 || strcmp(argv[1], "--sessions") || strcmp(argv[3], "--qps") || sessions < 1 || qps < sessions)
		return fprintf(stderr, "usage: crowd --sessions N --qps M\n"), 2;
	qps_each = qps / sessions;
	return run_members(sessions, member);
}
