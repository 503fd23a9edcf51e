/* UD: what arrives, and what its 40 bytes and its completion say about where it came from. */
#include "verbs_test.h"

#include <arpa/inet.h>
#include <endian.h>

enum { RECV_ID = 100, SEND_ID = 1, GRH = 40, MTU = 4096, GUARD = 64 };

static const struct wish usual = {.type = IBV_QPT_UD, .inline_bytes = 256};
static const uint32_t sizes[] = {0, 1, 63, 64, 65, 255, 1024, 4095, MTU};

/* RoCEv2 over IPv4: the last 20 of the 40 bytes are the packet's IP header (IBTA A17.4.4). */
static void check_ipv4(const unsigned char *grh, const struct end *from, const struct end *to, uint32_t size, int imm)
{
	const unsigned char *ip = grh + 20;
	uint32_t padded = (size + 3) & ~3u, sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	CHECK_EQ(ip[0], 0x45);
	CHECK_EQ(ip[2] << 8 | ip[3], 20 + 8 + 12 + 8 + (imm ? 4 : 0) + padded + 4); /* IP, UDP, BTH, DETH, immediate, ICRC */
	CHECK_EQ(ip[8], 64);
	CHECK_EQ(ip[9], IPPROTO_UDP);
	CHECK((sum & 0xffff) + (sum >> 16) == 0xffff, "the IPv4 header's checksum is wrong");
	CHECK(memcmp(ip + 12, from->gid.raw + 12, 4) == 0, "source address");
	CHECK(memcmp(ip + 16, to->gid.raw + 12, 4) == 0, "destination address");
}

struct transfer {
	int opcode;
	int inlined;
};

static void one_transfer(struct end *a, struct end *b, struct ibv_ah *ah, const struct transfer *t, uint32_t size)
{
	struct ibv_sge sge = part(a, GUARD, size);
	struct ibv_send_wr wr = request(SEND_ID, t->opcode, &sge, size ? 1 : 0, NULL, 0);
	int imm = t->opcode == IBV_WR_SEND_WITH_IMM;
	struct ibv_wc wc;

	memset(b->buffer, 0x77, GRH + size + GUARD);
	fill(a->buffer + GUARD, size, size);
	post_recv(b, RECV_ID, 0, GRH + size);
	wr.send_flags |= t->inlined ? IBV_SEND_INLINE : 0;
	post_to(a, &wr, ah, b->qp->qp_num);
	wc = expect(a->send_cq, SEND_ID, IBV_WC_SUCCESS);
	CHECK_EQ(wc.opcode, IBV_WC_SEND);
	CHECK_EQ(wc.qp_num, a->qp->qp_num);
	wc = expect(b->recv_cq, RECV_ID, IBV_WC_SUCCESS);
	CHECK_EQ(wc.opcode, IBV_WC_RECV);
	CHECK_EQ(wc.byte_len, GRH + size);
	CHECK_EQ(wc.qp_num, b->qp->qp_num);
	CHECK_EQ(wc.src_qp, a->qp->qp_num);
	CHECK_EQ(wc.wc_flags, IBV_WC_GRH | (imm ? IBV_WC_WITH_IMM : 0));
	CHECK_EQ(wc.pkey_index, 0);
	if (imm)
		CHECK_EQ(be32toh(wc.imm_data), 0x01020304);
	check_ipv4((const unsigned char *)b->buffer, a, b, size, imm);
	check_filled(b->buffer + GRH, size, size, "payload");
	check_bytes(b->buffer + GRH + size, GUARD, 0x77, "behind the payload");
}

static void every_size(const void *row)
{
	const struct transfer *t = row;
	struct ibv_ah *ah;
	struct end a, b;

	open_pair(&a, &b, &usual);
	ah = handle_to(&a, &b.gid);
	for (size_t i = 0; i < COUNT(sizes); i++)
		if (!t->inlined || sizes[i] <= 256)
			one_transfer(&a, &b, ah, t, sizes[i]);
	CHECK_EQ(ibv_destroy_ah(ah), 0);
}

