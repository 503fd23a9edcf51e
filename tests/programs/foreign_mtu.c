/*
 * A QP towards a peer that FreeFlow knows nothing of, with each path_mtu: which are taken, on one line.
 *
 *   foreign_mtu ADDRESS
 */
#include "verbs_test.h"

#include <arpa/inet.h>

static int connects(struct end *end, const struct address *peer, int mtu)
{
	static const struct wish usual = {0};
	struct ibv_qp_attr attr;
	int mask, error;

	CHECK_EQ(set_state(end->qp, IBV_QPS_RESET), 0);
	to_init(end, &usual);
	mask = rtr_attr(&attr, end, peer, &usual);
	attr.path_mtu = (enum ibv_mtu)mtu;
	error = ibv_modify_qp(end->qp, &attr, mask);
	CHECK(error == 0 || error == EINVAL, "%s", strerror(error));
	CHECK_EQ(state_of(end->qp), error ? IBV_QPS_INIT : IBV_QPS_RTR);
	return error == 0;
}

int main(int argc, char **argv)
{
	static const struct wish usual = {0};
	struct address peer;
	struct end end;

	CHECK_EQ(argc, 2);
	open_end(&end, &usual);
	peer = address_of(&end);
	memset(peer.gid.raw, 0, 10);
	peer.gid.raw[10] = peer.gid.raw[11] = 0xff;
	CHECK_EQ(inet_pton(AF_INET, argv[1], peer.gid.raw + 12), 1);
	for (int mtu = IBV_MTU_256; mtu <= IBV_MTU_4096; mtu++)
		printf("%d:%s ", 128 << mtu, connects(&end, &peer, mtu) ? "yes" : "no");
	printf("\n");
	return 0;
}
