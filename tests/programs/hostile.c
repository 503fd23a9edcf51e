/*
 * Containers that mean harm. For tests/integration/test_hostile.py, which says what must hold.
 *
 * The attackers write into their session themselves (raw_session.h). Settings come by environment: HOSTILE_SEED,
 * HOSTILE_MS, HOSTILE_KINDS (which of the scribbling threads) and HOSTILE_TARGET, the line that a neighbour (neighbour.c)
 * prints about itself.
 */
#include "verbs_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "raw_session.h"

static uint64_t setting(const char *name, uint64_t usual)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : usual;
}

/* splitmix64, a state for each thread */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* ---- scribbling ---------------------------------------------------------------------------------------------- */

static double until_ms;

/* Values that have broken things before. */
static uint64_t evil(uint64_t *state)
{
	const uint64_t values[] = {0, 1, ~0ull, 1ull << 63, 1ull << 31, 0xffffffff, 0x7fffffff, 0xffff0000ffff, 131072, 131073,
				   MEMORY, MEMORY - 8, FF_MAX_EXTENTS, raw.mr, (uint64_t)raw.mr << 32 | 64,
				   raw.target.rkey, (uint64_t)raw.target.rkey << 32 | 4096, raw.target.addr, raw.target.qpn};
	uint64_t n = draw(state);

	return n % 4 ? values[(n >> 8) % COUNT(values)] : draw(state);
}

static void forge_receives(uint64_t *state, char *ring, uint32_t entries, uint32_t stride, uint32_t index)
{
	for (uint32_t i = 0; i < entries; i++, index++) {
		struct ff_recv_wqe *w = (void *)(ring + (uint64_t)(index % entries) * stride);
		w->count = draw(state) % 16 ? 1 : (uint32_t)evil(state);
		w->sge[0] = (struct ff_sge){draw(state) % (MEMORY / 2), MEMORY / 2, raw.mr};
		ff_store32_release(&w->seq, index + 1);
	}
}

static void forge_srq(uint64_t *state, const struct ff_reply_create_srq *srq)
{
	struct ff_srq_shared *shared = (void *)(control + srq->offset);

	forge_receives(state, control + srq->ring, srq->entries, srq->stride, ff_load32(&shared->done));
}

/* WQEs and receive WQEs that are there, all of them, whatever stands in them. */
static void forge(uint64_t *state, const struct ff_reply_create_qp *qp)
{
	struct ff_qp_shared *shared = (void *)(control + qp->offset);
	uint32_t sq = ff_load32(&shared->sq_done);

	if (qp->rq_entries)
		forge_receives(state, control + qp->rq_offset, qp->rq_entries, qp->rq_stride, ff_load32(&shared->rq_done));
	else
		forge_srq(state, &raw.srq[draw(state) % 2]);
	for (uint32_t i = 0; i < qp->sq_entries; i++, sq++) {
		struct ff_wqe *w = (void *)(control + qp->sq_offset + (uint64_t)(sq % qp->sq_entries) * qp->sq_stride);
		w->opcode = (uint8_t)(draw(state) % 16 ? draw(state) % FF_OP_LAST : evil(state));
		w->flags = draw(state) % 8 ? FF_WQE_SIGNALED : (uint8_t)evil(state);
		w->count = draw(state) % 16 ? 1 : (uint16_t)evil(state);
		w->remote_addr = draw(state) % 16 ? draw(state) % MEMORY & ~7ull : evil(state);
		w->rkey = draw(state) % 8 ? raw.mr : (uint32_t)evil(state);
		*ff_wqe_srqn(w) = draw(state) % 8 ? raw.srq[1].srqn : (uint32_t)evil(state);
		w->sge[0] = (struct ff_sge){0, draw(state) % 2 ? 8 : 1 << draw(state) % 20, raw.mr};
		if (draw(state) % 16 == 0)
			w->sge[0].length = (uint32_t)evil(state);
		ff_store32_release(&w->seq, sq + 1);
	}
	ring(qp->bell);
}

static void *forger(void *argument)
{
	uint64_t state = (uintptr_t)argument;

	while (now_ms() < until_ms) {
		forge(&state, &raw.qp[draw(&state) % QPS]);
		usleep(draw(&state) % 300);
	}
	return NULL;
}

/* Takes QPs out of ERR as a program would, whatever becomes of the commands on their way: or the rest would be an attack
 * on QPs that are flushed. */
