/*
 * The ring floor: 64-byte messages through two rings and a process between them, with nothing checked or copied
 * besides the slots themselves. A fills ring 1; the router moves slots to ring 2; B empties it.
 *
 *   rings [--messages N] [--entries POWER_OF_2]
 */
#include "floors.h"

struct slot {
	_Alignas(64) char body[56];
	a64 seq; /* index + 1 once the slot is written: the release that publishes it */
};

struct ring {
	_Alignas(64) a64 consumed; /* slots before it are free again */
	_Alignas(64) struct slot slots[];
};

static struct ring *first, *second;
static uint64_t entries, messages;

static void wait_for_room(struct ring *ring, uint64_t index, uint64_t *consumed)
{
	while (index - *consumed >= entries) {
		*consumed = atomic_load_explicit(&ring->consumed, memory_order_acquire);
		if (index - *consumed >= entries)
			sched_yield();
	}
}

static struct slot *wait_for_slot(struct ring *ring, uint64_t index)
{
	struct slot *slot = &ring->slots[index & (entries - 1)];

	while (atomic_load_explicit(&slot->seq, memory_order_acquire) != index + 1)
		sched_yield();
	return slot;
}

/* Consumption is published each quarter of a ring, so that the other side's line is not bounced per message. */
static void consumed(struct ring *ring, uint64_t index)
{
	if ((index + 1) % (entries / 4) == 0)
		atomic_store_explicit(&ring->consumed, index + 1, memory_order_release);
}

static void router(void *unused)
{
	uint64_t room = 0;

	(void)unused;
	for (uint64_t i = 0; i < messages; i++) {
		struct slot *in = wait_for_slot(first, i), *out = &second->slots[i & (entries - 1)];

		wait_for_room(second, i, &room);
		memcpy(out->body, in->body, sizeof out->body);
		atomic_store_explicit(&out->seq, i + 1, memory_order_release);
		consumed(first, i);
	}
}

static void consumer(void *unused)
{
	volatile char sink;

	(void)unused;
	for (uint64_t i = 0; i < messages; i++) {
		sink = wait_for_slot(second, i)->body[0];
		consumed(second, i);
	}
	(void)sink;
}

int main(int argc, char **argv)
{
	uint64_t begin, room = 0;
	pid_t others[2];

	messages = (uint64_t)option(argc, argv, "--messages", 20000000);
	entries = (uint64_t)option(argc, argv, "--entries", 1024);
	if (entries < 4 || (entries & (entries - 1)) || messages == 0)
		return fprintf(stderr, "rings: --entries a power of 2 from 4, --messages from 1\n"), 2;
	first = shared_memory(sizeof *first + entries * sizeof(struct slot));
	second = shared_memory(sizeof *second + entries * sizeof(struct slot));
	others[0] = start(router, NULL);
	others[1] = start(consumer, NULL);
	begin = now_ns();
	for (uint64_t i = 0; i < messages; i++) {
		struct slot *slot = &first->slots[i & (entries - 1)];

		wait_for_room(first, i, &room);
		memset(slot->body, (int)i, sizeof slot->body);
		atomic_store_explicit(&slot->seq, i + 1, memory_order_release);
	}
	waitpid(others[0], NULL, 0);
	waitpid(others[1], NULL, 0);
	printf("{\"million_per_s\": %.3f, \"messages\": %llu, \"entries\": %llu}\n",
	       (double)messages * 1e3 / (double)(now_ns() - begin), (unsigned long long)messages,
	       (unsigned long long)entries);
	return 0;
}
