"""sysfs, as libibverbs reads it for others: librdmacm finds the rdma_cm device's number and version through here."""

from libc cimport errno
from libc.stdio cimport snprintf
from libc.stdlib cimport getenv
from libc.string cimport strlen
from posix.fcntl cimport O_CLOEXEC, O_RDONLY, open
from posix.unistd cimport close, getegid, geteuid, getgid, getuid, read

cdef enum:
    PATH_SIZE = 256  # IBV_SYSFS_PATH_MAX

# $SYSFS_PATH without slashes at its end. Filled in anew by each caller, so that threads who race write the same bytes.
cdef char root[PATH_SIZE]


cdef public const char *ffv_ibv_get_sysfs_path() noexcept nogil:
    cdef const char *chosen = NULL
    cdef size_t length
    # A set-uid program must not be led to a forged /sys by its caller's environment.
    if getuid() == geteuid() and getgid() == getegid():
        chosen = getenv(b"SYSFS_PATH")
    if chosen == NULL:
        return b"/sys"
    length = strlen(chosen)
    while length > 0 and chosen[length - 1] == c"/":
        length -= 1
    snprintf(root, PATH_SIZE, b"%.*s", <int>length, chosen)
    return root


cdef public int ffv_ibv_read_sysfs_file(const char *directory, const char *name, char *buf, size_t size) noexcept nogil:
    """The file's text without its newline, ended by NUL, into buf. Its length, or -1 and errno."""
    cdef char path[2 * PATH_SIZE]
    cdef int fd, length = snprintf(path, sizeof(path), b"%s/%s", directory, name)
    cdef ssize_t got
    if length < 0 or <size_t>length >= sizeof(path):
        errno.errno = errno.ENAMETOOLONG
        return -1
    fd = open(path, O_RDONLY | O_CLOEXEC)
    if fd < 0:
        return -1
    got = read(fd, buf, size)
    close(fd)
    return ended(buf, got, size)


cdef int ended(char *buf, ssize_t got, size_t size) noexcept nogil:
    if got <= 0:
        return <int>got
    if buf[got - 1] == c"\n":
        got -= 1
    elif <size_t>got == size:  # no room for the NUL: cut off, so useless
        errno.errno = errno.EOVERFLOW
        return -1
    buf[got] = 0
    return <int>got
