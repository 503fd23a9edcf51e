/*
 * Connections a second, and what a call on one costs.
 *
 *   connections serve PORT             accepts, answers one byte with one byte, waits for the end, closes
 *   connections connect ADDRESS PORT SECONDS   one after the other; prints {"per_s": ...}
 *   connections calls                  on a socketpair of its own: {"send_recv_ns", "recvfrom_ns"}
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SERVERS = 4, CALLS = 300000, ROUNDS = 7 };

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void *serve(void *listener)
{
	for (;;) {
		int conn = accept(*(int *)listener, NULL, NULL);
		char byte;

		if (conn < 0)
			exit(1);
		if (read(conn, &byte, 1) == 1 && write(conn, &byte, 1) == 1 && read(conn, &byte, 1) < 0)
			perror("read");
		close(conn);
	}
	return NULL;
}

static int serve_all(int port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	pthread_t thread;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (void *)&any, sizeof(any)) || listen(listener, 1024))
		return perror("listen"), 1;
	for (int i = 0; i < SERVERS; i++)
		pthread_create(&thread, NULL, serve, &listener);
	pause();
	return 0;
}

static int connect_one(const struct sockaddr_in *to)
{
	int sock = socket(AF_INET, SOCK_STREAM, 0);
	char byte = 'x';
	/* A reset leaves no TIME_WAIT: ports would run out within two seconds. */
	struct linger hard = {1, 0};
	int ok = !connect(sock, (const void *)to, sizeof(*to)) && write(sock, &byte, 1) == 1 && read(sock, &byte, 1) == 1;

	setsockopt(sock, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(sock);
	return ok;
}

static int connect_all(const char *address, int port, double seconds)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	double begin = now_s();
	long made = 0;

	inet_pton(AF_INET, address, &to.sin_addr);
	for (; now_s() - begin < seconds; made++)
		if (!connect_one(&to))
			return perror("connect"), 1;
	printf("{\"per_s\": %.0f}\n", made / (now_s() - begin));
	return 0;
}

static double least_ns(const int pair[2], int with_address)
{
	double least = 1e9;
	struct sockaddr_storage from;
	char byte = 'x';

	for (int round = 0; round < ROUNDS; round++) {
		double begin = now_s();

		for (int i = 0; i < CALLS; i++) {
			socklen_t length = sizeof(from);

			if (send(pair[0], &byte, 1, 0) != 1 ||
			    (with_address ? recvfrom(pair[1], &byte, 1, 0, (void *)&from, &length) : recv(pair[1], &byte, 1, 0)) != 1)
				exit(1);
		}
		double each = (now_s() - begin) / CALLS * 1e9;

		if (each < least)
			least = each;
	}
	return least;
}

static int calls(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return 1;
	double plain = least_ns(pair, 0), address = least_ns(pair, 1);

	printf("{\"send_recv_ns\": %.1f, \"recvfrom_ns\": %.1f}\n", plain, address);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve_all(atoi(argv[2]));
	if (argc == 5 && !strcmp(argv[1], "connect"))
		return connect_all(argv[2], atoi(argv[3]), atof(argv[4]));
	return argc == 2 && !strcmp(argv[1], "calls") ? calls() : 2;
}
