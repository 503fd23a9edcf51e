/*
 * Makes and destroys objects as it is told, a letter a line: Q, M and D make a queue pair, a registration of a MiB and
 * device memory of 4 KiB; q, m and d destroy the last of them. Answers each with the errno, 0 when it was done.
 */
#include "verbs_test.h"

enum { MOST = 64, MIB = 1 << 20, DM_BYTES = 4096 };

static struct ibv_context *context;
static struct ibv_pd *pd;
static struct ibv_cq *cq;
static void *made[256][MOST];
static int count[256];

static void *make(int kind)
{
	struct ibv_qp_init_attr qp = {.send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC,
				      .cap = {.max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1}};
	struct ibv_alloc_dm_attr dm = {.length = DM_BYTES};
	if (kind == 'q')
		return ibv_create_qp(pd, &qp);
	return kind == 'm' ? (void *)ibv_reg_mr(pd, aligned_alloc(MIB, MIB), MIB, 0) : (void *)ibv_alloc_dm(context, &dm);
}

static int destroy(int kind, void *object)
{
	if (kind == 'q')
		return ibv_destroy_qp(object);
	return kind == 'm' ? ibv_dereg_mr(object) : ibv_free_dm(object);
}

int main(void)
{
	char line[8];
	context = open_device();
	pd = ibv_alloc_pd(context);
	cq = ibv_create_cq(context, 4, NULL, NULL, 0);
	while (fgets(line, sizeof(line), stdin)) {
		int kind = line[0] | 0x20, error = 0;
		if (line[0] == kind) {
			error = count[kind] ? destroy(kind, made[kind][--count[kind]]) : ENOENT;
		} else if (count[kind] < MOST) {
			void *object = make(kind);
			error = object ? 0 : errno;
			if (object)
				made[kind][count[kind]++] = object;
		}
		printf("%d\n", error);
		fflush(stdout);
	}
	return 0;
}
