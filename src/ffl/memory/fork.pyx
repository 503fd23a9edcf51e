"""fork() with converted pages. They are shared mappings, so a child would write into its parent's heap and stack.

Pages that a registration covers only in part (edge pages: beside it lies other data, a neighbour's malloc header or a
frame of the stack) are made private before the fork, so that the kernel copies them at its very instant, and shared
again afterwards. Pages that are registered wholly hold nothing but the program's buffers; the child copies them, while
the parent waits: whoever stores to them (uffd/guard.c), or everybody. As on a kernel that copies pinned pages at fork, the
child has everything as it was, and no device.

Between the handlers glibc takes malloc's and stdio's locks, which a stopped thread may hold: ff_world_fork_window().
"""

from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t

from ffl.memory.api cimport ff_session_child
from ffl.memory.parts cimport (
    FF_REGION_EXEC, FF_REGION_READ, FF_REGION_WRITE, FF_SWAP_GIVE, FF_SWAP_LEAVE, FF_SWAP_TAKE, FF_SWAP_UNSHARE, ff_gate_close,
    ff_gate_open, ff_guard, ff_guard_begin, ff_guard_end, ff_maps_close, ff_maps_find_segment, ff_maps_open, ff_memory_forget, ff_memory_segment,
    ff_region, ff_segment, ff_swap, ff_uffd_child, ff_way_is_quiet, ff_windows_partly, ff_world_child, ff_world_enter,
    ff_world_exit, ff_world_fork_window, ff_world_forks, ff_world_is_stopped, ff_world_resume, ff_world_stop, ff_world_swap)


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

cdef extern from "fcntl.h" nogil:
    enum:
        O_CLOEXEC
    int pipe2(int *ends, int flags)

cdef extern from "unistd.h" nogil:
    int close(int fd)
    int getpid()

cdef extern from "poll.h" nogil:
    enum:
        POLLIN
    ctypedef struct pollfd "struct pollfd":
        int fd
        short events
    int poll(pollfd *fds, unsigned long count, int timeout_ms)

cdef extern from *:
    """
    extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso)
        __attribute__((weak)); /* glibc's: where it is not, no session is opened */
    """
    int __register_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                          void (*child)() noexcept nogil, void *dso) noexcept nogil

cdef enum:
    CHILD_MS_MAX = 1000  # that a parent waits for its child's copies
    COPY_MAX = 1 << 30  # bytes that a child copies: half of what it can within CHILD_MS_MAX


# From prepare to parent or child: guarded by the world's lock.
cdef bint registered, entered, converted, guarded
cdef int forking  # the process that forks, from prepare on; 0: none does
cdef ff_swap *runs  # the segment's mappings, edges apart from what lies between them
cdef uint64_t run_count, run_bytes, run_memory
cdef int ends[2]  # a pipe: the child closes its end when it has its copies, or by dying
cdef ff_guard *guard
cdef ff_swap copied  # static: what is on the stack may be what is being copied


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
    global entered, converted, guarded, forking
    cdef ff_region region
    cdef ff_segment *segment
    cdef int maps
    converted = guarded = False
    entered = ff_world_enter() == 0
    forking = getpid()
    ff_world_forks(True)
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
        if find_runs(maps, segment):
            guarded = ff_way_is_quiet() and stand_guard()
        if not guarded:
            ff_gate_open()
            take_edges()
    ff_maps_close(maps)


