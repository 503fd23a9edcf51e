"""Socket options. What the socket underneath has, it answers; what only TCP has, is remembered and answered here."""

from ffcore.tcp cimport *
from ffl.tcp.sock cimport *
from ffl.tcp.sys cimport *
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset, strlen

cdef extern from "ffl/tcp/raw.h" nogil:
    enum:
        TCP_NODELAY, TCP_MAXSEG, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT, TCP_LINGER2
        TCP_DEFER_ACCEPT, TCP_WINDOW_CLAMP, TCP_INFO, TCP_QUICKACK, TCP_CONGESTION, TCP_USER_TIMEOUT
        TCP_NOTSENT_LOWAT, TCP_ESTABLISHED, TCP_CLOSE_WAIT, TCP_FASTOPEN, TCP_FASTOPEN_CONNECT, TCP_MD5SIG
        TCP_REPAIR, TCP_CLOSE
        IP_TOS, IP_TTL, IP_OPTIONS, IP_MTU, IPV6_TCLASS, IPV6_UNICAST_HOPS, IPV6_MTU
        POLLRDHUP, SO_SNDBUFFORCE, SO_RCVBUFFORCE
    struct tcp_info:
        uint8_t tcpi_state
        uint32_t tcpi_rto, tcpi_ato, tcpi_snd_mss, tcpi_rcv_mss, tcpi_pmtu, tcpi_rtt, tcpi_rttvar
        uint32_t tcpi_snd_ssthresh, tcpi_snd_cwnd, tcpi_advmss, tcpi_rcv_space
    struct ucred:
        int pid
        unsigned uid, gid

cdef enum:
    MSS = 65483            # as loopback's: nothing here is cut into smaller pieces
    SMALL_BUFFER = 425984  # see tcp/swap.pyx
    MTU = 65535
    UNLIMITED = 0x7fffffff


cdef int slot_of(int level, int option) noexcept nogil:
    """Where the value is remembered: an index of ffs_entry.option, or -1 for an option that is not."""
    if level == IPPROTO_TCP:
        if option == TCP_NODELAY: return 0
        if option == TCP_CORK: return 1
        if option == TCP_KEEPIDLE: return 2
        if option == TCP_KEEPINTVL: return 3
        if option == TCP_KEEPCNT: return 4
        if option == TCP_SYNCNT: return 5
        if option == TCP_LINGER2: return 6
        if option == TCP_QUICKACK: return 7
        if option == TCP_USER_TIMEOUT: return 8
        if option == TCP_NOTSENT_LOWAT: return 9
        if option == TCP_WINDOW_CLAMP: return 10
        if option == TCP_DEFER_ACCEPT: return 11
        if option == TCP_MAXSEG: return 12
    elif level == IPPROTO_IP:
        if option == IP_TOS: return 13
        if option == IP_TTL: return 14
    elif level == IPPROTO_IPV6:
        if option == IPV6_TCLASS: return 13
        if option == IPV6_UNICAST_HOPS: return 14
    return -1


cdef int value_in_a_new_socket(int slot) noexcept nogil:
    if slot == 0: return 1       # nothing is ever delayed
    if slot == 2: return 7200
    if slot == 3: return 75
    if slot == 4: return 9
    if slot == 5: return 6
    if slot == 6: return 60
    if slot == 7: return 1
    if slot == 12: return MSS
    if slot == 14: return 64
    return 0


cdef ffs_entry *memory_of(int fd) noexcept nogil:
    """This connection's remembered options: empty for one that came by exec, fork's copies for each their own."""
    cdef ffs_entry *entry = ffs_entry_make(fd)
    cdef uint64_t cookie = ffs_cookie(fd)
    if entry != NULL and (entry.kind != FFS_ACCELERATED or entry.cookie != cookie):
        entry.cookie = cookie
        entry.flags = 0
        entry.remembered = 0
        entry.kind = FFS_ACCELERATED
    return entry