static void *reviver(void *argument)
{
	const uint64_t masks[] = {
	    IBV_QP_STATE, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS,
	    IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
		IBV_QP_MIN_RNR_TIMER,
	    IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC};
	struct ff_command_slot *slot = &session->command;
	uint64_t state = (uintptr_t)argument;

	while (now_ms() < until_ms) {
		int n = (int)(draw(&state) % (QPS - 1));
		for (int step = 0; step < 8; step++) {
			struct ff_cmd_modify_qp request = {.handle = raw.qp[step % 2 ? n ^ 1 : n].handle,
							   .mask = (uint32_t)masks[step / 2]};
			uint32_t seq = (uint32_t)draw(&state) | 1;
			request.attr = (struct ff_qp_attr){
			    .qp_state = (uint32_t)step / 2, .port_num = 1, .access = ALL_ACCESS, .path_mtu = IBV_MTU_1024,
			    .dest_qpn = raw.qp[step % 2 ? n : n ^ 1].qpn, .max_dest_rd_atomic = 4, .max_rd_atomic = 4,
			    .min_rnr_timer = 1, .timeout = 8, .retry_cnt = 1, .rnr_retry = 7,
			    .ah = {.is_global = 1, .port_num = 1}};
			memcpy(request.attr.ah.dgid, raw.gid, 16);
			for (int tries = 0; tries < 50 && ff_load32_acquire(&slot->reply_seq) != seq; tries++) {
				slot->op = FF_CMD_MODIFY_QP;
				memcpy(slot->request, &request, sizeof request);
				ff_store32_release(&slot->request_seq, seq);
				ff_store32(&session->command_bell, 1);
				wake_router();
				usleep(100);
			}
		}
	}
	return NULL;
}

/* Any word of the segment, most often of the parts that the router reads. Now and then all of a range. */
static void *scribbler(void *argument)
{
	uint64_t state = (uintptr_t)argument, size = session->control_size;

	while (now_ms() < until_ms)
		for (int i = 0; i < 1000; i++) {
			const struct ff_reply_create_qp *qp = &raw.qp[draw(&state) % QPS];
			uint64_t range = draw(&state) % 16, at = qp->offset, span = 65536;
			if (range < 3)
				at = 0, span = FF_PAGE;
			else if (range == 3)
				at = FF_PAYLOAD_OFFSET, span = FF_PAYLOAD_SIZE;
			else if (range == 4)
				at = 0, span = size < 16 << 20 ? size : 16 << 20;
			else if (range < 8)
				at = raw.cq[draw(&state) % QPS].offset, span = 2 * FF_LINE;
			else if (range == 8)
				at = raw.srq[draw(&state) % 2].ring, span = (uint64_t)raw.srq[0].entries * raw.srq[0].stride;
			else if (range < 14 && qp->sq_entries)
				at = qp->sq_offset, span = (uint64_t)qp->sq_entries * qp->sq_stride;
			at += draw(&state) % (span / 8) * 8;
			if (at + 8 <= size)
				*(volatile uint64_t *)(control + at) = evil(&state);
			if (now_ms() < until_ms && draw(&state) % 4) /* not so much that nothing else is left */
				usleep(draw(&state) % 100);
		}
	return NULL;
}

static int takes_away(uint16_t op)
{
	return op == FF_CMD_CLOSE_CONTEXT || op == FF_CMD_DEALLOC_PD || op == FF_CMD_DEREG_MR || op == FF_CMD_DESTROY_CHANNEL ||
	       op == FF_CMD_DESTROY_CQ || op == FF_CMD_DESTROY_QP || op == FF_CMD_MODIFY_QP || op == FF_CMD_REREG_MR;
}

/* Every command, with bodies that are nearly right, while others change them. What would leave nothing to attack with is
 * for the last quarter. */
static void *commander(void *argument)
{
	struct ff_command_slot *slot = &session->command;
	uint64_t state = (uintptr_t)argument;
	double calm_ms = until_ms - (double)setting("HOSTILE_MS", 2000) / 4;

	while (now_ms() < until_ms) {
		uint32_t *body = (uint32_t *)slot->request;
		slot->op = (uint16_t)(draw(&state) % (FF_CMD_LAST + 2));
		while (takes_away(slot->op) && now_ms() < calm_ms)
			slot->op = (uint16_t)(draw(&state) % (FF_CMD_LAST + 2));
		for (int i = 0; i < 40; i++)
			body[i] = draw(&state) % 2 ? (uint32_t)draw(&state) % 64 : (uint32_t)evil(&state);
		ff_store32_release(&slot->request_seq, (uint32_t)draw(&state));
		ff_store32(&session->command_bell, 1);
		usleep(draw(&state) % 300);
	}
	return NULL;
}

