/* libfsocket's inside: what its modules share, and the functions behind the names of libc (tcp/abi.c). */
#ifndef FFL_SOCK_H
#define FFL_SOCK_H

#include "ffcore/tcp.h"
#include "ffl/tcp/raw.h"

/* ---- descriptors that have a set-up phase (tcp/table.pyx) ---- */

enum ffs_kind { FFS_NONE = 0, FFS_STREAM, FFS_LISTENER };

enum ffs_flags {
	FFS_SHARED = 1,	 /* somebody else may hold the same open file: changing over would tear the two apart */
	FFS_TRIED = 2,	 /* connect was called: whatever comes next is the kernel's business */
	FFS_ACCEPTS = 4, /* the broker knows that this listener is accepted from through the library */
};

enum { FFS_WATCHES = 2, FFS_SET_WORDS = 2 };

/* An epoll registration made before connect. It belongs to the open file, so changing over must move it. */
struct ffs_watch {
	int epoll;
	uint32_t events;
	uint64_t data;
};

struct ffs_entry {
	uint64_t cookie; /* SO_COOKIE: is this number still that socket? */
	uint64_t token;	 /* LISTENER */
	uint32_t forks;	 /* STREAM: ffs_forks() when it was made */
	uint16_t kind;	 /* enum ffs_kind */
	uint16_t flags;	 /* enum ffs_flags */
	uint32_t watches;
	uint32_t pad;
	uint64_t set[FFS_SET_WORDS]; /* bits of ffs_option_at: what replaces this socket, or is accepted from it, gets these */
	struct ffs_watch watch[FFS_WATCHES];
};

struct ffs_entry *ffs_entry_at(int fd);	  /* NULL where nothing was noted yet */
struct ffs_entry *ffs_entry_make(int fd); /* NULL without memory, or beyond the table */
uint64_t ffs_cookie(int fd);		  /* 0: no socket */
struct ffs_entry *ffs_fresh_stream(int fd); /* fd's entry if it is an unshared TCP socket before connect, else NULL */

/* ---- the process (tcp/start.c) ---- */

uint32_t ffs_forks(void);
int ffs_alone(void); /* a filter of system calls stands: none is made but those that the program itself asks for */
const char *ffs_broker_path(void);
int ffs_in_prefix(const uint8_t address[16]); /* VNET_PREFIX; IPv4 is IPv4-mapped */
int ffs_may_be_hosts(const uint8_t address[16]); /* HOST_IP_PREFIX; without it: not a container's by VNET_PREFIX */
void ffs_warn_no_router(void);		      /* once, and only while stderr is what it was at the start */

/* ---- the broker (tcp/session.pyx) ---- */

/* 0, or -1: no router, or none that answers. *passed: the descriptor that came with the reply, or -1. */
int ffs_call(struct ff_tcp_request *ask, struct ff_tcp_reply *answer, int *passed);
/* As ffs_call; *spare is closed, and -1 then, if that is the only way to have a number for what is passed. */
int ffs_call_giving(struct ff_tcp_request *ask, struct ff_tcp_reply *answer, int *passed, int *spare);
void ffs_sessions_after_fork(void);

/* ---- names (tcp/name.pyx) ---- */

int ffs_end_of(const void *name, unsigned length, struct ff_tcp_end *end); /* 0, or -1: not an internet address */
unsigned ffs_name_of(const struct ff_tcp_end *end, int domain, void *name); /* its length */
enum ffs_side { FFS_NOT_OURS = 0, FFS_CLIENT, FFS_SERVER };
int ffs_connection(int fd, struct ff_tcp_name *name); /* enum ffs_side */

/* ---- options that move (tcp/options.c, option.pyx) ---- */

enum ffs_how { FFS_VALUE, FFS_CHOSEN /* only by who is known to have set it */, FFS_SNDBUF, FFS_RCVBUF, FFS_DONE /* nothing */ };
struct ffs_option {
	int level, option, how;
};
int ffs_option_index(int level, int option); /* -1: one that keeps its socket on the overlay */
const struct ffs_option *ffs_option_at(int index); /* NULL behind the last one */
static inline int ffs_lowest_bit(uint64_t word) { return __builtin_ctzll(word); }

/* Of before, which has these, to after. 0, or -1: some cannot be. */
int ffs_carry_options(int before, int after, const uint64_t set[FFS_SET_WORDS]);

/* ---- changing over (tcp/swap.pyx) ---- */

enum { FFS_FIN, FFS_RESET }; /* how fd's old socket is closed */

/* fd becomes the socket that `replacement` is, and that number is closed. The open file's flags move. 0 or -1. */
int ffs_swap(int fd, int replacement, int close_how);

/* Epoll registrations belong to the open file: out before connect, in again behind it, whichever socket fd is then. */
void ffs_unwatch(int fd, struct ffs_entry *entry);
void ffs_watch_again(int fd, struct ffs_entry *entry);

/* ---- behind libc's names ---- */

/* SIOCADDRT and up (linux/sockios.h): routes, interfaces, ARP, bridges, wireless; but SIOCOUTQNSD is the socket's own. */
static inline int ffs_about_networks(unsigned long request)
{
	return request >= 0x890b && request <= 0x8bff && request != 0x894b;
}

int ffs_socket(int domain, int type, int protocol);
int ffs_socketpair(int domain, int type, int protocol, int ends[2]);
int ffs_connect(int fd, const struct sockaddr *to, unsigned length);
int ffs_listen(int fd, int backlog);
int ffs_accept4(int fd, struct sockaddr *from, unsigned *length, int flags);
int ffs_getsockname(int fd, struct sockaddr *name, unsigned *length);
int ffs_getpeername(int fd, struct sockaddr *name, unsigned *length);
int ffs_getsockopt(int fd, int level, int option, void *value, unsigned *length);
int ffs_setsockopt(int fd, int level, int option, const void *value, unsigned length);
int ffs_ioctl(int fd, unsigned long request, void *argument); /* one of ffs_about_networks */
int ffs_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
void ffs_duplicated(int from, int to);
void ffs_watch_listener(int fd);
void ffs_leave_listener(int fd);
void ffs_leave_listeners(void);

#endif
