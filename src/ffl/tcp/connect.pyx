"""connect: the overlay's own connection first, so that its rules and errors hold; then both ends change over.

The broker is asked before the SYN leaves and says which port to leave from, so it knows the 4-tuple before the server
can: whatever the server accepts has been decided by then, and no two connections can be taken for one another.
"""

from ffcore.tcp cimport *
from ffl.tcp.sock cimport *
from ffl.tcp.sys cimport *
from libc.stdint cimport uint16_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from "<stdlib.h>" nogil:
    long strtol(const char *, char **, int)

cdef enum:
    TRIES = 4              # ports that another socket of the container happens to hold
    ESTABLISH_MS = 20      # what a non-blocking connect waits for the overlay's handshake: one round trip in general
    RESERVED_RANGES = 64   # of ip_local_reserved_ports; one with more is read so far
    SLOW_MS = 1000         # a connect that takes longer asks whether the router still waits for it (serve.pyx: LOST_MS)
    DEFAULT_LOW = 32768
    DEFAULT_HIGH = 60999

cdef struct attempt:
    int fd
    const sockaddr *to
    unsigned length
    ffs_entry *entry
    ff_tcp_request ask
    ff_tcp_reply answer
    int passed     # the client's end, or -1
    bint bound     # by the program, to a port

cdef uint16_t port_low, port_high
cdef uint16_t reserved[2 * RESERVED_RANGES]
cdef int reserved_count


cdef public int ffs_connect(int fd, const sockaddr *to, unsigned length) noexcept nogil:
    cdef attempt a
    cdef int status
    a.fd = fd
    a.to = to
    a.length = length
    if not wanted(&a):
        return connect_as_ever(fd, to, length)
    status = ask_broker(&a)
    a.entry.flags |= FFS_TRIED
    if status == FF_TCP_IN_USE:
        set_errno(EADDRNOTAVAIL)
        return -1
    if status == FF_TCP_PLAIN:
        return raw_connect_cancellable(fd, to, length)
    ffs_unwatch(fd, a.entry)
    status = connect_both(&a)
    ffs_watch_again(fd, a.entry)
    a.entry.kind = FFS_NONE
    return status


cdef int connect_as_ever(int fd, const sockaddr *to, unsigned length) noexcept nogil:
    cdef ff_tcp_name name
    cdef int side
    if not ffs_alone() and to != NULL and length >= sizeof(uint16_t) and to.sa_family == AF_UNSPEC:
        side = ffs_connection(fd, &name)
        return raw_connect_cancellable(fd, to, length) if side == FFS_NOT_OURS else disconnect(fd, side, &name)
    return raw_connect_cancellable(fd, to, length)


cdef int disconnect(int fd, int side, ff_tcp_name *name) noexcept nogil:
    """A socket that can connect anew is a new one, and the container's own."""
    cdef int domain = name.client.domain if side == FFS_CLIENT else name.server.domain
    cdef int fresh = raw_socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0)
    return ffs_swap(fd, fresh, FFS_FIN) if fresh >= 0 else -1


cdef bint wanted(attempt *a) noexcept nogil:
    cdef sockaddr_storage own
    cdef unsigned length = sizeof(own)
    if a.to == NULL or ffs_broker_path()[0] == 0 or ffs_alone():
        return False
    memset(&a.ask, 0, sizeof(a.ask))
    if ffs_end_of(a.to, a.length, &a.ask.peer) != 0 or not ffs_in_prefix(a.ask.peer.address):
        return False
    a.entry = ffs_fresh_stream(a.fd)
    if a.entry == NULL or raw_getsockname(a.fd, &own, &length) != 0:
        return False
    ffs_end_of(&own, length, &a.ask.local)
    a.bound = a.ask.local.port != 0
    return a.ask.local.domain == a.ask.peer.domain


cdef int ask_broker(attempt *a) noexcept nogil:
    """The verdict, with the socket bound to the port that it names."""
    cdef int i
    read_port_range()
    a.ask.op = FF_TCP_CONNECT
    a.ask.port_low = port_low
    a.ask.port_high = port_high
    for i in range(TRIES):
        if ffs_call(&a.ask, &a.answer, &a.passed) != 0:
            return FF_TCP_PLAIN
        if a.answer.verdict != FF_TCP_GO and a.answer.verdict != FF_TCP_CONFIRM:
            if a.answer.local.port != 0 and not a.bound:
                bind_to_answer(a)  # a port that no accelerated connection shows; without it, any will do
            return a.answer.verdict
        if a.passed < 0 or ffs_carry_options(a.fd, a.passed, a.entry.set) != 0:  # no number left; or it has to stay as it is
            settle(a, FF_TCP_ABANDON)
            if a.passed >= 0:
                raw_close(a.passed)
            return FF_TCP_PLAIN
        set_errno(EADDRINUSE)
        if a.bound or not is_reserved(a.answer.local.port) and bind_to_answer(a) == 0:
            return a.answer.verdict
        settle(a, FF_TCP_ABANDON)
        raw_close(a.passed)
        if get_errno() != EADDRINUSE:
            break
    return FF_TCP_PLAIN


