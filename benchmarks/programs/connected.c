/*
 * A crowd of connected QPs between two places: each of `members` processes on one side has `qps` of them, connected to as
 * many of its opposite. On each QP a message goes there and one back, both are looked at, and then nothing happens.
 *
 *   connected serve PORT MEMBERS QPS              ports PORT .. PORT + MEMBERS - 1, "listening" when they are open
 *   connected connect PORT MEMBERS QPS ADDRESS    both print "ready" when all is done, and stay until their stdin ends
 */
#include "members.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

enum { QPS_MAX = 2048, MEMBERS_MAX = 64, SLOT = 64, PATIENCE_S = 60, TIMEOUT = 18 };

struct side {
	int socket, qps, serves;
	struct device device;
	struct ibv_mr *mr;
	char *memory; /* qps slots to send from, qps to receive into */
	struct ibv_qp *qp[QPS_MAX];
	union ibv_gid theirs;
};

static void say(int socket, const void *bytes, size_t size)
{
	if (send(socket, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
		die("send");
}

static void hear(int socket, void *bytes, size_t size)
{
	if (recv(socket, bytes, size, MSG_WAITALL) != (ssize_t)size)
		die("recv");
}

static void open_side(struct side *s)
{
	size_t size = (size_t)s->qps * SLOT * 2;

	open_device(&s->device, 2 * s->qps);
	s->memory = aligned_alloc(4096, (size + 4095) & ~4095ul);
	s->mr = s->memory ? ibv_reg_mr(s->device.pd, s->memory, size, IBV_ACCESS_LOCAL_WRITE) : NULL;
	if (!s->mr)
		die("MR");
	for (int i = 0; i < s->qps; i++)
		s->qp[i] = make_qp(&s->device, 1, 1);
}

static void connect_all(struct side *s)
{
	uint32_t mine[QPS_MAX], theirs[QPS_MAX];

	for (int i = 0; i < s->qps; i++)
		mine[i] = s->qp[i]->qp_num;
	say(s->socket, &s->device.gid, sizeof s->device.gid);
	say(s->socket, mine, s->qps * sizeof *mine);
	hear(s->socket, &s->theirs, sizeof s->theirs);
	hear(s->socket, theirs, s->qps * sizeof *theirs);
	for (int i = 0; i < s->qps; i++) {
		struct ibv_sge sge = {(uintptr_t)s->memory + (size_t)(s->qps + i) * SLOT, SLOT, s->mr->lkey};
		struct ibv_recv_wr wr = {.wr_id = (uint64_t)i, .sg_list = &sge, .num_sge = 1}, *bad;

		to_rts(s->qp[i], &s->theirs, theirs[i], TIMEOUT);
		if (ibv_post_recv(s->qp[i], &wr, &bad))
			die("ibv_post_recv");
	}
	say(s->socket, "", 1); /* nobody sends before the other side can take it */
	hear(s->socket, mine, 1);
}

static void send_one(struct side *s, int i)
{
	struct ibv_sge sge = {(uintptr_t)s->memory + (size_t)i * SLOT, SLOT, s->mr->lkey};
	struct ibv_send_wr wr = {.wr_id = (uint64_t)i, .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND}, *bad;

	memset(s->memory + (size_t)i * SLOT, s->serves + 2 * i, SLOT);
	if (ibv_post_send(s->qp[i], &wr, &bad))
		die("ibv_post_send");
}

static void check_one(struct side *s, int i)
{
	const char *at = s->memory + (size_t)(s->qps + i) * SLOT;

	for (int k = 0; k < SLOT; k++)
		if (at[k] != (char)(!s->serves + 2 * i)) {
			errno = EBADMSG;
			die("what arrived is not what was sent");
		}
}

static void talk(struct side *s)
{
	time_t until = time(NULL) + PATIENCE_S;
	int sent = 0, heard = 0;
	struct ibv_wc wc;

	for (int i = 0; !s->serves && i < s->qps; i++)
		send_one(s, i);
	while (sent < s->qps || heard < s->qps) {
		if (ibv_poll_cq(s->device.cq, 1, &wc) == 0) {
			if (time(NULL) > until)
				errno = ETIMEDOUT, die("messages");
			continue;
		}
		if (wc.status != IBV_WC_SUCCESS)
			fprintf(stderr, "connected: QP %u: %s\n", wc.qp_num, ibv_wc_status_str(wc.status)), exit(1);
		if (wc.opcode != IBV_WC_RECV) {
			sent++;
			continue;
		}
		heard++;
		check_one(s, (int)wc.wr_id);
		if (s->serves)
			send_one(s, (int)wc.wr_id);
	}
}

static int open_port(int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (void *)&at, sizeof at) || listen(fd, 1))
		die("listen");
	return fd;
}

static int reach(const char *address, int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1 || connect(fd, (void *)&to, sizeof to))
		die("connect");
	return fd;
}

static int serves, qps, port, listener[MEMBERS_MAX];
static const char *address;

static void member(int number)
{
	static struct side s;

	s = (struct side){.socket = serves ? accept(listener[number], NULL, NULL) : reach(address, port + number),
			  .qps = qps, .serves = serves};
	open_side(&s);
	connect_all(&s);
	talk(&s);
}

int main(int argc, char **argv)
{
	int connects = argc == 6 && !strcmp(argv[1], "connect"), members = argc > 3 ? atoi(argv[3]) : 0;

	serves = argc == 5 && !strcmp(argv[1], "serve");
	port = argc > 2 ? atoi(argv[2]) : 0;
	qps = argc > 4 ? atoi(argv[4]) : 0;
	address = connects ? argv[5] : NULL;
	if ((!serves && !connects) || members < 1 || members > MEMBERS_MAX || qps < 1 || qps > QPS_MAX)
		return fprintf(stderr, "usage: connected serve PORT MEMBERS QPS | connect PORT MEMBERS QPS ADDRESS\n"), 2;
	for (int i = 0; serves && i < members; i++)
		listener[i] = open_port(port + i);
	if (serves)
		printf("listening\n"), fflush(stdout);
	return run_members(members, member);
}
