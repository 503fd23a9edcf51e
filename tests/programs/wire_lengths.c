/*
 * Messages of every length around the borders of packets, between two hosts: each byte arrives, those beside it are
 * untouched, and completions say how many there were. Run in both with the same test; LENGTHS_PEER: the address of the side
 * that takes part second, on the side that posts. LENGTHS_SEED: of bytes and of how memory is cut into SGEs, the same in both.
 */
#include "verbs_test.h"

#include <endian.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { PORT = 7472, LONGEST = 1 << 20, PARTS = 7, GAP = 100, SPARE = PARTS * GAP + 64, AREA = LONGEST + 2 * SPARE,
       UNTOUCHED = 0x77, BORDERS = 512, PAGE = 4096 };

static uint64_t seed(void)
{
	return getenv("LENGTHS_SEED") ? strtoull(getenv("LENGTHS_SEED"), NULL, 0) : 1;
}

static uint64_t draw(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* ---- lengths ---------------------------------------------------------------------------------------------------- */

static size_t range(uint32_t *to, size_t count, uint32_t first, uint32_t last)
{
	for (; first <= last; first++) {
		CHECK(count < BORDERS, "too many lengths");
		to[count++] = first;
	}
	return count;
}

/* What a packet holds is 1024 or 4096 by the standard; 1408 (units of a READ), 1432 to 1456 (headers taken off) on a path of
 * 1500, 8832 and 8932 to 8956 on one of 9000. Beyond 127 packets, words of filler cannot be counted. */
static size_t lengths_of(uint32_t *to)
{
	static const uint32_t single[] = {0, 1, 2, 3, 4, 5, 1023, 1024, 1025, 4095, 4096, 4097, 8831, 8832, 8833, 65535, 65536, 65537,
					  100001, 185000, 400003, LONGEST - 1, LONGEST};
	size_t count = 0;

	for (size_t i = 0; i < COUNT(single); i++)
		count = range(to, count, single[i], single[i]);
	count = range(to, count, 1407, 1409);
	count = range(to, count, 1423, 1457);
	count = range(to, count, 2 * 1407, 2 * 1409);
	count = range(to, count, 2 * 1423, 2 * 1457);
	count = range(to, count, 8930, 8957);
	count = range(to, count, 2 * 8932, 2 * 8932 + 2);
	count = range(to, count, 2 * 8956 - 20, 2 * 8956 + 1);
	count = range(to, count, 127 * 1456 - 24, 127 * 1456 + 5);
	return range(to, count, 48 * 1408 - 1, 48 * 1408 + 1);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

/* A message in the memory of one side: one piece, or several of odd lengths at odd places. */
struct layout {
	int count;
	uint32_t at[PARTS], length[PARTS];
};

static struct layout lay_out(uint64_t state, uint32_t length, int several)
{
	struct layout l = {.count = several ? 2 + (int)(draw(&state) % (PARTS - 1)) : 1};
	uint32_t at = 1 + 2 * (uint32_t)(draw(&state) % (GAP / 2)), left = length;

	if (length == 0)
		l.count = 0;
	if ((uint32_t)l.count > length)
		l.count = (int)length;
	for (int i = 0; i < l.count; i++) {
		uint32_t most = left - (uint32_t)(l.count - i - 1); /* a byte at least for each of the others */

		l.at[i] = at;
		l.length[i] = i == l.count - 1 ? left : (1 + (uint32_t)(draw(&state) % (1 + 2 * left / (uint32_t)(l.count - i)))) | 1;
		l.length[i] = l.length[i] < most ? l.length[i] : most;
		left -= l.length[i];
		at = (at + l.length[i] + 1 + (uint32_t)(draw(&state) % (GAP - 2))) | 1;
	}
	return l;
}

static int sges_of(const struct end *end, const struct layout *l, struct ibv_sge *sge)
{
	int count = 0;

	for (int i = 0; i < l->count; i++) {
		if (i == 1) /* an element of no length names nothing, and nothing becomes of it */
			sge[count++] = (struct ibv_sge){0, 0, 0xdead};
		sge[count++] = part(end, l->at[i], l->length[i]);
	}
	return count;
}

/* Its bytes in that memory, and a mark everywhere around them. */
static void paint(char *area, const struct layout *l, uint64_t state, uint32_t length)
{
	static char message[LONGEST + 8];
	uint32_t done = 0;

	for (uint32_t i = 0; i < length; i += 8) {
		uint64_t word = draw(&state);

		memcpy(message + i, &word, 8);
	}
	memset(area, UNTOUCHED, length + 2 * SPARE);
	for (int i = 0; i < l->count; done += l->length[i++])
		memcpy(area + l->at[i], message + done, l->length[i]);
}

static void check_area(const struct end *end, const char *image, uint32_t length, int later, const char *what)
{
	double limit = now_ms() + (later ? 5000 : 0);

	while (memcmp(end->buffer, image, length + 2 * SPARE) && now_ms() < limit)
		usleep(100);
	for (uint32_t i = 0; i < length + 2 * SPARE; i++)
		CHECK(end->buffer[i] == image[i], "%s of %u bytes: byte %u of the memory is %#x, not %#x", what, length, i,
		      end->buffer[i] & 0xff, image[i] & 0xff);
}

/* ---- a message -------------------------------------------------------------------------------------------------- */

struct kind {
	int transport, opcode;
};

struct one { /* both sides know it */
	const struct kind *kind;
	uint32_t length;
	uint64_t state;
	struct layout posts, other; /* where it lies on the side that posts, and on the other one */
};

static int received(int opcode)
{
	return opcode == IBV_WR_SEND || opcode == IBV_WR_SEND_WITH_IMM || opcode == IBV_WR_RDMA_WRITE_WITH_IMM;
}

static int has_imm(int opcode)
{
	return opcode == IBV_WR_SEND_WITH_IMM || opcode == IBV_WR_RDMA_WRITE_WITH_IMM;
}

static void posts(int socket, struct end *a, const struct address *peer, const struct one *o, char *image)
{
	struct ibv_sge sge[PARTS + 1];
	struct ibv_send_wr *bad, wr = {.wr_id = o->state, .opcode = o->kind->opcode, .sg_list = sge, .send_flags = IBV_SEND_SIGNALED,
				       .imm_data = htobe32((uint32_t)o->state)};
	int reads = o->kind->opcode == IBV_WR_RDMA_READ;
	struct ibv_wc wc;
	char byte;

	wr.num_sge = sges_of(a, &o->posts, sge);
	if (o->kind->opcode != IBV_WR_SEND && o->kind->opcode != IBV_WR_SEND_WITH_IMM) {
		wr.wr.rdma.rkey = peer->rkey;
		wr.wr.rdma.remote_addr = peer->addr + o->other.at[0];
	}
	paint(image, &o->posts, o->state, o->length);
	if (reads)
		memset(a->buffer, UNTOUCHED, o->length + 2 * SPARE);
	else
		memcpy(a->buffer, image, o->length + 2 * SPARE);
	hear(socket, &byte, 1); /* the other side is ready */
	CHECK_EQ(ibv_post_send(a->qp, &wr, &bad), 0);
	wc = expect(a->send_cq, o->state, IBV_WC_SUCCESS);
	if (reads)
		CHECK_EQ(wc.byte_len, o->length);
	check_area(a, image, o->length, 0, reads ? "read" : "the source");
	say(socket, "", 1);
	hear(socket, &byte, 1); /* it has looked */
}

static void other(int socket, struct end *b, const struct one *o, char *image)
{
	struct ibv_sge sge[PARTS + 1];
	struct ibv_recv_wr *bad, recv = {.wr_id = ~o->state, .sg_list = sge};
	struct ibv_wc wc;
	char byte;

	recv.num_sge = o->kind->opcode == IBV_WR_RDMA_WRITE_WITH_IMM ? 0 : sges_of(b, &o->other, sge);
	paint(image, &o->other, o->state, o->length);
	if (o->kind->opcode == IBV_WR_RDMA_READ)
		memcpy(b->buffer, image, o->length + 2 * SPARE);
	else
		memset(b->buffer, UNTOUCHED, o->length + 2 * SPARE);
	if (received(o->kind->opcode))
		CHECK_EQ(ibv_post_recv(b->qp, &recv, &bad), 0);
	say(socket, "", 1);
	hear(socket, &byte, 1); /* it has completed there */
	if (received(o->kind->opcode)) {
		wc = expect(b->recv_cq, ~o->state, IBV_WC_SUCCESS);
		CHECK_EQ(wc.byte_len, o->length);
		CHECK_EQ(!!(wc.wc_flags & IBV_WC_WITH_IMM), has_imm(o->kind->opcode));
		if (has_imm(o->kind->opcode))
			CHECK_EQ(be32toh(wc.imm_data), (uint32_t)o->state);
	}
	check_area(b, image, o->length, o->kind->transport == IBV_QPT_UC, "what came");
	say(socket, "", 1);
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

static void every_length(const void *row)
{
	const struct kind *kind = row;
	const struct wish wish = {.type = kind->transport, .size = AREA, .sge = PARTS + 1};
	int socket = meet_the_other(getenv("LENGTHS_PEER"), PORT), one_piece = kind->opcode != IBV_WR_SEND && kind->opcode != IBV_WR_SEND_WITH_IMM;
	uint32_t lengths[BORDERS];
	size_t count = lengths_of(lengths);
	uint64_t state = seed();
	char *image = malloc(AREA);
	struct address peer;
	struct end end;

	open_end(&end, &wish);
	meet(socket, &end, &peer, &wish);
	for (size_t i = 0; i < count * 4; i++) {
		struct one o = {.kind = kind, .length = lengths[i / 4], .state = draw(&state)};

		if (one_piece && i % 4 >= 2)
			continue; /* WRITE and READ name one piece of the other side's memory */
		o.posts = lay_out(o.state ^ 1, o.length, i & 1);
		o.other = lay_out(o.state ^ 2, o.length, i & 2);
		if (getenv("LENGTHS_PEER"))
			posts(socket, &end, &peer, &o, image);
		else
			other(socket, &end, &o, image);
	}
}

/* ---- memory that vanishes --------------------------------------------------------------------------------------- */

struct hole {
	int opcode, there; /* there: in the memory of the side that does not post */
	enum ibv_wc_status status, received;
};

static void punched(const void *row)
{
	const struct hole *hole = row;
	const struct wish wish = {.size = LONGEST};
	int socket = meet_the_other(getenv("LENGTHS_PEER"), PORT), post_side = getenv("LENGTHS_PEER") != NULL, sends = hole->opcode == IBV_WR_SEND;
	struct address peer;
	struct ibv_mr theirs;
	struct end end, far;

	open_end(&end, &wish);
	meet(socket, &end, &peer, &wish);
	fill(end.buffer, LONGEST, 1);
	if (post_side != hole->there) /* in the middle: many packets go before it */
		CHECK(syscall(SYS_madvise, end.buffer + LONGEST / 2, 4 * PAGE, MADV_REMOVE) == 0, "madvise: %s", strerror(errno));
	if (!post_side && sends)
		post_recv(&end, 2, 0, LONGEST);
	say(socket, "", 1);
	hear(socket, &(char){0}, 1);
	if (post_side) {
		theirs = (struct ibv_mr){.rkey = peer.rkey};
		far = (struct end){.mr = &theirs, .buffer = (char *)(uintptr_t)peer.addr};
		post_simple(&end, 1, hole->opcode, 0, LONGEST, sends ? NULL : &far, 0);
		expect(end.send_cq, 1, hole->status);
		CHECK_EQ(state_of(end.qp), IBV_QPS_ERR);
	} else if (sends && hole->there) {
		expect(end.recv_cq, 2, hole->received);
	}
	say(socket, "", 1);
	hear(socket, &(char){0}, 1);
}

static const struct kind rc_send = {IBV_QPT_RC, IBV_WR_SEND}, rc_send_imm = {IBV_QPT_RC, IBV_WR_SEND_WITH_IMM},
			 rc_write = {IBV_QPT_RC, IBV_WR_RDMA_WRITE}, rc_write_imm = {IBV_QPT_RC, IBV_WR_RDMA_WRITE_WITH_IMM},
			 rc_read = {IBV_QPT_RC, IBV_WR_RDMA_READ}, uc_send = {IBV_QPT_UC, IBV_WR_SEND},
			 uc_send_imm = {IBV_QPT_UC, IBV_WR_SEND_WITH_IMM}, uc_write = {IBV_QPT_UC, IBV_WR_RDMA_WRITE},
			 uc_write_imm = {IBV_QPT_UC, IBV_WR_RDMA_WRITE_WITH_IMM};
static const struct hole send_from = {IBV_WR_SEND, 0, IBV_WC_LOC_PROT_ERR}, write_from = {IBV_WR_RDMA_WRITE, 0, IBV_WC_LOC_PROT_ERR},
			 read_to = {IBV_WR_RDMA_READ, 0, IBV_WC_LOC_PROT_ERR},
			 send_to = {IBV_WR_SEND, 1, IBV_WC_REM_OP_ERR, IBV_WC_LOC_PROT_ERR},
			 write_to = {IBV_WR_RDMA_WRITE, 1, IBV_WC_REM_ACCESS_ERR}, read_from = {IBV_WR_RDMA_READ, 1, IBV_WC_REM_ACCESS_ERR};

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"rc_send", every_length, &rc_send},
		{"rc_send_imm", every_length, &rc_send_imm},
		{"rc_write", every_length, &rc_write},
		{"rc_write_imm", every_length, &rc_write_imm},
		{"rc_read", every_length, &rc_read},
		{"uc_send", every_length, &uc_send},
		{"uc_send_imm", every_length, &uc_send_imm},
		{"uc_write", every_length, &uc_write},
		{"uc_write_imm", every_length, &uc_write_imm},
		{"hole_in_send", punched, &send_from},
		{"hole_in_write", punched, &write_from},
		{"hole_in_read", punched, &read_to},
		{"hole_under_send", punched, &send_to},
		{"hole_under_write", punched, &write_to},
		{"hole_under_read", punched, &read_from},
	};

	return run_tests(argc, argv, tests, COUNT(tests));
}
