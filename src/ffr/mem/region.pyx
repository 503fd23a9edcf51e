from libc.errno cimport errno
from libc.stdint cimport uint8_t
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from ffcore.shm cimport FF_PAGE, FF_RINGS_OFFSET
from ffr.state cimport FFR_NONE, ffr_router, ffr_session, ffr_view, object_new


cdef extern from "ffr/mem/uffd.h" nogil:
    int ffr_uffd_open()
    int ffr_uffd_guard(int fd, void *at, uint64_t length)

cdef extern from "<fcntl.h>" nogil:
    int fallocate(int fd, int mode, long offset, long length)
    enum:
        FALLOC_FL_KEEP_SIZE
        FALLOC_FL_PUNCH_HOLE

cdef extern from "<sys/mman.h>" nogil:
    enum:
        MAP_NORESERVE


cdef int uffd_open() noexcept nogil:
    return ffr_uffd_open()


cdef int region_map(ffr_router *r, uint32_t session) noexcept nogil:
    """Maps both segments; 0 or an errno. Holes of the memory segment raise SIGBUS, which the guard turns into a status.

    The control segment needs no guard: it is small and sealed, and a hole in it that the router fills is within
    control_size."""
    cdef ffr_session *s = &r.state.session[session]
    cdef ffr_view *v = &r.view[session]
    cdef void *at = mmap(NULL, s.control_size, PROT_READ | PROT_WRITE, MAP_SHARED, s.control, 0)
    cdef int error
    if at == MAP_FAILED:
        return errno
    v.control = <uint8_t *>at
    at = mmap(NULL, s.memory_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, s.memory, 0)
    if at == MAP_FAILED:
        error = errno
        region_unmap(r, session)
        return error
    v.memory = <uint8_t *>at
    if r.uffd >= 0:
        error = ffr_uffd_guard(r.uffd, at, s.memory_size)
        if error:
            region_unmap(r, session)
            return error
    return 0


cdef void region_unmap(ffr_router *r, uint32_t session) noexcept nogil:
    cdef ffr_session *s = &r.state.session[session]
    cdef ffr_view *v = &r.view[session]
    if v.control != NULL:
        munmap(v.control, s.control_size)
        v.control = NULL
    if v.memory != NULL:
        munmap(v.memory, s.memory_size)
        v.memory = NULL


cdef uint64_t ring_alloc(ffr_router *r, uint32_t session, uint32_t pages) noexcept nogil:
    """A run of zeroed control pages, first fit; its offset, or 0 when there is none."""
    cdef ffr_session *s = &r.state.session[session]
    cdef uint32_t page = FF_RINGS_OFFSET // FF_PAGE, end = <uint32_t>(s.control_size // FF_PAGE), run = 0
    while page < end:                       # bound: FFR_CONTROL_MAX / FF_PAGE pages, 64 at a time where full
        if run == 0 and page % 64 == 0 and s.pages[page // 64] == <uint64_t>-1:
            page += 64
            continue
        if s.pages[page // 64] >> (page % 64) & 1:
            run = 0
        else:
            run += 1
            if run == pages:
                break
        page += 1
    if run < pages:
        return 0
    page -= pages - 1
    for end in range(page, page + pages):
        s.pages[end // 64] |= <uint64_t>1 << (end % 64)
    return <uint64_t>page * FF_PAGE


cdef uint32_t object_with_ring(ffr_router *r, int kind, uint32_t session, uint32_t pages, uint64_t *offset) noexcept nogil:
    cdef uint32_t index
    offset[0] = ring_alloc(r, session, pages)
    if offset[0] == 0:
        return FFR_NONE
    index = object_new(r, kind, session)
    if index == FFR_NONE:
        ring_free(r, session, offset[0], pages)
    return index


cdef void ring_free(ffr_router *r, uint32_t session, uint64_t offset, uint32_t pages) noexcept nogil:
    """Gives the pages back to the system too: the next ring there must begin as zeroes."""
    cdef ffr_session *s = &r.state.session[session]
    cdef uint32_t page = <uint32_t>(offset // FF_PAGE), i
    for i in range(page, page + pages):
        s.pages[i // 64] &= ~(<uint64_t>1 << (i % 64))
    if not s.closing:
        fallocate(s.control, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, <long>offset, <long>pages * FF_PAGE)