# ---- set ----

cdef public int ffs_setsockopt(int fd, int level, int option, const void *value, unsigned length) noexcept nogil:
    cdef ff_tcp_name name
    cdef int status
    if level == SOL_SOCKET and option == SO_SNDBUF and keeps_its_buffer(fd, value, length):
        return 0
    status = raw_setsockopt(fd, level, option, value, length)
    if status == 0:
        note_option(fd, level, option)
        if level == SOL_SOCKET and option == SO_LINGER or level == IPPROTO_TCP:
            leave_alone_if_special(fd, level, option, value, length)
        return 0
    if not not_this_sockets(level) or ffs_connection(fd, &name) == FFS_NOT_OURS:
        return status
    return remember(fd, level, option, value, length)


cdef void note_option(int fd, int level, int option) noexcept nogil:
    """So that sockets without any are spared a question for each (ffs_carry_options)."""
    cdef ffs_entry *entry = ffs_entry_at(fd)
    if entry == NULL or entry.kind not in (FFS_STREAM, FFS_LISTENER):
        return
    if level != SOL_SOCKET or option in (SO_KEEPALIVE, SO_OOBINLINE, SO_RCVTIMEO, SO_SNDTIMEO, SO_LINGER, SO_SNDBUF,
                                         SO_RCVBUF, SO_SNDBUFFORCE, SO_RCVBUFFORCE):
        entry.flags |= FFS_OPTIONS


cdef bint keeps_its_buffer(int fd, const void *value, unsigned length) noexcept nogil:
    """A program that asks for a large buffer has a larger one already, and would make it smaller."""
    cdef ff_tcp_name name
    cdef int asked
    if value == NULL or length < sizeof(int):
        return False
    memcpy(&asked, value, sizeof(int))
    return asked >= SMALL_BUFFER // 2 and is_pair(fd) and ffs_connection(fd, &name) != FFS_NOT_OURS


cdef bint is_pair(int fd) noexcept nogil:
    cdef int domain = 0
    cdef unsigned length = sizeof(domain)
    return raw_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 and domain == AF_UNIX


cdef bint not_this_sockets(int level) noexcept nogil:
    """Of a failed call: the pair knows nothing of the level, or an IPv4 socket between hosts nothing of IPv6."""
    return get_errno() == EOPNOTSUPP or level == IPPROTO_IPV6 and get_errno() == ENOPROTOOPT


cdef void leave_alone_if_special(int fd, int level, int option, const void *value, unsigned length) noexcept nogil:
    """Set before connect, these want what only TCP gives: a close that resets, data in the SYN, signed segments."""
    cdef ffs_entry *entry = ffs_entry_at(fd)
    cdef const linger *wish = <const linger *>value
    if entry == NULL or entry.kind != FFS_STREAM:
        return
    if level == SOL_SOCKET:
        if length < sizeof(linger) or wish.l_onoff == 0 or wish.l_linger != 0:
            return
    elif option not in (TCP_FASTOPEN_CONNECT, TCP_MD5SIG, TCP_REPAIR):
        return
    entry.flags |= FFS_TRIED


cdef int remember(int fd, int level, int option, const void *value, unsigned length) noexcept nogil:
    cdef int slot = slot_of(level, option)
    cdef ffs_entry *entry
    if slot < 0:
        if level == IPPROTO_TCP and option != TCP_CONGESTION:
            set_errno(ENOPROTOOPT)  # TLS in the kernel and the like: programs do it themselves then
            return -1
        return 0  # hints about packets, of which there are none
    if value == NULL or length < sizeof(int):
        set_errno(EINVAL)
        return -1
    entry = memory_of(fd)
    if entry != NULL:
        memcpy(&entry.option[slot], value, sizeof(int))
        entry.remembered |= 1u << slot
    return 0


# ---- get ----