/* The 40 bytes may fall into several parts of the receive, and the payload too. */
static void scattered(const void *row)
{
	static const uint32_t lengths[] = {13, 30, 7, 1000};
	struct ibv_sge to[4], from[2];
	struct ibv_recv_wr recv = {.wr_id = RECV_ID, .sg_list = to, .num_sge = 4}, *bad;
	struct ibv_send_wr wr;
	char found[GRH + 200], *at = found;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &usual);
	fill(a.buffer, 200, 3);
	from[0] = part(&a, 0, 77);
	from[1] = part(&a, 77, 123);
	for (int i = 0; i < 4; i++)
		to[i] = part(&b, (size_t)(3 - i) * 4096 + 5, lengths[i]);
	CHECK_EQ(ibv_post_recv(b.qp, &recv, &bad), 0);
	wr = request(SEND_ID, IBV_WR_SEND, from, 2, NULL, 0);
	post_to(&a, &wr, handle_to(&a, &b.gid), b.qp->qp_num);
	CHECK_EQ(expect(b.recv_cq, RECV_ID, IBV_WC_SUCCESS).byte_len, sizeof found);
	for (int i = 0; i < 4; i++) {
		size_t left = sizeof found - (size_t)(at - found), n = lengths[i] < left ? lengths[i] : left;

		memcpy(at, (char *)(uintptr_t)to[i].addr, n);
		at += n;
	}
	check_ipv4((unsigned char *)found, &a, &b, 200, 0);
	check_filled(found + GRH, 200, 3, "gathered, sent, scattered");
}

/* One QP talks to many, each request saying to whom; and to itself. */
static void to_many(const void *row)
{
	enum { PEERS = 5 };
	struct end a, b[PEERS];
	struct ibv_send_wr wr;
	struct ibv_sge sge;

	(void)row;
	open_end(&a, &usual);
	connect_to(&a, &(struct address){0}, &usual);
	sge = part(&a, 0, 8);
	for (uint64_t i = 0; i <= PEERS; i++) {
		struct end *to = i < PEERS ? &b[i] : &a;

		if (i < PEERS) {
			open_end(to, &usual);
			connect_to(to, &(struct address){0}, &usual);
		}
		post_recv(to, RECV_ID + i, 64, GRH + 8);
		wr = request(i, IBV_WR_SEND, &sge, 1, NULL, 0);
		post_to(&a, &wr, handle_to(&a, &to->gid), to->qp->qp_num);
		expect(a.send_cq, i, IBV_WC_SUCCESS);
		CHECK_EQ(expect(to->recv_cq, RECV_ID + i, IBV_WC_SUCCESS).src_qp, a.qp->qp_num);
	}
}

/* Both ways to answer: the address that came with a datagram leads back to its sender. */
static void answer(const void *row)
{
	int by_hand = row != NULL;
	struct ibv_ah_attr attr;
	struct ibv_ah *back;
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct ibv_wc wc;
	struct end a, b;

	open_pair(&a, &b, &usual);
	post_recv(&b, RECV_ID, 0, GRH + 64);
	post_recv(&a, RECV_ID, 0, GRH + 64);
	sge = part(&a, 1000, 64);
	wr = request(SEND_ID, IBV_WR_SEND, &sge, 1, NULL, 0);
	post_to(&a, &wr, handle_to(&a, &b.gid), b.qp->qp_num);
	wc = expect(b.recv_cq, RECV_ID, IBV_WC_SUCCESS);
	if (by_hand) {
		memset(&attr, 0x5a, sizeof attr);
		CHECK_EQ(ibv_init_ah_from_wc(b.context, 1, &wc, (struct ibv_grh *)b.buffer, &attr), 0);
		CHECK_EQ(attr.is_global, 1);
		CHECK_EQ(attr.port_num, 1);
		CHECK_EQ(attr.grh.sgid_index, b.gid_index);
		CHECK_EQ(attr.grh.hop_limit, 64);
		CHECK(memcmp(&attr.grh.dgid, &a.gid, 16) == 0, "dgid");
		back = ibv_create_ah(b.pd, &attr);
	} else {
		back = ibv_create_ah_from_wc(b.pd, &wc, (struct ibv_grh *)b.buffer, 1);
	}
	CHECK(back, "%s", strerror(errno));
	CHECK(back->pd == b.pd && back->context == b.context, "the handle's visible fields");
	sge = part(&b, 1000, 64);
	wr = request(SEND_ID, IBV_WR_SEND, &sge, 1, NULL, 0);
	post_to(&b, &wr, back, wc.src_qp);
	CHECK_EQ(expect(a.recv_cq, RECV_ID, IBV_WC_SUCCESS).src_qp, b.qp->qp_num);
}

