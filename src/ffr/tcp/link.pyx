from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from ffcore.tcp cimport *

cdef extern from "ffr/tcp/kernel.h" nogil:
    enum:
        AF_INET, AF_INET6, SOCK_STREAM, SOCK_CLOEXEC, SOCK_NONBLOCK, SOL_SOCKET, SO_LINGER, SO_ATTACH_FILTER
        SO_LOCK_FILTER, SO_REUSEADDR, EINPROGRESS, EAGAIN, EPROTO, ETIMEDOUT, MSG_DONTWAIT, MSG_NOSIGNAL
        IPPROTO_TCP, IPPROTO_IPV6, TCP_REPAIR, TCP_CONGESTION, IPV6_FREEBIND, IPV6_V6ONLY, IPV6_ADDRFORM, IPPROTO_IP, IP_MULTICAST_ALL
        POLLIN, POLLERR, POLLHUP, POLLRDHUP, F_SETFL
        BPF_LD, BPF_B, BPF_ABS, BPF_IMM, BPF_JMP, BPF_JSET, BPF_K, BPF_RET
    struct sockaddr:
        uint16_t sa_family
    struct in_addr:
        uint32_t s_addr
    struct sockaddr_in:
        uint16_t sin_family, sin_port
        in_addr sin_addr
    struct in6_addr:
        uint8_t s6_addr[16]
    struct sockaddr_in6:
        uint16_t sin6_family, sin6_port
        in6_addr sin6_addr
    struct sockaddr_storage:
        uint16_t ss_family
    struct linger:
        int l_onoff, l_linger
    struct pollfd:
        int fd
        short events, revents
    struct sock_filter:
        uint16_t code
        uint8_t jt, jf
        uint32_t k
    struct sock_fprog:
        uint16_t len
        sock_filter *filter
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)
    int socket(int, int, int)
    int bind(int, const sockaddr *, unsigned)
    int connect(int, const sockaddr *, unsigned)
    int listen(int, int)
    int accept4(int, sockaddr *, unsigned *, int)
    int setsockopt(int, int, int, const void *, unsigned)
    ssize_t send(int, const void *, size_t, int)
    ssize_t recv(int, void *, size_t, int)
    int poll(pollfd *, unsigned long, int)
    int fcntl(int, int, int)
    int close(int)
    int tcp_errno()
cdef extern from "ffr/tcp/peer.h" nogil:
    enum:
        FFR_DATA_PORT, FFR_SECRET

cdef enum:
    TCP_FLAGS = 13     # bytes into the TCP header, and a bit there: RFC 9293, 3.1
    TCP_SYN = 2
    REPAIR_ON = 1      # TCP_REPAIR; the kernel's headers for programs lack the names
    REPAIR_OFF = 0
    REPAIR_OFF_QUIET = -1  # without a probe to the peer
    PAIR_MS = 100      # for a handshake that takes 10 microseconds
    WHOLE = 0xffffffff


cdef bint is_v4(const uint8_t *address) noexcept nogil:
    cdef int i
    for i in range(10):
        if address[i] != 0:
            return False
    return address[10] == 0xff and address[11] == 0xff


cdef unsigned name_of(const uint8_t *address, uint16_t port, sockaddr_storage *name, int domain=0) noexcept nogil:
    """domain: AF_INET6 for a mapped address, too; 0: the address's own."""
    cdef sockaddr_in *four = <sockaddr_in *>name
    cdef sockaddr_in6 *six = <sockaddr_in6 *>name
    memset(name, 0, sizeof(sockaddr_storage))
    if is_v4(address) and domain != AF_INET6:
        four.sin_family = AF_INET
        four.sin_port = htons(port)
        memcpy(&four.sin_addr, address + 12, 4)
        return sizeof(sockaddr_in)
    six.sin6_family = AF_INET6
    six.sin6_port = htons(port)
    memcpy(&six.sin6_addr, address, 16)
    return sizeof(sockaddr_in6)