cdef bint find_runs(int maps, const ff_segment *segment) noexcept nogil:
    """Where there is no memory for it, the edges are copied by the child like other pages."""
    global runs, run_count, run_memory, guard
    cdef void *memory
    cdef uint64_t i, snapshot
    walk_runs(maps, segment)
    run_memory = run_count * sizeof(ff_swap) + run_bytes + sizeof(ff_guard)
    memory = mmap(NULL, run_memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if memory == MAP_FAILED:
        run_count = 0
        return False
    snapshot = <uint64_t>memory
    runs = <ff_swap *>(snapshot + run_bytes)
    guard = <ff_guard *>(runs + run_count)
    walk_runs(maps, segment)
    for i in range(run_count):
        if runs[i].kind == FF_SWAP_TAKE:
            runs[i].snapshot = snapshot
            snapshot += runs[i].length
    return True


cdef void walk_runs(int maps, const ff_segment *segment) noexcept nogil:
    """Counts the runs, and writes them down when there is memory to write to."""
    global run_count, run_bytes
    cdef ff_region region
    cdef uint64_t addr = 0, low, high
    run_count = run_bytes = 0
    while ff_maps_find_segment(maps, addr, segment, &region) == 0:
        addr = region.start
        while ff_windows_partly(addr, region.end, &low, &high):
            note(segment, &region, FF_SWAP_LEAVE, addr, low)
            note(segment, &region, FF_SWAP_TAKE, low, high)
            run_bytes += high - low
            addr = high
        note(segment, &region, FF_SWAP_LEAVE, addr, region.end)
        addr = region.end


cdef void note(const ff_segment *segment, const ff_region *region, uint32_t kind, uint64_t low,
               uint64_t high) noexcept nogil:
    global run_count
    if low == high:
        return
    if runs != NULL:
        runs[run_count].kind = kind
        runs[run_count].fd = segment.fd
        runs[run_count].prot = protection(region)
        runs[run_count].addr = low
        runs[run_count].length = high - low
        runs[run_count].offset = region.offset + (low - region.start)
    run_count += 1


cdef bint stand_guard() noexcept nogil:
    guard.runs = runs
    guard.count = run_count
    guard.parents_end = ends[0]
    guard.childs_end = ends[1]
    guard.child_ms = CHILD_MS_MAX
    ff_gate_close()
    return ff_guard_begin(guard) == 0


cdef void take_edges() noexcept nogil:
    """With everybody stopped, who may let themselves go from here on."""
    cdef uint64_t i
    if ff_world_stop(True) == 0:
        for i in range(run_count):
            if runs[i].kind == FF_SWAP_TAKE:
                runs[i].kind = FF_SWAP_GIVE if take_edge(&runs[i]) else FF_SWAP_LEAVE
    ff_world_fork_window()


cdef bint take_edge(const ff_swap *edge) noexcept nogil:
    return ff_world_swap(edge) == 0


cdef void give_edges() noexcept nogil:
    """Those that are still private."""
    cdef uint64_t i
    cdef int tries = 0
    for i in range(run_count):
        if runs[i].kind != FF_SWAP_GIVE:
            continue
        while not ff_world_is_stopped() and ff_world_stop(False) != 0 and tries < 3:
            tries += 1  # they were stopped a moment ago: whatever keeps one of them, a lock or the disk, passes
        ff_world_swap(&runs[i])


cdef void forget_runs() noexcept nogil:
    global runs, run_count
    if runs != NULL:
        munmap(<void *>(<uint64_t>runs - run_bytes), run_memory)
    runs = NULL
    run_count = 0


# ---- after -----------------------------------------------------------------------------------------------------

cdef void parent() noexcept nogil:
    """Also when the fork failed: then the pipe has no other end."""
    global forking
    cdef pollfd child_end
    forking = 0
    ff_world_forks(False)
    if converted:
        close(ends[1])
        if guarded:
            ff_guard_end()
        give_edges()
        ff_gate_open()
        if not guarded and ends[0] >= 0:
            child_end.fd = ends[0]
            child_end.events = POLLIN
            poll(&child_end, 1, CHILD_MS_MAX)
        close(ends[0])
        forget_runs()
        ff_world_resume()
    if entered:
        ff_world_exit()


cdef void child() noexcept nogil:
    global forking
    if forking == 0:
        return  # done, because a handler of the program's needed it before (ff_fork_look)
    forking = 0
    ff_gate_open()
    if converted:
        forget_runs()
        take_the_rest(ff_memory_segment())
        close(ends[0])
        close(ends[1])
    ff_memory_forget()
    ff_session_child()
    ff_uffd_child()
    if entered:
        ff_world_child()


cdef public void ff_fork_look() noexcept nogil:
    """Handlers run in the order in which they were registered: a child handler that is older than ours, and uses verbs,
    would find its parent's session."""
    if forking != 0 and forking != getpid():
        child()


cdef void take_the_rest(const ff_segment *segment) noexcept nogil:
    """What is still shared becomes private memory with the same bytes, up to COPY_MAX; beyond that, a private view of the
    same pages. What the program gave MADV_DONTFORK is not mapped here, and stays away."""
    cdef ff_region region
    cdef uint64_t addr = 0, length, budget = COPY_MAX
    cdef int maps = ff_maps_open()
    if maps < 0:
        return
    while ff_maps_find_segment(maps, addr, segment, &region) == 0:
        addr = region.end
        copied.kind = FF_SWAP_UNSHARE
        copied.fd = segment.fd
        copied.prot = protection(&region)
        copied.addr = region.start
        copied.length = region.end - region.start
        copied.offset = region.offset
        if copied.length > budget or ff_world_swap(&copied) != 0:
            mmap(<void *>region.start, copied.length, copied.prot, MAP_PRIVATE | MAP_FIXED, segment.fd, region.offset)
        else:
            budget -= copied.length
    ff_maps_close(maps)
