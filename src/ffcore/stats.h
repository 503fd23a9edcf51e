/* Counters: one POSIX shared-memory object per router, "/freeflow-<FFR_NAME>-<router pid>". The reactor writes
 * (plain stores of aligned words; a reader may see a counter one step old, never torn), anyone with the right reads.
 * Layout: struct ff_stats_header, then sessions[], then qps[] at the offsets that the header names. */
#ifndef FFCORE_STATS_H
#define FFCORE_STATS_H

#include <assert.h>
#include <stdint.h>

#define FF_STATS_MAGIC 0x73744646u
#define FF_STATS_VERSION 1u

enum { FF_STATS_SESSIONS = 1024, FF_STATS_QPS = 65536, FF_STATS_NAME = 48 };

struct ff_stats_header {
	uint32_t magic, version;
	uint32_t router_pid, ncpu;
	uint64_t start_ns;	/* CLOCK_MONOTONIC */
	uint64_t sessions_offset, qps_offset;
	uint64_t passes;	/* reactor passes */
	uint64_t busy_passes;	/* ... that did work */
	uint64_t yields, slow_yields, sleeps, wakeups;
	uint64_t commands;
	uint64_t wqes, bytes;	/* executed work requests, payload moved */
	uint64_t sessions_opened, sessions_closed, sessions_refused, faults;
	uint32_t polling; /* enum ffr_polling of ffr: 0 adaptive, 1 fastpath, 2 lowcpu */
	uint32_t asleep;
	uint32_t pollers; /* parties that poll here now: this router, unless it sleeps, and the sessions with work */
	uint32_t pad;
	uint64_t reserved[12];
};
static_assert(sizeof(struct ff_stats_header) == 256, "header");

struct ff_session_stats {
	uint32_t in_use; /* 0: the row is free */
	uint32_t session;
	uint32_t pid, tenant;
	uint32_t qps, cqs, mrs, pds;
	uint64_t pinned_bytes;
	uint64_t tx_messages, tx_bytes; /* as requester: SEND and WRITE */
	uint64_t rx_messages, rx_bytes; /* as responder to SEND and WRITE; and what READ brought */
	uint64_t reads, atomics;
	uint64_t completions, completion_errors;
	uint64_t rnr_waits, retries, access_errors, faults;
	uint64_t commands;
	char container[FF_STATS_NAME]; /* UTF-8, NUL-padded */
	uint64_t drops; /* UC and UD messages to it that were dropped, and its own that led nowhere */
	uint64_t denied; /* what the rules of reach kept it from, or others from it */
	uint64_t reserved[1];
};
static_assert(sizeof(struct ff_session_stats) == 216, "session row");

struct ff_qp_stats {
	uint32_t qpn; /* 0: the row is free */
	uint32_t session;
	uint32_t state, dest_qpn;
	uint64_t tx_messages, tx_bytes, rx_messages, rx_bytes;
};
static_assert(sizeof(struct ff_qp_stats) == 48, "QP row");

#endif