cdef uint16_t address_of(const sockaddr_storage *name, uint8_t *address) noexcept nogil:
    """The port; the address, IPv4-mapped for IPv4."""
    cdef const sockaddr_in *four = <const sockaddr_in *>name
    cdef const sockaddr_in6 *six = <const sockaddr_in6 *>name
    memset(address, 0, 16)
    if name.ss_family == AF_INET:
        address[10] = address[11] = 0xff
        memcpy(address + 12, &four.sin_addr, 4)
        return ntohs(four.sin_port)
    memcpy(address, &six.sin6_addr, 16)
    return ntohs(six.sin6_port)


# ---- on one host ----

cdef void set_option(int fd, int level, int option, int value) noexcept nogil:
    setsockopt(fd, level, option, &value, sizeof(value))


cdef int end_at(const ff_tcp_end *end, int domain) noexcept nogil:
    """A socket that is bound there, in repair: so others that are bound there do not matter. Whether a connection's two
    ends together are free, connect says. fd or -errno."""
    cdef sockaddr_storage name
    cdef unsigned length = name_of(end.address, end.port, &name, domain)
    cdef int error
    cdef int fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
    if fd < 0:
        return -tcp_errno()
    set_option(fd, IPPROTO_TCP, TCP_REPAIR, REPAIR_ON)
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, b"cubic", 5)  # a host's own choice may be slow on a loopback: bbr
    if name.ss_family == AF_INET6:
        set_option(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)
    if bind(fd, <sockaddr *>&name, length) == 0:
        return fd
    error = tcp_errno()
    close(fd)
    return -error


cdef int link_pair(const ff_tcp_end *client, const ff_tcp_end *server, int ends[2]) noexcept nogil:
    cdef int door = end_at(server, server.domain)
    cdef int status
    if door < 0:
        return door
    ends[0] = end_at(client, client.domain)
    if ends[0] < 0:
        close(door)
        return ends[0]
    status = meet(door, client, server, ends)
    close(door)
    if status != 0:
        close(ends[0])
    return status


cdef int meet(int door, const ff_tcp_end *client, const ff_tcp_end *server, int ends[2]) noexcept nogil:
    """A handshake over the loopback. Neither end shows afterwards how it came to be."""
    cdef sockaddr_storage name
    cdef unsigned length = name_of(server.address, server.port, &name, client.domain)
    cdef uint8_t address[16]
    cdef uint16_t port = 0
    if listen(door, 1) != 0:
        return -tcp_errno()
    set_option(ends[0], IPPROTO_TCP, TCP_REPAIR, REPAIR_OFF)
    if connect(ends[0], <sockaddr *>&name, length) != 0 and tcp_errno() != EINPROGRESS:
        return -tcp_errno()
    ends[1] = link_accept(door, address, &port)
    if ends[1] < 0 and shows(door, POLLIN, PAIR_MS) & POLLIN:
        ends[1] = link_accept(door, address, &port)
    if ends[1] < 0:
        return -ETIMEDOUT
    if port != client.port or memcmp(address, client.address, 16) != 0:
        close(ends[1])
        return -EPROTO
    set_option(ends[1], IPPROTO_TCP, TCP_REPAIR, REPAIR_OFF_QUIET)
    if client.domain == AF_INET6:
        set_option(ends[0], IPPROTO_IPV6, IPV6_FREEBIND, 0)
    if server.domain == AF_INET6:
        set_option(ends[1], IPPROTO_IPV6, IPV6_FREEBIND, 0)
    fcntl(ends[0], F_SETFL, 0)
    return 0


# ---- between hosts ----

cdef int link_open(const uint8_t *own, uint16_t port, const uint8_t *address) noexcept nogil:
    """Other connections may have the same port, as long as they go elsewhere: that is what SO_REUSEADDR says. An IPv6
    socket also where the hosts' addresses are IPv4, for what it has been made cannot be known yet (link_become)."""
    cdef sockaddr_storage name
    cdef unsigned length
    cdef int domain = AF_INET6
    cdef int error
    cdef int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
    if fd < 0:  # a host without IPv6
        domain = AF_INET
        fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
    if fd < 0:
        return -tcp_errno()
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)
    length = name_of(own, port, &name, domain)
    error = bind(fd, <sockaddr *>&name, length)
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 0)
    if error == 0:
        length = name_of(address, FFR_DATA_PORT, &name, domain)
        error = connect(fd, <sockaddr *>&name, length)
    if error != 0 and tcp_errno() != EINPROGRESS:
        error = tcp_errno()
        close(fd)
        return -error
    fcntl(fd, F_SETFL, 0)  # programs' sockets block unless they say otherwise; the connect goes on as it began
    return fd


