/* RC: what arrives. Every opcode, size and way of naming memory, and the fields of its completions. */
#include "verbs_test.h"

#include <endian.h>

static const uint64_t ID_A = 0xa5a5000000000001, ID_B = 0x5b5b000000000002; /* all 64 bits of a wr_id come back */
enum { GUARD = 64 };

/* ---- every opcode at every interesting size ------------------------------------------------------------------- */

struct transfer {
	int opcode;
	int inlined;
};

static const uint32_t sizes[] = {0, 1, 7, 63, 64, 65, 255, 1023, 1024, 1025, 4095, 4096, 4097, 65536, 1 << 20, (8 << 20) - 3};

static int needs_recv(int opcode)
{
	return opcode == IBV_WR_SEND || opcode == IBV_WR_SEND_WITH_IMM || opcode == IBV_WR_RDMA_WRITE_WITH_IMM;
}

static int has_imm(int opcode)
{
	return opcode == IBV_WR_SEND_WITH_IMM || opcode == IBV_WR_RDMA_WRITE_WITH_IMM;
}

static int wc_opcode(int opcode)
{
	switch (opcode) {
	case IBV_WR_SEND:
	case IBV_WR_SEND_WITH_IMM:
		return IBV_WC_SEND;
	case IBV_WR_RDMA_READ:
		return IBV_WC_RDMA_READ;
	default:
		return IBV_WC_RDMA_WRITE;
	}
}

static void check_receive(struct end *b, int opcode, uint32_t size)
{
	struct ibv_wc wc = expect(b->recv_cq, ID_B, IBV_WC_SUCCESS);

	CHECK_EQ(wc.opcode, opcode == IBV_WR_RDMA_WRITE_WITH_IMM ? IBV_WC_RECV_RDMA_WITH_IMM : IBV_WC_RECV);
	CHECK_EQ(wc.byte_len, size);
	CHECK_EQ(wc.qp_num, b->qp->qp_num);
	CHECK_EQ(!!(wc.wc_flags & IBV_WC_WITH_IMM), has_imm(opcode));
	if (has_imm(opcode))
		CHECK_EQ(be32toh(wc.imm_data), 0x01020304);
}

static void one_transfer(struct end *a, struct end *b, const struct transfer *t, uint32_t size)
{
	int read = t->opcode == IBV_WR_RDMA_READ;
	struct end *from = read ? b : a, *to = read ? a : b;
	struct ibv_sge sge = part(a, GUARD, size);
	struct ibv_send_wr wr = request(ID_A, t->opcode, &sge, size ? 1 : 0, b, GUARD);
	struct ibv_wc wc;

	memset(to->buffer, 0x77, size + 2 * GUARD);
	fill(from->buffer + GUARD, size, size + (unsigned)t->opcode);
	if (needs_recv(t->opcode))
		post_recv(b, ID_B, GUARD, size);
	if (t->inlined) {
		wr.send_flags |= IBV_SEND_INLINE;
		sge.lkey = 0xdeadbeef; /* inline data is taken when it is posted, from any memory */
	}
	post(a, &wr);
	if (t->inlined)
		memset(from->buffer, 0x11, size + 2 * GUARD);
	wc = expect(a->send_cq, ID_A, IBV_WC_SUCCESS);
	CHECK_EQ(wc.opcode, wc_opcode(t->opcode));
	CHECK_EQ(wc.qp_num, a->qp->qp_num);
	if (read)
		CHECK_EQ(wc.byte_len, size);
	if (needs_recv(t->opcode))
		check_receive(b, t->opcode, size);
	check_filled(to->buffer + GUARD, size, size + (unsigned)t->opcode, "payload");
	check_bytes(to->buffer, GUARD, 0x77, "before the payload");
	check_bytes(to->buffer + GUARD + size, GUARD, 0x77, "after the payload");
}

