"""A descriptor's number becomes another socket, and the program sees one socket throughout."""

from ffl.tcp.sock cimport *
from ffl.tcp.sys cimport *

cdef extern from "ffl/tcp/raw.h" nogil:
    enum:
        TCP_NODELAY, TCP_CORK, TCP_USER_TIMEOUT, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_LINGER2, TCP_NOTSENT_LOWAT
        IP_TOS

cdef enum:
    OPTION_ROOM = 16        # bytes: the longest of those below, struct timeval
    SNDBUF_LOCKED = 1       # SO_BUF_LOCK: the program chose the size
    RCVBUF_LOCKED = 2
    SMALL_BUFFER = 425984   # twice the kernel's default wmem_max: what a program could have asked for anywhere


cdef public int ffs_swap(int fd, int replacement, int close_how, int options) noexcept nogil:
    cdef int flags, status
    cdef ffs_entry *entry
    if options:
        ffs_carry_options(fd, replacement)
    carry_status(fd, replacement)
    set_linger(fd, close_how == FFS_RESET)
    flags = O_CLOEXEC if raw_fcntl(fd, F_GETFD, 0) & FD_CLOEXEC else 0
    status = raw_dup3(replacement, fd, flags)
    raw_close(replacement)
    entry = ffs_entry_make(fd)
    if entry != NULL and entry.kind != FFS_STREAM:  # that one is connect's, which notes it when it is done
        entry.kind = FFS_ACCELERATED
    return 0 if status >= 0 else -1


cdef public void ffs_carry_options(int before, int after) noexcept nogil:
    cdef int protocol = 0
    cdef unsigned length = sizeof(protocol)
    carry_option(before, after, SOL_SOCKET, SO_KEEPALIVE)
    carry_option(before, after, SOL_SOCKET, SO_OOBINLINE)
    carry_option(before, after, SOL_SOCKET, SO_RCVTIMEO)
    carry_option(before, after, SOL_SOCKET, SO_SNDTIMEO)
    carry_option(before, after, SOL_SOCKET, SO_LINGER)
    if raw_getsockopt(after, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 and protocol == IPPROTO_TCP:
        carry_tcp(before, after)
    else:
        carry_buffers(before, after)


cdef void carry_tcp(int before, int after) noexcept nogil:
    """To a socket between hosts. Its congestion control is its host's choice; the rest is the program's."""
    carry_option(before, after, IPPROTO_TCP, TCP_NODELAY)
    carry_option(before, after, IPPROTO_TCP, TCP_CORK)
    carry_option(before, after, IPPROTO_TCP, TCP_USER_TIMEOUT)
    carry_option(before, after, IPPROTO_IP, IP_TOS)
    carry_changed(before, after, TCP_KEEPIDLE)
    carry_changed(before, after, TCP_KEEPINTVL)
    carry_changed(before, after, TCP_KEEPCNT)
    carry_changed(before, after, TCP_LINGER2)
    carry_changed(before, after, TCP_NOTSENT_LOWAT)
    carry_locked(before, after, SNDBUF_LOCKED, SO_SNDBUF)
    carry_locked(before, after, RCVBUF_LOCKED, SO_RCVBUF)


cdef void carry_changed(int before, int after, int option) noexcept nogil:
    """Options of TCP with a value of their own in a new socket, such as `after` is."""
    cdef int own = 0
    cdef int wanted = 0
    cdef unsigned length = sizeof(int)
    if raw_getsockopt(before, IPPROTO_TCP, option, &wanted, &length) == 0:
        if raw_getsockopt(after, IPPROTO_TCP, option, &own, &length) == 0 and own != wanted:
            raw_setsockopt(after, IPPROTO_TCP, option, &wanted, sizeof(wanted))


cdef void carry_locked(int before, int after, int bit, int option) noexcept nogil:
    cdef int locked = 0
    cdef int size = 0
    cdef unsigned length = sizeof(int)
    if raw_getsockopt(before, SOL_SOCKET, SO_BUF_LOCK, &locked, &length) == 0 and locked & bit:
        if raw_getsockopt(before, SOL_SOCKET, option, &size, &length) == 0:
            size //= 2  # the kernel doubles what it is given and shows the double
            raw_setsockopt(after, SOL_SOCKET, option, &size, sizeof(size))


cdef void carry_option(int before, int after, int level, int option) noexcept nogil:
    """Options whose value in a new socket is all zeros."""
    cdef char value[OPTION_ROOM]
    cdef unsigned length = OPTION_ROOM
    cdef unsigned i
    if raw_getsockopt(before, level, option, value, &length) != 0:
        return
    for i in range(length):
        if value[i] != 0:
            raw_setsockopt(after, level, option, value, length)
            return


cdef void set_linger(int fd, bint reset) noexcept nogil:
    """How the overlay's connection ends: quietly by the client, so that a server that has not accepted it yet still
    can; by the server with a reset, which takes it away on both sides at once and leaves no TIME_WAIT."""
    cdef linger value
    value.l_onoff = reset
    value.l_linger = 0
    raw_setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof(value))


cdef void carry_buffers(int before, int after) noexcept nogil:
    """The kernel doubles what it is given and shows the double."""
    cdef int locked = 0
    cdef int size = 0
    cdef unsigned length = sizeof(locked)
    if raw_getsockopt(before, SOL_SOCKET, SO_BUF_LOCK, &locked, &length) != 0 or locked == 0:
        return
    length = sizeof(size)
    if locked & SNDBUF_LOCKED and raw_getsockopt(before, SOL_SOCKET, SO_SNDBUF, &size, &length) == 0:
        if size < SMALL_BUFFER:
            size //= 2
            raw_setsockopt(after, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size))
    if locked & RCVBUF_LOCKED and raw_getsockopt(before, SOL_SOCKET, SO_RCVBUF, &size, &length) == 0:
        size //= 2
        raw_setsockopt(after, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size))


cdef void carry_status(int before, int after) noexcept nogil:
    cdef int flags = raw_fcntl(before, F_GETFL, 0)
    if flags & O_ASYNC:
        raw_fcntl(after, F_SETOWN, raw_fcntl(before, F_GETOWN, 0))
    if flags & (O_NONBLOCK | O_ASYNC):
        raw_fcntl(after, F_SETFL, flags)


cdef public void ffs_unwatch(int fd, ffs_entry *entry) noexcept nogil:
    """Taking fd out tells whether it was in: an epoll that was closed since, or whose number is another one's by now,
    is forgotten. Until it is watched again no other thread hears of the overlay's socket and writes to it."""
    cdef uint32_t i, kept = 0
    for i in range(entry.watches):
        if raw_epoll_ctl(entry.watch[i].epoll, EPOLL_CTL_DEL, fd, NULL) == 0:
            entry.watch[kept] = entry.watch[i]
            kept += 1
    entry.watches = kept


cdef public void ffs_watch_again(int fd, ffs_entry *entry) noexcept nogil:
    """Adding looks at readiness there and then, so an edge-triggered watcher misses nothing."""
    cdef epoll_event event
    cdef uint32_t i
    cdef int saved = get_errno()
    for i in range(entry.watches):
        event.events = entry.watch[i].events
        event.data.u64 = entry.watch[i].data
        raw_epoll_ctl(entry.watch[i].epoll, EPOLL_CTL_ADD, fd, &event)
    entry.watches = 0
    set_errno(saved)
