"""The kernel's and libc's functions that the files of this folder share."""

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "ffl/kernel.h" nogil:
    void futex_wait "ff_futex_wait"(void *word, uint32_t value, int64_t ns)   # errno is left dirty
    void futex_wake "ff_futex_wake"(void *word, int count)
    uint64_t now_ns "ff_now_ns"()
    int file_identity "ff_file_identity"(int fd, uint64_t *device, uint64_t *inode)
    int fail "ff_fail"(int error)        # sets errno, returns error
    int fcntl(int fd, int command, ...)

cdef extern from "ffl/glibc.h" nogil:
    bint is_glibc "ff_is_glibc"()        # or a program of musl, for which this is not

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void **memory, size_t alignment, size_t size)

cdef extern from *:
    """
    #define ff_likely(condition) __builtin_expect(!!(condition), 1)
    #define ff_prefetch(address) __builtin_prefetch(address)
    """
    bint likely "ff_likely"(bint condition) noexcept nogil
    void prefetch "ff_prefetch"(const void *address) noexcept nogil
