/*
 * UD between addresses of both families: the 40 bytes are an IPv6 header where one of them is IPv6 (IBTA A17.4.4), and
 * lead back either way. Needs a device with GIDs of both.
 */
#include "verbs_test.h"

#include <endian.h>

enum { RECV_ID = 100, SEND_ID = 1, GRH = 40, LENGTH = 61 };

static const struct wish usual = {.type = IBV_QPT_UD};
static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

static void use_family(struct end *end, int ipv4)
{
	for (int i = 0; i < 16; i++)
		if (ibv_query_gid(end->context, 1, i, &end->gid) == 0 && end->gid.global.interface_id &&
		    (memcmp(end->gid.raw, mapped, 12) == 0) == ipv4) {
			end->gid_index = i;
			return;
		}
	fail("no GID of an IPv%d address", ipv4 ? 4 : 6);
}

struct route {
	int from_ipv4, to_ipv4;
};

static void check_ipv6(const struct ibv_grh *grh, const struct end *from, const struct end *to)
{
	uint32_t first = be32toh(grh->version_tclass_flow);

	CHECK_EQ(first >> 28, 6);
	CHECK_EQ(first >> 20 & 0xff, 0x28);
	CHECK_EQ(first & 0xfffff, 0x4321);
	CHECK_EQ(be16toh(grh->paylen), 8 + 12 + 8 + 64 + 4); /* UDP, BTH, DETH, payload and pad, ICRC */
	CHECK_EQ(grh->next_hdr, 17);
	CHECK_EQ(grh->hop_limit, 9);
	CHECK(memcmp(&grh->sgid, &from->gid, 16) == 0, "source GID");
	CHECK(memcmp(&grh->dgid, &to->gid, 16) == 0, "destination GID");
}

static void there_and_back(const void *row)
{
	const struct route *route = row;
	struct ibv_ah_attr attr;
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct ibv_wc wc;
	struct end a, b;

	open_pair(&a, &b, &usual);
	use_family(&a, route->from_ipv4);
	use_family(&b, route->to_ipv4);
	attr = (struct ibv_ah_attr){.is_global = 1, .port_num = 1,
				    .grh = {.dgid = b.gid, .sgid_index = (uint8_t)a.gid_index, .traffic_class = 0x28,
					    .flow_label = 0x4321, .hop_limit = 9}};
	post_recv(&b, RECV_ID, 0, GRH + LENGTH);
	post_recv(&a, RECV_ID, 0, GRH + LENGTH);
	sge = part(&a, 1000, LENGTH);
	wr = request(SEND_ID, IBV_WR_SEND, &sge, 1, NULL, 0);
	post_to(&a, &wr, ibv_create_ah(a.pd, &attr), b.qp->qp_num);
	wc = expect(b.recv_cq, RECV_ID, IBV_WC_SUCCESS);
	/* Over UDP, and which IP: where the addresses are in those 40 bytes. UCX asks it of the service level. */
	CHECK_EQ(wc.sl, route->from_ipv4 && route->to_ipv4 ? 0xa : 0x9);
	if (!route->from_ipv4 || !route->to_ipv4)
		check_ipv6((struct ibv_grh *)b.buffer, &a, &b);
	CHECK_EQ(ibv_init_ah_from_wc(b.context, 1, &wc, (struct ibv_grh *)b.buffer, &attr), 0);
	CHECK_EQ(attr.grh.sgid_index, b.gid_index);
	CHECK_EQ(attr.grh.traffic_class, 0x28);
	CHECK_EQ(attr.grh.hop_limit, 9);
	CHECK_EQ(attr.sl, 0);
	CHECK(memcmp(&attr.grh.dgid, &a.gid, 16) == 0, "the way back");
	sge = part(&b, 1000, LENGTH);
	post_to(&b, &wr, ibv_create_ah(b.pd, &attr), wc.src_qp);
	CHECK_EQ(expect(a.recv_cq, RECV_ID, IBV_WC_SUCCESS).src_qp, b.qp->qp_num);
}

/* The answer to a datagram that came through a group leaves from an address of the sender's family. */
static void back_from_a_group(const void *row)
{
	const struct route *route = row;
	const union ibv_gid group = {.raw = {0xff, 0x0e, [15] = 9}};
	struct ibv_ah_attr attr;
	struct ibv_send_wr wr;
	struct ibv_sge sge;
	struct ibv_wc wc;
	struct end a, b;

	open_pair(&a, &b, &usual);
	use_family(&a, route->from_ipv4);
	use_family(&b, route->from_ipv4);
	CHECK_EQ(ibv_attach_mcast(b.qp, &group, 0), 0);
	post_recv(&b, RECV_ID, 0, GRH + LENGTH);
	sge = part(&a, 1000, LENGTH);
	wr = request(SEND_ID, IBV_WR_SEND, &sge, 1, NULL, 0);
	post_to(&a, &wr, handle_to(&a, &group), 0xffffff);
	wc = expect(b.recv_cq, RECV_ID, IBV_WC_SUCCESS);
	CHECK_EQ(ibv_init_ah_from_wc(b.context, 1, &wc, (struct ibv_grh *)b.buffer, &attr), 0);
	CHECK_EQ(attr.grh.sgid_index, b.gid_index);
	CHECK(memcmp(&attr.grh.dgid, &a.gid, 16) == 0, "the way back");
}

static const struct route from_4_to_4 = {1, 1}, from_6_to_6 = {0, 0}, from_4_to_6 = {1, 0}, from_6_to_4 = {0, 1};

static const struct test tests[] = {
	{"from_ipv4_to_ipv4", there_and_back, &from_4_to_4},
	{"from_ipv6_to_ipv6", there_and_back, &from_6_to_6},
	{"from_ipv4_to_ipv6", there_and_back, &from_4_to_6},
	{"from_ipv6_to_ipv4", there_and_back, &from_6_to_4},
	{"group_from_ipv4", back_from_a_group, &from_4_to_4},
	{"group_from_ipv6", back_from_a_group, &from_6_to_6},
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, COUNT(tests));
}