static void every_size(const void *row)
{
	const struct transfer *t = row;
	const struct wish wish = {.size = (8 << 20) + 2 * GUARD, .inline_bytes = t->inlined ? 256 : 0};
	struct end a, b;

	open_pair(&a, &b, &wish);
	for (size_t i = 0; i < COUNT(sizes); i++)
		if (!t->inlined || sizes[i] <= 255)
			one_transfer(&a, &b, t, sizes[i]);
}

static const struct transfer send_ = {IBV_WR_SEND, 0}, send_imm = {IBV_WR_SEND_WITH_IMM, 0},
			     write_ = {IBV_WR_RDMA_WRITE, 0}, write_imm = {IBV_WR_RDMA_WRITE_WITH_IMM, 0},
			     read_ = {IBV_WR_RDMA_READ, 0}, send_inline = {IBV_WR_SEND, 1},
			     send_imm_inline = {IBV_WR_SEND_WITH_IMM, 1}, write_inline = {IBV_WR_RDMA_WRITE, 1},
			     write_imm_inline = {IBV_WR_RDMA_WRITE_WITH_IMM, 1};

/* A QP may be its own peer. */
static void to_itself(const void *row)
{
	const struct wish wish = {0};
	struct address mine;
	struct end a;

	(void)row;
	open_end(&a, &wish);
	mine = address_of(&a);
	connect_to(&a, &mine, &wish);
	fill(a.buffer, 100, 1);
	post_recv(&a, ID_B, 1000, 100);
	post_simple(&a, ID_A, IBV_WR_SEND, 0, 100, NULL, 0);
	expect(a.recv_cq, ID_B, IBV_WC_SUCCESS);
	expect(a.send_cq, ID_A, IBV_WC_SUCCESS);
	check_filled(a.buffer + 1000, 100, 1, "sent to itself");
	post_simple(&a, ID_A, IBV_WR_RDMA_WRITE, 0, 100, &a, 2000);
	expect(a.send_cq, ID_A, IBV_WC_SUCCESS);
	check_filled(a.buffer + 2000, 100, 1, "written to itself");
}

/* ---- scatter and gather ------------------------------------------------------------------------------------------ */

static void gather_and_scatter(const void *row)
{
	static const uint32_t from_lengths[] = {1, 63, 1000, 4096}, to_lengths[] = {100, 3000, 60, 4000};
	const struct wish wish = {0};
	struct ibv_sge from[4], to[4];
	struct end a, b;
	uint32_t total = 1 + 63 + 1000 + 4096;
	char expected[1 + 63 + 1000 + 4096], found[sizeof expected], *at = found;

	(void)row;
	open_pair(&a, &b, &wish);
	fill(expected, total, 3);
	at = expected;
	for (int i = 0; i < 4; i++) {
		from[i] = part(&a, (size_t)i * 8192 + 3, from_lengths[i]);
		memcpy((char *)(uintptr_t)from[i].addr, at, from_lengths[i]);
		at += from_lengths[i];
		to[i] = part(&b, (size_t)(3 - i) * 8192 + 5, to_lengths[i]);
	}
	memset(b.buffer, 0x77, b.size);
	{
		struct ibv_recv_wr recv = {.wr_id = ID_B, .sg_list = to, .num_sge = 4}, *bad;
		struct ibv_send_wr wr = request(ID_A, IBV_WR_SEND, from, 4, NULL, 0);

		CHECK_EQ(ibv_post_recv(b.qp, &recv, &bad), 0);
		post(&a, &wr);
	}
	CHECK_EQ(expect(b.recv_cq, ID_B, IBV_WC_SUCCESS).byte_len, total);
	expect(a.send_cq, ID_A, IBV_WC_SUCCESS);
	at = found;
	for (int i = 0; i < 4; i++) {
		uint32_t left = total - (uint32_t)(at - found), n = to_lengths[i] < left ? to_lengths[i] : left;

		memcpy(at, (char *)(uintptr_t)to[i].addr, n);
		check_bytes((char *)(uintptr_t)to[i].addr + n, to_lengths[i] - n, 0x77, "the unused end of an SGE");
		at += n;
	}
	check_filled(found, total, 3, "gathered, sent, scattered");
}

