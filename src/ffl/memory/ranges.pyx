"""A range that a program registers, cut into pieces by what is mapped there: private memory, which is converted into the
session's segment, and shared memory, which the router maps as well.

The range is looked over before anything changes. What another thread maps meanwhile is found by whoever comes next: a
conversion looks at each mapping itself, and so does the router.
"""

from libc.errno cimport EFAULT, EINVAL, ENOENT, ENOMEM, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport strerror

from ffcore.control cimport FF_EXTENT_SHARED
from ffl.memory.api cimport FF_PIECES, ff_extent, ff_held, ff_memory_pin, ff_memory_unpin
from ffl.memory.parts cimport (
    FF_REGION_READ, FF_REGION_SHARED, FF_REGION_WRITE, PAGE, ff_maps_close, ff_maps_find, ff_maps_is_segment, ff_maps_open,
    ff_memory_explain, ff_memory_segment, ff_region, ff_world_enter, ff_world_exit)


cdef extern from "sys/mman.h" nogil:
    int madvise(void *addr, size_t length, int advice)

cdef enum:
    POPULATE_READ = 22  # madvise of Linux 5.14; older kernels say EINVAL
    POPULATE_WRITE = 23

cdef struct Piece:
    bint shared
    bint huge  # private huge pages: start and end are whole ones, which may lie beyond the range
    uint64_t start
    uint64_t end
    uint64_t inode  # of shared memory: which, and where the piece ends in it
    uint64_t device
    uint64_t after

cdef struct Pieces:
    uint32_t n
    Piece piece[FF_PIECES]


# ---- looking ---------------------------------------------------------------------------------------------------

cdef bint goes_on(const Piece *last, const ff_region *region, bint shared, bint huge, uint64_t start) noexcept nogil:
    """Whether the mapping continues the piece before it."""
    if last.shared != shared or last.huge != huge or last.end != start:
        return False
    return not shared or (last.inode == region.inode and last.device == (<uint64_t>region.major << 32 | region.minor)
                          and last.after == region.offset + (start - region.start))


cdef int add(Pieces *all, const ff_region *region, uint64_t start, uint64_t end) noexcept nogil:
    """[start, end) of the mapping is the next part of the range."""
    cdef bint shared = (region.flags & FF_REGION_SHARED and not ff_maps_is_segment(ff_memory_segment(), region))
    cdef bint huge = not shared and region.page_size > PAGE
    cdef Piece *piece = &all.piece[all.n - 1]
    if huge:
        start &= ~<uint64_t>(region.page_size - 1)
        end = (end + region.page_size - 1) & ~<uint64_t>(region.page_size - 1)
    if all.n == 0 or not goes_on(piece, region, shared, huge, start):
        if all.n == FF_PIECES:
            ff_memory_explain("is the end of a range of too many pieces", start, "")
            return ENOMEM
        piece = &all.piece[all.n]
        all.n += 1
        piece.shared = shared
        piece.huge = huge
        piece.start = start
        piece.inode = region.inode
        piece.device = <uint64_t>region.major << 32 | region.minor
    piece.end = end
    piece.after = region.offset + (end - region.start)
    return 0


cdef int look_over(uint64_t addr, uint64_t end, bint writable, Pieces *all) noexcept nogil:
    """The world's lock is held. What is wrong with private memory beyond this, its conversion finds."""
    cdef int maps = ff_maps_open(), result = 0
    cdef ff_region region
    all.n = 0
    if maps < 0:
        ff_memory_explain("cannot be looked up in /proc/self/maps", addr, strerror(-maps))
        return -maps
    while addr < end and result == 0:
        result = ff_maps_find(maps, addr, &region, False)
        if result == ENOENT or (result == 0 and region.start > addr):
            ff_memory_explain("is not mapped", addr, "")
            result = EFAULT
        elif result != 0:
            ff_memory_explain("cannot be looked up in /proc/self/maps", addr, strerror(result))
        elif not region.flags & FF_REGION_READ:
            ff_memory_explain("cannot be read", addr, "")
            result = EFAULT
        elif writable and not region.flags & FF_REGION_WRITE:
            ff_memory_explain("is read-only, and is to be written to", addr, "")
            result = EFAULT
        else:
            result = add(all, &region, addr, min(end, region.end))
            addr = region.end
    ff_maps_close(maps)
    return result


