"""fork() with converted pages. They are shared mappings, so a child would write into its parent's heap and stack.

Pages that a registration covers only in part (edge pages: beside it lies other data, a neighbour's malloc header or a
frame of the stack) are made private before the fork, so that the kernel copies them at its very instant, and shared
again afterwards. Pages that are registered wholly hold nothing but the program's buffers; the child copies them, while
the parent waits. As on a kernel that copies pinned pages at fork, the child has everything as it was, and no device.

Between the handlers glibc takes malloc's and stdio's locks, which a stopped thread may hold: ff_world_fork_window().
"""

from libc.errno cimport errno
from libc.stdint cimport uint64_t

from ffl.memory.api cimport ff_session_child
from ffl.memory.parts cimport (
    FF_REGION_EXEC, FF_REGION_READ, FF_REGION_WRITE, FF_SWAP_GIVE, FF_SWAP_TAKE, ff_maps_close, ff_maps_find_segment,
    ff_maps_open, ff_memory_forget, ff_memory_segment, ff_region, ff_segment, ff_swap, ff_windows_partly,
    ff_world_child, ff_world_enter, ff_world_exit, ff_world_fork_window, ff_world_is_stopped, ff_world_resume,
    ff_world_stop, ff_world_swap)


cdef extern from "sys/mman.h" nogil:
    enum:
        PROT_READ
        PROT_WRITE
        PROT_EXEC
        MAP_PRIVATE
        MAP_ANONYMOUS
        MAP_FIXED
        MAP_NORESERVE
    void *MAP_FAILED
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)
    int mprotect(void *addr, size_t length, int prot)
    int madvise(void *addr, size_t length, int advice)

cdef extern from "fcntl.h" nogil:
    enum:
        O_CLOEXEC
    int pipe2(int *ends, int flags)

cdef extern from "unistd.h" nogil:
    int close(int fd)

cdef extern from "poll.h" nogil:
    enum:
        POLLIN
    ctypedef struct pollfd "struct pollfd":
        int fd
        short events
    int poll(pollfd *fds, unsigned long count, int timeout_ms)

cdef extern int __register_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                                  void (*child)() noexcept nogil, void *dso) noexcept nogil

cdef enum:
    PAGE = 4096
    CHILD_MS_MAX = 1000  # that a parent waits for its child's copies
    POPULATE_WRITE = 23
    COPY_MAX = 1 << 30  # bytes that a child copies: half of what it can within CHILD_MS_MAX


# From prepare to parent or child: guarded by the world's lock.
cdef bint registered, entered, converted
cdef ff_swap *edges
cdef uint64_t edge_count, edge_bytes, edge_memory
cdef int ends[2]  # a pipe: the child closes its end when it has its copies, or by dying


cdef public int ff_fork_init() noexcept nogil:
    global registered
    if not registered:
        if __register_atfork(prepare, parent, child, NULL) != 0:
            return errno
        registered = True
    return 0


cdef int protection(const ff_region *region) noexcept nogil:
    return ((PROT_READ if region.flags & FF_REGION_READ else 0) | (PROT_WRITE if region.flags & FF_REGION_WRITE else 0)
            | (PROT_EXEC if region.flags & FF_REGION_EXEC else 0))


# ---- before ----------------------------------------------------------------------------------------------------

cdef void prepare() noexcept nogil:
    global entered, converted
    cdef ff_region region
    cdef ff_segment *segment
    cdef int maps
    converted = False
    entered = ff_world_enter() == 0
    segment = ff_memory_segment()
    if not entered or segment == NULL:
        return
    maps = ff_maps_open()
    if maps < 0:
        return
    converted = ff_maps_find_segment(maps, 0, segment, &region) == 0
    if converted:
        ends[0] = ends[1] = -1
        pipe2(ends, O_CLOEXEC)
        if ff_world_stop(True) == 0:
            take_edges(maps, segment)
        ff_world_fork_window()
    ff_maps_close(maps)