static void gather_write_scatter_read(const void *row)
{
	const struct wish wish = {0};
	struct ibv_sge parts[3];
	struct ibv_send_wr wr;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	fill(a.buffer, 3000, 4);
	for (size_t i = 0; i < 3; i++)
		parts[i] = part(&a, i * 1000, 1000);
	wr = request(ID_A, IBV_WR_RDMA_WRITE, parts, 3, &b, 7);
	post(&a, &wr);
	expect(a.send_cq, ID_A, IBV_WC_SUCCESS);
	check_filled(b.buffer + 7, 3000, 4, "gathered by WRITE");
	for (size_t i = 0; i < 3; i++)
		parts[i] = part(&a, 20000 - i * 2000, 1000);
	wr = request(ID_A, IBV_WR_RDMA_READ, parts, 3, &b, 7);
	post(&a, &wr);
	expect(a.send_cq, ID_A, IBV_WC_SUCCESS);
	for (size_t i = 0; i < 3; i++)
		CHECK(memcmp(a.buffer + 20000 - i * 2000, b.buffer + 7 + i * 1000, 1000) == 0, "scattered by READ: part %zu", i);
}

/* Inline data may be gathered, and from memory that nobody registered. */
static void gather_inline(const void *row)
{
	const struct wish wish = {.inline_bytes = 64};
	char stack[40];
	struct ibv_sge parts[2] = {{.addr = (uintptr_t)stack, .length = 13}, {.addr = (uintptr_t)stack + 20, .length = 17}};
	struct ibv_send_wr wr = request(ID_A, IBV_WR_SEND, parts, 2, NULL, 0);
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	fill(stack, sizeof stack, 5);
	post_recv(&b, ID_B, 0, 100);
	wr.send_flags |= IBV_SEND_INLINE;
	post(&a, &wr);
	CHECK_EQ(expect(b.recv_cq, ID_B, IBV_WC_SUCCESS).byte_len, 30);
	CHECK(memcmp(b.buffer, stack, 13) == 0 && memcmp(b.buffer + 13, stack + 20, 17) == 0, "inline bytes differ");
}

/* ---- atomics ---------------------------------------------------------------------------------------------------- */

struct atomic_case {
	int opcode;
	uint64_t before, compare_add, swap, after;
};

static const struct atomic_case atomics[] = {
	{IBV_WR_ATOMIC_CMP_AND_SWP, 5, 5, 9, 9},
	{IBV_WR_ATOMIC_CMP_AND_SWP, 5, 6, 9, 5},
	{IBV_WR_ATOMIC_CMP_AND_SWP, UINT64_MAX, UINT64_MAX, 0, 0},
	{IBV_WR_ATOMIC_CMP_AND_SWP, 1ull << 63, 1ull << 63, 1, 1},
	{IBV_WR_ATOMIC_FETCH_AND_ADD, 5, 9, 0, 14},
	{IBV_WR_ATOMIC_FETCH_AND_ADD, UINT64_MAX, 2, 0, 1},
	{IBV_WR_ATOMIC_FETCH_AND_ADD, 7, UINT64_MAX, 0, 6},
	{IBV_WR_ATOMIC_FETCH_AND_ADD, 0xffffffff, 1, 0, 0x100000000},
};

