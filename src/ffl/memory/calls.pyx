"""Calls of the program that mean something else for private memory than for the segment that lies in its place.

A program that gives pages back (MADV_DONTNEED) must read zeros afterwards, while an MR of them keeps the pages that it has, as
with a NIC that pinned them. docs/design-memory.md has the table. The session makes these calls ours (session.pyx), in
whatever object they are made; calls inside the C library are not seen, and need not be.
"""

from libc.errno cimport EFAULT, EINVAL, ENOENT, ENOMEM, errno
from libc.stdint cimport uint32_t, uint64_t

from ffl.memory.api cimport ff_fork_look
from ffl.memory.parts cimport (
    FF_REGION_EXEC, FF_REGION_READ, FF_REGION_WRITE, PAGE, ff_maps_close, ff_maps_find, ff_maps_is_segment, ff_maps_open,
    ff_memory_segment, ff_region, ff_segment, ff_windows_any, ff_world_enter, ff_world_enter_briefly, ff_world_exit)


cdef extern from "sys/mman.h" nogil:
    enum:
        PROT_READ
        PROT_WRITE
        PROT_EXEC
        MAP_PRIVATE
        MAP_ANONYMOUS
        MAP_FIXED
        MADV_DONTNEED
        MADV_FREE
        MADV_REMOVE
        MREMAP_MAYMOVE
        MREMAP_FIXED
    void *MAP_FAILED
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)
    int madvise(void *addr, size_t length, int advice)
    void *mremap(void *addr, size_t length, size_t new_length, int flags, ...)

cdef extern from "fcntl.h" nogil:
    enum:
        O_RDONLY
        O_CLOEXEC
    int open(const char *path, int flags, ...)

cdef extern from "unistd.h" nogil:
    int close(int fd)
    ssize_t read(int fd, void *buffer, size_t size)

cdef enum:
    DONTNEED_LOCKED = 24  # MADV_DONTNEED_LOCKED, Linux 5.18
    DONTUNMAP = 4  # MREMAP_DONTUNMAP, 5.7
    NOREPLACE = 0x100000  # MAP_FIXED_NOREPLACE, 4.17


cdef int protection(const ff_region *region) noexcept nogil:
    return ((PROT_READ if region.flags & FF_REGION_READ else 0) | (PROT_WRITE if region.flags & FF_REGION_WRITE else 0)
            | (PROT_EXEC if region.flags & FF_REGION_EXEC else 0))


cdef uint64_t whole(uint64_t length) noexcept nogil:
    return (length + PAGE - 1) & ~<uint64_t>(PAGE - 1)


cdef bint is_registered(uint64_t start, uint64_t end) noexcept nogil:
    """With the lock held."""
    return ff_memory_segment() != NULL and end > start and ff_windows_any(start, end)


# ---- madvise ---------------------------------------------------------------------------------------------------

