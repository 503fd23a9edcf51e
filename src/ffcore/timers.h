/* The two timers of RC, as the standard encodes them. */
#ifndef FFCORE_TIMERS_H
#define FFCORE_TIMERS_H

#include <stdint.h>

/* RNR NAK timer field (5 bits) -> nanoseconds. IBTA vol. 1, table "Encoding for RNR NAK Timer Field". */
static inline uint64_t ff_rnr_ns(uint32_t code)
{
	static const uint32_t hundredths_ms[32] = {65536, 1,	2,    3,    4,	  6,	8,    12,   16,	  24,	 32,
						   48,	  64,	96,   128,  192,  256,	384,  512,  768,  1024,	 1536,
						   2048,  3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152};
	return hundredths_ms[code & 31] * 10000ull;
}

/* Local ACK timeout field (5 bits) -> nanoseconds; 0: wait for ever (IBTA 9.9.2.1.2: 4.096 us * 2^code). */
static inline uint64_t ff_ack_timeout_ns(uint32_t code)
{
	return code & 31 ? 4096ull << (code & 31) : 0;
}

#endif
