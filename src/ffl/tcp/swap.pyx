"""A descriptor's number becomes another socket, and the program sees one socket throughout."""

from ffl.tcp.sock cimport *
from ffl.tcp.sys cimport *

cdef extern from "ffl/tcp/raw.h" nogil:
    enum:
        F_GETOWN_EX, F_SETOWN_EX, F_GETSIG, F_SETSIG
    struct f_owner_ex:
        int type, pid


cdef public int ffs_swap(int fd, int replacement, int close_how) noexcept nogil:
    cdef int flags, status
    cdef ffs_entry *entry
    carry_status(fd, replacement)
    set_linger(fd, close_how == FFS_RESET)
    flags = O_CLOEXEC if raw_fcntl(fd, F_GETFD, 0) & FD_CLOEXEC else 0
    status = raw_dup3(replacement, fd, flags)
    raw_close(replacement)
    entry = ffs_entry_at(fd)
    if entry != NULL and entry.kind != FFS_STREAM:  # that one is connect's, which notes it when it is done
        entry.kind = FFS_NONE
    return 0 if status >= 0 else -1


cdef void set_linger(int fd, bint reset) noexcept nogil:
    """How the overlay's connection ends: quietly by the client, so that a server that has not accepted it yet still
    can; by the server with a reset, which takes it away on both sides at once and leaves no TIME_WAIT."""
    cdef linger value
    value.l_onoff = reset
    value.l_linger = 0
    raw_setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof(value))


cdef void carry_status(int before, int after) noexcept nogil:
    """Also who is told of urgent data, and by which signal: that needs no O_ASYNC."""
    cdef int flags = raw_fcntl(before, F_GETFL, 0)
    cdef f_owner_ex owner
    cdef int signal
    owner.pid = 0
    if raw_fcntl(before, F_GETOWN_EX, <long>&owner) == 0 and owner.pid != 0:
        raw_fcntl(after, F_SETOWN_EX, <long>&owner)
        signal = raw_fcntl(before, F_GETSIG, 0)
        if signal > 0:
            raw_fcntl(after, F_SETSIG, signal)
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
