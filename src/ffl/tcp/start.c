/* What libfsocket learns when it is loaded, and what a fork changes. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ffl/tcp/sock.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { PREFIXES = 8 };

struct prefix {
	uint8_t address[16];
	int bits;
};

struct prefixes {
	struct prefix of[PREFIXES];
	int count;
};

static struct prefixes virtual, hosts; /* VNET_PREFIX, HOST_IP_PREFIX */
static char broker_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
static int quiet; /* FREEFLOW_LOG=error */
static struct stat stderr_at_start;
static atomic_uint forks, warned;

/* glibc has the one, where pthread_atfork belongs to each program; musl has the other. */
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso)
	__attribute__((weak));
extern int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void)) __attribute__((weak));
extern void *__dso_handle;

uint32_t ffs_forks(void) { return atomic_load_explicit(&forks, memory_order_relaxed); /* the forking thread's own */ }
const char *ffs_broker_path(void) { return broker_path; }

/* After a fork every descriptor is held twice, and the child must not talk on its parent's sessions. */
static void forked_parent(void) { atomic_fetch_add(&forks, 1); }
static void forked_child(void)
{
	atomic_fetch_add(&forks, 1);
	ffs_sessions_after_fork();
}

static int parse_prefix(const char *text, struct prefix *found)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);

	if (length >= sizeof(address))
		return 0;
	memcpy(address, text, length);
	address[length] = 0;
	if (inet_pton(AF_INET6, address, found->address) == 1) {
		found->bits = slash ? atoi(slash + 1) : 128;
	} else if (inet_pton(AF_INET, address, found->address + 12) == 1) {
		memcpy(found->address, mapped, sizeof(mapped));
		found->bits = 96 + (slash ? atoi(slash + 1) : 32);
	} else {
		return 0;
	}
	return found->bits >= 0 && found->bits <= 128;
}

/* "10.32.0.0/16", or several with commas between. */
static void parse_prefixes(struct prefixes *found, const char *text)
{
	char copy[256];
	char *rest = NULL;

	if (!text || strlen(text) >= sizeof(copy))
		return;
	strcpy(copy, text);
	for (char *word = strtok_r(copy, ", ", &rest); word && found->count < PREFIXES; word = strtok_r(NULL, ", ", &rest))
		if (parse_prefix(word, &found->of[found->count]))
			found->count++;
}

static int matches(const struct prefix *p, const uint8_t address[16])
{
	int bytes = p->bits / 8, rest = p->bits % 8;

	if (memcmp(p->address, address, bytes))
		return 0;
	return !rest || !((p->address[bytes] ^ address[bytes]) >> (8 - rest));
}

/* Addresses that mean this machine, this link, or many: no container has them, so nobody need be asked. */
static int nobodys(const uint8_t address[16])
{
	static const uint8_t zero[16], mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (!memcmp(address, mapped, sizeof(mapped)))
		return address[12] == 0 || address[12] == 127 || address[12] >= 224;
	if (!memcmp(address, zero, 15) && address[15] < 2)
		return 1; /* :: and ::1 */
	return address[0] == 0xff || (address[0] == 0xfe && (address[1] & 0xc0) == 0x80);
}

static int any_matches(const struct prefixes *p, const uint8_t address[16])
{
	for (int i = 0; i < p->count; i++)
		if (matches(&p->of[i], address))
			return 1;
	return 0;
}

int ffs_in_prefix(const uint8_t address[16])
{
	if (nobodys(address))
		return 0;
	return !virtual.count || any_matches(&virtual, address); /* without VNET_PREFIX the broker is asked about all */
}

int ffs_may_be_hosts(const uint8_t address[16])
{
	if (hosts.count)
		return any_matches(&hosts, address);
	return !virtual.count || !any_matches(&virtual, address);
}

void ffs_warn_no_router(void)
{
	static const char text[] = "freeflow: no router answers; sockets stay on the overlay network\n";
	struct stat now;

	if (quiet || atomic_exchange(&warned, 1))
		return;
	if (syscall(SYS_fstat, 2, &now) || now.st_ino != stderr_at_start.st_ino || now.st_dev != stderr_at_start.st_dev)
		return; /* 2 is something else by now, a database perhaps */
	if (write(2, text, sizeof(text) - 1) < 0)
		return;
}

__attribute__((constructor)) static void start(void)
{
	const char *directory = getenv("FREEFLOW_DIR"), *name = getenv("FFR_NAME"), *log = getenv("FREEFLOW_LOG");
	int length = snprintf(broker_path, sizeof(broker_path), "%s/%s.tcp.sock", directory ? directory : "/freeflow",
			      name ? name : "router");

	if (length >= (int)sizeof(broker_path))
		broker_path[0] = 0;
	parse_prefixes(&virtual, getenv("VNET_PREFIX"));
	parse_prefixes(&hosts, getenv("HOST_IP_PREFIX"));
	quiet = log && !strcmp(log, "error");
	if (syscall(SYS_fstat, 2, &stderr_at_start)) /* fstat is newer than the oldest libc that this serves */
		quiet = 1;
	if (__register_atfork)
		__register_atfork(NULL, forked_parent, forked_child, &__dso_handle);
	else if (pthread_atfork)
		pthread_atfork(NULL, forked_parent, forked_child);
}
