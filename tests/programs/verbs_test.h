/*
 * A small bench for verbs: named tests, each in a process of its own with a time limit, and the few steps that all
 * of them need. The programs run against any RoCE device; what they expect is the standard's.
 *
 *   PROGRAM [--list | NAME...]     prints "ok NAME" or "not ok NAME: why"; exit status 1 when any failed
 */
#ifndef VERBS_TEST_H
#define VERBS_TEST_H

#define _GNU_SOURCE
#include <errno.h>
#include <infiniband/verbs.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct test {
	const char *name;
	void (*run)(const void *row); /* returns when it passed; fail() does not return */
	const void *row;	      /* what a table-driven test reads */
};
int run_tests(int argc, char **argv, const struct test *tests, size_t count);

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define CHECK(condition, ...) ((condition) ? (void)0 : fail(__VA_ARGS__))
#define CHECK_EQ(found, expected)                                                                                     \
	do {                                                                                                          \
		long long found_ = (long long)(found), expected_ = (long long)(expected);                             \
		if (found_ != expected_)                                                                              \
			fail("%s:%d: " #found " is %lld, not %lld", __FILE__, __LINE__, found_, expected_);           \
	} while (0)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

double now_ms(void);

/* One side of a connection: an opened device and one of everything. */
struct end {
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *send_cq, *recv_cq;
	struct ibv_srq *srq;   /* when not NULL, make_qp's QPs use it and post_recv posts to it */
	struct ibv_xrcd *xrcd; /* of XRC_RECV */
	struct ibv_qp *qp;
	struct ibv_mr *mr;
	char *buffer;
	size_t size;
	int gid_index;
	union ibv_gid gid;
};

/* What a test may want different; 0 means the usual value, named beside it. */
struct wish {
	int type;		   /* enum ibv_qp_type: IBV_QPT_RC */
	int send_wr, recv_wr;	   /* 16 */
	int srq_wr;		   /* no SRQ; of XRC_RECV: 16 */
	int sge;		   /* 4 */
	int inline_bytes;	   /* none */
	int cqe;		   /* 64 */
	int sig_all;		   /* no */
	int channel;		   /* no completion channel */
	size_t size;		   /* bytes of the registered buffer: 64 KiB */
	int mr_access, qp_access;  /* all four; NO_ACCESS for none */
	int timeout, retry_cnt;	   /* 14 (67 ms), 7 */
	int rnr_retry, rnr_timer;  /* 7 (for ever), 12 (0.64 ms); NO_RETRY for 0 */
	int rd_atomic;		   /* 4 */
};
enum { NO_ACCESS = -1, NO_RETRY = -1 };
enum { QKEY = 0x11111111 }; /* of every UD QP */
enum { ALL_ACCESS = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC };

/* What one side tells the other before they can talk. */
struct address {
	uint32_t qpn, psn, rkey, pad;
	uint64_t addr;
	union ibv_gid gid;
};

struct ibv_context *open_device(void);
void open_end(struct end *end, const struct wish *wish);
struct ibv_qp *make_qp(struct end *end, const struct wish *wish);
struct ibv_srq *make_srq(struct end *end, const struct wish *wish); /* of XRC_RECV: in end->xrcd, completing on recv_cq */
uint32_t srq_number(struct ibv_srq *srq);
struct ibv_mr *register_memory(struct end *end, size_t size, int access); /* page-aligned, zeroed */
struct address address_of(const struct end *end);

/* The attributes and mask of each step, so that a test can bend them. */
int init_attr(struct ibv_qp_attr *attr, const struct wish *wish);
int rtr_attr(struct ibv_qp_attr *attr, const struct end *end, const struct address *peer, const struct wish *wish);
int rts_attr(struct ibv_qp_attr *attr, const struct wish *wish);
void to_init(struct end *end, const struct wish *wish);
void to_rtr(struct end *end, const struct address *peer, const struct wish *wish);
void to_rts(struct end *end, const struct wish *wish);
void connect_to(struct end *end, const struct address *peer, const struct wish *wish); /* RESET to RTS */
void open_pair(struct end *a, struct end *b, const struct wish *wish);		       /* both in this process */
int state_of(struct ibv_qp *qp);
int set_state(struct ibv_qp *qp, int state); /* ERR, RESET, SQD: no other attribute; returns the errno */

/* Work requests. The usual buffer is end->buffer; offsets count from it. */
struct ibv_sge part(const struct end *end, size_t offset, uint32_t length);
void post_recv(struct end *end, uint64_t wr_id, size_t offset, uint32_t length);
void post(struct end *end, struct ibv_send_wr *wr);
void post_simple(struct end *end, uint64_t wr_id, int opcode, size_t offset, uint32_t length,
		 const struct end *peer, size_t peer_offset);
struct ibv_send_wr request(uint64_t wr_id, int opcode, struct ibv_sge *sge, int num_sge, const struct end *peer,
			   size_t peer_offset);

/* Datagrams: a handle to a GID from end's own, and a SEND through it (`wr` as request() makes it). */
struct ibv_ah *handle_to(const struct end *end, const union ibv_gid *gid);
void post_to(struct end *end, struct ibv_send_wr *wr, struct ibv_ah *ah, uint32_t qpn);

/* Completions. A wait that lasts longer than WAIT_MS fails the test. */
enum { WAIT_MS = 15000 };
struct ibv_wc next_wc(struct ibv_cq *cq);
struct ibv_wc expect(struct ibv_cq *cq, uint64_t wr_id, enum ibv_wc_status status);
void expect_nothing(struct ibv_cq *cq, int during_ms);
int expect_async(struct ibv_context *context, int within_ms); /* the event's type, acknowledged; -1: none came */

/* Patterned bytes, so that a wrong byte names its place. */
void fill(char *at, size_t length, unsigned seed);
void check_filled(const char *at, size_t length, unsigned seed, const char *what);
void check_bytes(const char *at, size_t length, char value, const char *what);

/* Two processes, each with a socket to the other. The child runs `child`, then exits; returns the child's pid. */
pid_t split(void (*child)(int socket, const void *row), const void *row, int *socket);
void say(int socket, const void *message, size_t length);
void hear(int socket, void *message, size_t length);
void meet(int socket, struct end *end, struct address *peer, const struct wish *wish); /* swap addresses, connect */
void join(pid_t child); /* fails when the child failed */
int meet_the_other(const char *peer, uint16_t port); /* of two hosts: a socket to who listens at peer; NULL: listens */

#endif