cdef void link_become(int fd, int domain) noexcept nogil:
    if domain == AF_INET:
        set_option(fd, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET)
        set_option(fd, IPPROTO_IP, IP_MULTICAST_ALL, 1)  # as an IPv4 socket has it from the start


cdef int link_accept(int door, uint8_t *address, uint16_t *port) noexcept nogil:
    cdef sockaddr_storage name
    cdef unsigned length = sizeof(name)
    cdef int fd = accept4(door, <sockaddr *>&name, &length, SOCK_CLOEXEC)
    if fd >= 0:
        port[0] = address_of(&name, address)
    return fd


cdef int link_say(int fd, const uint8_t *secret) noexcept nogil:
    cdef ssize_t sent = send(fd, secret, FFR_SECRET, MSG_DONTWAIT | MSG_NOSIGNAL)
    if sent == FFR_SECRET:
        return 1
    return 0 if sent < 0 and tcp_errno() == EAGAIN else -1


cdef int link_hear(int fd, uint8_t *secret) noexcept nogil:
    cdef ssize_t got = recv(fd, secret, FFR_SECRET, MSG_DONTWAIT)
    if got == FFR_SECRET:
        return 1
    return 0 if got < 0 and tcp_errno() == EAGAIN else -1


cdef void link_hold(int fd, bint held) noexcept nogil:
    cdef linger value
    value.l_onoff = held
    value.l_linger = 0
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof(value))


cdef bint link_reset(int fd) noexcept nogil:
    return shows(fd, 0) & (POLLERR | POLLHUP) != 0


cdef bint link_left(int fd) noexcept nogil:
    return shows(fd, POLLRDHUP) & (POLLERR | POLLHUP | POLLRDHUP) != 0


cdef int shows(int fd, int events, int limit_ms=0) noexcept nogil:
    cdef pollfd one
    one.fd = fd
    one.events = <short>events
    one.revents = 0
    poll(&one, 1, limit_ms)
    return one.revents


# ---- the filter ----

cdef void step(sock_filter *at, int code, uint32_t k, int jt=0, int jf=0) noexcept nogil:
    at.code = <uint16_t>code
    at.jt = <uint8_t>jt
    at.jf = <uint8_t>jf
    at.k = k


cdef int link_name(int fd, const ff_tcp_end *client, const ff_tcp_end *server, bint server_side) noexcept nogil:
    cdef sock_filter f[FF_TCP_FILTER_LENGTH]
    cdef sock_fprog program
    cdef ff_tcp_name name
    cdef uint32_t words[FF_TCP_FILTER_WORDS]
    cdef int i
    memset(&name, 0, sizeof(name))
    name.magic = FF_TCP_NAME_MAGIC
    name.client = client[0]
    name.server = server[0]
    memcpy(words, &name, sizeof(name))
    step(&f[0], BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS)
    step(&f[1], BPF_JMP | BPF_JSET | BPF_K, TCP_SYN, 1, 0)
    step(&f[2], BPF_RET | BPF_K, WHOLE)
    step(&f[3], BPF_RET | BPF_K, 0)
    for i in range(FF_TCP_FILTER_WORDS):
        step(&f[FF_TCP_FILTER_CHECKS + i], BPF_LD | BPF_IMM, words[i])
    step(&f[FF_TCP_FILTER_SIDE], BPF_LD | BPF_IMM, server_side)
    step(&f[FF_TCP_FILTER_LENGTH - 1], BPF_RET | BPF_K, 0)
    program.len = FF_TCP_FILTER_LENGTH
    program.filter = f
    return 0 if setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0 else -tcp_errno()


cdef int link_lock(int fd) noexcept nogil:
    cdef int on = 1
    return 0 if setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on)) == 0 else -tcp_errno()
