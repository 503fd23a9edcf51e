/* See verbs_test.h. */
#include "verbs_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/prctl.h>

enum { TEST_SECONDS = 40 };

/* ---- the runner ---------------------------------------------------------------------------------------------- */

static int report = -1; /* where a failing test writes why; the runner reads it */

void fail(const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (report < 0 || write(report, text, strlen(text)) < 0)
		fprintf(stderr, "%s\n", text);
	_exit(1);
}

/* Each test gets its own process: a hang, a crash or a leak in one leaves the others alone. */
static int run_one(const struct test *test)
{
	char why[512];
	int ends[2], status;
	ssize_t said;
	pid_t pid;

	if (pipe(ends) != 0 || (pid = fork()) < 0)
		return perror(test->name), 1;
	if (pid == 0) {
		close(ends[0]);
		report = ends[1];
		setpgid(0, 0);
		alarm(TEST_SECONDS);
		test->run(test->row);
		_exit(0);
	}
	close(ends[1]);
	said = read(ends[0], why, sizeof why - 1); /* 0 once every process of the test is gone or silent */
	why[said > 0 ? said : 0] = '\0';
	waitpid(pid, &status, 0);
	kill(-pid, SIGKILL); /* children that a failed test left behind */
	close(ends[0]);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && said <= 0) {
		printf("ok %s\n", test->name);
		return 0;
	}
	if (WIFSIGNALED(status) && said <= 0)
		snprintf(why, sizeof why, WTERMSIG(status) == SIGALRM ? "not done after %d s" : "killed by signal %d",
			 WTERMSIG(status) == SIGALRM ? (int)TEST_SECONDS : WTERMSIG(status));
	printf("not ok %s: %s\n", test->name, why[0] ? why : "exited without a word");
	return 1;
}

static int chosen(int argc, char **argv, const char *name)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return 1;
	return argc < 2;
}

int run_tests(int argc, char **argv, const struct test *tests, size_t count)
{
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < count; i++) {
		if (argc > 1 && strcmp(argv[1], "--list") == 0)
			printf("%s\n", tests[i].name);
		else if (chosen(argc, argv, tests[i].name))
			failed |= run_one(&tests[i]);
	}
	return failed;
}

double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- objects ------------------------------------------------------------------------------------------------- */

struct ibv_context *open_device(void)
{
	int count = 0;
	struct ibv_device **list = ibv_get_device_list(&count);
	struct ibv_context *context;

	CHECK(list && count > 0, "no RDMA device: %s", strerror(errno));
	context = ibv_open_device(list[0]);
	CHECK(context, "ibv_open_device: %s", strerror(errno));
	ibv_free_device_list(list);
	return context;
}

/* The IPv4-mapped GID where there is one (rxe has a link-local one before it), else the first. */
static void choose_gid(struct end *end)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

	for (int i = 0; i < 4; i++)
		if (ibv_query_gid(end->context, 1, i, &end->gid) == 0 && memcmp(end->gid.raw, mapped, 12) == 0) {
			end->gid_index = i;
			return;
		}
	CHECK(ibv_query_gid(end->context, 1, 0, &end->gid) == 0, "no GID");
}

struct ibv_mr *register_memory(struct end *end, size_t size, int access)
{
	struct ibv_mr *mr;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED, "mmap: %s", strerror(errno));
	mr = ibv_reg_mr(end->pd, memory, size, access == NO_ACCESS ? 0 : access ? access : ALL_ACCESS);
	CHECK(mr, "ibv_reg_mr: %s", strerror(errno));
	return mr;
}

static int or_usual(int wish, int usual)
{
	return wish ? wish : usual;
}

static int type_of(const struct wish *wish)
{
	return or_usual(wish->type, IBV_QPT_RC);
}

static struct ibv_xrcd *make_xrcd(struct end *end)
{
	struct ibv_xrcd_init_attr attr = {.comp_mask = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS, .fd = -1,
					  .oflags = O_CREAT};
	struct ibv_xrcd *xrcd = ibv_open_xrcd(end->context, &attr);

	CHECK(xrcd, "ibv_open_xrcd: %s", strerror(errno));
	return xrcd;
}

