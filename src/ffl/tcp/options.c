/*
 * The options that a program may have set before connect, or on its listener, and what becomes of them when a link takes
 * the socket's place. One that stands here is carried over; a socket with any other one stays on the overlay, as what
 * only its own network can do is asked for there (a device, a mark, a filter, signed segments, data in the SYN).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ffl/tcp/sock.h"

#define SOCKET(option) {SOL_SOCKET, option, FFS_VALUE}
#define TCP(option) {IPPROTO_TCP, option, FFS_VALUE}
#define IP(option) {IPPROTO_IP, option, FFS_VALUE}
#define IP6(option) {IPPROTO_IPV6, option, FFS_VALUE}

/* By number where C libraries lack the name: asm-generic/socket.h, linux/tcp.h, linux/in.h, linux/in6.h. */
static const struct ffs_option options[] = {
	{IPPROTO_TCP, TCP_CONGESTION, FFS_CHOSEN},
	{SOL_SOCKET, SO_SNDBUF, FFS_SNDBUF},
	{SOL_SOCKET, SO_RCVBUF, FFS_RCVBUF},
	{SOL_SOCKET, 32 /* SO_SNDBUFFORCE */, FFS_SNDBUF},
	{SOL_SOCKET, 33 /* SO_RCVBUFFORCE */, FFS_RCVBUF},
	SOCKET(SO_REUSEADDR), SOCKET(SO_BROADCAST), SOCKET(SO_KEEPALIVE), SOCKET(SO_OOBINLINE), SOCKET(11 /* SO_NO_CHECK */),
	SOCKET(SO_PRIORITY), SOCKET(SO_LINGER), SOCKET(SO_REUSEPORT), SOCKET(SO_RCVLOWAT), SOCKET(SO_RCVTIMEO),
	SOCKET(SO_SNDTIMEO), SOCKET(29 /* SO_TIMESTAMP_OLD */), SOCKET(35 /* SO_TIMESTAMPNS_OLD */), SOCKET(37 /* SO_TIMESTAMPING_OLD */),
	SOCKET(40 /* SO_RXQ_OVFL */), SOCKET(42 /* SO_PEEK_OFF */), SOCKET(45 /* SO_SELECT_ERR_QUEUE */), SOCKET(46 /* SO_BUSY_POLL */),
	SOCKET(47 /* SO_MAX_PACING_RATE */), SOCKET(60 /* SO_ZEROCOPY */), SOCKET(63 /* SO_TIMESTAMP_NEW */),
	SOCKET(64 /* SO_TIMESTAMPNS_NEW */), SOCKET(65 /* SO_TIMESTAMPING_NEW */), SOCKET(69 /* SO_PREFER_BUSY_POLL */),
	SOCKET(70 /* SO_BUSY_POLL_BUDGET */), SOCKET(74 /* SO_TXREHASH */),
	TCP(TCP_NODELAY), TCP(TCP_CORK), TCP(TCP_KEEPIDLE), TCP(TCP_KEEPINTVL), TCP(TCP_KEEPCNT), TCP(TCP_SYNCNT),
	TCP(TCP_LINGER2), TCP(TCP_DEFER_ACCEPT), TCP(16 /* TCP_THIN_LINEAR_TIMEOUTS */), TCP(17 /* TCP_THIN_DUPACK */),
	TCP(TCP_USER_TIMEOUT), TCP(25 /* TCP_NOTSENT_LOWAT */), TCP(36 /* TCP_INQ */), TCP(37 /* TCP_TX_DELAY */),
	TCP(44 /* TCP_RTO_MAX_MS */), TCP(45 /* TCP_RTO_MIN_US */), TCP(46 /* TCP_DELACK_MAX_US */),
	IP(IP_TOS), IP(IP_TTL), IP(IP_RECVOPTS), IP(IP_RETOPTS), IP(IP_PKTINFO), IP(IP_MTU_DISCOVER), IP(IP_RECVERR),
	IP(IP_RECVTTL), IP(IP_RECVTOS), IP(IP_FREEBIND), IP(IP_PASSSEC), IP(IP_ORIGDSTADDR), IP(IP_MINTTL), IP(23 /* IP_CHECKSUM */),
	IP(24 /* IP_BIND_ADDRESS_NO_PORT */), IP(25 /* IP_RECVFRAGSIZE */), IP(26 /* IP_RECVERR_RFC4884 */), IP(IP_MULTICAST_ALL),
	IP(51 /* IP_LOCAL_PORT_RANGE */),
	IP6(IPV6_UNICAST_HOPS), IP6(IPV6_MTU_DISCOVER), IP6(IPV6_RECVERR), IP6(IPV6_RECVPKTINFO), IP6(IPV6_RECVHOPLIMIT),
	IP6(IPV6_TCLASS), IP6(IPV6_RECVTCLASS), IP6(IPV6_DONTFRAG), IP6(IPV6_AUTOFLOWLABEL), IP6(72 /* IPV6_ADDR_PREFERENCES */),
	IP6(73 /* IPV6_MINHOPCOUNT */), IP6(78 /* IPV6_FREEBIND */), IP6(31 /* IPV6_RECVERR_RFC4884 */), IP6(29 /* IPV6_MULTICAST_ALL */),
	/* What decides whom a listener gets, or how it is bound, has done so. */
	{SOL_SOCKET, 51 /* SO_ATTACH_REUSEPORT_CBPF */, FFS_DONE},
	{SOL_SOCKET, 52 /* SO_ATTACH_REUSEPORT_EBPF */, FFS_DONE},
	{SOL_SOCKET, 68 /* SO_DETACH_REUSEPORT_BPF */, FFS_DONE},
	{SOL_SOCKET, SO_INCOMING_CPU, FFS_DONE},
	{IPPROTO_TCP, TCP_QUICKACK, FFS_DONE}, /* TCP itself forgets it at connect */
	{IPPROTO_TCP, 23 /* TCP_FASTOPEN, of a listener */, FFS_DONE},
	{IPPROTO_TCP, 33 /* TCP_FASTOPEN_KEY */, FFS_DONE},
	{IPPROTO_IPV6, IPV6_V6ONLY, FFS_DONE},
};

enum { OPTIONS = sizeof(options) / sizeof(options[0]) };
_Static_assert(OPTIONS <= 64 * FFS_SET_WORDS, "a bit of ffs_entry.set for each");

int ffs_option_index(int level, int option)
{
	for (int i = 0; i < OPTIONS; i++)
		if (options[i].level == level && options[i].option == option)
			return i;
	return -1;
}

const struct ffs_option *ffs_option_at(int index) { return index < OPTIONS ? &options[index] : NULL; }
