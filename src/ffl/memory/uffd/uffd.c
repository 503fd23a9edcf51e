/* What the other rooms call: is there a userfaultfd to be had, and one run swapped, with what may be tried again. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ffl/memory/uffd/kernel.h"
#include "ffl/memory/uffd/uffd.h"

enum {
	POPULATE_WRITE = 23, /* madvise of Linux 5.14 */
	TRIES = 14,	     /* at pages that a device writes to */
	NAP_NS = 20000,	     /* doubled each time: 0.3 s in all, longer than a disk takes to read */
};

static int device = -1;
static dev_t device_number;
static uint64_t features, missing;
static char reason[160];

const char *ff_uffd_reason(void) { return reason; }

void ff_uffd_without(uint64_t which) { missing = which; }

static int number_of(int fd, dev_t *number)
{
	struct stat file;
	if (ff_raw2(SYS_fstat, fd, &file) != 0 || !S_ISCHR(file.st_mode))
		return 0;
	*number = file.st_rdev;
	return 1;
}

int ff_uffd_init(int descriptor)
{
	device = -1;
	if (descriptor < 0 || !number_of(descriptor, &device_number))
		return 0;
	long fd = ff_uffd_open(descriptor, 0, &features);
	if (fd < 0)
		return 0;
	ff_raw1(SYS_close, fd);
	features &= ~missing;
	device = descriptor;
	return (features & UFFD_FEATURE_EVENT_REMAP) != 0 && ff_room() != NULL;
}

int ff_uffd_is_there(void)
{
	dev_t now;
	return device >= 0 && number_of(device, &now) && now == device_number;
}

static long run(struct ff_room *room)
{
	int unshare = room->rest.kind == FF_SWAP_UNSHARE;
	int error = ff_helper_start(room, unshare ? ff_uffd_unshare_all : ff_uffd_share_all);
	if (error)
		return -error;
	return unshare ? ff_uffd_put(room) : ff_helper_join(room);
}

/* Pages that are shared with a child since a fork read as if a device had them, until somebody writes. */
static void nap(const struct ff_room *room, int tried)
{
	struct timespec moment = { 0, (long)NAP_NS << tried };
	ff_raw3(SYS_madvise, room->fault, room->swap.addr + room->swap.length - room->fault, POPULATE_WRITE);
	if (tried > 0)
		ff_raw2(SYS_nanosleep, &moment, NULL);
}

static void explain(const struct ff_room *room, long error)
{
	if (error == -EBUSY)
		snprintf(reason, sizeof reason, "a device reads or writes the page at 0x%lx (O_DIRECT, or io_uring's registered buffers)",
			 room->fault);
	else if (error == -EDEADLK)
		snprintf(reason, sizeof reason, "thread %u waits on a futex there that is not private: its wake-up would be lost",
			 room->waiter);
	else
		snprintf(reason, sizeof reason, "%s", strerror((int)-error));
}

int ff_uffd_lend(struct ff_room *room)
{
	room->device = device;
	room->features = features;
	return ff_uffd_is_there();
}

int ff_uffd_swap(struct ff_swap *swap)
{
	struct ff_room *room = ff_room();
	if (room == NULL || ff_uffd_is_own(swap->addr, swap->length) || !ff_uffd_lend(room))
		return EOPNOTSUPP;
	long error = -EBUSY;
	room->rest = *swap;
	for (int tried = 0; tried < TRIES && error == -EBUSY; tried++) {
		uint64_t before = room->rest.length;
		error = run(room);
		if (error == -EBUSY)
			nap(room, tried);
		if (room->rest.length != before)
			tried = 0; /* another page than the last time */
	}
	*swap = room->rest;
	if (error)
		explain(room, error);
	return (int)-error;
}