struct ibv_srq *make_srq(struct end *end, const struct wish *wish)
{
	struct ibv_srq_init_attr_ex attr = {
		.attr = {.max_wr = (uint32_t)or_usual(wish->srq_wr, 16), .max_sge = (uint32_t)or_usual(wish->sge, 4)},
		.comp_mask = IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_PD, .srq_type = IBV_SRQT_BASIC, .pd = end->pd};
	struct ibv_srq *srq;

	if (wish->type == IBV_QPT_XRC_RECV) {
		attr.comp_mask |= IBV_SRQ_INIT_ATTR_XRCD | IBV_SRQ_INIT_ATTR_CQ;
		attr.srq_type = IBV_SRQT_XRC;
		attr.xrcd = end->xrcd;
		attr.cq = end->recv_cq;
	}
	srq = ibv_create_srq_ex(end->context, &attr);
	CHECK(srq, "ibv_create_srq_ex: %s", strerror(errno));
	return srq;
}

uint32_t srq_number(struct ibv_srq *srq)
{
	uint32_t number;

	CHECK(ibv_get_srq_num(srq, &number) == 0, "ibv_get_srq_num");
	return number;
}

static struct ibv_qp *make_xrc_recv(struct end *end)
{
	struct ibv_qp_init_attr_ex attr = {.qp_type = IBV_QPT_XRC_RECV, .comp_mask = IBV_QP_INIT_ATTR_XRCD,
					   .xrcd = end->xrcd};
	struct ibv_qp *qp = ibv_create_qp_ex(end->context, &attr);

	CHECK(qp, "ibv_create_qp_ex: %s", strerror(errno));
	return qp;
}

struct ibv_qp *make_qp(struct end *end, const struct wish *wish)
{
	struct ibv_qp_init_attr attr = {
		.send_cq = end->send_cq,
		.recv_cq = end->recv_cq,
		.srq = end->srq,
		.qp_type = (enum ibv_qp_type)type_of(wish),
		.sq_sig_all = wish->sig_all,
		.cap = {.max_send_wr = or_usual(wish->send_wr, 16), .max_recv_wr = or_usual(wish->recv_wr, 16),
			.max_send_sge = or_usual(wish->sge, 4), .max_recv_sge = or_usual(wish->sge, 4),
			.max_inline_data = wish->inline_bytes},
	};
	struct ibv_qp *qp;

	if (wish->type == IBV_QPT_XRC_RECV)
		return make_xrc_recv(end);
	qp = ibv_create_qp(end->pd, &attr);
	CHECK(qp, "ibv_create_qp: %s", strerror(errno));
	return qp;
}

void open_end(struct end *end, const struct wish *wish)
{
	int cqe = or_usual(wish->cqe, 64);

	memset(end, 0, sizeof *end);
	end->context = open_device();
	choose_gid(end);
	end->pd = ibv_alloc_pd(end->context);
	CHECK(end->pd, "ibv_alloc_pd: %s", strerror(errno));
	if (wish->channel) {
		end->channel = ibv_create_comp_channel(end->context);
		CHECK(end->channel, "ibv_create_comp_channel: %s", strerror(errno));
	}
	end->send_cq = ibv_create_cq(end->context, cqe, end, end->channel, 0);
	end->recv_cq = ibv_create_cq(end->context, cqe, end, end->channel, 0);
	CHECK(end->send_cq && end->recv_cq, "ibv_create_cq: %s", strerror(errno));
	end->size = wish->size ? wish->size : 65536;
	end->mr = register_memory(end, end->size, wish->mr_access);
	end->buffer = end->mr->addr;
	if (wish->type == IBV_QPT_XRC_RECV)
		end->xrcd = make_xrcd(end);
	if (wish->srq_wr || end->xrcd)
		end->srq = make_srq(end, wish);
	end->qp = make_qp(end, wish);
}

struct address address_of(const struct end *end)
{
	struct address address = {.qpn = end->qp->qp_num, .psn = 0x1234, .rkey = end->mr->rkey, .gid = end->gid,
				  .addr = (uintptr_t)end->buffer};
	return address;
}

/* ---- states -------------------------------------------------------------------------------------------------- */

