/*
 * Two processes on two hosts that look at every byte: for tests/integration/test_bad_network.py.
 *
 *   hosts_exchange serve PORT TRANSPORT             rc, uc or ud
 *   hosts_exchange connect PORT TRANSPORT ADDRESS SECONDS
 *
 * rc: writes, sends, reads back and counts; everything arrives, once and as it was. uc, ud: numbered messages; some are
 * lost, none is damaged, and with uc none comes twice or before an earlier one. The client prints how many it sent, the
 * server how many came; of rc, before that, what a stranger needs to name its memory: QPN, first PSN, rkey, address.
 */
#include "verbs_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum { BLOCK = 200000, RECV_AT = 2 * BLOCK, DEPTH = 64, MESSAGE = 3000, GRAM = 1000, GRH = 40, SLOT = 4096 };

static const struct wish reliable = {.size = RECV_AT + 65536, .timeout = 16, .retry_cnt = 7};
static const struct wish unreliable = {.type = IBV_QPT_UC, .size = 2 * DEPTH * SLOT, .send_wr = DEPTH, .recv_wr = DEPTH, .cqe = 2 * DEPTH};
static const struct wish datagrams = {.type = IBV_QPT_UD, .size = 2 * DEPTH * SLOT, .send_wr = DEPTH, .recv_wr = DEPTH, .cqe = 2 * DEPTH};

/* ---- rc ---------------------------------------------------------------------------------------------------------- */

static void rc_serve(int socket)
{
	struct address peer;
	struct end me;
	uint32_t seed, turns = 0;

	open_end(&me, &reliable);
	meet(socket, &me, &peer, &reliable);
	printf("%x %x %x %" PRIx64 " %x\n", me.qp->qp_num, peer.psn, me.mr->rkey, (uint64_t)(uintptr_t)me.buffer, peer.qpn);
	fflush(stdout); /* for those who forge */
	post_recv(&me, 0, RECV_AT, 4);
	while (expect(me.recv_cq, 0, IBV_WC_SUCCESS).byte_len == 4) {
		memcpy(&seed, me.buffer + RECV_AT, 4);
		CHECK(seed == turns, "turn %u says %u", turns, seed);
		check_filled(me.buffer, BLOCK, seed, "written");
		post_recv(&me, 0, RECV_AT, 4);
		post_simple(&me, 0, IBV_WR_SEND, RECV_AT, 4, NULL, 0);
		expect(me.send_cq, 0, IBV_WC_SUCCESS);
		turns++;
	}
	printf("%u\n", turns);
}

static void count_one(struct end *me, const struct end *other)
{
	struct ibv_sge sge = part(me, RECV_AT + 128, 8);
	struct ibv_send_wr wr = request(5, IBV_WR_ATOMIC_FETCH_AND_ADD, &sge, 1, other, RECV_AT + 4096);

	wr.wr.atomic.compare_add = 1;
	post(me, &wr);
}

static void rc_connect(int socket, double seconds)
{
	struct end me, other = {0};
	struct address peer;
	struct ibv_mr theirs;
	double end = now_ms() + 1000 * seconds;
	uint32_t turn = 0;
	uint64_t count;

	open_end(&me, &reliable);
	meet(socket, &me, &peer, &reliable);
	theirs = (struct ibv_mr){.rkey = peer.rkey};
	other.buffer = (char *)(uintptr_t)peer.addr;
	other.mr = &theirs;
	for (; now_ms() < end; turn++) {
		fill(me.buffer, BLOCK, turn);
		memcpy(me.buffer + RECV_AT, &turn, 4);
		post_recv(&me, 3, RECV_AT + 64, 4);
		post_simple(&me, 1, IBV_WR_RDMA_WRITE, 0, BLOCK, &other, 0);
		post_simple(&me, 2, IBV_WR_SEND, RECV_AT, 4, NULL, 0);
		post_simple(&me, 4, IBV_WR_RDMA_READ, BLOCK, BLOCK, &other, 0);
		count_one(&me, &other);
		for (int id = 1; id <= 5; id++)
			if (id != 3)
				expect(me.send_cq, id, IBV_WC_SUCCESS);
		expect(me.recv_cq, 3, IBV_WC_SUCCESS);
		check_filled(me.buffer + BLOCK, BLOCK, turn, "read back");
		memcpy(&count, me.buffer + RECV_AT + 128, 8);
		CHECK(count == turn * 1ull, "an atomic was done %" PRIu64 " times in %u turns", count, turn);
	}
	post_simple(&me, 6, IBV_WR_SEND, RECV_AT, 0, NULL, 0);
	expect(me.send_cq, 6, IBV_WC_SUCCESS);
	printf("%u\n", turn);
}

/* ---- uc and ud --------------------------------------------------------------------------------------------------- */

