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
#include "verbs.h"

#include <sys/mman.h>
#include <time.h>

enum { SIZE = 1 << 20, MAX_ROUNDS = 10000 };

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
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

static double from_nothing_to_rts(const struct device *device)
{
	double began = now_us(), took;
	struct ibv_qp *qp = make_qp(device, 16, 0);

	to_rts(qp, &device->gid, qp->qp_num, 14);
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
	open_device(&device, 16);
	for (int i = 0; i < rounds; i++)
		rts[i] = from_nothing_to_rts(&device);
	for (int i = 0; i < rounds; i++)
		registrations(&device, &first[i], &again[i], &dereg[i]);
	printf("{\"rts_us\": %.2f, \"reg_first_us\": %.2f, \"reg_again_us\": %.2f, \"dereg_us\": %.2f, \"rounds\": %d}\n",
	       median(rts, rounds), median(first, rounds), median(again, rounds), median(dereg, rounds), rounds);
	return 0;
}
