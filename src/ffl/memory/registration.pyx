"""Registered memory: the calls that memory/api.pxd declares, and the session's segment."""

from libc.errno cimport EBADF, EFAULT, EINVAL, ENOMEM
from libc.stdint cimport uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memset

from ffl.memory.api cimport ff_extent, ff_fork_look
from ffl.memory.parts cimport (
    PAGE, ff_convert_restore, ff_convert_share, ff_convert_unshare, ff_fork_init, ff_segment, ff_windows_clear,
    ff_way_choose, ff_windows_init, ff_windows_pin, ff_windows_pinned, ff_windows_reserve, ff_windows_run, ff_windows_trim,
    ff_windows_unpin, ff_windows_unused, ff_world_enter, ff_world_exit, ff_world_reason)


cdef extern from "ffl/memory/segment.h" nogil:
    int ff_segment_identify(int fd, ff_segment *segment) noexcept

cdef extern from "sys/mman.h" nogil:
    enum:
        MADV_RANDOM
    int madvise(void *addr, size_t length, int advice)

cdef extern from "ffl/memory/memcheck.h" nogil:
    void ff_memcheck_quiet(long more) noexcept

cdef enum:
    REASON = 256

# All guarded by the world's lock.
cdef ff_segment segment
cdef bint ready
cdef char reason[REASON]


cdef public ff_segment *ff_memory_segment() noexcept nogil:
    return &segment if ready else NULL


cdef public const char *ff_memory_reason() noexcept nogil:
    return reason


cdef public void ff_memory_explain(const char *text, uint64_t addr, const char *what) noexcept nogil:
    snprintf(reason, REASON, "memory at 0x%lx %s%s%s", addr, text, b": " if what[0] else b"", what)


cdef void say(const char *text) noexcept nogil:
    snprintf(reason, REASON, "%s", text)


cdef public void ff_memory_forget() noexcept nogil:
    """In a child, or at the end of a session: nothing is converted any more."""
    global ready
    ready = False
    ff_windows_clear()
    memset(&segment, 0, sizeof(segment))


cdef public int ff_memory_init(int memfd, uint64_t size, int userfaultfd) noexcept nogil:
    global ready
    cdef int result
    ff_fork_look()
    result = ff_world_enter()
    if result != 0:
        return result
    ff_memory_forget()
    result = ff_segment_identify(memfd, &segment)
    if result == 0:
        segment.fd = memfd
        segment.size = size
        result = ff_windows_init(size)
    if result == 0:
        ff_way_choose(userfaultfd)
        result = ff_fork_init()
    ready = result == 0
    ff_world_exit()
    return result


cdef int segment_is_there() noexcept nogil:
    """A program that closes all descriptors closes ours, and what it opens next may have its number."""
    cdef ff_segment now = segment
    if not ready:
        say("no session has memory to convert to")
        return EINVAL
    if ff_segment_identify(segment.fd, &now) != 0 or now.inode != segment.inode or now.major != segment.major \
            or now.minor != segment.minor:
        say("the program has closed the session's descriptors")
        return EBADF
    return 0


cdef int extents_of(uint64_t start, uint64_t end, ff_extent *out, uint32_t limit, uint32_t *n) noexcept nogil:
    n[0] = 0
    while start < end:
        if n[0] == limit:
            say("the registration is in too many pieces: the session's memory is fragmented")
            return ENOMEM
        out[n[0]].length = ff_windows_run(start, end, &out[n[0]].offset)
        start += out[n[0]].length
        n[0] += 1
    return 0


cdef void give_back(uint64_t start, uint64_t end) noexcept nogil:
    """The pages of [start, end) that nobody uses become private again. Where that fails they linger: they stay part of
    the segment, shared with nobody, and their place is not given away."""
    cdef uint64_t addr = start, low, high
    while ff_windows_unused(addr, end, &low, &high):
        ff_convert_unshare(&segment, low, high)
        addr = high
    ff_windows_trim(start, end)


cdef int pin(uint64_t addr, uint64_t length, ff_extent *out, uint32_t limit, uint32_t *n) noexcept nogil:
    cdef uint64_t start = addr & ~<uint64_t>(PAGE - 1), end = (addr + length + PAGE - 1) & ~<uint64_t>(PAGE - 1)
    cdef int result = segment_is_there()
    if result != 0:
        return result
    if ff_windows_reserve(start, end) != 0:
        ff_windows_trim(start, end)
        say("the session's memory is full")
        return ENOMEM
    result = extents_of(start, end, out, limit, n)
    if result != 0:
        ff_windows_trim(start, end)
        return result
    result = ff_convert_share(&segment, start, end)
    if result != 0:
        give_back(start, end)
        return result
    ff_windows_pin(addr, length)
    fence(start, end)
    return 0


cdef void fence(uint64_t start, uint64_t end) noexcept nogil:
    """An mremap that we do not see (glibc's realloc makes one) and that makes the mapping longer would add the segment's next
    pages, which are somebody else's. The kernel refuses it for two mappings, and realloc copies instead. This advice means
    nothing for such memory, but makes two of one."""
    if end - start > PAGE:
        madvise(<void *>(end - PAGE), PAGE, MADV_RANDOM)


cdef public int ff_memory_pin(uint64_t addr, uint64_t length, ff_extent *out, uint32_t limit,
                              uint32_t *n) noexcept nogil:
    cdef int result
    ff_fork_look()
    n[0] = 0
    if length == 0:
        return 0
    if addr + length < addr or addr + length > ~<uint64_t>(PAGE - 1):
        say("the range passes the end of the address space")
        return EFAULT
    result = ff_world_enter()
    if result != 0:
        say(ff_world_reason())
        return result
    ff_memcheck_quiet(1)
    result = pin(addr, length, out, limit, n)
    ff_memcheck_quiet(-1)
    ff_world_exit()
    return result


cdef public int ff_memory_unpin(uint64_t addr, uint64_t length) noexcept nogil:
    cdef uint64_t start = addr & ~<uint64_t>(PAGE - 1), end = (addr + length + PAGE - 1) & ~<uint64_t>(PAGE - 1)
    cdef int result
    ff_fork_look()
    if length == 0:
        return 0
    result = ff_world_enter()
    if result != 0:
        say(ff_world_reason())
        return result
    result = segment_is_there()
    if result == 0 and not ff_windows_pinned(start, end):
        say("the range is not registered")
        result = EINVAL
    if result == 0:
        ff_windows_unpin(addr, length)
        ff_memcheck_quiet(1)
        give_back(start, end)
        ff_memcheck_quiet(-1)
    ff_world_exit()
    return result


cdef public void ff_memory_drop() noexcept nogil:
    if ff_world_enter() != 0:
        return
    if ready and segment_is_there() == 0:
        ff_convert_restore(&segment)
    ff_memory_forget()
    ff_world_exit()
