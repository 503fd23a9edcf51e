/*
 * A program that leaves its sockets to io_uring, for tests/integration/test_tcp_life.py. libc makes the sockets, listens,
 * and is asked for nothing more.
 *
 *   uring_talk serve COUNT            at port 5000: accepts, sends back what comes first, closes; COUNT times
 *   uring_talk connect ADDRESS COUNT  connects, sends a byte, reads it back; COUNT times
 *
 * Prints "no io_uring" where the kernel has it switched off.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENTRIES = 4, PORT = 5000 };

static int ring;
static struct io_uring_params params;
static struct io_uring_sqe *sqes;
static char *sq, *cq;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *map(size_t bytes, off_t where)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, where);

	if (at == MAP_FAILED)
		die("mmap");
	return at;
}

static void set_up(void)
{
	ring = syscall(SYS_io_uring_setup, ENTRIES, &params);
	if (ring < 0) {
		puts("no io_uring");
		exit(0);
	}
	sq = map(params.sq_off.array + params.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
	cq = map(params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
	sqes = map(params.sq_entries * sizeof(*sqes), IORING_OFF_SQES);
}

/* One operation, and its result. */
static int uring(int op, int fd, const void *data, unsigned length, unsigned long long offset)
{
	unsigned *tail = (void *)(sq + params.sq_off.tail), *array = (void *)(sq + params.sq_off.array);
	unsigned *head = (void *)(cq + params.cq_off.head), place = *tail & (params.sq_entries - 1);
	struct io_uring_cqe *done = (void *)(cq + params.cq_off.cqes);
	int result;

	memset(&sqes[place], 0, sizeof(*sqes));
	sqes[place].opcode = op;
	sqes[place].fd = fd;
	sqes[place].addr = (unsigned long)data;
	sqes[place].len = length;
	sqes[place].off = offset;
	array[place] = place;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE); /* the kernel's acquire: the entry is whole */
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		die("io_uring_enter");
	result = done[*head & (params.cq_entries - 1)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	if (result < 0) {
		fprintf(stderr, "operation %d: %s\n", op, strerror(-result));
		exit(1);
	}
	return result;
}

static void serve(int count)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	char text[64];

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (void *)&name, sizeof(name)) || listen(listener, 16))
		die("listen");
	puts("up");
	fflush(stdout);
	while (count--) {
		int conn = uring(IORING_OP_ACCEPT, listener, NULL, 0, 0);

		uring(IORING_OP_SEND, conn, text, uring(IORING_OP_RECV, conn, text, sizeof(text), 0), 0);
		uring(IORING_OP_CLOSE, conn, NULL, 0, 0);
	}
}

static void connect_all(const char *address, int count)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(PORT)};

	inet_pton(AF_INET, address, &name.sin_addr);
	for (int i = 0; i < count; i++) {
		int sock = socket(AF_INET, SOCK_STREAM, 0);
		char sent = 'a' + i, got = 0;

		uring(IORING_OP_CONNECT, sock, &name, 0, sizeof(name));
		uring(IORING_OP_SEND, sock, &sent, 1, 0);
		if (uring(IORING_OP_RECV, sock, &got, 1, 0) != 1 || got != sent)
			die("another byte");
		uring(IORING_OP_CLOSE, sock, NULL, 0, 0);
	}
	puts("done");
}

int main(int argc, char **argv)
{
	set_up();
	if (argc == 3)
		serve(atoi(argv[2]));
	else
		connect_all(argv[2], atoi(argv[3]));
	return 0;
}