/* Holes, in rings and in registered memory, while both are in use. */
static void *puncher(void *argument)
{
	uint64_t state = (uintptr_t)argument;

	while (now_ms() < until_ms) {
		size_t at = draw(&state) % (MEMORY / FF_PAGE) * FF_PAGE, length = (1 + draw(&state) % 64) * FF_PAGE;
		const struct ff_reply_create_qp *qp = &raw.qp[draw(&state) % QPS];
		if (at + length <= MEMORY && draw(&state) % 2)
			madvise(memory + at, length, MADV_REMOVE);
		else if (at + length <= MEMORY)
			fallocate(memory_fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
				  (off_t)(session->memory_size - MEMORY + at), (off_t)length);
		if (qp->offset)
			madvise(control + (qp->offset & ~(uint64_t)(FF_PAGE - 1)), 4 * FF_PAGE, MADV_REMOVE);
		memory[draw(&state) % MEMORY] = 1;
		usleep(draw(&state) % 500);
	}
	return NULL;
}

static void scribble(const void *row)
{
	void *(*const kinds[])(void *) = {forger, scribbler, commander, puncher, reviver};
	uint64_t seed = setting("HOSTILE_SEED", 1);
	uint64_t wanted = setting("HOSTILE_KINDS", ~0ull); /* bits */
	pthread_t thread[COUNT(kinds)];

	(void)row;
	open_raw();
	until_ms = now_ms() + (double)setting("HOSTILE_MS", 2000);
	for (size_t i = 0; i < COUNT(kinds); i++)
		if (wanted >> i & 1)
			CHECK_EQ(pthread_create(&thread[i], NULL, kinds[i], (void *)(uintptr_t)(seed * 8 + i)), 0);
	for (size_t i = 0; i < COUNT(kinds); i++)
		if (wanted >> i & 1)
			pthread_join(thread[i], NULL);
	_exit(0); /* nothing is given back */
}

/* ---- one weakness each ----------------------------------------------------------------------------------------- */

/* A long message becomes short when half of it has moved: the rest must not be counted from there. */
static void shrinks_while_it_moves(const void *row)
{
	struct ff_reply_create_qp *qp = &raw.qp[0];
	struct ff_qp_shared *shared;
	double end = 0;

	(void)row;
	open_raw();
	shared = (void *)(control + qp->offset);
	for (end = now_ms() + (double)setting("HOSTILE_MS", 500); now_ms() < end;) {
		uint32_t index = ff_load32(&shared->sq_done);
		struct ff_wqe *w = (void *)(control + qp->sq_offset + (uint64_t)(index % qp->sq_entries) * qp->sq_stride);
		*w = (struct ff_wqe){.opcode = FF_OP_WRITE, .flags = FF_WQE_SIGNALED, .count = 1, .rkey = raw.mr};
		w->sge[0] = (struct ff_sge){0, MEMORY, raw.mr};
		ff_store32_release(&w->seq, index + 1);
		ring(qp->bell);
		for (int i = 0; i < 2000 && ff_load32(&shared->sq_done) == index; i++) {
			*(volatile uint32_t *)&w->sge[0].length = i % 3 ? MEMORY : 8;
			ff_pause();
		}
		if (ff_load32(&shared->state) == IBV_QPS_ERR) { /* it was noticed: once more */
			struct ff_qp_attr attr = {.qp_state = IBV_QPS_RESET};
			raw_modify(qp[0].handle, IBV_QP_STATE, &attr);
			raw_modify(qp[1].handle, IBV_QP_STATE, &attr);
			raw_connect(&qp[0], qp[1].qpn, raw.gid);
			raw_connect(&qp[1], qp[0].qpn, raw.gid);
		}
	}
}

