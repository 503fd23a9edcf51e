/*
 * The ping-pong floor of TCP mode on one host: 64 bytes back and forth between two processes, once over an AF_UNIX pair,
 * which is what a connection becomes, and once over loopback TCP. No library, no container. One way is half a round trip.
 *
 *   pingpong [--apart 1]     both on one core, or each on a core of its own: {"unix_us", "tcp_us"}
 */
#include "floors.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { MESSAGE = 64, TRIPS = 5000, ROUNDS = 9 };

static void stay_on(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		die("sched_setaffinity");
}

static void make_tcp(int ends[2])
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(name);
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&name, length) || listen(listener, 1) ||
	    getsockname(listener, (void *)&name, &length) || connect(ends[0], (void *)&name, length))
		die("loopback");
	ends[1] = accept(listener, NULL, NULL);
	close(listener);
	for (int i = 0; i < 2; i++)
		if (setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
			die("TCP_NODELAY");
}

static void echo(const int ends[2], int core)
{
	char text[MESSAGE];

	close(ends[0]);
	stay_on(core);
	while (recv(ends[1], text, MESSAGE, MSG_WAITALL) == MESSAGE)
		if (send(ends[1], text, MESSAGE, 0) != MESSAGE)
			break;
	_exit(0);
}

static int by_size(const void *a, const void *b)
{
	double first = *(const double *)a, second = *(const double *)b;

	return (first > second) - (first < second);
}

static double median_us(const int ends[2], int apart)
{
	double samples[ROUNDS];
	char text[MESSAGE] = {0};
	pid_t child = fork();

	if (child == 0)
		echo(ends, apart);
	close(ends[1]);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t begin = now_ns();

		for (int i = 0; i < TRIPS; i++)
			if (send(ends[0], text, MESSAGE, 0) != MESSAGE || recv(ends[0], text, MESSAGE, MSG_WAITALL) != MESSAGE)
				die("ping-pong");
		samples[round] = (now_ns() - begin) / 1e3 / TRIPS / 2;
	}
	close(ends[0]);
	waitpid(child, NULL, 0);
	qsort(samples, ROUNDS, sizeof(*samples), by_size);
	return samples[ROUNDS / 2];
}

int main(int argc, char **argv)
{
	int apart = argc == 3 && atoi(argv[2]), pair[2], loopback[2];

	stay_on(0);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die("socketpair");
	double by_pair = median_us(pair, apart);

	make_tcp(loopback);
	printf("{\"unix_us\": %.3f, \"tcp_us\": %.3f}\n", by_pair, median_us(loopback, apart));
	return 0;
}