# ---- bringing in -----------------------------------------------------------------------------------------------

cdef void trim(ff_extent *out, uint32_t *n, uint64_t head, uint64_t tail) noexcept nogil:
    """Takes so many bytes off both ends of extents that have more."""
    cdef uint32_t first = 0, i
    while out[first].length <= head:
        head -= out[first].length
        first += 1
    out[first].offset += head
    out[first].length -= head
    while out[n[0] - 1].length <= tail:
        tail -= out[n[0] - 1].length
        n[0] -= 1
    out[n[0] - 1].length -= tail
    n[0] -= first
    for i in range(n[0]):
        out[i] = out[first + i]


cdef int take_private(const Piece *piece, uint64_t addr, uint64_t last, ff_extent *out, uint32_t *n,
                      ff_held *held) noexcept nogil:
    """The part of the piece that [addr, last) covers is pinned, and its pages written to out. Of huge pages all is pinned."""
    cdef uint64_t start = piece.start if piece.huge else max(addr, piece.start)
    cdef uint64_t end = piece.end if piece.huge else min(last, piece.end)
    cdef uint64_t first = addr & ~<uint64_t>(PAGE - 1), after = (last + PAGE - 1) & ~<uint64_t>(PAGE - 1)
    cdef uint32_t got
    cdef int result = ff_memory_pin(start, end - start, out + n[0], FF_PIECES - n[0], &got)
    if result != 0:
        return result
    if piece.huge:
        trim(out + n[0], &got, max(first, start) - start, end - min(after, end))
    n[0] += got
    held.run[held.pieces].addr = start
    held.run[held.pieces].length = end - start
    held.pieces += 1
    return 0


cdef int take_shared(const Piece *piece, ff_extent *out, uint32_t *n) noexcept nogil:
    if n[0] == FF_PIECES:
        ff_memory_explain("is the end of a range of too many pieces", piece.start, "")
        return ENOMEM
    out[n[0]].offset = piece.start | FF_EXTENT_SHARED
    out[n[0]].length = piece.end - piece.start
    n[0] += 1
    return 0


cdef public int ff_range_bring_in(const ff_extent *extents, uint32_t n, bint writable) noexcept nogil:
    cdef uint64_t start
    cdef uint32_t i
    for i in range(n):
        start = extents[i].offset & ~FF_EXTENT_SHARED
        if (extents[i].offset & FF_EXTENT_SHARED
                and madvise(<void *>start, extents[i].length, POPULATE_WRITE if writable else POPULATE_READ) != 0
                and errno != EINVAL):
            ff_memory_explain("cannot be brought in", start, strerror(errno))
            return ENOMEM if errno == ENOMEM else EFAULT
    return 0


cdef public int ff_range_pin(uint64_t addr, uint64_t length, bint writable, ff_extent *out, uint32_t *n,
                             ff_held *held) noexcept nogil:
    cdef uint64_t end = (addr + length + PAGE - 1) & ~<uint64_t>(PAGE - 1)
    cdef Pieces all
    cdef uint32_t i
    cdef int result
    n[0] = held.pieces = 0
    if length == 0 or addr + length < addr or end < addr or ff_world_enter() != 0:
        return ff_memory_pin(addr, length, out, FF_PIECES, n)  # which says what is wrong
    result = look_over(addr & ~<uint64_t>(PAGE - 1), end, writable, &all) if ff_memory_segment() != NULL else 0
    ff_world_exit()
    if ff_memory_segment() == NULL:
        return ff_memory_pin(addr, length, out, FF_PIECES, n)
    for i in range(all.n):
        if result == 0 and all.piece[i].shared:
            result = take_shared(&all.piece[i], out, n)
        elif result == 0:
            result = take_private(&all.piece[i], addr, addr + length, out, n, held)
    if result != 0:
        ff_range_unpin(held)
        held.pieces = 0
    return result


cdef public int ff_range_unpin(const ff_held *held) noexcept nogil:
    cdef uint32_t i
    cdef int result = 0, error
    for i in range(held.pieces):
        error = ff_memory_unpin(held.run[i].addr, held.run[i].length)
        result = result or error
    return result