static void atomic_values(const void *row)
{
	const struct wish wish = {0};
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	for (size_t i = 0; i < COUNT(atomics); i++) {
		const struct atomic_case *c = &atomics[i];
		struct ibv_sge sge = part(&a, 128, 8);
		struct ibv_send_wr wr = request(i, c->opcode, &sge, 1, &b, 256);
		struct ibv_wc wc;
		uint64_t found;

		wr.wr.atomic.compare_add = c->compare_add;
		wr.wr.atomic.swap = c->swap;
		memcpy(b.buffer + 256, &c->before, 8);
		memset(a.buffer + 120, 0x77, 24);
		post(&a, &wr);
		wc = expect(a.send_cq, i, IBV_WC_SUCCESS);
		CHECK_EQ(wc.opcode, c->opcode == IBV_WR_ATOMIC_CMP_AND_SWP ? IBV_WC_COMP_SWAP : IBV_WC_FETCH_ADD);
		memcpy(&found, a.buffer + 128, 8);
		CHECK(found == c->before, "row %zu fetched %#" PRIx64, i, found);
		memcpy(&found, b.buffer + 256, 8);
		CHECK(found == c->after, "row %zu left %#" PRIx64, i, found);
		check_bytes(a.buffer + 120, 8, 0x77, "before the fetched value");
		check_bytes(a.buffer + 136, 8, 0x77, "after the fetched value");
	}
}

/* Two QPs and the CPU itself add to one word: nothing is lost. */
static void atomic_add_from_everywhere(const void *row)
{
	enum { ROUNDS = 3000 };
	const struct wish wish = {0};
	struct address of_a, of_b;
	struct end a, b, c, d;
	uint64_t *word;

	(void)row;
	open_pair(&a, &b, &wish);
	open_end(&c, &wish);
	d = b; /* a second QP on b's device, so that both QPs reach the same word */
	d.qp = make_qp(&b, &wish);
	of_a = address_of(&c);
	of_b = address_of(&d);
	connect_to(&c, &of_b, &wish);
	connect_to(&d, &of_a, &wish);
	word = (uint64_t *)b.buffer;
	for (int i = 0; i < ROUNDS; i++) {
		struct ibv_sge from_a = part(&a, 0, 8), from_c = part(&c, 0, 8);
		struct ibv_send_wr add_a = request(1, IBV_WR_ATOMIC_FETCH_AND_ADD, &from_a, 1, &b, 0);
		struct ibv_send_wr add_c = request(2, IBV_WR_ATOMIC_FETCH_AND_ADD, &from_c, 1, &b, 0);

		add_a.wr.atomic.compare_add = 1;
		add_c.wr.atomic.compare_add = 1000000;
		post(&a, &add_a);
		post(&c, &add_c);
		__atomic_fetch_add(word, 1000000000000, __ATOMIC_SEQ_CST);
		expect(a.send_cq, 1, IBV_WC_SUCCESS);
		expect(c.send_cq, 2, IBV_WC_SUCCESS);
	}
	CHECK(*word == ROUNDS * 1000001000001ull, "the sum is %" PRIu64, *word);
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

/* Receives are consumed in the order they were posted, completions come in the order of the requests. */
static void in_order(const void *row)
{
	enum { DEPTH = 16, ROUNDS = 200 };
	const struct wish wish = {0};
	struct end a, b;
	uint32_t n;

	(void)row;
	open_pair(&a, &b, &wish);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (n = 0; n < DEPTH; n++)
			post_recv(&b, round * DEPTH + n, n * 64, 64);
		for (n = 0; n < DEPTH; n++) {
			memset(a.buffer + n * 64, (int)(round + n), 64);
			post_simple(&a, round * DEPTH + n, IBV_WR_SEND, n * 64, 64, NULL, 0);
		}
		for (n = 0; n < DEPTH; n++)
			expect(b.recv_cq, round * DEPTH + n, IBV_WC_SUCCESS);
		for (n = 0; n < DEPTH; n++)
			expect(a.send_cq, round * DEPTH + n, IBV_WC_SUCCESS);
		for (n = 0; n < DEPTH; n++)
			check_bytes(b.buffer + n * 64, 64, (char)(round + n), "message");
	}
}