cdef public int ffs_getsockopt(int fd, int level, int option, void *value, unsigned *length) noexcept nogil:
    cdef unsigned room = length[0] if length != NULL else 0
    cdef int status = raw_getsockopt(fd, level, option, value, length)
    cdef ff_tcp_name name
    cdef int side
    if level == SOL_SOCKET:
        if option not in (SO_DOMAIN, SO_PROTOCOL, SO_PEERCRED, SO_PEERSEC):
            return status
    elif status == 0 or not not_this_sockets(level):
        return status
    side = ffs_connection(fd, &name)
    if side == FFS_NOT_OURS or value == NULL or length == NULL:
        return status
    if level == SOL_SOCKET:
        return answer_socket(option, name.client.domain if side == FFS_CLIENT else name.server.domain, value, room,
                             length)
    return answer_protocol(fd, level, option, value, room, length)


cdef int answer(const void *found, unsigned size, void *value, unsigned room, unsigned *length) noexcept nogil:
    length[0] = min(size, room)
    memcpy(value, found, length[0])
    return 0


cdef int answer_socket(int option, int domain, void *value, unsigned room, unsigned *length) noexcept nogil:
    cdef int number
    cdef ucred nobody
    if option == SO_PEERCRED:  # what a TCP socket says; the pair's own would name the router
        nobody.pid = 0
        nobody.uid = <unsigned>-1
        nobody.gid = <unsigned>-1
        return answer(&nobody, sizeof(nobody), value, room, length)
    if option == SO_PEERSEC:
        set_errno(ENOPROTOOPT)
        return -1
    number = domain if option == SO_DOMAIN else IPPROTO_TCP
    return answer(&number, sizeof(number), value, room, length)


cdef int answer_protocol(int fd, int level, int option, void *value, unsigned room, unsigned *length) noexcept nogil:
    cdef int slot = slot_of(level, option)
    cdef int number = 0
    cdef ffs_entry *entry
    if level == IPPROTO_TCP:
        if option == TCP_INFO:
            return answer_info(fd, value, room, length)
        if option == TCP_CONGESTION:
            return answer(b"cubic\0\0\0\0\0\0\0\0\0\0\0", 16, value, room, length)
    if slot < 0:
        if level == IPPROTO_TCP:
            set_errno(ENOPROTOOPT)
            return -1
        if level == IPPROTO_IP and option == IP_OPTIONS:
            return answer(&number, 0, value, room, length)  # none came: sshd hangs up on connections with any
        if level == IPPROTO_IP and option == IP_MTU or level == IPPROTO_IPV6 and option == IPV6_MTU:
            number = MTU
        return answer(&number, sizeof(number), value, room, length)
    entry = memory_of(fd)
    number = value_in_a_new_socket(slot)
    if entry != NULL and entry.remembered & (1u << slot):
        number = entry.option[slot]
    return answer(&number, sizeof(number), value, room, length)


cdef int answer_info(int fd, void *value, unsigned room, unsigned *length) noexcept nogil:
    """struct tcp_info of a connection that loses nothing: state, sizes and a round trip; the rest is 0."""
    cdef tcp_info info
    cdef int events = raw_poll_one(fd, POLLRDHUP, 0)
    memset(&info, 0, sizeof(info))
    info.tcpi_state = TCP_ESTABLISHED
    if events & POLLHUP:
        info.tcpi_state = TCP_CLOSE
    elif events & POLLRDHUP:
        info.tcpi_state = TCP_CLOSE_WAIT
    info.tcpi_rto = 200000
    info.tcpi_ato = 40000
    info.tcpi_rtt = 20  # microseconds
    info.tcpi_rttvar = 10
    info.tcpi_snd_mss = info.tcpi_rcv_mss = info.tcpi_advmss = MSS
    info.tcpi_pmtu = MTU
    info.tcpi_snd_cwnd = 64
    info.tcpi_snd_ssthresh = UNLIMITED
    info.tcpi_rcv_space = 4 << 20
    return answer(&info, sizeof(info), value, room, length)
