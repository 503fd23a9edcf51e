/*
 * Packets to a router from somebody who is no peer of it, as fast as one thread can: for tests/integration/test_flood.py.
 *
 *   flood ADDRESS SECONDS garbage     random bytes
 *   flood ADDRESS SECONDS SIZE        well-formed packets of SIZE bytes for queue pairs that are not there
 *
 * The kernel cuts them out of large sends. Prints how many packets left.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { PORT = 4791, BATCH = 60, BTH = 12 };

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	int garbage = argc == 4 && strcmp(argv[3], "garbage") == 0, size = argc == 4 ? garbage ? 512 : atoi(argv[3]) : 0;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	static uint8_t bytes[BATCH * 1472];
	long packets = 0;
	double end;

	if (size < BTH + 4 || size > 1472 || size % 4 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return fprintf(stderr, "usage: flood ADDRESS SECONDS garbage|SIZE\n"), 2;
	for (int i = 0; i < BATCH * size; i++)
		bytes[i] = (uint8_t)rand();
	for (int i = 0; !garbage && i < BATCH; i++) {
		uint8_t *bth = bytes + i * size;

		memset(bth, 0, BTH);
		bth[0] = 0x04; /* RC SEND only */
		bth[2] = bth[3] = 0xff;
		bth[5] = (uint8_t)i, bth[6] = 0x7f;
	}
	if (connect(fd, (void *)&to, sizeof to) || setsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, sizeof size))
		return perror("flood"), 1;
	for (end = now_s() + atof(argv[2]); now_s() < end;)
		if (send(fd, bytes, (size_t)BATCH * (size_t)size, 0) > 0)
			packets += BATCH;
	printf("%ld\n", packets);
	return 0;
}
