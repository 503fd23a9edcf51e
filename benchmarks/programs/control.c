/*
 * What the control path costs a program: a QP from nothing to RTS, and registering memory.
 *
 *   control [--rounds N]       prints medians in microseconds, one JSON object
 *
 * rts        ibv_create_qp and the three ibv_modify_qp to RTS
 * reg_first  ibv_reg_mr of 1 MiB of touched pages that were never registered before
 * reg_again  ibv_reg_mr of the same MiB while another registration holds its pages
 * dereg      the ibv_dereg_mr that gives the pages back
 */
#define _GNU_SOURCE
#include <errno.h>
#include <infiniband/verbs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { SIZE = 1 << 20, MAX_ROUNDS = 10000 };

struct device {
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	union ibv_gid gid;
};

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void die(const char *what)
{
	fprintf(stderr, "control: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *us, int rounds)
{
	qsort(us, (size_t)rounds, sizeof *us, by_value);
	return us[rounds / 2];
}

static void open_device(struct device *device)
{
	struct ibv_device **list = ibv_get_device_list(NULL);

	if (!list || !list[0] || !(device->context = ibv_open_device(list[0])))
		die("no RDMA device");
	device->pd = ibv_alloc_pd(device->context);
	device->cq = ibv_create_cq(device->context, 16, NULL, NULL, 0);
	if (!device->pd || !device->cq || ibv_query_gid(device->context, 1, 0, &device->gid))
		die("PD, CQ or GID");
}

static double to_rts(struct device *device)
{
	struct ibv_qp_init_attr init = {.send_cq = device->cq, .recv_cq = device->cq, .qp_type = IBV_QPT_RC,
					.cap = {.max_send_wr = 16, .max_recv_wr = 16, .max_send_sge = 1, .max_recv_sge = 1}};
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = 1};
	double began = now_us(), took;
	struct ibv_qp *qp = ibv_create_qp(device->pd, &init);

	if (!qp)
		die("ibv_create_qp");
	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS))
		die("INIT");
	attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_1024, .dest_qp_num = qp->qp_num,
				    .min_rnr_timer = 12, .max_dest_rd_atomic = 1,
				    .ah_attr = {.is_global = 1, .port_num = 1, .grh = {.dgid = device->gid, .hop_limit = 1}}};
	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
				     IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER))
		die("RTR");
	attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = 1};
	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
				     IBV_QP_MAX_QP_RD_ATOMIC))
		die("RTS");
	took = now_us() - began;
	ibv_destroy_qp(qp);
	return took;
}

static void registrations(struct device *device, double *first, double *again, double *dereg)
{
	int access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ibv_mr *one, *two;
	double t[4];

	if (memory == MAP_FAILED)
		die("mmap");
	memset(memory, 1, SIZE);
	t[0] = now_us();
	one = ibv_reg_mr(device->pd, memory, SIZE, access);
	t[1] = now_us();
	two = ibv_reg_mr(device->pd, memory, SIZE, access);
	t[2] = now_us();
	if (!one || !two || ibv_dereg_mr(two))
		die("ibv_reg_mr");
	t[3] = now_us();
	if (ibv_dereg_mr(one))
		die("ibv_dereg_mr");
	*first = t[1] - t[0];
	*again = t[2] - t[1];
	*dereg = now_us() - t[3];
	munmap(memory, SIZE);
}

int main(int argc, char **argv)
{
	static double rts[MAX_ROUNDS], first[MAX_ROUNDS], again[MAX_ROUNDS], dereg[MAX_ROUNDS];
	int rounds = argc == 3 && strcmp(argv[1], "--rounds") == 0 ? atoi(argv[2]) : 200;
	struct device device;

	if (rounds < 1 || rounds > MAX_ROUNDS)
		return fprintf(stderr, "control: --rounds from 1 to %d\n", MAX_ROUNDS), 2;
	open_device(&device);
	for (int i = 0; i < rounds; i++)
		rts[i] = to_rts(&device);
	for (int i = 0; i < rounds; i++)
		registrations(&device, &first[i], &again[i], &dereg[i]);
	printf("{\"rts_us\": %.2f, \"reg_first_us\": %.2f, \"reg_again_us\": %.2f, \"dereg_us\": %.2f, \"rounds\": %d}\n",
	       median(rts, rounds), median(first, rounds), median(again, rounds), median(dereg, rounds), rounds);
	return 0;
}
