"""Changing mappings: private memory into pages of the segment, in place, and back.

A run is changed in chunks, each of which is atomic for its pages (way.h): the mapping is looked at once more, the bytes
copied and the new mapping laid over the old. What can be done while the program runs is done before (allocating the
segment's pages, bringing in the application's) and after (filling the page tables).
"""

from libc.errno cimport EFAULT, ENOENT, ENOMEM, EOPNOTSUPP, ESTALE, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport strcmp, strerror, strncmp

from ffl.memory.parts cimport (
    FF_REGION_EXEC, FF_REGION_READ, FF_REGION_SHARED, FF_REGION_WRITE, FF_SWAP_SHARE, FF_SWAP_UNSHARE, PAGE,
    ff_maps_close, ff_maps_find, ff_maps_find_segment, ff_maps_is_segment, ff_maps_open, ff_memory_explain, ff_region,
    ff_segment, ff_swap, ff_way_begin, ff_way_chunk, ff_way_end, ff_way_reason, ff_way_swap, ff_windows_linger,
    ff_windows_run)


cdef extern from "sys/mman.h" nogil:
    enum:
        PROT_READ
        PROT_WRITE
        PROT_EXEC
    int madvise(void *addr, size_t length, int advice)

cdef extern from "fcntl.h" nogil:
    enum:
        FALLOC_FL_KEEP_SIZE
        FALLOC_FL_PUNCH_HOLE
    int fallocate(int fd, int mode, long offset, long length)

cdef enum:
    POPULATE_READ = 22  # madvise of Linux 5.14; older kernels say EINVAL, and the pages come one by one
    POPULATE_WRITE = 23
    TRIES = 3  # at a mapping that other threads keep changing

# Guarded by the world's lock. Static, because what is on the stack may be what is being swapped.
cdef ff_swap swap
cdef ff_region found


cdef int protection(const ff_region *region) noexcept nogil:
    return ((PROT_READ if region.flags & FF_REGION_READ else 0) | (PROT_WRITE if region.flags & FF_REGION_WRITE else 0)
            | (PROT_EXEC if region.flags & FF_REGION_EXEC else 0))


cdef uint64_t up_to(uint64_t addr, uint64_t end) noexcept nogil:
    """How much to change at once from addr on: to the next multiple of a chunk, so that huge pages stay whole."""
    cdef uint64_t chunk = ff_way_chunk()
    return min(end, (addr & ~(chunk - 1)) + chunk) - addr


cdef bint is_ours(const ff_segment *segment, const ff_region *region, uint64_t addr, uint64_t offset) noexcept nogil:
    """Whether addr maps that place of the segment."""
    return ff_maps_is_segment(segment, region) and region.offset + (addr - region.start) == offset


cdef int refuse(int maps, const ff_segment *segment, uint64_t addr, const ff_region *region) noexcept nogil:
    """0 when what is mapped there can be converted, or why not."""
    cdef const char *name = &region.name[0]
    if ff_maps_is_segment(segment, region):
        return 0  # moved here by mremap: converted again, to where this address belongs
    if not region.flags & FF_REGION_READ:
        ff_memory_explain("cannot be read", addr, name)
        return EFAULT
    if region.flags & FF_REGION_SHARED:
        ff_memory_explain("is shared memory", addr, name)
        return EOPNOTSUPP
    if region.page_size > PAGE:
        return 0
    if strncmp(name, "/anon_hugepage", 14) == 0:  # and nobody knows how huge they are
        ff_memory_explain("consists of huge pages", addr, name)
        return EOPNOTSUPP
    if region.inode == 0:
        # Anonymous, if it is not one of the kernel's own.
        if name[0] == c'[' and strcmp(name, "[heap]") != 0 and strcmp(name, "[stack]") != 0 \
                and strncmp(name, "[anon:", 6) != 0:
            ff_memory_explain("is the kernel's", addr, name)
            return EOPNOTSUPP
        return 0
    # A private mapping of a file. What counts is what the program sees there (.data, .bss, .rodata).
    if strncmp(name, "/dev/", 5) == 0 and strncmp(name, "/dev/shm/", 9) != 0 and strcmp(name, "/dev/zero") != 0:
        ff_memory_explain("is a device's memory", addr, name)
        return EOPNOTSUPP
    return 0


