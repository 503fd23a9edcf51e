"""Sockets and mappings, as session, call and event need them."""

from libc.stdint cimport uint32_t


cdef extern from "<sys/types.h>" nogil:
    ctypedef long off_t

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
    int getpid()
    ssize_t read(int fd, void *data, size_t length)
    ssize_t write(int fd, const void *data, size_t length)

cdef extern from "<sys/time.h>" nogil:
    struct timeval:
        long tv_sec
        long tv_usec

cdef extern from "<sys/socket.h>" nogil:
    enum:
        AF_UNIX, PF_UNIX, SOCK_SEQPACKET, SOCK_CLOEXEC, SOL_SOCKET, SO_SNDTIMEO, MSG_NOSIGNAL, MSG_DONTWAIT
    struct sockaddr:
        pass
    int socket(int domain, int type, int protocol)
    int connect(int fd, const sockaddr *address, uint32_t length)
    int setsockopt(int fd, int level, int option, const void *value, uint32_t length)
    ssize_t send(int fd, const void *data, size_t length, int flags)

cdef extern from "<sys/un.h>" nogil:
    struct sockaddr_un:
        unsigned short sun_family
        char sun_path[108]

cdef extern from "<poll.h>" nogil:
    enum:
        POLLIN, POLLHUP, POLLERR, POLLNVAL, POLLRDHUP
    struct pollfd:
        int fd
        short events, revents
    int poll(pollfd *fds, unsigned long count, int timeout_ms)

cdef extern from "<sys/mman.h>" nogil:
    enum:
        PROT_READ, PROT_WRITE, MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED, MREMAP_MAYMOVE
    void *MAP_FAILED
    void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
    int munmap(void *address, size_t length)
    void *mremap(void *address, size_t length, size_t new_length, int flags, ...)
    int munlock(const void *address, size_t length)

cdef extern from "ffl/session/receive.h" nogil:
    # One message and its descriptors, without waiting. The message's length, or -1 and errno; *got descriptors.
    ssize_t ff_receive(int fd, void *data, size_t length, int *fds, int max, int *got)
