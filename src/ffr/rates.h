/*
 * How fast: rates of bytes and of operations, each as a clock that runs ahead. What is sent moves it on by the time that it
 * takes at that rate; while it is ahead of the real time nothing may begin. Rebuilt at start, so no part of struct ffr_state.
 */
#ifndef FFR_RATES_H
#define FFR_RATES_H

#include "ffcore/shm.h"

enum {
	FFR_BUCKETS = 4096, /* number 0 is none */
	FFR_SESSION_BUCKETS = 3,
	FFR_BUCKET_CONTAINER = 0, /* what all of the container's sessions share */
	FFR_BUCKET_TENANT = 1,	  /* ... the tenant's */
	FFR_BUCKET_QP = 2,	  /* rates that each QP has by itself: the clocks are the QPs' */
};

struct ffr_clock {
	uint64_t bytes_ns, ops_ns;
};

struct ffr_bucket {
	uint64_t bytes_per_s, ops_per_s; /* 0: any */
	struct ffr_clock clock;
	ff_a64 held_ns; /* how long QPs have waited for it, one after the other */
};

/* What the control thread wants changed. */
struct ffr_rates_ask {
	uint32_t number; /* of a bucket: its rates; 0: none */
	uint64_t bytes_per_s, ops_per_s;
	uint32_t session; /* FFR_NONE, or whose buckets these are now */
	uint32_t bucket[FFR_SESSION_BUCKETS];
};

struct ffr_rates {
	struct ffr_rates_ask *ask;
	struct ffr_bucket bucket[FFR_BUCKETS];
};

#endif