cdef int look(int maps, uint64_t addr, bint with_name) noexcept nogil:
    """found is the mapping that holds addr. 0 or an errno."""
    cdef int result = ff_maps_find(maps, addr, &found, with_name)
    if result == ENOENT or (result == 0 and found.start > addr):
        ff_memory_explain("is not mapped", addr, "")
        return EFAULT
    if result != 0:
        ff_memory_explain("cannot be looked up in /proc/self/maps", addr, strerror(result))
    return result


# ---- into the segment ------------------------------------------------------------------------------------------

cdef public int ff_convert_share(const ff_segment *segment, uint64_t start, uint64_t end) noexcept nogil:
    cdef int maps = ff_maps_open(), result
    if maps < 0:
        ff_memory_explain("cannot be looked up in /proc/self/maps", start, strerror(-maps))
        return -maps
    result = share_all(maps, segment, start, end)
    ff_maps_close(maps)
    return result


cdef int share_all(int maps, const ff_segment *segment, uint64_t start, uint64_t end) noexcept nogil:
    cdef uint64_t length, offset
    cdef int result, tries = 0
    while start < end:
        result = look(maps, start, False)
        if result != 0:
            return result
        length = ff_windows_run(start, min(end, found.end), &offset)
        if is_ours(segment, &found, start, offset):
            start += length
            continue
        result = look(maps, start, True)
        if result == 0:
            result = refuse(maps, segment, start, &found)
        if result != 0:
            return result
        length = whole_pages(&found, min(length, up_to(start, min(end, found.end))), length)
        if length == 0:
            ff_memory_explain("is a huge page, for which there is no place in one piece", start, "")
            return ENOMEM
        result = share_chunk(maps, segment, start, length, offset)
        if result == ESTALE and tries < TRIES:
            tries += 1  # the mapping changed under our eyes
            continue
        if result != 0:
            return result
        tries = 0
        start += length
    return 0


cdef uint64_t whole_pages(const ff_region *region, uint64_t length, uint64_t most) noexcept nogil:
    """The kernel maps nothing over a part of a huge page. most: what lies in one piece in the segment."""
    if region.page_size <= PAGE:
        return length
    length = max(length, <uint64_t>region.page_size)
    return 0 if length > most else length - length % region.page_size


cdef int share_chunk(int maps, const ff_segment *segment, uint64_t addr, uint64_t length,
                     uint64_t offset) noexcept nogil:
    cdef ff_region before = found
    cdef int result
    if fallocate(segment.fd, FALLOC_FL_KEEP_SIZE, offset, length) != 0:
        result = errno
        ff_memory_explain("finds no room in the session's memory", addr, strerror(result))
        return result
    madvise(<void *>addr, length, POPULATE_READ)
    if addr == before.start:
        leave_room_to_grow(segment, addr, offset)
    result = ff_way_begin()
    if result != 0:
        ff_memory_explain("cannot be converted", addr, ff_way_reason())
        return result
    result = look(maps, addr, False)
    if result == 0 and (found.flags != before.flags or found.inode != before.inode or found.end < addr + length):
        result = ESTALE
    if result == 0:
        swap.kind = FF_SWAP_SHARE
        swap.fd = segment.fd
        swap.prot = protection(&found)
        swap.addr = addr
        swap.length = length
        swap.offset = offset
        result = ff_way_swap(&swap)
        if result != 0:
            ff_memory_explain("cannot be converted", addr, ff_way_reason())
    ff_way_end()
    if result == 0:
        madvise(<void *>addr, length, POPULATE_WRITE if before.flags & FF_REGION_WRITE else POPULATE_READ)
    return result


cdef void leave_room_to_grow(const ff_segment *segment, uint64_t addr, uint64_t offset) noexcept nogil:
    """The stack grows by faults just below its mapping. Of a stack converted from its lowest page on nothing would be
    left to grow, so it is made to grow now: by a read through the kernel, which fails, without harm, below any other
    mapping. (What is left of the stack after a conversion in its middle is not called [stack] any more.)"""
    pwrite(segment.fd, <void *>(addr - 1), 1, offset)


