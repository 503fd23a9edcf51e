"""The two calls of the data path that are replaced, for the address argument that TCP ignores and AF_UNIX does not.

Without an address they are recv and send, which are libc's own. With one they are one system call, as libc's are.
"""

from ffcore.tcp cimport *
from ffl.tcp.sock cimport *
from ffl.tcp.sys cimport *
from libc.string cimport memcpy

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int, void *, size_t, int)
    ssize_t send(int, const void *, size_t, int)


cdef public ssize_t ffs_recvfrom(int fd, void *data, size_t size, int flags, sockaddr *address,
                                 unsigned *length) noexcept nogil:
    cdef sockaddr_storage source
    cdef unsigned found = sizeof(source)
    cdef ssize_t got
    cdef ff_tcp_name *name = <ff_tcp_name *>&source
    if address == NULL:
        return recv(fd, data, size, flags)
    if length == NULL or <int>length[0] < 0:
        set_errno(EFAULT if length == NULL else EINVAL)
        return -1
    got = raw_recvfrom_cancellable(fd, data, size, flags, &source, &found)
    if got < 0:
        return got
    if found == sizeof(ff_tcp_name) and name.family == AF_UNIX and name.magic == FF_TCP_NAME_MAGIC:
        found = 0  # a connected TCP socket gives no address
    memcpy(address, &source, min(length[0], found))
    length[0] = found
    return got


cdef public ssize_t ffs_sendto(int fd, const void *data, size_t size, int flags, const sockaddr *to,
                               unsigned length) noexcept nogil:
    cdef ff_tcp_name name
    cdef ffs_entry *entry
    cdef ssize_t sent
    if to == NULL:
        return send(fd, data, size, flags)
    entry = ffs_entry_at(fd)
    if entry != NULL and entry.kind == FFS_ACCELERATED:
        # The note may be out of date. An address of no length is none to streams and invalid to UDP's sockets.
        sent = raw_sendto_cancellable(fd, data, size, flags, to, 0)
        if sent >= 0 or get_errno() != EINVAL:
            return sent
    sent = raw_sendto_cancellable(fd, data, size, flags, to, length)
    if sent < 0 and get_errno() == EISCONN and ffs_connection(fd, &name) != FFS_NOT_OURS:
        return send(fd, data, size, flags)
    return sent
