from libc.errno cimport errno
from libc.stdint cimport uint8_t
from posix.mman cimport MAP_FAILED, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap


cdef extern from "<sys/mman.h>" nogil:
    enum:
        MAP_ANONYMOUS
        MAP_NORESERVE
        MFD_CLOEXEC
        PROT_NONE
    int memfd_create(const char *name, unsigned int flags)

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
    int ftruncate(int fd, long length)


cdef enum:
    SINK = 16 << 20           # bytes, mapped over and over: what the sink can cost; 128 mappings


cdef void *reserve(int prot) noexcept nogil:
    """Private memory that is never written to: all of it is the kernel's page of zeroes."""
    return mmap(NULL, <size_t>NOTHING_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)


cdef int fill_sink(uint8_t *at) noexcept nogil:
    cdef int fd = memfd_create(b"freeflow-sink", MFD_CLOEXEC), error = 0
    cdef size_t offset = 0
    if fd < 0 or ftruncate(fd, SINK):
        error = errno
    while offset < <size_t>NOTHING_SIZE and error == 0:
        if mmap(at + offset, SINK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED:
            error = errno
        offset += SINK
    if fd >= 0:
        close(fd)             # the mappings keep it
    return error


cdef int nothing_map(ffr_router *r) noexcept nogil:
    cdef void *zeroes = reserve(PROT_READ)
    cdef void *sink = reserve(PROT_NONE)
    cdef int error = errno
    if zeroes != MAP_FAILED:
        r.zeroes = <uint8_t *>zeroes
    if sink != MAP_FAILED:
        r.sink = <uint8_t *>sink
    if r.zeroes != NULL and r.sink != NULL:
        error = fill_sink(r.sink)
    if error:
        nothing_unmap(r)
    return error


cdef void nothing_unmap(ffr_router *r) noexcept nogil:
    if r.zeroes != NULL:
        munmap(r.zeroes, <size_t>NOTHING_SIZE)
    if r.sink != NULL:
        munmap(r.sink, <size_t>NOTHING_SIZE)
    r.zeroes = NULL
    r.sink = NULL