int init_attr(struct ibv_qp_attr *attr, const struct wish *wish)
{
	memset(attr, 0, sizeof *attr);
	attr->qp_state = IBV_QPS_INIT;
	attr->port_num = 1;
	attr->qkey = QKEY;
	attr->qp_access_flags = wish->qp_access == NO_ACCESS ? 0 : (unsigned)or_usual(wish->qp_access, ALL_ACCESS);
	return IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
	       (type_of(wish) == IBV_QPT_UD ? IBV_QP_QKEY : IBV_QP_ACCESS_FLAGS);
}

int rtr_attr(struct ibv_qp_attr *attr, const struct end *end, const struct address *peer, const struct wish *wish)
{
	memset(attr, 0, sizeof *attr);
	attr->qp_state = IBV_QPS_RTR;
	attr->path_mtu = IBV_MTU_1024;
	attr->dest_qp_num = peer->qpn;
	attr->rq_psn = peer->psn;
	attr->max_dest_rd_atomic = (uint8_t)or_usual(wish->rd_atomic, 4);
	attr->min_rnr_timer = (uint8_t)or_usual(wish->rnr_timer, 12);
	attr->ah_attr.is_global = 1;
	attr->ah_attr.port_num = 1;
	attr->ah_attr.grh.dgid = peer->gid;
	attr->ah_attr.grh.sgid_index = (uint8_t)end->gid_index;
	attr->ah_attr.grh.hop_limit = 64;
	if (type_of(wish) == IBV_QPT_UD)
		return IBV_QP_STATE;
	return IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
	       (type_of(wish) == IBV_QPT_RC || type_of(wish) == IBV_QPT_XRC_RECV
			? IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER : 0);
}

int rts_attr(struct ibv_qp_attr *attr, const struct wish *wish)
{
	memset(attr, 0, sizeof *attr);
	attr->qp_state = IBV_QPS_RTS;
	attr->sq_psn = 0x1234;
	attr->timeout = (uint8_t)or_usual(wish->timeout, 14);
	attr->retry_cnt = wish->retry_cnt == NO_RETRY ? 0 : (uint8_t)or_usual(wish->retry_cnt, 7);
	attr->rnr_retry = wish->rnr_retry == NO_RETRY ? 0 : (uint8_t)or_usual(wish->rnr_retry, 7);
	attr->max_rd_atomic = (uint8_t)or_usual(wish->rd_atomic, 4);
	if (type_of(wish) == IBV_QPT_XRC_RECV)
		return IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT;
	if (type_of(wish) != IBV_QPT_RC && type_of(wish) != IBV_QPT_XRC_SEND)
		return IBV_QP_STATE | IBV_QP_SQ_PSN;
	return IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
	       IBV_QP_MAX_QP_RD_ATOMIC;
}

static void modify(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask, const char *step)
{
	int error = ibv_modify_qp(qp, attr, mask);

	CHECK(error == 0, "modify to %s: %s", step, strerror(error));
}

void to_init(struct end *end, const struct wish *wish)
{
	struct ibv_qp_attr attr;
	int mask = init_attr(&attr, wish);

	modify(end->qp, &attr, mask, "INIT");
}

void to_rtr(struct end *end, const struct address *peer, const struct wish *wish)
{
	struct ibv_qp_attr attr;
	int mask = rtr_attr(&attr, end, peer, wish);

	modify(end->qp, &attr, mask, "RTR");
}

void to_rts(struct end *end, const struct wish *wish)
{
	struct ibv_qp_attr attr;
	int mask = rts_attr(&attr, wish);

	modify(end->qp, &attr, mask, "RTS");
}

void connect_to(struct end *end, const struct address *peer, const struct wish *wish)
{
	to_init(end, wish);
	to_rtr(end, peer, wish);
	to_rts(end, wish);
}

void open_pair(struct end *a, struct end *b, const struct wish *wish)
{
	struct address of_a, of_b;

	open_end(a, wish);
	open_end(b, wish);
	of_a = address_of(a);
	of_b = address_of(b);
	connect_to(a, &of_b, wish);
	connect_to(b, &of_a, wish);
}

int state_of(struct ibv_qp *qp)
{
	struct ibv_qp_attr attr;
	struct ibv_qp_init_attr init;
	int error = ibv_query_qp(qp, &attr, IBV_QP_STATE, &init);

	CHECK(error == 0, "ibv_query_qp: %s", strerror(error));
	return attr.qp_state;
}

