/*
 * RC: the last byte of a message becomes visible last. Programs poll on it (ib_write_lat does), so when it has
 * changed, every byte before it must have. Two processes: one writes generations, the other polls.
 */
#include "verbs_test.h"

#include <sched.h>
#include <stdatomic.h>

struct visible {
	int opcode;
	uint32_t size;
	int rounds;
	int unaligned; /* bytes off the page's start */
};

static const struct wish wish = {.size = 1 << 18};

/* Acquire pairs with whatever the device does to store the last byte last. */
static unsigned char last_byte(const struct end *end, const struct visible *v)
{
	return __atomic_load_n((unsigned char *)end->buffer + v->unaligned + v->size - 1, __ATOMIC_ACQUIRE);
}

static void poller(int socket, const void *row)
{
	const struct visible *v = row;
	struct address peer;
	struct end end;
	char done = 1;

	open_end(&end, &wish);
	meet(socket, &end, &peer, &wish);
	for (int round = 1; round <= v->rounds; round++) {
		unsigned char expected = (unsigned char)(round % 255 + 1);
		double limit = now_ms() + WAIT_MS;

		if (v->opcode == IBV_WR_SEND) {
			post_recv(&end, (uint64_t)round, (size_t)v->unaligned, v->size);
			say(socket, &done, 1);
		}
		while (last_byte(&end, v) != expected) {
			CHECK(now_ms() < limit, "round %d does not come", round);
			sched_yield();
		}
		for (uint32_t i = 0; i < v->size; i++) {
			unsigned char found = (unsigned char)end.buffer[v->unaligned + i];

			CHECK(found == expected, "round %d: the last byte is there, byte %u of %u is of round %d", round, i,
			      v->size, found - 1);
		}
		if (v->opcode == IBV_WR_SEND)
			expect(end.recv_cq, (uint64_t)round, IBV_WC_SUCCESS);
		say(socket, &done, 1);
	}
}

static void last_byte_last(const void *row)
{
	const struct visible *v = row;
	int socket;
	pid_t child = split(poller, v, &socket);
	struct address peer;
	struct end end;
	char word;

	open_end(&end, &wish);
	meet(socket, &end, &peer, &wish);
	for (int round = 1; round <= v->rounds; round++) {
		struct ibv_sge sge = part(&end, (size_t)v->unaligned, v->size);
		struct ibv_send_wr wr = request((uint64_t)round, v->opcode, &sge, 1, NULL, 0);

		memset(end.buffer + v->unaligned, round % 255 + 1, v->size);
		wr.wr.rdma.remote_addr = peer.addr + (uint64_t)v->unaligned;
		wr.wr.rdma.rkey = peer.rkey;
		if (v->opcode == IBV_WR_SEND)
			hear(socket, &word, 1);
		post(&end, &wr);
		expect(end.send_cq, (uint64_t)round, IBV_WC_SUCCESS);
		hear(socket, &word, 1);
	}
	join(child);
}

static const struct visible rows[] = {
	{IBV_WR_RDMA_WRITE, 2, 5000, 0},     {IBV_WR_RDMA_WRITE, 64, 5000, 0},   {IBV_WR_RDMA_WRITE, 100, 5000, 3},
	{IBV_WR_RDMA_WRITE, 4096, 5000, 0},  {IBV_WR_RDMA_WRITE, 4097, 5000, 13}, {IBV_WR_RDMA_WRITE, 65536, 1500, 0},
	{IBV_WR_RDMA_WRITE, 200001, 600, 5}, {IBV_WR_SEND, 64, 3000, 0},	 {IBV_WR_SEND, 4096, 3000, 1},
};

static const struct test tests[] = {
	{"write_2", last_byte_last, &rows[0]},
	{"write_64", last_byte_last, &rows[1]},
	{"write_100_unaligned", last_byte_last, &rows[2]},
	{"write_4096", last_byte_last, &rows[3]},
	{"write_4097_unaligned", last_byte_last, &rows[4]},
	{"write_64k", last_byte_last, &rows[5]},
	{"write_200k_unaligned", last_byte_last, &rows[6]},
	{"send_64", last_byte_last, &rows[7]},
	{"send_4096_unaligned", last_byte_last, &rows[8]},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