cdef extern from "unistd.h" nogil:
    ssize_t pwrite(int fd, const void *buffer, size_t size, long offset)


# ---- and back --------------------------------------------------------------------------------------------------

cdef public int ff_convert_unshare(const ff_segment *segment, uint64_t start, uint64_t end) noexcept nogil:
    cdef int maps = ff_maps_open(), result = 0
    cdef uint64_t length, offset, addr = start
    if maps < 0:
        ff_windows_linger(start, end)
        return -maps
    while addr < end:
        length = ff_windows_run(addr, end, &offset)
        result = unshare_run(maps, segment, addr, addr + length, offset)
        if result != 0:
            ff_windows_linger(addr, end)
            break
        fallocate(segment.fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, offset, length)
        addr += length
    ff_maps_close(maps)
    return result


cdef int unshare_run(int maps, const ff_segment *segment, uint64_t start, uint64_t end, uint64_t offset) noexcept nogil:
    """[start, end), whose place is offset, where it is still ours. Elsewhere is somebody else's memory by now; and if
    the application moved ours there (mremap), it is converted back where it went."""
    cdef uint64_t addr = start, stop
    cdef bint elsewhere = False
    cdef int result
    while addr < end:
        result = ff_maps_find(maps, addr, &found, False)
        if result == ENOENT or (result == 0 and found.start >= end):
            elsewhere = True
            break
        if result != 0:
            return result
        if found.start > addr:
            elsewhere = True
            addr = found.start
        stop = min(end, found.end)
        if is_ours(segment, &found, addr, offset + (addr - start)):
            stop = as_far_as(maps, stop, end)
            result = unshare_region(segment, addr, stop, offset + (addr - start))
            if result != 0:
                return result
        else:
            elsewhere = True
        addr = stop
    return unshare_moved(maps, segment, offset, end - start) if elsewhere else 0


cdef uint64_t as_far_as(int maps, uint64_t stop, uint64_t end) noexcept nogil:
    """found goes on to stop; how far, to end at most, do others that are ours and alike (registration.pyx: fence)?"""
    cdef ff_region next
    while stop < end and ff_maps_find(maps, stop, &next, False) == 0 and next.start == stop and next.flags == found.flags \
            and next.inode == found.inode and next.major == found.major and next.minor == found.minor \
            and next.offset - found.offset == next.start - found.start:
        stop = min(end, next.end)
    return stop


cdef int unshare_region(const ff_segment *segment, uint64_t addr, uint64_t end, uint64_t offset) noexcept nogil:
    """found holds [addr, end)."""
    cdef int result
    swap.kind = FF_SWAP_UNSHARE
    swap.fd = segment.fd
    swap.prot = protection(&found)
    while addr < end:
        swap.addr = addr
        swap.length = up_to(addr, end)
        swap.offset = offset
        result = ff_way_begin()
        if result != 0:
            return result
        result = ff_way_swap(&swap)
        ff_way_end()
        if result != 0:
            return result
        addr += swap.length
        offset += swap.length
    return 0


cdef int unshare_moved(int maps, const ff_segment *segment, uint64_t offset, uint64_t length) noexcept nogil:
    """Whatever maps [offset, offset + length) of the segment, wherever it is."""
    cdef uint64_t addr = 0, low, high
    cdef int result
    while ff_maps_find_segment(maps, addr, segment, &found) == 0:
        addr = found.end
        low = max(offset, found.offset)
        high = min(offset + length, found.offset + (found.end - found.start))
        if low < high:
            result = unshare_region(segment, found.start + (low - found.offset), found.start + (high - found.offset),
                                    low)
            if result != 0:
                return result
    return 0


cdef public int ff_convert_restore(const ff_segment *segment) noexcept nogil:
    cdef int maps = ff_maps_open(), result
    if maps < 0:
        return -maps
    result = unshare_moved(maps, segment, 0, segment.size)
    ff_maps_close(maps)
    return result