static uint32_t check_message(const char *at, uint32_t length)
{
	uint32_t number;

	memcpy(&number, at, 4);
	check_filled(at + 4, length - 4, number, "message");
	return number;
}

/* Whether it is a new one. */
static int take_one(struct end *me, const struct ibv_wc *wc, int datagram, int64_t *last, char *seen, uint32_t seen_size)
{
	uint32_t skip = datagram ? GRH : 0, length = datagram ? GRAM : MESSAGE, number;

	CHECK_EQ(wc->status, IBV_WC_SUCCESS);
	CHECK_EQ(wc->byte_len, skip + length);
	number = check_message(me->buffer + wc->wr_id * SLOT + skip, length);
	CHECK(datagram || number > *last, "%u came after %" PRId64, number, *last);
	CHECK(number < seen_size && (datagram || !seen[number]), "%u came twice", number);
	*last = number;
	post_recv(me, wc->wr_id, wc->wr_id * SLOT, SLOT);
	return !seen[number]++;
}

static void lossy_serve(int socket, const struct wish *wish)
{
	enum { SEEN = 1 << 22 };
	char *seen = calloc(SEEN, 1), done = 0;
	int64_t last = -1;
	double end = 0;
	uint32_t came = 0;
	struct address peer;
	struct end me;
	struct ibv_wc wc;

	open_end(&me, wish);
	for (int i = 0; i < DEPTH; i++) {
		if (i == 0)
			to_init(&me, wish);
		post_recv(&me, i, (size_t)i * SLOT, SLOT);
	}
	meet(socket, &me, &peer, wish);
	while (!end || now_ms() < end) {
		if (ibv_poll_cq(me.recv_cq, 1, &wc)) {
			came += take_one(&me, &wc, wish->type == IBV_QPT_UD, &last, seen, SEEN);
		} else if (!end) {
			ssize_t heard = recv(socket, &done, 1, MSG_DONTWAIT);

			CHECK(heard != 0, "the client is gone");
			end = heard == 1 ? now_ms() + 300 : 0; /* what is on its way */
		}
	}
	printf("%u\n", came);
}

static void lossy_connect(int socket, const struct wish *wish, double seconds)
{
	int datagram = wish->type == IBV_QPT_UD, open = 0;
	uint32_t length = datagram ? GRAM : MESSAGE, number = 0;
	double end = now_ms() + 1000 * seconds;
	struct ibv_ah *ah = NULL;
	struct address peer;
	struct end me;
	char done = 1;

	open_end(&me, wish);
	meet(socket, &me, &peer, wish);
	if (datagram)
		ah = handle_to(&me, &peer.gid);
	for (; now_ms() < end; number++) {
		size_t at = (size_t)(number % DEPTH) * SLOT;
		struct ibv_sge sge = part(&me, at, length);
		struct ibv_send_wr wr = request(number, IBV_WR_SEND, &sge, 1, NULL, 0);

		if (open == 8) { /* a few at a time: nobody says when the receiver is overrun */
			while (open)
				expect(me.send_cq, number - (uint32_t)open--, IBV_WC_SUCCESS);
			usleep(100);
		}
		memcpy(me.buffer + at, &number, 4);
		fill(me.buffer + at + 4, length - 4, number);
		if (datagram)
			post_to(&me, &wr, ah, peer.qpn);
		else
			post(&me, &wr);
		open++;
	}
	while (open)
		expect(me.send_cq, number - (uint32_t)open--, IBV_WC_SUCCESS);
	say(socket, &done, 1);
	printf("%u\n", number);
}

/* ---- which ------------------------------------------------------------------------------------------------------- */

static int meet_at(const char *address, int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (address) {
		CHECK(inet_pton(AF_INET, address, &at.sin_addr) == 1, "%s is no address", address);
		CHECK(connect(fd, (void *)&at, sizeof at) == 0, "connect: %s", strerror(errno));
		return fd;
	}
	CHECK(bind(fd, (void *)&at, sizeof at) == 0 && listen(fd, 1) == 0, "listen: %s", strerror(errno));
	return accept(fd, NULL, NULL);
}

int main(int argc, char **argv)
{
	int serves = argc == 4 && strcmp(argv[1], "serve") == 0, socket;
	const struct wish *wish;

	CHECK(serves || (argc == 6 && strcmp(argv[1], "connect") == 0), "see the source for how to call it");
	socket = meet_at(serves ? NULL : argv[4], atoi(argv[2]));
	wish = strcmp(argv[3], "ud") ? &unreliable : &datagrams;
	if (strcmp(argv[3], "rc") == 0)
		serves ? rc_serve(socket) : rc_connect(socket, atof(argv[5]));
	else
		serves ? lossy_serve(socket, wish) : lossy_connect(socket, wish, atof(argv[5]));
	return 0;
}