/* A Q_Key with its highest bit set stands for the sender's own (IBTA 10.2.5). */
static void own_qkey(const void *row)
{
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &usual);
	post_recv(&b, RECV_ID, 0, GRH + 8);
	sge = part(&a, 0, 8);
	wr = request(SEND_ID, IBV_WR_SEND, &sge, 1, NULL, 0);
	wr.wr.ud.ah = handle_to(&a, &b.gid);
	wr.wr.ud.remote_qpn = b.qp->qp_num;
	wr.wr.ud.remote_qkey = 0x80000000u | 0x22222222;
	post(&a, &wr);
	expect(a.send_cq, SEND_ID, IBV_WC_SUCCESS);
	expect(b.recv_cq, RECV_ID, IBV_WC_SUCCESS);
}

/* A channel armed for solicited events hears of the datagram that asks for it, and of no other. */
static void solicited(const void *row)
{
	const struct wish wish = {.type = IBV_QPT_UD, .channel = 1};
	struct pollfd wait;
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct ibv_ah *ah;
	struct end a, b;

	(void)row;
	open_pair(&a, &b, &wish);
	ah = handle_to(&a, &b.gid);
	sge = part(&a, 0, 8);
	wait = (struct pollfd){.fd = b.channel->fd, .events = POLLIN};
	CHECK_EQ(ibv_req_notify_cq(b.recv_cq, 1), 0);
	for (int n = 0; n < 2; n++) {
		post_recv(&b, RECV_ID, 0, GRH + 8);
		wr = request(SEND_ID, IBV_WR_SEND, &sge, 1, NULL, 0);
		wr.send_flags |= n ? IBV_SEND_SOLICITED : 0;
		post_to(&a, &wr, ah, b.qp->qp_num);
		expect(b.recv_cq, RECV_ID, IBV_WC_SUCCESS);
		CHECK_EQ(poll(&wait, 1, n ? 2000 : 20), n);
	}
}

/* Between two processes, as programs are; 1000 there and back. */
static void other_side(int socket, const void *row)
{
	struct address mine, peer;
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct ibv_ah *ah;
	struct end end;
	int first = *(const int *)row;

	open_end(&end, &usual);
	connect_to(&end, &(struct address){0}, &usual);
	post_recv(&end, RECV_ID, 0, GRH + 8);
	mine = address_of(&end);
	say(socket, &mine, sizeof mine); /* who knows of us finds us ready */
	hear(socket, &peer, sizeof peer);
	ah = handle_to(&end, &peer.gid);
	sge = part(&end, 1000, 8);
	for (int n = 0; n < 1000; n++) {
		if (!first || n)
			CHECK_EQ(expect(end.recv_cq, RECV_ID, IBV_WC_SUCCESS).src_qp, peer.qpn);
		if (!first || n)
			post_recv(&end, RECV_ID, 0, GRH + 8);
		wr = request(SEND_ID, IBV_WR_SEND, &sge, 1, NULL, 0);
		post_to(&end, &wr, ah, peer.qpn);
		expect(end.send_cq, SEND_ID, IBV_WC_SUCCESS);
	}
	if (first)
		expect(end.recv_cq, RECV_ID, IBV_WC_SUCCESS);
}

static void ping_pong(const void *row)
{
	static const int yes = 1, no = 0;
	int socket;
	pid_t child = split(other_side, &no, &socket);

	(void)row;
	other_side(socket, &yes);
	join(child);
}

static const struct transfer send_ = {IBV_WR_SEND, 0}, send_imm = {IBV_WR_SEND_WITH_IMM, 0}, send_inline = {IBV_WR_SEND, 1},
			     send_imm_inline = {IBV_WR_SEND_WITH_IMM, 1};

static const struct test tests[] = {
	{"send", every_size, &send_},
	{"send_imm", every_size, &send_imm},
	{"send_inline", every_size, &send_inline},
	{"send_imm_inline", every_size, &send_imm_inline},
	{"scattered", scattered, NULL},
	{"to_many", to_many, NULL},
	{"answer_with_create_ah_from_wc", answer, NULL},
	{"answer_with_init_ah_from_wc", answer, &send_},
	{"own_qkey", own_qkey, NULL},
	{"solicited", solicited, NULL},
	{"ping_pong", ping_pong, NULL},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