cdef int bind_to_answer(attempt *a) noexcept nogil:
    """The port alone: a program that bound no address keeps the routing table's choice."""
    cdef sockaddr_storage own
    cdef ff_tcp_end end = a.ask.local
    end.port = a.answer.local.port
    return raw_bind(a.fd, &own, ffs_name_of(&end, end.domain, &own))


cdef int settle(attempt *a, int flags) noexcept nogil:
    """GO or PLAIN, and both ends hold to it. errno stays."""
    cdef ff_tcp_request ask
    cdef ff_tcp_reply answer
    cdef int passed
    memset(&ask, 0, sizeof(ask))
    memset(&answer, 0, sizeof(answer))
    ask.op = FF_TCP_SETTLE
    ask.flags = flags
    ask.id = a.answer.id
    ask.local = a.answer.local
    if ffs_call(&ask, &answer, &passed) == 0 and answer.verdict == FF_TCP_PLAIN:
        return FF_TCP_PLAIN
    # A router that is gone, or has given this up, has reset every server's end that nobody had claimed: ours has hung up.
    if flags & FF_TCP_ABANDON and answer.verdict == FF_TCP_LOOK:
        return FF_TCP_PLAIN  # another host's server cannot have accepted what was not established here
    if a.passed < 0 or raw_poll_one(a.passed, POLLIN, 0) & POLLHUP:
        return FF_TCP_PLAIN
    return FF_TCP_GO


cdef int connect_both(attempt *a) noexcept nogil:
    cdef uint64_t began = now_ms()
    cdef int status = raw_connect_cancellable(a.fd, a.to, a.length)
    cdef int error = get_errno() if status != 0 else 0
    cdef int flags = 0
    cdef int ready
    if error == EINPROGRESS:
        ready = raw_poll_one(a.fd, POLLOUT, ESTABLISH_MS)
        if ready == 0 or ready & (POLLERR | POLLHUP) or not left_as_told(a):
            flags = FF_TCP_ABANDON
    elif error != 0 or not left_as_told(a):
        flags = FF_TCP_ABANDON
    if a.answer.verdict == FF_TCP_CONFIRM or flags == FF_TCP_ABANDON or now_ms() - began > SLOW_MS:
        if settle(a, flags) != FF_TCP_GO:
            raw_close(a.passed)
            set_errno(error)
            return status
    if error == 0:
        raw_connect(a.passed, a.to, a.length)  # a link is "connecting" until somebody asks: connect is done, and says EISCONN
    ffs_swap(a.fd, a.passed, FFS_FIN)
    if error == EINPROGRESS:
        set_errno(EINPROGRESS)  # as TCP always says at first; the socket is writable by now
        return -1
    return 0


cdef bint left_as_told(attempt *a) noexcept nogil:
    """A container with several addresses: did the kernel choose the one that the broker named the connection by?"""
    cdef sockaddr_storage own
    cdef ff_tcp_end end
    cdef unsigned length = sizeof(own)
    cdef int i
    if raw_getsockname(a.fd, &own, &length) != 0 or ffs_end_of(&own, length, &end) != 0:
        return False
    if end.port != a.answer.local.port:
        return False
    for i in range(16):
        if end.address[i] != a.answer.local.address[i]:
            return False
    return True


cdef bint is_reserved(uint16_t port) noexcept nogil:
    """Whoever administers the container keeps this port for a server: the kernel would not choose it."""
    cdef int i
    for i in range(reserved_count):
        if reserved[2 * i] <= port <= reserved[2 * i + 1]:
            return True
    return False


cdef void read_port_range() noexcept nogil:
    """net.ipv4.ip_local_port_range and ip_local_reserved_ports, once: also IPv6's. Racing threads store the same."""
    global port_low, port_high
    cdef char text[1024]
    cdef char *rest
    cdef long low, high
    if port_high != 0:
        return
    low = DEFAULT_LOW
    high = DEFAULT_HIGH
    if read_setting(b"/proc/sys/net/ipv4/ip_local_port_range", text, sizeof(text)):
        low = strtol(text, &rest, 10)
        high = strtol(rest, NULL, 10)
    if low < 1 or high > 65535 or low > high:
        low = DEFAULT_LOW
        high = DEFAULT_HIGH
    if read_setting(b"/proc/sys/net/ipv4/ip_local_reserved_ports", text, sizeof(text)):
        parse_reserved(text)
    port_low = <uint16_t>low
    port_high = <uint16_t>high


cdef bint read_setting(const char *path, char *text, size_t room) noexcept nogil:
    cdef ssize_t got = -1
    cdef int fd = raw_open(path, O_RDONLY | O_CLOEXEC)
    if fd >= 0:
        got = raw_read(fd, text, room - 1)
        raw_close(fd)
    text[got if got > 0 else 0] = 0
    return got > 0


cdef void parse_reserved(const char *text) noexcept nogil:
    """"8080,9000-9100" """
    global reserved_count
    cdef char *rest = <char *>text
    cdef int count = 0
    cdef long first
    while count < RESERVED_RANGES and b'0' <= rest[0] <= b'9':
        first = strtol(rest, &rest, 10)
        reserved[2 * count] = reserved[2 * count + 1] = <uint16_t>first
        if rest[0] == b'-':
            reserved[2 * count + 1] = <uint16_t>strtol(rest + 1, &rest, 10)
        count += 1
        if rest[0] == b',':
            rest += 1
    reserved_count = count