cdef void take_edges(int maps, const ff_segment *segment) noexcept nogil:
    """Where there is no memory for it, the edges are copied by the child like other pages."""
    global edges, edge_count, edge_bytes, edge_memory
    cdef void *memory
    cdef uint64_t i, snapshot
    walk_edges(maps, segment)
    if edge_count == 0:
        return
    edge_memory = edge_count * sizeof(ff_swap) + edge_bytes
    memory = mmap(NULL, edge_memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if memory == MAP_FAILED:
        edge_count = 0
        return
    snapshot = <uint64_t>memory
    edges = <ff_swap *>(snapshot + edge_bytes)
    walk_edges(maps, segment)
    for i in range(edge_count):
        edges[i].snapshot = snapshot
        snapshot += edges[i].length
        if ff_world_swap(&edges[i]) != 0:
            edge_count = i
            return


cdef void walk_edges(int maps, const ff_segment *segment) noexcept nogil:
    """Counts the runs of edge pages, and writes them down when there is memory to write to."""
    global edge_count, edge_bytes
    cdef ff_region region
    cdef uint64_t addr = 0, low, high
    edge_count = edge_bytes = 0
    while ff_maps_find_segment(maps, addr, segment, &region) == 0:
        addr = region.start
        while ff_windows_partly(addr, region.end, &low, &high):
            if edges != NULL:
                edges[edge_count].kind = FF_SWAP_TAKE
                edges[edge_count].fd = segment.fd
                edges[edge_count].prot = protection(&region)
                edges[edge_count].addr = low
                edges[edge_count].length = high - low
                edges[edge_count].offset = region.offset + (low - region.start)
            edge_count += 1
            edge_bytes += high - low
            addr = high
        addr = region.end


cdef void forget_edges() noexcept nogil:
    global edges, edge_count
    if edges != NULL:
        munmap(<void *>(<uint64_t>edges - edge_bytes), edge_memory)
    edges = NULL
    edge_count = 0


# ---- after -----------------------------------------------------------------------------------------------------

cdef void parent() noexcept nogil:
    """Also when the fork failed: then the pipe has no other end."""
    cdef pollfd child_end
    cdef uint64_t i
    cdef int tries = 0
    if converted:
        close(ends[1])
        while not ff_world_is_stopped() and ff_world_stop(False) != 0 and tries < 3:
            tries += 1  # they were stopped a moment ago: whatever keeps one of them, a lock or the disk, passes
        for i in range(edge_count):
            edges[i].kind = FF_SWAP_GIVE
            ff_world_swap(&edges[i])
        forget_edges()
        if ends[0] >= 0:
            child_end.fd = ends[0]
            child_end.events = POLLIN
            poll(&child_end, 1, CHILD_MS_MAX)
            close(ends[0])
        ff_world_resume()
    if entered:
        ff_world_exit()


cdef void child() noexcept nogil:
    if converted:
        forget_edges()
        take_the_rest(ff_memory_segment())
        close(ends[0])
        close(ends[1])
    ff_memory_forget()
    ff_session_child()
    if entered:
        ff_world_child()


cdef void take_the_rest(const ff_segment *segment) noexcept nogil:
    """What is still shared becomes a private view of the same pages, and is copied, up to COPY_MAX. What the program
    gave MADV_DONTFORK is not mapped here, and stays away."""
    cdef ff_region region
    cdef uint64_t addr = 0, length, budget = COPY_MAX
    cdef int maps = ff_maps_open(), prot
    if maps < 0:
        return
    while ff_maps_find_segment(maps, addr, segment, &region) == 0:
        addr = region.end
        prot = protection(&region)
        length = region.end - region.start
        mmap(<void *>region.start, length, prot | PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, segment.fd,
             region.offset)
        copy(region.start, min(length, budget))
        budget -= min(length, budget)
        if prot != prot | PROT_READ | PROT_WRITE:
            mprotect(<void *>region.start, length, prot)
    ff_maps_close(maps)


cdef void copy(uint64_t addr, uint64_t length) noexcept nogil:
    """A write to a page of a private mapping makes the kernel copy it."""
    cdef volatile char *byte
    cdef uint64_t page
    if length == 0 or madvise(<void *>addr, length, POPULATE_WRITE) == 0:
        return
    for page in range(length // PAGE):
        byte = <volatile char *>(addr + page * PAGE)
        byte[0] = byte[0]
