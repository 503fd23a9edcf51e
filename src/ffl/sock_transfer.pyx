"""The two calls of the data path that are replaced, for the address argument that TCP ignores and AF_UNIX does not.

Without an address they are recv and send, which are libc's own. With one they are recvmsg and sendmsg: still libc's, so
blocking, signals and cancellation are as ever.
"""

from ffcore.tcp cimport *
from ffl.sock cimport *
from ffl.sock_sys cimport *
from libc.string cimport memcpy, memset

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int, void *, size_t, int)
    ssize_t recvmsg(int, msghdr *, int)
    ssize_t send(int, const void *, size_t, int)
    ssize_t sendmsg(int, const msghdr *, int)


cdef public ssize_t ffs_recvfrom(int fd, void *data, size_t size, int flags, sockaddr *address,
                                 unsigned *length) noexcept nogil:
    cdef sockaddr_storage source
    cdef msghdr m
    cdef iovec v
    cdef ssize_t got
    cdef ff_tcp_name *name = <ff_tcp_name *>&source
    if address == NULL:
        return recv(fd, data, size, flags)
    if length == NULL or <int>length[0] < 0:
        set_errno(EFAULT if length == NULL else EINVAL)
        return -1
    memset(&m, 0, sizeof(m))
    v.iov_base = data
    v.iov_len = size
    m.msg_iov = &v
    m.msg_iovlen = 1
    m.msg_name = &source
    m.msg_namelen = sizeof(source)
    got = recvmsg(fd, &m, flags)
    if got < 0:
        return got
    if m.msg_namelen == sizeof(ff_tcp_name) and name.family == AF_UNIX and name.magic == FF_TCP_NAME_MAGIC:
        m.msg_namelen = 0  # a connected TCP socket gives no address
    memcpy(address, &source, min(length[0], m.msg_namelen))
    length[0] = m.msg_namelen
    return got


cdef public ssize_t ffs_sendto(int fd, const void *data, size_t size, int flags, const sockaddr *to,
                               unsigned length) noexcept nogil:
    cdef msghdr m
    cdef iovec v
    cdef ff_tcp_name name
    cdef ffs_entry *entry
    cdef ssize_t sent
    if to == NULL:
        return send(fd, data, size, flags)
    entry = ffs_entry_at(fd)
    if entry != NULL and entry.kind == FFS_ACCELERATED:
        # The note may be out of date, so the kernel is asked, by a call that does not block if the note is right.
        sent = raw_sendto(fd, data, size, flags, to, length)
        return send(fd, data, size, flags) if sent < 0 and get_errno() == EISCONN else sent
    memset(&m, 0, sizeof(m))
    v.iov_base = <void *>data
    v.iov_len = size
    m.msg_iov = &v
    m.msg_iovlen = 1
    m.msg_name = <void *>to
    m.msg_namelen = length
    sent = sendmsg(fd, &m, flags)
    if sent < 0 and get_errno() == EISCONN and ffs_connection(fd, &name) != FFS_NOT_OURS:
        return send(fd, data, size, flags)
    return sent
