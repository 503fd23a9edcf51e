/*
 * The bandwidth floor between two hosts: what UDP carries when the kernel cuts up and puts together (GSO, GRO), with
 * and without what a RoCE NIC in software has to do besides.
 *
 *   wire --from NETNS --to NETNS --from-address A --to-address B [--packet BYTES] [--ms N]
 *        [--memory MIB] [--stage | --vector] [--unpack]
 *
 * Packets have BYTES of payload, 12 of header and a CRC; as many as fit leave as one datagram. At most
 * WINDOW datagrams are under way. Nothing is checked, looked up or accounted for.
 *
 * --memory  from how much memory, and into how much: 1 stays in a second-level cache, 32 is what 512 QPs use
 * --stage   the sender copies each payload into an arena and sums the copy, as it must while programs may write there
 * --vector  the sender sums the payload where it lies, and the kernel gathers header, payload and CRC of each packet
 * --unpack  the receiver sums each payload and copies it to where it belongs
 */
#include "wire.h"

#include "../../src/ffcore/vectors.h"

#include <dlfcn.h>

enum { HEADER = 12, CRC = 4, LIMIT = 65000, SEGMENTS = 64, WINDOW = 16, ARENA = 1 << 20 };

typedef uint32_t (*crc_fn)(uint32_t running, const uint8_t *data, uint64_t size);

static crc_fn library_crc32;
static size_t payload, packet, packets, memory_size;
static int stage, vector, unpack_;
static a64 *received;
static volatile uint32_t sink;

static void find_crc(void)
{
	void *library = dlopen("libisal.so.2", RTLD_NOW);

	library_crc32 = library ? (crc_fn)dlsym(library, "crc32_gzip_refl") : NULL;
	if (!library_crc32)
		die("libisal.so.2");
}

static uint32_t crc32_of(uint32_t running, const uint8_t *data, uint64_t size)
{
	running = library_crc32(running, data, size);
	if (ff_has_upper_halves())
		ff_clean_upper_halves();
	return running;
}

/* Header, payload copied, CRC: end to end. Some are copied, then summed: a sum right behind its copy waits for it. */
static void compose(uint8_t *to, const uint8_t *from)
{
	for (size_t done = 0, some; done < packets; done += some, to += some * packet, from += some * payload) {
		some = packets - done < 8 ? packets - done : 8;
		for (size_t i = 0; i < some; i++) {
			memset(to + i * packet, 0, HEADER);
			memcpy(to + i * packet + HEADER, from + i * payload, payload);
		}
		for (size_t i = 0; i < some; i++) {
			uint32_t crc = crc32_of(0, to + i * packet + HEADER, payload);

			memcpy(to + i * packet + HEADER + payload, &crc, CRC);
		}
	}
}

static size_t gather(struct iovec *iov, uint8_t *extra, uint8_t *from)
{
	for (size_t i = 0; i < packets; i++, from += payload, extra += HEADER + CRC) {
		uint32_t crc = crc32_of(0, from, payload);

		memset(extra, 0, HEADER);
		memcpy(extra + HEADER, &crc, CRC);
		iov[3 * i] = (struct iovec){extra, HEADER};
		iov[3 * i + 1] = (struct iovec){from, payload};
		iov[3 * i + 2] = (struct iovec){extra + HEADER, CRC};
	}
	return 3 * packets;
}

static void send_for(int fd, uint64_t ms)
{
	uint8_t *memory = shared_memory(memory_size + LIMIT), *arena = shared_memory(ARENA + LIMIT + 4096);
	uint64_t end = now_ns() + ms * 1000000, sent = 0, acknowledged = 0;
	struct iovec iov[3 * SEGMENTS];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control = {.header = {.cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof(uint16_t))}};
	uint16_t segment = (uint16_t)packet;
	struct msghdr message = {.msg_iov = iov, .msg_control = &control, .msg_controllen = sizeof control};
	size_t at = 0, slot = 0;

	memcpy(CMSG_DATA(&control.header), &segment, sizeof segment);
	while (now_ns() < end) {
		if (vector) {
			message.msg_iovlen = gather(iov, arena, memory + at);
		} else {
			uint8_t *bytes = arena + slot * (size_t)LIMIT;

			if (stage)
				compose(bytes, memory + at);
			iov[0] = (struct iovec){bytes, packets * packet};
			message.msg_iovlen = 1;
			slot = (slot + 1) % (ARENA / LIMIT);
		}
		at = (at + packets * payload) % memory_size;
		if (sendmsg(fd, &message, 0) < 0)
			die("sendmsg");
		for (sent++; sent - acknowledged >= WINDOW;)
			if (recv(fd, &acknowledged, sizeof acknowledged, 0) < 0)
				die("recv");
	}
}

static void take(uint8_t *to, const uint8_t *from, size_t size)
{
	uint32_t crc = 0;

	for (size_t at = 0; at + packet <= size; at += packet)
		crc ^= crc32_of(0, from + at + HEADER, payload);
	for (; size >= packet; size -= packet, from += packet, to += payload)
		memcpy(to, from + HEADER, payload);
	sink = crc;
}

static void receive(void *socket_)
{
	int fd = *(int *)socket_;
	uint8_t *memory = shared_memory(memory_size + 65536), *slot = shared_memory(65536);
	uint64_t datagrams = 0;
	size_t at = 0;

	for (;;) {
		ssize_t got = recv(fd, slot, 65536, 0);

		if (got <= 0)
			continue;
		if (unpack_)
			take(memory + at, slot, (size_t)got);
		at = (at + (size_t)got) % memory_size;
		atomic_fetch_add_explicit(received, (uint64_t)got / packet * payload, memory_order_relaxed);
		if (++datagrams % 2 == 0 && send(fd, &datagrams, sizeof datagrams, 0) < 0)
			die("send");
	}
}

int main(int argc, char **argv)
{
	uint64_t ms = (uint64_t)option(argc, argv, "--ms", 500), begin;
	int there, here;
	pid_t other;

	payload = (size_t)option(argc, argv, "--packet", 1024);
	memory_size = (size_t)option(argc, argv, "--memory", 1) << 20;
	stage = (int)option(argc, argv, "--stage", 0);
	vector = (int)option(argc, argv, "--vector", 0);
	unpack_ = (int)option(argc, argv, "--unpack", 0);
	packet = HEADER + payload + CRC;
	packets = LIMIT / packet < SEGMENTS ? LIMIT / packet : SEGMENTS;
	if (payload < 64 || payload > 8956 || memory_size == 0)
		return fprintf(stderr, "wire: --packet 64 to 8956; --memory from 1\n"), 2;
	find_crc();
	received = shared_memory(sizeof *received);
	enter(word(argc, argv, "--to"));
	there = udp_between(WIRE_PORT, word(argc, argv, "--from-address"), WIRE_PORT);
	other = start(receive, &there);
	enter(word(argc, argv, "--from"));
	here = udp_between(WIRE_PORT, word(argc, argv, "--to-address"), WIRE_PORT);
	begin = now_ns();
	send_for(here, ms);
	printf("{\"gbit_per_s\": %.3f, \"packet\": %zu, \"packets\": %zu, \"stage\": %d, \"vector\": %d, \"unpack\": %d}\n",
	       (double)atomic_load(received) * 8.0 / (double)(now_ns() - begin), payload, packets, stage, vector, unpack_);
	stop(other);
	return 0;
}