/* What a WRITE wrote is there when the SEND behind it arrives. */
static void write_before_send(const void *row)
{
	enum { SIZE = 30000 };
	const struct wish wish = {0};
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	for (unsigned n = 0; n < 300; n++) {
		fill(a.buffer, SIZE, n);
		post_recv(&b, n, 60000, 4);
		post_simple(&a, 1, IBV_WR_RDMA_WRITE, 0, SIZE, &b, 0);
		post_simple(&a, 2, IBV_WR_SEND, 0, 4, NULL, 0);
		expect(b.recv_cq, n, IBV_WC_SUCCESS);
		check_filled(b.buffer, SIZE, n, "written before the SEND");
		expect(a.send_cq, 1, IBV_WC_SUCCESS);
		expect(a.send_cq, 2, IBV_WC_SUCCESS);
	}
}

/* A fenced SEND waits until the READ before it has filled the buffer that it sends. */
static void fence_waits_for_read(const void *row)
{
	enum { SIZE = 30000 };
	const struct wish wish = {0};
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	for (unsigned n = 0; n < 300; n++) {
		struct ibv_sge sge = part(&a, 0, SIZE);
		struct ibv_send_wr read = request(1, IBV_WR_RDMA_READ, &sge, 1, &b, 0);
		struct ibv_send_wr send_wr = request(2, IBV_WR_SEND, &sge, 1, NULL, 0);

		fill(b.buffer, SIZE, n);
		memset(a.buffer, 0, SIZE);
		post_recv(&b, n, 32000, SIZE);
		send_wr.send_flags |= IBV_SEND_FENCE;
		read.next = &send_wr;
		post(&a, &read);
		expect(a.send_cq, 1, IBV_WC_SUCCESS);
		expect(a.send_cq, 2, IBV_WC_SUCCESS);
		expect(b.recv_cq, n, IBV_WC_SUCCESS);
		check_filled(b.buffer + 32000, SIZE, n, "read, then sent");
	}
}

/* ---- signalling --------------------------------------------------------------------------------------------------- */

/* Unsignalled requests complete silently, and free their slots: many times the depth goes through. */
static void unsignalled(const void *row)
{
	enum { DEPTH = 16, ROUNDS = 200 };
	const struct wish wish = {.send_wr = DEPTH};
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned n = 0; n < DEPTH; n++) {
			struct ibv_sge sge = part(&a, 0, 64);
			struct ibv_send_wr wr = request(n, IBV_WR_RDMA_WRITE, &sge, 1, &b, n * 64);

			wr.send_flags = n == DEPTH - 1 ? IBV_SEND_SIGNALED : 0;
			post(&a, &wr);
		}
		expect(a.send_cq, DEPTH - 1, IBV_WC_SUCCESS);
	}
	expect_nothing(a.send_cq, 20);
}

static void sig_all(const void *row)
{
	const struct wish wish = {.sig_all = 1};
	struct ibv_sge sge;
	struct ibv_send_wr wr;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	sge = part(&a, 0, 64);
	wr = request(ID_A, IBV_WR_RDMA_WRITE, &sge, 1, &b, 0);
	wr.send_flags = 0;
	post(&a, &wr);
	expect(a.send_cq, ID_A, IBV_WC_SUCCESS);
}

static const struct test tests[] = {
	{"send", every_size, &send_},
	{"send_with_imm", every_size, &send_imm},
	{"write", every_size, &write_},
	{"write_with_imm", every_size, &write_imm},
	{"read", every_size, &read_},
	{"send_inline", every_size, &send_inline},
	{"send_with_imm_inline", every_size, &send_imm_inline},
	{"write_inline", every_size, &write_inline},
	{"write_with_imm_inline", every_size, &write_imm_inline},
	{"to_itself", to_itself, NULL},
	{"gather_and_scatter", gather_and_scatter, NULL},
	{"gather_write_scatter_read", gather_write_scatter_read, NULL},
	{"gather_inline", gather_inline, NULL},
	{"atomic_values", atomic_values, NULL},
	{"atomic_add_from_everywhere", atomic_add_from_everywhere, NULL},
	{"in_order", in_order, NULL},
	{"write_before_send", write_before_send, NULL},
	{"fence_waits_for_read", fence_waits_for_read, NULL},
	{"unsignalled", unsignalled, NULL},
	{"sig_all", sig_all, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