cdef int advise_ours(const ff_region *region, uint64_t low, uint64_t high, int advice) noexcept nogil:
    """What the advice means for pages that a NIC has pinned. 0 or an errno."""
    if advice == MADV_FREE:
        return 0  # pinned pages are not taken
    if advice == MADV_REMOVE:
        return EINVAL  # as for private memory
    if mmap(<void *>low, high - low, protection(region), MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED:
        return errno
    return 0


cdef int advise(int maps, uint64_t start, uint64_t end, int advice) noexcept nogil:
    """Mapping by mapping. As the kernel's: what is mapped is advised, and then it is ENOMEM if something was not."""
    cdef ff_region region
    cdef uint64_t addr = start, stop
    cdef int result = 0, error
    while addr < end:
        error = ff_maps_find(maps, addr, &region, False)
        if error == ENOENT or (error == 0 and region.start >= end):
            return ENOMEM
        if error != 0:
            return error
        if region.start > addr:
            result = ENOMEM
            addr = region.start
        stop = min(end, region.end)
        if ff_maps_is_segment(ff_memory_segment(), &region):
            error = advise_ours(&region, addr, stop, advice)
        else:
            error = errno if madvise(<void *>addr, stop - addr, advice) != 0 else 0
        if error != 0:
            return error
        addr = stop
    return result


cdef int while_another_forks(void *addr, size_t length, int advice) noexcept nogil:
    """No mapping changes then, and the thread that forks may wait for a lock of the caller's heap. So the pages stay, and
    become zeros, for the MR too: by the kernel, which does not mind if some are not there."""
    cdef int zeros
    if advice == MADV_FREE or not ff_windows_any(<uint64_t>addr, <uint64_t>addr + whole(length)):
        return madvise(addr, length, advice)
    zeros = open("/dev/zero", O_RDONLY | O_CLOEXEC)
    if zeros < 0 or read(zeros, addr, length) < 0:
        close(zeros)
        return madvise(addr, length, advice)
    close(zeros)
    return 0


cdef public int ff_memory_madvise(void *addr, size_t length, int advice) noexcept nogil:
    cdef uint64_t start = <uint64_t>addr, end = start + whole(length)
    cdef int maps, result, before = errno
    if advice != MADV_DONTNEED and advice != MADV_FREE and advice != MADV_REMOVE and advice != DONTNEED_LOCKED:
        return madvise(addr, length, advice)
    ff_fork_look()
    if start % PAGE != 0 or end < start or ff_memory_segment() == NULL:
        return madvise(addr, length, advice)
    if ff_world_enter_briefly() != 0:
        return while_another_forks(addr, length, advice)
    maps = ff_maps_open() if is_registered(start, end) else -1
    if maps < 0:
        ff_world_exit()
        return madvise(addr, length, advice)
    result = advise(maps, start, end, advice)
    ff_maps_close(maps)
    ff_world_exit()
    errno_set(result if result else before)
    return -1 if result else 0


# ---- mremap ----------------------------------------------------------------------------------------------------

cdef int move(int maps, uint64_t start, uint64_t end, uint64_t to) noexcept nogil:
    """Mapping by mapping: registered pages stay registered where they go. 0 or an errno."""
    cdef ff_region region
    cdef uint64_t addr = start, stop
    while addr < end:
        if ff_maps_find(maps, addr, &region, False) != 0 or region.start > addr:
            return EFAULT
        stop = min(end, region.end)
        if mremap(<void *>addr, stop - addr, stop - addr, MREMAP_MAYMOVE | MREMAP_FIXED, <void *>(to + addr - start)) == MAP_FAILED:
            return errno
        addr = stop
    return 0


cdef int grow_or_move(int maps, uint64_t start, uint64_t length, uint64_t wanted, int flags, uint64_t *to) noexcept nogil:
    """The segment's next pages are somebody else's: what is added is private memory. 0 or an errno."""
    cdef ff_region region
    cdef void *place
    cdef uint64_t kept = min(length, wanted)
    cdef int prot, result = ff_maps_find(maps, start, &region, False)
    if result != 0 or region.start > start:
        return EFAULT
    prot = protection(&region)
    if not flags & (MREMAP_FIXED | DONTUNMAP):
        if wanted <= length:
            munmap(<void *>(start + wanted), length - wanted)
            to[0] = start
            return 0
        place = mmap(<void *>(start + length), wanted - length, prot, MAP_PRIVATE | MAP_ANONYMOUS | NOREPLACE, -1, 0)
        if place == <void *>(start + length):
            to[0] = start
            return 0
        if place != MAP_FAILED:
            munmap(place, wanted - length)  # a kernel that takes NOREPLACE for a hint
    if not flags & MREMAP_MAYMOVE:
        return ENOMEM
    place = mmap(<void *>to[0] if flags & MREMAP_FIXED else NULL, wanted, prot,
                 MAP_PRIVATE | MAP_ANONYMOUS | (MAP_FIXED if flags & MREMAP_FIXED else 0), -1, 0)
    if place == MAP_FAILED:
        return errno
    to[0] = <uint64_t>place
    result = move(maps, start, start + kept, to[0])
    if result == 0 and flags & DONTUNMAP:
        mmap(<void *>start, length, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    elif result == 0 and length > kept:
        munmap(<void *>(start + kept), length - kept)
    return result


cdef public void *ff_memory_mremap(void *old, size_t length, size_t wanted, int flags, void *place) noexcept nogil:
    """mremap, whose last argument is there with MREMAP_FIXED only; without, what stands in its register is not looked at."""
    cdef uint64_t start = <uint64_t>old, to = <uint64_t>place
    cdef int maps, result, before = errno
    ff_fork_look()
    if start % PAGE != 0 or length == 0 or wanted == 0 or (flags & MREMAP_FIXED and to % PAGE != 0) \
            or ff_memory_segment() == NULL or ff_world_enter() != 0:
        return mremap(old, length, wanted, flags, place)
    maps = ff_maps_open() if is_registered(start, start + whole(length)) else -1
    if maps < 0:
        ff_world_exit()
        return mremap(old, length, wanted, flags, place)
    result = grow_or_move(maps, start, whole(length), whole(wanted), flags, &to)
    ff_maps_close(maps)
    ff_world_exit()
    errno_set(result if result else before)
    return MAP_FAILED if result else <void *>to


cdef extern from *:
    """
    #include <errno.h>
    #define ff_errno_set(value) (errno = (value))
    """
    void errno_set "ff_errno_set"(int value) noexcept nogil