/* An object must not outlive what it names, and a context that is closed takes its objects with it. */
static void mixes_contexts(const void *row)
{
	struct ff_cmd_create_cq cq = {.cqe = 16, .channel = FF_NO_HANDLE};
	struct ff_cmd_create_qp qp = {.srq = FF_NO_HANDLE, .type = IBV_QPT_RC, .cap = raw_cap};
	struct ff_reply_create_qp reply;
	uint32_t other;

	(void)row;
	open_raw();
	other = make(FF_CMD_OPEN_CONTEXT, "", 0);
	cq.context = other;
	cq.channel = raw.channel;
	CHECK_EQ(command(FF_CMD_CREATE_CQ, &cq, sizeof cq, &reply, sizeof reply), EINVAL);
	qp.pd = make_of(FF_CMD_ALLOC_PD, other);
	qp.send_cq = raw.cq[0].handle;
	qp.recv_cq = raw_cq(other, FF_NO_HANDLE, 16).handle;
	CHECK_EQ(command(FF_CMD_CREATE_QP, &qp, sizeof qp, &reply, sizeof reply), EINVAL);
	qp.recv_cq = qp.send_cq;
	qp.send_cq = raw_cq(other, FF_NO_HANDLE, 16).handle;
	CHECK_EQ(command(FF_CMD_CREATE_QP, &qp, sizeof qp, &reply, sizeof reply), EINVAL);
}

static int pass_descriptor(int socket, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} ancillary = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec iov = {.iov_base = (char[]){1}, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ancillary,
				 .msg_controllen = sizeof ancillary};

	memcpy(CMSG_DATA(&ancillary.header), &fd, sizeof fd);
	return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

/* The router would have to close what it is given, and that may block. */
static void hands_over_descriptors(const void *row)
{
	const struct wish wish = {.channel = 1};
	struct end end;

	(void)row;
	open_end(&end, &wish);
	CHECK_EQ(pass_descriptor(end.channel->fd, 0), EPIPE);
	CHECK_EQ(pass_descriptor(end.context->async_fd, 0), EPIPE);
}

/* ---- greed ----------------------------------------------------------------------------------------------------- */

/* Events that nobody reads, of many CQs, on a channel that is full or whose other end is closed. */
static void never_listens(const void *row)
{
	const struct wish wish = {.channel = 1, .cqe = 16};
	struct ibv_cq *cq[600];
	struct end a, b;
	double end;

	(void)row;
	open_pair(&a, &b, &wish);
	for (size_t i = 0; i < COUNT(cq); i++) {
		struct ibv_qp *qp;
		cq[i] = ibv_create_cq(a.context, 1, NULL, a.channel, 0);
		CHECK(cq[i], "ibv_create_cq %zu: %s", i, strerror(errno));
		ibv_req_notify_cq(cq[i], 0);
		a.send_cq = a.recv_cq = cq[i];
		qp = a.qp = make_qp(&a, &wish);
		to_init(&a, &wish);
		post_recv(&a, i, 0, 64);
		CHECK_EQ(set_state(qp, IBV_QPS_ERR), 0); /* flushed: an event */
	}
	close(b.channel->fd);
	for (end = now_ms() + (double)setting("HOSTILE_MS", 1000); now_ms() < end; usleep(1000))
		for (size_t i = 0; i < COUNT(cq); i++)
			ibv_req_notify_cq(cq[i], 0);
	_exit(0);
}

/* Everything, until there is no more; says what it got. */
static void takes_everything(const void *row)
{
	const struct wish wish = {.cqe = 1, .send_wr = 1, .recv_wr = 1, .sge = 1};
	int channels = 0, pds = 0, cqs = 0, qps = 0, mrs = 0;
	struct end end;

	(void)row;
	open_end(&end, &wish);
	while (ibv_create_comp_channel(end.context))
		channels++;
	while (ibv_alloc_pd(end.context))
		pds++;
	while (ibv_create_cq(end.context, 1, NULL, NULL, 0))
		cqs++;
	CHECK_EQ(errno, ENOMEM);
	for (;;) {
		struct ibv_qp_init_attr attr = {.send_cq = end.send_cq, .recv_cq = end.recv_cq, .qp_type = IBV_QPT_RC,
						.cap = {1, 1, 1, 1, 0}};
		if (!ibv_create_qp(end.pd, &attr))
			break;
		qps++;
	}
	CHECK_EQ(errno, ENOMEM);
	while (ibv_reg_mr(end.pd, end.buffer, 64, ALL_ACCESS))
		mrs++;
	CHECK_EQ(errno, ENOMEM);
	CHECK(channels > 8 && pds > 100 && cqs > 500 && qps > 500 && mrs > 1000, "%d channels, %d PDs, %d CQs, %d QPs, %d MRs",
	      channels, pds, cqs, qps, mrs);
	_exit(0);
}

static const struct test tests[] = {
	{"scribble", scribble},
	{"shrinks_while_it_moves", shrinks_while_it_moves},
	{"mixes_contexts", mixes_contexts},
	{"hands_over_descriptors", hands_over_descriptors},
	{"never_listens", never_listens},
	{"takes_everything", takes_everything},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
