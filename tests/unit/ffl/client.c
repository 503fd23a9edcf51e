/* An ordinary verbs program, for test_verbs.py: each case is a function; a failed check says its line and exits 1. */
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what)                                                                                                    \
	do {                                                                                                           \
		if (!(what)) {                                                                                         \
			printf("line %d: %s (errno %d)\n", __LINE__, #what, errno);                                    \
			exit(1);                                                                                       \
		}                                                                                                      \
	} while (0)

static struct ibv_context *context;
static struct ibv_pd *pd;
static struct ibv_comp_channel *channel;
static struct ibv_cq *cq;
static struct ibv_qp *qp;
static struct ibv_mr *mr;
static char *buffer;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void open_device(void)
{
	int count;
	struct ibv_device **list = ibv_get_device_list(&count);

	CHECK(list && count == 1 && !list[1]);
	context = ibv_open_device(list[0]);
	CHECK(context);
	ibv_free_device_list(list);
}

static void to_state(enum ibv_qp_state state)
{
	struct ibv_qp_attr attr = { .qp_state = state };
	CHECK(ibv_modify_qp(qp, &attr, IBV_QP_STATE) == 0 && qp->state == state);
}

static void set_up(void)
{
	struct ibv_qp_init_attr init = { .qp_type = IBV_QPT_RC,
					 .cap = { .max_send_wr = 8, .max_recv_wr = 4, .max_send_sge = 2, .max_recv_sge = 2,
						  .max_inline_data = 64 } };
	open_device();
	CHECK((pd = ibv_alloc_pd(context)));
	buffer = aligned_alloc(4096, 8192);
	CHECK((mr = ibv_reg_mr(pd, buffer + 100, 5000, IBV_ACCESS_LOCAL_WRITE)));
	CHECK(mr->lkey && mr->lkey == mr->rkey && mr->pd == pd && mr->addr == buffer + 100 && mr->length == 5000);
	CHECK((channel = ibv_create_comp_channel(context)) && channel->fd >= 0);
	CHECK((cq = ibv_create_cq(context, 16, &cq, channel, 0)) && cq->cqe >= 16);
	init.send_cq = init.recv_cq = cq;
	CHECK((qp = ibv_create_qp(pd, &init)) && qp->qp_num && qp->state == IBV_QPS_RESET);
}

static void tear_down(void)
{
	CHECK(ibv_destroy_qp(qp) == 0);
	CHECK(ibv_destroy_cq(cq) == 0);
	CHECK(ibv_destroy_comp_channel(channel) == 0);
	CHECK(ibv_dereg_mr(mr) == 0);
	CHECK(ibv_dealloc_pd(pd) == 0);
	CHECK(ibv_close_device(context) == 0);
}

static int post_send(uint64_t id, enum ibv_wr_opcode opcode, unsigned flags, int num_sge)
{
	struct ibv_sge sge[3] = { { (uintptr_t)buffer + 100, 10, mr->lkey }, { (uintptr_t)buffer + 200, 20, mr->lkey } };
	struct ibv_send_wr wr = { .wr_id = id, .sg_list = sge, .num_sge = num_sge, .opcode = opcode, .send_flags = flags,
				  .imm_data = 0x01020304 }, *bad = NULL;
	int error;

	if (opcode == IBV_WR_ATOMIC_CMP_AND_SWP || opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
		wr.wr.atomic.remote_addr = 0x1000;
		wr.wr.atomic.rkey = 77;
		wr.wr.atomic.compare_add = 5;
		wr.wr.atomic.swap = 6;
	} else {
		wr.wr.rdma.remote_addr = 0x2000;
		wr.wr.rdma.rkey = 78;
	}
	error = ibv_post_send(qp, &wr, &bad);
	CHECK(!error == !bad);
	return error;
}

static int post_recv(uint64_t id)
{
	struct ibv_sge sge = { (uintptr_t)buffer + 1000, 100, mr->lkey };
	struct ibv_recv_wr wr = { .wr_id = id, .sg_list = &sge, .num_sge = 1 }, *bad = NULL;
	return ibv_post_recv(qp, &wr, &bad);
}

static struct ibv_wc wait_for_one(void)
{
	struct ibv_wc wc;
	double until = now() + 5;
	int n;

	while ((n = ibv_poll_cq(cq, 1, &wc)) == 0)
		CHECK(now() < until);
	CHECK(n == 1);
	return wc;
}

/* ---- cases ---- */

static void query(void)
{
	struct ibv_device_attr_ex attr;
	struct ibv_port_attr port;
	struct ibv_gid_entry entry, table[16];
	union ibv_gid gid;
	__be16 pkey;

	open_device();
	CHECK(!strcmp(ibv_get_device_name(context->device), "ff0"));
	CHECK(ibv_get_device_guid(context->device) == 0x1122334455667788);
	CHECK(context->device->node_type == IBV_NODE_CA && context->device->transport_type == IBV_TRANSPORT_IB);
	CHECK(ibv_query_device_ex(context, NULL, &attr) == 0);
	CHECK(attr.orig_attr.max_qp == 100 && attr.orig_attr.max_qp_wr == 101 && attr.orig_attr.vendor_id == 0x1234);
	CHECK(ibv_query_port(context, 1, &port) == 0 && port.state == IBV_PORT_ACTIVE && port.gid_tbl_len == 16);
	CHECK(port.link_layer == IBV_LINK_LAYER_ETHERNET && port.active_mtu == IBV_MTU_1024);
	CHECK(ibv_query_port(context, 2, &port) == EINVAL);
	CHECK(ibv_query_gid(context, 1, 0, &gid) == 0 && gid.raw[11] == 0xff && gid.raw[15] == 1);
	CHECK(ibv_query_gid(context, 1, 1, &gid) == 0 && gid.raw[11] == 0);
	CHECK(ibv_query_gid(context, 1, 16, &gid) == -1);
	CHECK(ibv_query_gid_ex(context, 1, 0, &entry, 0) == 0 && entry.gid_type == IBV_GID_TYPE_ROCE_V2);
	CHECK(entry.ndev_ifindex == 0); /* nobody here has 10.32.1.1 */
	CHECK(ibv_query_gid_ex(context, 1, 2, &entry, 0) == 0 && entry.ndev_ifindex == if_nametoindex("lo"));
	CHECK(ibv_query_gid_ex(context, 1, 1, &entry, 0) == ENODATA);
	CHECK(ibv_query_gid_table(context, table, 16, 0) == 2 && ibv_query_gid_table(context, table, 0, 0) == -EINVAL);
	CHECK(ibv_query_pkey(context, 1, 0, &pkey) == 0 && pkey == 0xffff && ibv_get_pkey_index(context, 1, pkey) == 0);
	CHECK(ibv_close_device(context) == 0);
}

static void ping(void)
{
	struct ibv_wc wc;

	set_up();
	CHECK(post_recv(1) == EINVAL); /* RESET */
	to_state(IBV_QPS_INIT);
	CHECK(post_recv(11) == 0);
	CHECK(post_send(12, IBV_WR_SEND, IBV_SEND_SIGNALED, 1) == EINVAL);
	to_state(IBV_QPS_RTR);
	to_state(IBV_QPS_RTS);
	CHECK(post_send(13, IBV_WR_SEND_WITH_IMM, IBV_SEND_SIGNALED | IBV_SEND_SOLICITED, 2) == 0);
	wc = wait_for_one();
	CHECK(wc.wr_id == 11 && wc.opcode == IBV_WC_RECV && wc.byte_len == 30 && wc.qp_num == qp->qp_num);
	CHECK(wc.wc_flags == IBV_WC_WITH_IMM && wc.imm_data == 0x01020304 && wc.status == IBV_WC_SUCCESS);
	wc = wait_for_one();
	CHECK(wc.wr_id == 13 && wc.opcode == IBV_WC_SEND && wc.wc_flags == 0);
	tear_down();
}

static void wqes(void)
{
	set_up();
	to_state(IBV_QPS_RTS);
	strcpy(buffer + 100, "123456789");
	strcpy(buffer + 200, "abcdefghijklmnopqrs");
	CHECK(post_send(1, IBV_WR_SEND, IBV_SEND_SIGNALED | IBV_SEND_INLINE | IBV_SEND_FENCE, 2) == 0);
	CHECK(post_send(2, IBV_WR_RDMA_WRITE, IBV_SEND_SIGNALED, 1) == 0);
	CHECK(post_send(3, IBV_WR_RDMA_WRITE_WITH_IMM, IBV_SEND_SIGNALED, 0) == 0);
	CHECK(post_send(4, IBV_WR_RDMA_READ, IBV_SEND_SIGNALED, 1) == 0);
	CHECK(post_send(5, IBV_WR_ATOMIC_CMP_AND_SWP, IBV_SEND_SIGNALED, 1) == 0);
	CHECK(post_send(6, IBV_WR_ATOMIC_FETCH_AND_ADD, IBV_SEND_SIGNALED, 1) == 0);
	for (int i = 1; i <= 6; i++)
		CHECK(wait_for_one().wr_id == (unsigned)i);
	CHECK(post_send(7, IBV_WR_SEND, 0, 3) == EINVAL);			/* SGEs */
	CHECK(post_send(8, IBV_WR_RDMA_READ, IBV_SEND_INLINE, 1) == EINVAL);	/* nothing to inline */
	CHECK(post_send(9, IBV_WR_TSO, 0, 1) == EINVAL);
	CHECK(post_send(9, (enum ibv_wr_opcode)1000, 0, 1) == EINVAL);
	tear_down();
}

static void full(void)
{
	struct ibv_sge sge = { (uintptr_t)buffer, 1, 0 };
	struct ibv_send_wr list[10] = { { 0 } }, *bad = NULL;
	struct ibv_wc wc[16];

	set_up();
	to_state(IBV_QPS_SQD); /* accepts work and does none */
	for (int i = 0; i < 10; i++)
		list[i] = (struct ibv_send_wr){ .wr_id = i, .next = i < 9 ? &list[i + 1] : NULL, .sg_list = &sge, .num_sge = 1,
						.opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED };
	CHECK(ibv_post_send(qp, list, &bad) == ENOMEM && bad == &list[8]);
	for (int i = 0; i < 4; i++)
		CHECK(post_recv(i) == 0);
	CHECK(post_recv(4) == ENOMEM);
	to_state(IBV_QPS_ERR); /* now it is flushed */
	for (int i = 0; i < 8; i++)
		CHECK(wait_for_one().status == IBV_WC_WR_FLUSH_ERR);
	CHECK(post_send(20, IBV_WR_SEND, 0, 1) == 0);
	CHECK(wait_for_one().wr_id == 20);
	CHECK(post_send(21, IBV_WR_SEND, 0, 1) == 0);
	sleep(1);
	to_state(IBV_QPS_RESET); /* purges 21 */
	CHECK(ibv_poll_cq(cq, 16, wc) == 0);
	to_state(IBV_QPS_RTS);
	for (int i = 0; i < 100; i++) {
		CHECK(post_send(100 + i, IBV_WR_SEND, IBV_SEND_SIGNALED, 1) == 0);
		CHECK(wait_for_one().wr_id == 100u + i);
	}
	tear_down();
}

static void *destroy_it(void *flag)
{
	CHECK(ibv_destroy_qp(qp) == 0 && ibv_destroy_cq(cq) == 0);
	*(volatile int *)flag = 1;
	return NULL;
}

static void events(void)
{
	struct pollfd wait = { .events = POLLIN };
	struct ibv_async_event async;
	struct ibv_cq *which;
	void *cq_context;
	pthread_t thread;
	volatile int gone = 0;

	set_up();
	to_state(IBV_QPS_RTS);
	CHECK(ibv_req_notify_cq(cq, 0) == 0);
	CHECK(post_send(1, IBV_WR_SEND, IBV_SEND_SIGNALED, 1) == 0);
	CHECK(ibv_get_cq_event(channel, &which, &cq_context) == 0 && which == cq && cq_context == &cq);
	CHECK(wait_for_one().wr_id == 1);
	CHECK(ibv_destroy_comp_channel(channel) == EBUSY);
	puts("async"); /* the test sends two: of an object that is gone, and QP_FATAL */
	fflush(stdout);
	CHECK(ibv_get_async_event(context, &async) == 0);
	CHECK(async.event_type == IBV_EVENT_QP_FATAL && async.element.qp == qp);
	fcntl(context->async_fd, F_SETFL, O_NONBLOCK);
	wait.fd = context->async_fd;
	CHECK(poll(&wait, 1, 0) == 0 && ibv_get_async_event(context, &(struct ibv_async_event){ 0 }) == -1 && errno == EAGAIN);
	CHECK(pthread_create(&thread, NULL, destroy_it, (void *)&gone) == 0);
	usleep(200000);
	CHECK(!gone); /* it waits for the acknowledgements */
	ibv_ack_async_event(&async);
	usleep(200000);
	CHECK(!gone);
	ibv_ack_cq_events(cq, 1);
	CHECK(pthread_join(thread, NULL) == 0 && gone);
	CHECK(ibv_destroy_comp_channel(channel) == 0 && ibv_dereg_mr(mr) == 0 && ibv_dealloc_pd(pd) == 0);
	CHECK(ibv_close_device(context) == 0);
}

/* The router dies while one thread waits for an asynchronous event, one for a completion event, and one polls. */
static void *await_fatal(void *unused)
{
	struct ibv_async_event event;
	CHECK(ibv_get_async_event(context, &event) == 0 && event.event_type == IBV_EVENT_DEVICE_FATAL);
	ibv_ack_async_event(&event);
	CHECK(ibv_get_async_event(context, &event) == -1 && errno == EIO);
	return unused;
}

static void *await_completion(void *unused)
{
	struct ibv_cq *which;
	void *cq_context;
	CHECK(ibv_get_cq_event(channel, &which, &cq_context) == -1 && errno == EIO);
	return unused;
}

static void death(void)
{
	struct ibv_wc wc;
	pthread_t thread[2];
	double died;

	set_up();
	to_state(IBV_QPS_RTS);
	CHECK(pthread_create(&thread[0], NULL, await_fatal, NULL) == 0);
	CHECK(pthread_create(&thread[1], NULL, await_completion, NULL) == 0);
	puts("die");
	fflush(stdout);
	getchar(); /* the test says when it has happened */
	died = now();
	while (ibv_poll_cq(cq, 1, &wc) == 0)
		CHECK(now() < died + 1);
	CHECK(errno == EIO);
	CHECK(!ibv_alloc_pd(context) && errno == EIO);
	CHECK(pthread_join(thread[0], NULL) == 0 && pthread_join(thread[1], NULL) == 0);
	CHECK(now() < died + 1);
	CHECK(!ibv_get_device_list(NULL) && errno == ENOSYS);
	tear_down(); /* nothing is left to destroy, so nothing fails */
}

static void forked(void)
{
	struct ibv_wc wc;
	int status;
	pid_t child;

	set_up();
	to_state(IBV_QPS_RTS);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		CHECK(!ibv_alloc_pd(context) && errno == EIO); /* the parent's */
		CHECK(post_send(1, IBV_WR_SEND, IBV_SEND_SIGNALED, 1) == 0 && ibv_poll_cq(cq, 1, &wc) <= 0);
		CHECK(ibv_destroy_qp(qp) == 0 && ibv_close_device(context) == 0);
		open_device();
		CHECK((pd = ibv_alloc_pd(context)));
		exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(post_send(2, IBV_WR_SEND, IBV_SEND_SIGNALED, 1) == 0 && wait_for_one().wr_id == 2);
	tear_down();
}

static void refused(void)
{
	int count = 5;
	CHECK(!ibv_get_device_list(&count) && count == 0);
	CHECK(!ibv_get_device_list(&count)); /* says nothing more */
	printf("errno %d\n", errno);
}

static void access_rules(void)
{
	static char memory[10000];

	open_device();
	CHECK((pd = ibv_alloc_pd(context)));
	CHECK(!ibv_reg_mr(pd, memory, 100, IBV_ACCESS_REMOTE_WRITE) && errno == EINVAL);
	CHECK(!ibv_reg_mr(pd, memory, 100, IBV_ACCESS_REMOTE_ATOMIC) && errno == EINVAL);
	CHECK(!ibv_reg_mr(pd, memory, 0, 0) && errno == EINVAL);
	CHECK(!ibv_reg_mr(pd, memory, 100, 1 << 19) && errno == EOPNOTSUPP);
	CHECK((mr = ibv_reg_mr_iova(pd, memory, 100, 0x7000, IBV_ACCESS_REMOTE_READ | IBV_ACCESS_RELAXED_ORDERING)));
	CHECK(ibv_dereg_mr(mr) == 0);
	CHECK(ibv_dealloc_pd(pd) == 0);
	CHECK(ibv_close_device(context) == 0);
}

int main(int argc, char **argv)
{
	static const struct { const char *name; void (*run)(void); } cases[] = {
		{ "query", query }, { "ping", ping },	  { "wqes", wqes },	  { "full", full },	    { "events", events },
		{ "death", death }, { "forked", forked }, { "refused", refused }, { "access", access_rules },
	};
	for (unsigned i = 0; argc == 2 && i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!strcmp(argv[1], cases[i].name)) {
			cases[i].run();
			puts("done");
			return 0;
		}
	return 2;
}
