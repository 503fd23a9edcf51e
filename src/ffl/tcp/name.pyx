"""Whose connection a descriptor is, by the name in its packet filter: nothing to remember, so nothing to lose.

On one host the kernel's own names are right, too. Between hosts they are the hosts', and what a program asks for is the
name in the filter.
"""

from ffcore.tcp cimport *
from ffl.tcp.sock cimport *
from ffl.tcp.sys cimport *
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

cdef bint is_mapped(const uint8_t *address) noexcept nogil:
    cdef int i
    for i in range(10):
        if address[i] != 0:
            return False
    return address[10] == 0xff and address[11] == 0xff


cdef public int ffs_end_of(const void *name, unsigned length, ff_tcp_end *end) noexcept nogil:
    cdef const sockaddr_in *four = <const sockaddr_in *>name
    cdef const sockaddr_in6 *six = <const sockaddr_in6 *>name
    memset(end, 0, sizeof(ff_tcp_end))
    if length >= sizeof(sockaddr_in) and four.sin_family == AF_INET:
        end.address[10] = 0xff
        end.address[11] = 0xff
        memcpy(&end.address[12], &four.sin_addr, 4)
        end.port = ntohs(four.sin_port)
    elif length >= sizeof(sockaddr_in6) and six.sin6_family == AF_INET6:
        memcpy(end.address, &six.sin6_addr, 16)
        end.port = ntohs(six.sin6_port)
    else:
        return -1
    end.domain = four.sin_family
    return 0


cdef public unsigned ffs_name_of(const ff_tcp_end *end, int domain, void *name) noexcept nogil:
    """How a socket of that domain shows this end. name has room for sockaddr_in6."""
    cdef sockaddr_in *four = <sockaddr_in *>name
    cdef sockaddr_in6 *six = <sockaddr_in6 *>name
    if domain == AF_INET:
        memset(four, 0, sizeof(sockaddr_in))
        four.sin_family = AF_INET
        four.sin_port = htons(end.port)
        memcpy(&four.sin_addr, &end.address[12], 4)
        return sizeof(sockaddr_in)
    memset(six, 0, sizeof(sockaddr_in6))
    six.sin6_family = AF_INET6
    six.sin6_port = htons(end.port)
    memcpy(&six.sin6_addr, end.address, 16)
    return sizeof(sockaddr_in6)


cdef public int ffs_connection(int fd, ff_tcp_name *name) noexcept nogil:
    """Leaves errno as it was."""
    cdef int saved = get_errno()
    cdef int side = side_in_filter(fd, name)
    set_errno(saved)
    return side


cdef bint may_be_hosts(const sockaddr_storage *own, unsigned length) noexcept nogil:
    """Most sockets have a container's address, which is the right one."""
    cdef ff_tcp_end end
    return not ffs_alone() and ffs_end_of(own, length, &end) == 0 and end.port != 0 and ffs_may_be_hosts(end.address)


cdef int side_in_filter(int fd, ff_tcp_name *name) noexcept nogil:
    """ffcore/tcp.h: FF_TCP_FILTER_*"""
    cdef sock_filter f[FF_TCP_FILTER_LENGTH]
    cdef uint32_t words[FF_TCP_FILTER_WORDS]
    cdef const ff_tcp_name *found = <const ff_tcp_name *>words
    cdef unsigned length = FF_TCP_FILTER_LENGTH  # in instructions
    cdef int i
    if raw_getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, f, &length) != 0 or length != FF_TCP_FILTER_LENGTH:
        return FFS_NOT_OURS
    for i in range(FF_TCP_FILTER_WORDS):
        words[i] = f[FF_TCP_FILTER_CHECKS + i].k
    if found.magic != FF_TCP_NAME_MAGIC:
        return FFS_NOT_OURS
    name[0] = found[0]
    return FFS_SERVER if f[FF_TCP_FILTER_SIDE].k else FFS_CLIENT


cdef int show(const void *found, unsigned found_length, sockaddr *name, unsigned *length) noexcept nogil:
    """As the kernel hands a name out: cut to the room there is, and its whole length told."""
    memcpy(name, found, min(length[0], found_length))
    length[0] = found_length
    return 0


cdef int show_end(const ff_tcp_end *end, int domain, sockaddr *name, unsigned *length) noexcept nogil:
    cdef sockaddr_storage shown
    cdef unsigned shown_length = ffs_name_of(end, domain, &shown)
    return show(&shown, shown_length, name, length)


cdef public int ffs_getsockname(int fd, sockaddr *name, unsigned *length) noexcept nogil:
    cdef sockaddr_storage found
    cdef unsigned found_length = sizeof(found)
    cdef ff_tcp_name n
    cdef int side = FFS_NOT_OURS
    if name == NULL or length == NULL or <int>length[0] < 0:
        return raw_getsockname(fd, name, length)
    if raw_getsockname(fd, &found, &found_length) != 0:
        return -1
    if may_be_hosts(&found, found_length):
        side = ffs_connection(fd, &n)
    if side == FFS_SERVER:
        return show_end(&n.server, n.server.domain, name, length)
    if side == FFS_CLIENT:
        return show_end(&n.client, n.client.domain, name, length)
    return show(&found, found_length, name, length)


cdef public int ffs_getpeername(int fd, sockaddr *name, unsigned *length) noexcept nogil:
    cdef sockaddr_storage found
    cdef unsigned found_length = sizeof(found)
    cdef ff_tcp_name n
    cdef int side = FFS_NOT_OURS
    if name == NULL or length == NULL or <int>length[0] < 0:
        return raw_getpeername(fd, name, length)
    if raw_getpeername(fd, &found, &found_length) != 0:
        return -1
    if may_be_hosts(&found, found_length):
        side = ffs_connection(fd, &n)
    if side == FFS_SERVER:
        return show_end(&n.client, n.server.domain, name, length)
    if side == FFS_CLIENT:
        return show_end(&n.server, n.client.domain, name, length)
    return show(&found, found_length, name, length)


cdef public int ffs_ioctl(int fd, unsigned long request, void *argument) noexcept nogil:
    cdef ff_tcp_name name
    cdef int own, status, saved
    if ffs_connection(fd, &name) == FFS_NOT_OURS:
        return raw_ioctl(fd, request, argument)
    own = raw_socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
    if own < 0:
        return -1
    status = raw_ioctl(own, request, argument)
    saved = get_errno()
    raw_close(own)
    set_errno(saved)
    return status
