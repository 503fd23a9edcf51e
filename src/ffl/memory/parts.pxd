"""What memory*.pyx and fork.pyx know of each other. Everything here is called with the world's lock held."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from ffl.memory.api cimport ff_extent

cdef enum:
    PAGE = 4096


cdef extern from "ffl/memory/swap.h" nogil:
    enum:
        FF_SWAP_SHARE
        FF_SWAP_UNSHARE
        FF_SWAP_TAKE
        FF_SWAP_GIVE
        FF_SWAP_LEAVE
    ctypedef struct ff_swap "struct ff_swap":
        uint32_t kind
        int32_t fd
        int32_t prot
        uint64_t addr
        uint64_t length
        uint64_t offset
        uint64_t snapshot


cdef extern from "ffl/memory/world/world.h" nogil:
    int ff_world_enter() noexcept
    void ff_world_exit() noexcept
    int ff_world_stop(int for_fork) noexcept
    void ff_world_resume() noexcept
    bint ff_world_is_stopped() noexcept
    void ff_world_fork_window() noexcept
    void ff_world_forks(bint forks) noexcept
    int ff_world_enter_briefly() noexcept
    void ff_world_child() noexcept
    const char *ff_world_reason() noexcept
    int ff_world_swap(const ff_swap *swap) noexcept


cdef extern from "ffl/memory/way.h" nogil:
    void ff_way_choose(int device) noexcept
    bint ff_way_is_quiet() noexcept
    int ff_way_begin() noexcept
    void ff_way_end() noexcept
    int ff_way_swap(const ff_swap *swap) noexcept
    uint64_t ff_way_chunk() noexcept
    const char *ff_way_reason() noexcept


cdef extern from "ffl/memory/gate.h" nogil:
    void ff_gate_close() noexcept
    void ff_gate_open() noexcept

cdef extern from "ffl/memory/uffd/guard.h" nogil:
    ctypedef struct ff_guard "struct ff_guard":
        ff_swap *runs
        uint64_t count
        int32_t parents_end
        int32_t childs_end
        uint32_t child_ms
    int ff_guard_begin(ff_guard *guard) noexcept
    void ff_guard_end() noexcept

cdef extern from "ffl/memory/uffd/uffd.h" nogil:
    void ff_uffd_child() noexcept


cdef extern from "ffl/memory/types.h" nogil:
    enum:
        FF_REGION_READ
        FF_REGION_WRITE
        FF_REGION_EXEC
        FF_REGION_SHARED
    ctypedef struct ff_region "struct ff_region":
        uint64_t start
        uint64_t end
        uint64_t offset
        uint64_t inode
        uint32_t major
        uint32_t minor
        uint32_t flags
        uint32_t page_size
        char name[128]
    ctypedef struct ff_segment "struct ff_segment":
        int fd
        uint64_t size
        uint64_t inode
        uint32_t major
        uint32_t minor


# ---- memory/maps.pyx: what is mapped where

cdef extern int ff_maps_open() noexcept nogil  # a descriptor, or a negated errno
cdef extern void ff_maps_close(int maps) noexcept nogil
# The mapping that holds addr, or the next above it. 0, ENOENT when there is none, or another errno.
cdef extern int ff_maps_find(int maps, uint64_t addr, ff_region *region, bint with_name) noexcept nogil
# The same among the mappings of the segment.
cdef extern int ff_maps_find_segment(int maps, uint64_t addr, const ff_segment *segment,
                                     ff_region *region) noexcept nogil
cdef extern bint ff_maps_is_segment(const ff_segment *segment, const ff_region *region) noexcept nogil

# ---- memory/windows.pyx: which page of the segment belongs to which address, and how many use it

cdef extern int ff_windows_init(uint64_t size) noexcept nogil
cdef extern void ff_windows_clear() noexcept nogil
# Gives each page of [start, end) a place in the segment. 0 or ENOMEM; ff_windows_trim() undoes it where nobody pinned.
cdef extern int ff_windows_reserve(uint64_t start, uint64_t end) noexcept nogil
cdef extern void ff_windows_trim(uint64_t start, uint64_t end) noexcept nogil
# How many bytes from addr on, at most to end, lie one after the other in the segment, and where. 0: no place.
cdef extern uint64_t ff_windows_run(uint64_t addr, uint64_t end, uint64_t *offset) noexcept nogil
# Counts users: one more or less for each page that [addr, addr + length) touches.
cdef extern void ff_windows_pin(uint64_t addr, uint64_t length) noexcept nogil
cdef extern void ff_windows_unpin(uint64_t addr, uint64_t length) noexcept nogil
cdef extern bint ff_windows_pinned(uint64_t start, uint64_t end) noexcept nogil  # every page of it has a user
cdef extern bint ff_windows_any(uint64_t start, uint64_t end) noexcept nogil  # some page of it has one
# The first run of pages in [start, end) that nobody uses (or, with partly, that no user covers wholly): its bounds.
cdef extern bint ff_windows_unused(uint64_t start, uint64_t end, uint64_t *low, uint64_t *high) noexcept nogil
cdef extern bint ff_windows_partly(uint64_t start, uint64_t end, uint64_t *low, uint64_t *high) noexcept nogil
# Their place in the segment is not to be given away: they could not be converted back.
cdef extern void ff_windows_linger(uint64_t start, uint64_t end) noexcept nogil

# ---- memory/convert.pyx: changing mappings

# [start, end), which has its place, becomes part of the segment where it is not. 0 or an errno.
cdef extern int ff_convert_share(const ff_segment *segment, uint64_t start, uint64_t end) noexcept nogil
# What is in [start, end) and still ours becomes private memory; then the segment's pages are given back.
cdef extern int ff_convert_unshare(const ff_segment *segment, uint64_t start, uint64_t end) noexcept nogil
# All of the segment that is mapped anywhere becomes private memory. The segment's pages are not given back.
cdef extern int ff_convert_restore(const ff_segment *segment) noexcept nogil

# ---- memory/fork.pyx

cdef extern int ff_fork_init() noexcept nogil  # once; 0 or an errno

# ---- memory.pyx

cdef extern ff_segment *ff_memory_segment() noexcept nogil
cdef extern void ff_memory_forget() noexcept nogil
# For ff_memory_reason().
cdef extern void ff_memory_explain(const char *text, uint64_t addr, const char *what) noexcept nogil
