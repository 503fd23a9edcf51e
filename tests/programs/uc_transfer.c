/* UC: what arrives. SEND and WRITE as RC has them, with nobody to acknowledge them. */
#include "verbs_test.h"

#include <endian.h>

static const uint64_t ID_A = 0xa5a5000000000001, ID_B = 0x5b5b000000000002;
enum { GUARD = 64 };

static const uint32_t sizes[] = {0, 1, 63, 64, 65, 1024, 4096, 4097, 65536, 1 << 20, (8 << 20) - 3};

struct transfer {
	int opcode;
	int inline_bytes; /* 0: from registered memory */
};

static void check_receive(struct end *b, int opcode, uint32_t size)
{
	struct ibv_wc wc = expect(b->recv_cq, ID_B, IBV_WC_SUCCESS);

	CHECK_EQ(wc.opcode, opcode == IBV_WR_RDMA_WRITE_WITH_IMM ? IBV_WC_RECV_RDMA_WITH_IMM : IBV_WC_RECV);
	CHECK_EQ(wc.byte_len, size);
	CHECK_EQ(wc.qp_num, b->qp->qp_num);
	CHECK_EQ(wc.wc_flags, opcode == IBV_WR_SEND ? 0 : IBV_WC_WITH_IMM);
	if (opcode != IBV_WR_SEND)
		CHECK_EQ(be32toh(wc.imm_data), 0x01020304);
}

static void one_transfer(struct end *a, struct end *b, const struct transfer *t, uint32_t size)
{
	struct ibv_sge sge = part(a, GUARD, size);
	struct ibv_send_wr wr = request(ID_A, t->opcode, &sge, size ? 1 : 0, b, GUARD);

	memset(b->buffer, 0x77, size + 2 * GUARD);
	fill(a->buffer + GUARD, size, size + (unsigned)t->opcode);
	if (t->opcode != IBV_WR_RDMA_WRITE)
		post_recv(b, ID_B, GUARD, size);
	if (t->inline_bytes)
		wr.send_flags |= IBV_SEND_INLINE;
	post(a, &wr);
	CHECK_EQ(expect(a->send_cq, ID_A, IBV_WC_SUCCESS).qp_num, a->qp->qp_num);
	if (t->opcode != IBV_WR_RDMA_WRITE)
		check_receive(b, t->opcode, size);
	check_filled(b->buffer + GUARD, size, size + (unsigned)t->opcode, "payload");
	check_bytes(b->buffer, GUARD, 0x77, "before the payload");
	check_bytes(b->buffer + GUARD + size, GUARD, 0x77, "after the payload");
}

static void every_size(const void *row)
{
	const struct transfer *t = row;
	const struct wish wish = {.type = IBV_QPT_UC, .size = (8 << 20) + 2 * GUARD, .inline_bytes = t->inline_bytes};
	struct end a, b;

	open_pair(&a, &b, &wish);
	for (size_t i = 0; i < COUNT(sizes); i++)
		if (!t->inline_bytes || sizes[i] <= (uint32_t)t->inline_bytes)
			one_transfer(&a, &b, t, sizes[i]);
}

/* Opcodes that UC does not have are refused when they are posted; what follows is not in their way. */
static void no_read_no_atomics(const void *row)
{
	static const int opcodes[] = {IBV_WR_RDMA_READ, IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD};
	const struct wish wish = {.type = IBV_QPT_UC};
	struct ibv_send_wr wr, *bad;
	struct ibv_sge sge;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	sge = part(&a, 0, 8);
	for (size_t i = 0; i < COUNT(opcodes); i++) {
		wr = request(1, opcodes[i], &sge, 1, &b, 0);
		CHECK_EQ(ibv_post_send(a.qp, &wr, &bad), EINVAL);
		CHECK(bad == &wr, "bad_wr");
	}
	post_simple(&a, 2, IBV_WR_RDMA_WRITE, 0, 8, &b, 0);
	expect(a.send_cq, 2, IBV_WC_SUCCESS);
}

/* 1000 messages, more than the queues hold, in order and each of them. */
static void many_in_order(const void *row)
{
	enum { DEPTH = 16, MESSAGES = 1000 };
	const struct wish wish = {.type = IBV_QPT_UC, .send_wr = DEPTH, .recv_wr = DEPTH};
	const uint64_t *landed;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	landed = (const uint64_t *)b.buffer;
	for (uint64_t n = 0; n < DEPTH; n++)
		post_recv(&b, n, 8 * n, 8);
	for (uint64_t n = 0; n < MESSAGES; n++) {
		*(uint64_t *)a.buffer = n;
		post_simple(&a, n, IBV_WR_SEND, 0, 8, NULL, 0);
		expect(b.recv_cq, n, IBV_WC_SUCCESS);
		CHECK(landed[n % DEPTH] == n, "message %" PRIu64 " carries %" PRIu64, n, landed[n % DEPTH]);
		expect(a.send_cq, n, IBV_WC_SUCCESS);
		post_recv(&b, n + DEPTH, 8 * (n % DEPTH), 8);
	}
}

static const struct transfer send_ = {IBV_WR_SEND, 0}, send_imm = {IBV_WR_SEND_WITH_IMM, 0},
			     write_ = {IBV_WR_RDMA_WRITE, 0}, write_imm = {IBV_WR_RDMA_WRITE_WITH_IMM, 0},
			     send_inline = {IBV_WR_SEND, 64}, write_imm_inline = {IBV_WR_RDMA_WRITE_WITH_IMM, 64};

static const struct test tests[] = {
	{"send", every_size, &send_},
	{"send_imm", every_size, &send_imm},
	{"write", every_size, &write_},
	{"write_imm", every_size, &write_imm},
	{"send_inline", every_size, &send_inline},
	{"write_imm_inline", every_size, &write_imm_inline},
	{"no_read_no_atomics", no_read_no_atomics, NULL},
	{"many_in_order", many_in_order, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
