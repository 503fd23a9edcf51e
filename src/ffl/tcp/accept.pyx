"""listen and accept. The listener stays the kernel's: backlog, epoll, fork and SO_REUSEPORT are its business.

What accept takes out of the backlog is an overlay connection. If its client asked for acceleration the broker holds
the other end of its pair, under the connection's 4-tuple, and accept returns that instead.
"""

from ffcore.tcp cimport *
from ffl.tcp.sock cimport *
from ffl.tcp.sys cimport *
from libc.string cimport memcpy, memset


cdef public int ffs_listen(int fd, int backlog) noexcept nogil:
    cdef int status = raw_listen(fd, backlog)
    if status == 0:
        register_listener(fd, 0)
    return status


cdef public void ffs_watch_listener(int fd) noexcept nogil:
    """An epoll of this process watches it: so it will be accepted from here, and not through io_uring."""
    register_listener(fd, FF_TCP_ACCEPTS)


cdef public void ffs_leave_listener(int fd) noexcept nogil:
    """This process will not claim what it accepts from now on."""
    register_listener(fd, FF_TCP_LEAVES)


cdef void register_listener(int fd, int flags) noexcept nogil:
    cdef sockaddr_storage own
    cdef unsigned length = sizeof(own)
    cdef ff_tcp_request ask
    cdef ff_tcp_reply answer
    cdef ffs_entry *entry = ffs_entry_at(fd)
    cdef int passed
    memset(&ask, 0, sizeof(ask))
    if entry != NULL and entry.kind == FFS_STREAM and entry.flags & FFS_TRIED:
        return  # an option that what it accepts must have, and links have not
    if ffs_broker_path()[0] == 0 or ffs_alone() or raw_getsockname(fd, &own, &length) != 0 or not is_tcp(fd):
        return
    if ffs_end_of(&own, length, &ask.local) != 0 or not (any_address(&ask.local) or ffs_in_prefix(ask.local.address)):
        return
    entry = ffs_entry_make(fd)
    if entry == NULL:
        return
    ask.op = FF_TCP_LISTEN
    ask.flags = flags | (FF_TCP_GROUP if is_set(fd, SOL_SOCKET, SO_REUSEPORT) else 0)
    ask.cookie = ffs_cookie(fd)
    ask.token = entry.token if entry.kind == FFS_LISTENER and entry.cookie == ask.cookie else 0
    if ffs_call(&ask, &answer, &passed) != 0:
        return
    if entry.cookie != ask.cookie or entry.kind == FFS_NONE:
        memset(entry.set, 0xff, sizeof(entry.set))  # it came from elsewhere: nobody here knows, so all are compared
        entry.set[0] -= 1  # but for FFS_CHOSEN
    entry.cookie = ask.cookie
    entry.token = answer.token  # 0: refused, and no use to ask again
    entry.flags = FFS_ACCEPTS if flags & FF_TCP_ACCEPTS else 0
    entry.kind = FFS_LISTENER


cdef bint is_tcp(int fd) noexcept nogil:
    return number_of(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP


cdef bint is_set(int fd, int level, int option) noexcept nogil:
    return number_of(fd, level, option) > 0


cdef int number_of(int fd, int level, int option) noexcept nogil:
    cdef int number = 0
    cdef unsigned length = sizeof(number)
    return number if raw_getsockopt(fd, level, option, &number, &length) == 0 else -1


cdef bint any_address(const ff_tcp_end *end) noexcept nogil:
    """:: or 0.0.0.0, which is mapped here."""
    cdef int i
    for i in range(16):
        if end.address[i] != 0 and not (i in (10, 11) and end.address[i] == 0xff):
            return False
    return True


cdef public int ffs_accept4(int fd, sockaddr *address, unsigned *length, int flags) noexcept nogil:
    cdef sockaddr_storage client
    cdef unsigned client_length = sizeof(client)
    cdef ffs_entry *entry = ffs_entry_at(fd)
    cdef ff_tcp_request ask
    cdef int conn
    if ffs_alone() or address != NULL and (length == NULL or <int>length[0] < 0):
        return raw_accept4_cancellable(fd, address, length, flags)  # its errors, in the second case
    if entry != NULL and entry.kind == FFS_LISTENER and not entry.flags & FFS_ACCEPTS:
        register_listener(fd, FF_TCP_ACCEPTS)
    conn = raw_accept4_cancellable(fd, &client, &client_length, flags)
    if conn < 0:
        return conn
    memset(&ask, 0, sizeof(ask))
    if ffs_end_of(&client, client_length, &ask.peer) == 0 and ffs_in_prefix(ask.peer.address):
        conn = claim(fd, conn, flags, &ask)
    if address != NULL:
        memcpy(address, &client, min(length[0], client_length))
        length[0] = client_length
    return conn


cdef int claim(int listener, int conn, int flags, ff_tcp_request *ask) noexcept nogil:
    """What accept returns: conn, which changes over if the broker holds an end for it."""
    cdef sockaddr_storage own
    cdef unsigned length = sizeof(own)
    cdef ffs_entry *entry = listener_entry(listener)
    cdef ff_tcp_reply answer
    cdef int passed
    cdef int spare = conn
    if entry == NULL or raw_getsockname(conn, &own, &length) != 0 or ffs_end_of(&own, length, &ask.local) != 0:
        return conn
    ask.op = FF_TCP_CLAIM
    ask.token = entry.token
    if ffs_call_giving(ask, &answer, &passed, &spare) != 0:
        return conn if spare >= 0 else give_up()
    if spare < 0:
        return in_its_place(listener, passed, flags)
    if answer.verdict == FF_TCP_GO and passed >= 0:
        ffs_carry_options(conn, passed, entry.set)
        ffs_swap(conn, passed, FFS_RESET)
    elif answer.reason == FF_TCP_PLAIN_LISTENER:
        register_listener(listener, FF_TCP_ACCEPTS)  # the router was restarted, and knows it no more
    return conn


cdef int in_its_place(int listener, int passed, int flags) noexcept nogil:
    """The program's last descriptor number: the overlay's connection was closed to make room."""
    if passed < 0:
        return give_up()
    ffs_carry_options(listener, passed, listener_entry(listener).set)
    if flags & SOCK_NONBLOCK:
        raw_fcntl(passed, F_SETFL, O_NONBLOCK)
    if not flags & SOCK_CLOEXEC:
        raw_fcntl(passed, F_SETFD, 0)
    return passed


cdef int give_up() noexcept nogil:
    set_errno(ECONNABORTED)
    return -1


cdef ffs_entry *listener_entry(int fd) noexcept nogil:
    """A listener that came by exec or from another process is registered at its first accept."""
    cdef ffs_entry *entry = ffs_entry_at(fd)
    if entry == NULL or entry.kind != FFS_LISTENER:
        register_listener(fd, FF_TCP_ACCEPTS)
        entry = ffs_entry_at(fd)
    return entry if entry != NULL and entry.kind == FFS_LISTENER and entry.token != 0 else NULL