int set_state(struct ibv_qp *qp, int state)
{
	struct ibv_qp_attr attr = {.qp_state = (enum ibv_qp_state)state};

	return ibv_modify_qp(qp, &attr, IBV_QP_STATE);
}

/* ---- work requests ------------------------------------------------------------------------------------------- */

struct ibv_sge part(const struct end *end, size_t offset, uint32_t length)
{
	return (struct ibv_sge){.addr = (uintptr_t)end->buffer + offset, .length = length, .lkey = end->mr->lkey};
}

void post_recv(struct end *end, uint64_t wr_id, size_t offset, uint32_t length)
{
	struct ibv_sge sge = part(end, offset, length);
	struct ibv_recv_wr wr = {.wr_id = wr_id, .sg_list = &sge, .num_sge = length ? 1 : 0}, *bad;
	int error = end->srq ? ibv_post_srq_recv(end->srq, &wr, &bad) : ibv_post_recv(end->qp, &wr, &bad);

	CHECK(error == 0, "ibv_post_recv: %s", strerror(error));
}

struct ibv_send_wr request(uint64_t wr_id, int opcode, struct ibv_sge *sge, int num_sge, const struct end *peer,
			   size_t peer_offset)
{
	struct ibv_send_wr wr = {.wr_id = wr_id, .sg_list = sge, .num_sge = num_sge,
				 .opcode = (enum ibv_wr_opcode)opcode, .send_flags = IBV_SEND_SIGNALED,
				 .imm_data = htobe32(0x01020304)};

	if (opcode == IBV_WR_ATOMIC_CMP_AND_SWP || opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
		wr.wr.atomic.remote_addr = (uintptr_t)peer->buffer + peer_offset;
		wr.wr.atomic.rkey = peer->mr->rkey;
	} else if (peer) {
		wr.wr.rdma.remote_addr = (uintptr_t)peer->buffer + peer_offset;
		wr.wr.rdma.rkey = peer->mr->rkey;
	}
	return wr;
}

void post(struct end *end, struct ibv_send_wr *wr)
{
	struct ibv_send_wr *bad;
	int error = ibv_post_send(end->qp, wr, &bad);

	CHECK(error == 0, "ibv_post_send: %s", strerror(error));
}

void post_simple(struct end *end, uint64_t wr_id, int opcode, size_t offset, uint32_t length, const struct end *peer,
		 size_t peer_offset)
{
	struct ibv_sge sge = part(end, offset, length);
	struct ibv_send_wr wr = request(wr_id, opcode, &sge, length ? 1 : 0, peer, peer_offset);

	post(end, &wr);
}

/* ---- datagrams ----------------------------------------------------------------------------------------------- */

struct ibv_ah *handle_to(const struct end *end, const union ibv_gid *gid)
{
	struct ibv_ah_attr attr = {.is_global = 1, .port_num = 1,
				   .grh = {.dgid = *gid, .sgid_index = (uint8_t)end->gid_index, .hop_limit = 64}};
	struct ibv_ah *ah = ibv_create_ah(end->pd, &attr);

	CHECK(ah, "ibv_create_ah: %s", strerror(errno));
	return ah;
}

void post_to(struct end *end, struct ibv_send_wr *wr, struct ibv_ah *ah, uint32_t qpn)
{
	wr->wr.ud.ah = ah;
	wr->wr.ud.remote_qpn = qpn;
	wr->wr.ud.remote_qkey = QKEY;
	post(end, wr);
}

/* ---- completions --------------------------------------------------------------------------------------------- */

struct ibv_wc next_wc(struct ibv_cq *cq)
{
	struct ibv_wc wc;
	double limit = now_ms() + WAIT_MS;
	int n;

	while ((n = ibv_poll_cq(cq, 1, &wc)) == 0)
		CHECK(now_ms() < limit, "no completion within %d ms", WAIT_MS);
	CHECK(n == 1, "ibv_poll_cq: %d", n);
	return wc;
}

struct ibv_wc expect(struct ibv_cq *cq, uint64_t wr_id, enum ibv_wc_status status)
{
	struct ibv_wc wc = next_wc(cq);

