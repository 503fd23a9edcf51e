/* RC: elements of length zero, as programs write them: they name nothing, so neither address nor key matters. */
#include "verbs_test.h"

enum { LENGTH = 64, RECV_ID = 100, SEND_ID = 1, PARTS = 3, NO_RECV = -1 };

/* What stands in a list. */
enum kind { END, EMPTY_NULL, EMPTY_BAD_KEY, EMPTY_BEHIND, TEN, WHOLE };

struct lists {
	int opcode;
	enum kind send[PARTS + 1], recv[PARTS + 1];
	int requester, responder; /* enum ibv_wc_status, or NO_RECV: none is posted */
	uint32_t arrives;	  /* bytes */
};

static int list_of(const enum kind *kinds, const struct end *end, struct ibv_sge *sge)
{
	int count = 0;

	for (; kinds[count] != END; count++) {
		switch (kinds[count]) {
		case EMPTY_NULL: sge[count] = (struct ibv_sge){0, 0, 0}; break;
		case EMPTY_BAD_KEY: sge[count] = (struct ibv_sge){(uintptr_t)end->buffer, 0, 0xdead}; break;
		case EMPTY_BEHIND: sge[count] = part(end, end->size, 0); break;
		case TEN: sge[count] = part(end, (size_t)count * LENGTH, 10); break;
		default: sge[count] = part(end, 0, LENGTH); break;
		}
	}
	return count;
}

static void completes(const void *row)
{
	const struct wish wish = {0};
	const struct lists *l = row;
	struct ibv_sge send[PARTS], recv[PARTS];
	struct ibv_recv_wr *bad, taken = {.wr_id = RECV_ID, .sg_list = recv};
	struct ibv_send_wr wr;
	struct ibv_wc wc;
	struct end a, b;

	open_pair(&a, &b, &wish);
	fill(a.buffer, 4 * LENGTH, 1);
	taken.num_sge = list_of(l->recv, &b, recv);
	if (l->responder != NO_RECV)
		CHECK_EQ(ibv_post_recv(b.qp, &taken, &bad), 0);
	wr = request(SEND_ID, l->opcode, send, list_of(l->send, &a, send), &b, 0);
	if (l->opcode != IBV_WR_SEND)
		wr.wr.rdma.rkey = 0, wr.wr.rdma.remote_addr = 0;
	post(&a, &wr);
	expect(a.send_cq, SEND_ID, l->requester);
	if (l->responder == NO_RECV)
		return;
	wc = expect(b.recv_cq, RECV_ID, l->responder);
	CHECK(l->responder || wc.byte_len == l->arrives, "%u bytes came", wc.byte_len);
}

#define SEND IBV_WR_SEND
#define TOO_LONG IBV_WC_REM_INV_REQ_ERR, IBV_WC_LOC_LEN_ERR
static const struct lists
	send_null = {SEND, {EMPTY_NULL}, {END}, 0, 0, 0},
	send_bad_key = {SEND, {EMPTY_BAD_KEY}, {END}, 0, 0, 0},
	send_behind = {SEND, {EMPTY_BEHIND}, {END}, 0, 0, 0},
	send_between = {SEND, {TEN, EMPTY_NULL, TEN}, {WHOLE}, 0, 0, 20},
	recv_null = {SEND, {EMPTY_NULL}, {EMPTY_NULL}, 0, 0, 0},
	recv_before = {SEND, {WHOLE}, {EMPTY_NULL, EMPTY_BAD_KEY, WHOLE}, 0, 0, LENGTH},
	recv_too_short = {SEND, {WHOLE}, {EMPTY_NULL}, TOO_LONG, 0},
	write_one = {IBV_WR_RDMA_WRITE, {EMPTY_NULL}, {END}, 0, NO_RECV, 0},
	write_imm = {IBV_WR_RDMA_WRITE_WITH_IMM, {EMPTY_NULL, EMPTY_BAD_KEY}, {END}, 0, 0, 0},
	read_one = {IBV_WR_RDMA_READ, {EMPTY_NULL}, {END}, 0, NO_RECV, 0};

#define ROW(name) {#name, completes, &name}
static const struct test tests[] = {
	ROW(send_null), ROW(send_bad_key), ROW(send_behind), ROW(send_between), ROW(recv_null), ROW(recv_before),
	ROW(recv_too_short), ROW(write_one), ROW(write_imm), ROW(read_one),
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
