/*
 * The copy floor: memcpy alone, in the pattern of ib_write_bw.
 *
 * perftest posts up to tx-depth WRITEs that all name the same local and the same remote buffer; only buffers smaller
 * than 4096 bytes are cycled within a page of that size. So does this: `--size` bytes from one shared mapping to
 * another, over and over, and below 4096 the next cache-line-aligned place of the page.
 *
 *   copy [--size BYTES] [--ms MILLISECONDS]
 */
#include "floors.h"

enum { CYCLE = 4096, LINE = 64, BATCH = 128 }; /* BATCH: perftest's tx-depth, between two looks at the clock */

int main(int argc, char **argv)
{
	size_t size = (size_t)option(argc, argv, "--size", 65536), offset = 0;
	uint64_t budget = (uint64_t)option(argc, argv, "--ms", 500) * 1000000u, begin, end, copies = 0;
	size_t step = size < CYCLE ? (size + LINE - 1) / LINE * LINE : 0;
	size_t mapped = size < CYCLE ? CYCLE : size;
	char *from, *to;

	if (size == 0 || size > (size_t)1 << 32)
		return fprintf(stderr, "copy: --size from 1 byte to 4 GiB\n"), 2;
	from = shared_memory(mapped);
	to = shared_memory(mapped);
	for (int warm_up = 0; warm_up < 4; warm_up++)
		memcpy(to, from, size);
	begin = now_ns();
	do {
		for (int i = 0; i < BATCH; i++) {
			memcpy(to + offset, from + offset, size);
			__asm__ volatile("" ::: "memory"); /* each copy is made, though nobody reads it */
			offset = offset + step + size <= CYCLE ? offset + step : 0;
		}
		copies += BATCH;
		end = now_ns();
	} while (end - begin < budget);
	printf("{\"gbit_per_s\": %.3f, \"copies_per_s\": %.0f, \"size\": %zu}\n",
	       (double)copies * (double)size * 8.0 / (double)(end - begin),
	       (double)copies * 1e9 / (double)(end - begin), size);
	return 0;
}
