/* io_uring by system calls: one ring, one request at a time. */
#ifndef MEMORY_URING_H
#define MEMORY_URING_H

#include <linux/io_uring.h>
#include <stdatomic.h>

#include "memory_test.h"

struct uring {
	int fd;
	_Atomic uint32_t *sq_tail, *cq_head, *cq_tail, *sq_flags;
	uint32_t *sq_array, sq_mask, cq_mask;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
};

static inline void uring_open(struct uring *ring, uint32_t flags)
{
	struct io_uring_params p = { .flags = flags, .sq_thread_idle = 2000 };
	ring->fd = (int)syscall(SYS_io_uring_setup, 8, &p);
	CHECK(ring->fd >= 0);
	uint8_t *sq = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
	uint8_t *cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof *ring->cqe, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
			   IORING_OFF_CQ_RING);
	ring->sqe = mmap(NULL, p.sq_entries * sizeof *ring->sqe, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQES);
	CHECK(sq != MAP_FAILED && cq != MAP_FAILED && ring->sqe != MAP_FAILED);
	ring->sq_tail = (void *)(sq + p.sq_off.tail);
	ring->sq_flags = (void *)(sq + p.sq_off.flags);
	ring->sq_array = (void *)(sq + p.sq_off.array);
	ring->sq_mask = *(uint32_t *)(sq + p.sq_off.ring_mask);
	ring->cq_head = (void *)(cq + p.cq_off.head);
	ring->cq_tail = (void *)(cq + p.cq_off.tail);
	ring->cq_mask = *(uint32_t *)(cq + p.cq_off.ring_mask);
	ring->cqe = (void *)(cq + p.cq_off.cqes);
}

static inline void uring_submit(struct uring *ring, uint8_t opcode, uint8_t flags, int fd, void *buffer, uint32_t length)
{
	uint32_t tail = *ring->sq_tail, slot = tail & ring->sq_mask;
	ring->sqe[slot] = (struct io_uring_sqe){ .opcode = opcode, .flags = flags, .fd = fd, .addr = (uint64_t)buffer, .len = length };
	ring->sq_array[slot] = slot;
	*ring->sq_tail = tail + 1;
	CHECK(syscall(SYS_io_uring_enter, ring->fd, 1, 0, IORING_ENTER_SQ_WAKEUP, NULL, 0) >= 0);
}

static inline int uring_result(struct uring *ring)
{
	uint32_t head = *ring->cq_head;
	while (*ring->cq_tail == head)
		syscall(SYS_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	int result = ring->cqe[head & ring->cq_mask].res;
	*ring->cq_head = head + 1;
	return result;
}

#endif