	CHECK(wc.wr_id == wr_id && wc.status == status, "completion of %#" PRIx64 " with '%s', not of %#" PRIx64 " with '%s'",
	      wc.wr_id, ibv_wc_status_str(wc.status), wr_id, ibv_wc_status_str(status));
	return wc;
}

void expect_nothing(struct ibv_cq *cq, int during_ms)
{
	struct ibv_wc wc;
	double limit = now_ms() + during_ms;

	do
		CHECK(ibv_poll_cq(cq, 1, &wc) == 0, "a completion of %#" PRIx64 " with '%s' that should not be", wc.wr_id,
		      ibv_wc_status_str(wc.status));
	while (now_ms() < limit);
}

int expect_async(struct ibv_context *context, int within_ms)
{
	struct pollfd wait = {.fd = context->async_fd, .events = POLLIN};
	struct ibv_async_event event;
	int type;

	if (poll(&wait, 1, within_ms) <= 0)
		return -1;
	CHECK(ibv_get_async_event(context, &event) == 0, "ibv_get_async_event: %s", strerror(errno));
	type = event.event_type;
	ibv_ack_async_event(&event);
	return type;
}

/* ---- bytes --------------------------------------------------------------------------------------------------- */

static char pattern(size_t i, unsigned seed)
{
	return (char)((i * 2654435761u + seed * 40503u) >> 11);
}

void fill(char *at, size_t length, unsigned seed)
{
	for (size_t i = 0; i < length; i++)
		at[i] = pattern(i, seed);
}

void check_filled(const char *at, size_t length, unsigned seed, const char *what)
{
	for (size_t i = 0; i < length; i++)
		CHECK(at[i] == pattern(i, seed), "%s: byte %zu of %zu is %#x, not %#x", what, i, length, at[i] & 0xff,
		      pattern(i, seed) & 0xff);
}

void check_bytes(const char *at, size_t length, char value, const char *what)
{
	for (size_t i = 0; i < length; i++)
		CHECK(at[i] == value, "%s: byte %zu is %#x, not %#x", what, i, at[i] & 0xff, value & 0xff);
}

/* ---- two processes ------------------------------------------------------------------------------------------- */

pid_t split(void (*child)(int socket, const void *row), const void *row, int *socket)
{
	int pair[2];
	pid_t parent = getpid(), pid;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair: %s", strerror(errno));
	pid = fork();
	CHECK(pid >= 0, "fork: %s", strerror(errno));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		close(pair[0]);
		child(pair[1], row);
		_exit(0);
	}
	close(pair[1]);
	*socket = pair[0];
	return pid;
}

void say(int socket, const void *message, size_t length)
{
	CHECK(send(socket, message, length, MSG_NOSIGNAL) == (ssize_t)length, "the other process is gone");
}

void hear(int socket, void *message, size_t length)
{
	CHECK(recv(socket, message, length, MSG_WAITALL) == (ssize_t)length, "the other process is gone");
}

void meet(int socket, struct end *end, struct address *peer, const struct wish *wish)
{
	struct address mine = address_of(end);
	char ready = 1;

	say(socket, &mine, sizeof mine);
	hear(socket, peer, sizeof *peer);
	connect_to(end, peer, wish);
	say(socket, &ready, 1); /* nobody posts before both are in RTS */
	hear(socket, &ready, 1);
}

void join(pid_t child)
{
	int status;

	CHECK(waitpid(child, &status, 0) == child, "waitpid: %s", strerror(errno));
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the other process ended with status %#x", status);
}

int meet_the_other(const char *peer, uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (peer) {
		CHECK_EQ(inet_pton(AF_INET, peer, &address.sin_addr), 1);
		for (double limit = now_ms() + 10000; connect(fd, (struct sockaddr *)&address, sizeof address); usleep(20000)) {
			CHECK(now_ms() < limit, "connect: %s", strerror(errno));
			close(fd);
			fd = socket(AF_INET, SOCK_STREAM, 0);
		}
	} else {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0, "listen: %s", strerror(errno));
		fd = accept(fd, NULL, NULL);
		CHECK(fd >= 0, "accept: %s", strerror(errno));
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* short words, often two in a row */
	return fd;
}
