"""The kernel as libfsocket calls it (tcp/raw.h), and the types of <sys/socket.h> that it needs."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "ffl/tcp/raw.h" nogil:
    enum:
        AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6
        SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_NONBLOCK, SOCK_CLOEXEC
        IPPROTO_IP, IPPROTO_TCP, IPPROTO_IPV6
        SOL_SOCKET, SO_COOKIE, SO_BUF_LOCK, SO_DOMAIN, SO_PROTOCOL, SO_TYPE, SO_ERROR, SO_PEERCRED, SO_KEEPALIVE
        SO_LINGER, SO_RCVTIMEO, SO_SNDTIMEO, SO_SNDBUF, SO_RCVBUF, SO_ACCEPTCONN, SO_REUSEPORT
        SO_GET_FILTER, SO_PEERSEC, SO_PASSCRED, SO_PASSSEC
        SCM_RIGHTS, MSG_NOSIGNAL, MSG_CTRUNC, MSG_CMSG_CLOEXEC, MSG_PEEK, MSG_DONTWAIT
        F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, FD_CLOEXEC, F_GETOWN, F_SETOWN
        O_NONBLOCK, O_CLOEXEC, O_ASYNC, O_RDONLY
        POLLIN, POLLOUT, POLLERR, POLLHUP
        EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD
        EINTR, EINVAL, EFAULT, EISCONN, EINPROGRESS, EADDRINUSE, EADDRNOTAVAIL, EAGAIN, EPIPE, ENOENT, ENOPROTOOPT
        EOPNOTSUPP, ENOTCONN, ECONNABORTED
        PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS

    ctypedef unsigned int socklen_t
    struct sockaddr:
        uint16_t sa_family
    struct in_addr:
        uint32_t s_addr
    struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct in6_addr:
        uint8_t s6_addr[16]
    struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    struct sockaddr_un:
        uint16_t sun_family
        char sun_path[108]
    struct sockaddr_storage:
        uint16_t ss_family
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    size_t CMSG_SPACE(size_t)
    cmsghdr *CMSG_FIRSTHDR(msghdr *)
    unsigned char *CMSG_DATA(cmsghdr *)
    struct linger:
        int l_onoff
        int l_linger
    struct sock_filter:
        uint16_t code
        uint8_t jt, jf
        uint32_t k
    union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    struct timeval:
        long tv_sec
        long tv_usec

    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)
    int getpid()

    int raw_socket(int, int, int)
    int raw_socketpair(int, int, int, int *)
    int raw_connect(int, const void *, unsigned)
    int raw_bind(int, const void *, unsigned)
    int raw_listen(int, int)
    int raw_open(const char *, int)
    ssize_t raw_read(int, void *, size_t)
    ssize_t raw_recv(int, void *, size_t)
    int raw_dup(int)
    int raw_dup3(int, int, int)
    int raw_close(int)
    int raw_fcntl(int, int, long)
    int raw_ioctl(int, unsigned long, void *)
    int raw_shutdown(int, int)
    ssize_t raw_sendmsg(int, const msghdr *, int)
    ssize_t raw_recvmsg(int, msghdr *, int)
    int raw_epoll_ctl(int, int, int, void *)
    int raw_getsockname(int, void *, unsigned *)
    int raw_getpeername(int, void *, unsigned *)
    int raw_getsockopt(int, int, int, void *, unsigned *)
    int raw_setsockopt(int, int, int, const void *, unsigned)
    int raw_poll_one(int, int, int)
    int raw_accept4_cancellable(int, void *, unsigned *, int)
    int raw_connect_cancellable(int, const void *, unsigned)
    void *raw_map_zeros(size_t)
    int get_errno()
    void set_errno(int)
    uint64_t now_ms()
