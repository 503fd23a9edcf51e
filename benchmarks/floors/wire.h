/* Two ends in two network namespaces that have names (ip netns), and the UDP of the roce NIC between them. Root's. */
#ifndef FLOORS_WIRE_H
#define FLOORS_WIRE_H

#include "floors.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

enum { WIRE_PORT = 4799 };

static inline const char *word(int argc, char **argv, const char *name)
{
	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return argv[i + 1];
	fprintf(stderr, "%s is missing\n", name);
	exit(2);
}

static inline void enter(const char *namespace)
{
	char path[256];
	int fd;

	snprintf(path, sizeof path, "/run/netns/%s", namespace);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		die(path);
	close(fd);
}

/* A UDP socket in the caller's namespace, connected; from any of its addresses. */
static inline int udp_between(uint16_t port, const char *to, uint16_t to_port)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1, room = 16 << 20, discover = IP_PMTUDISC_DO;
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(to_port)};

	inet_pton(AF_INET, to, &there.sin_addr);
	setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &discover, sizeof discover);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
	setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&here, sizeof here) != 0 || connect(fd, (struct sockaddr *)&there, sizeof there) != 0)
		die("udp");
	return fd;
}

#endif
