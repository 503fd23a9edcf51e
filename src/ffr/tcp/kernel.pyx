from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ffcore.tcp cimport ff_tcp_end, ff_tcp_reply, ff_tcp_request

cdef extern from "ffr/tcp/kernel.h" nogil:
    enum:
        AF_INET, AF_INET6, AF_NETLINK, SOCK_RAW, SOCK_CLOEXEC, NETLINK_SOCK_DIAG, IPPROTO_TCP
        SOL_SOCKET, SO_PEERCRED, SO_RCVTIMEO, SCM_RIGHTS
        MSG_DONTWAIT, MSG_NOSIGNAL, EAGAIN, EINTR, EIO, ENOENT
        SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, NLMSG_ERROR, INET_DIAG_NOCOOKIE, SIOCGSKNS
        CLONE_NEWNET, O_RDONLY, O_CLOEXEC
    struct nlmsghdr:
        uint32_t nlmsg_len
        uint16_t nlmsg_type, nlmsg_flags
        uint32_t nlmsg_seq, nlmsg_pid
    struct inet_diag_sockid:
        uint16_t idiag_sport, idiag_dport
        uint32_t idiag_src[4]
        uint32_t idiag_dst[4]
        uint32_t idiag_if
        uint32_t idiag_cookie[2]
    struct inet_diag_req_v2:
        uint8_t sdiag_family, sdiag_protocol, idiag_ext, pad
        uint32_t idiag_states
        inet_diag_sockid id
    struct inet_diag_msg:
        uint8_t idiag_family, idiag_state
        inet_diag_sockid id
        uint32_t idiag_uid, idiag_inode
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level, cmsg_type
    struct ucred:
        int pid
        uint32_t uid
    struct stat_t "stat":
        uint64_t st_dev, st_ino
    struct timeval:
        long tv_sec, tv_usec
    size_t CMSG_SPACE(size_t)
    size_t CMSG_LEN(size_t)
    cmsghdr *CMSG_FIRSTHDR(msghdr *)
    unsigned char *CMSG_DATA(cmsghdr *)
    uint16_t htons(uint16_t)
    int socket(int, int, int)
    int setsockopt(int, int, int, const void *, unsigned)
    int getsockopt(int, int, int, void *, unsigned *)
    ssize_t send(int, const void *, size_t, int)
    ssize_t recv(int, void *, size_t, int)
    ssize_t sendmsg(int, const msghdr *, int)
    int ioctl(int, unsigned long, ...)
    int fstat(int, stat_t *)
    int open(const char *, int)
    int close(int)
    int setns(int, int)
    int stat(const char *, stat_t *)
    ssize_t read(int, void *, size_t)
    char *strstr(const char *, const char *)
    size_t strlen(const char *)
    int tcp_errno()

cdef extern from "<stdio.h>" nogil:
    int snprintf(char *, size_t, const char *, ...)
cdef extern from "<stdlib.h>" nogil:
    unsigned long long strtoull(const char *, char **, int)

cdef enum:
    NET_ADMIN = 1 << 12  # capability.h
    DIAG_WAIT_S = 1
    ANY_STATE = 0xffffffff


cdef bint is_mapped(const uint8_t *address) noexcept nogil:
    cdef int i
    for i in range(10):
        if address[i] != 0:
            return False
    return address[10] == 0xff and address[11] == 0xff


cdef struct diag_request:
    nlmsghdr header
    inet_diag_req_v2 body


cdef int find_socket(int diag, const ff_tcp_end *local, const ff_tcp_end *remote, found_socket *found) noexcept nogil:
    cdef diag_request ask
    cdef int skip = 12 if is_mapped(local.address) else 0
    memset(&ask, 0, sizeof(ask))
    ask.header.nlmsg_len = sizeof(ask)
    ask.header.nlmsg_type = SOCK_DIAG_BY_FAMILY
    ask.header.nlmsg_flags = NLM_F_REQUEST
    ask.body.sdiag_family = AF_INET if skip else AF_INET6
    ask.body.sdiag_protocol = IPPROTO_TCP
    ask.body.idiag_states = ANY_STATE
    ask.body.id.idiag_sport = htons(local.port)
    ask.body.id.idiag_dport = htons(remote.port)
    memcpy(ask.body.id.idiag_src, &local.address[skip], 16 - skip)
    memcpy(ask.body.id.idiag_dst, &remote.address[skip], 16 - skip)
    ask.body.id.idiag_cookie[0] = ask.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE
    if send(diag, &ask, sizeof(ask), 0) != sizeof(ask):
        return -tcp_errno()
    return read_diag(diag, found)


cdef int read_diag(int diag, found_socket *found) noexcept nogil:
    cdef uint64_t room[64]
    cdef nlmsghdr *header = <nlmsghdr *>room
    cdef inet_diag_msg *body = <inet_diag_msg *>(header + 1)
    cdef ssize_t got = recv(diag, room, sizeof(room), 0)
    if got < <ssize_t>(sizeof(nlmsghdr) + sizeof(int)):
        return -EIO
    if header.nlmsg_type == NLMSG_ERROR:
        return (<int *>(header + 1))[0]
    if got < <ssize_t>(sizeof(nlmsghdr) + sizeof(inet_diag_msg)):
        return -EIO
    found.cookie = body.id.idiag_cookie[0] | <uint64_t>body.id.idiag_cookie[1] << 32
    found.inode = body.idiag_inode
    found.uid = body.idiag_uid
    found.state = body.idiag_state
    found.family = body.idiag_family
    return 0


cdef int open_diag(int netns) noexcept nogil:
    cdef timeval limit
    cdef int home, fd, error
    home = open(b"/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
    if home < 0:
        return -tcp_errno()
    if setns(netns, CLONE_NEWNET) != 0:
        error = tcp_errno()
        close(home)
        return -error
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
    error = tcp_errno()
    setns(home, CLONE_NEWNET)
    close(home)
    if fd < 0:
        return -error
    limit.tv_sec = DIAG_WAIT_S  # the kernel answers before send returns; this is for a bug
    limit.tv_usec = 0
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit))
    return fd


cdef int enter(int fd) noexcept nogil:
    return 0 if setns(fd, CLONE_NEWNET) == 0 else -tcp_errno()


cdef int identify(int fd, uint64_t *device, uint64_t *inode, uint32_t *uid, int *pid) noexcept nogil:
    cdef ucred who
    cdef unsigned length = sizeof(who)
    cdef stat_t found
    cdef int namespace = ioctl(fd, SIOCGSKNS)
    cdef int status
    if namespace < 0:
        return -tcp_errno()
    status = fstat(namespace, &found)
    close(namespace)
    if status != 0 or getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) != 0:
        return -EIO
    device[0] = found.st_dev
    inode[0] = found.st_ino
    uid[0] = who.uid
    pid[0] = who.pid
    return 0


cdef bint may_change_networks(int pid) noexcept nogil:
    """By /proc/PID/status: what it has now, and what a set-uid program could give it."""
    cdef char path[64]
    cdef char text[4096]
    cdef stat_t own, its
    cdef ssize_t got = -1
    cdef int fd
    snprintf(path, sizeof(path), b"/proc/%d/ns/user", pid)
    if stat(b"/proc/self/ns/user", &own) != 0 or stat(path, &its) != 0:
        return True
    if own.st_ino != its.st_ino:
        return False  # root of a user namespace of its own, and nobody here
    snprintf(path, sizeof(path), b"/proc/%d/status", pid)
    fd = open(path, O_RDONLY | O_CLOEXEC)
    if fd >= 0:
        got = read(fd, text, sizeof(text) - 1)
        close(fd)
    if got <= 0:
        return True
    text[got] = 0
    if number_after(text, b"\nCapPrm:", 16) & NET_ADMIN:
        return True
    return number_after(text, b"\nCapBnd:", 16) & NET_ADMIN and number_after(text, b"\nNoNewPrivs:", 10) != 1


cdef uint64_t number_after(const char *text, const char *label, int base) noexcept nogil:
    """All ones where there is no such line."""
    cdef const char *at = strstr(text, label)
    return strtoull(at + strlen(label), NULL, base) if at != NULL else <uint64_t>-1


cdef int receive_request(int fd, ff_tcp_request *ask) noexcept nogil:
    """No room for control messages: a descriptor that somebody attaches is dropped by the kernel."""
    cdef ssize_t got = recv(fd, ask, sizeof(ff_tcp_request), MSG_DONTWAIT)
    if got == sizeof(ff_tcp_request):
        return 1
    return 0 if got < 0 and tcp_errno() in (EAGAIN, EINTR) else -1


cdef int send_reply(int fd, ff_tcp_reply *answer, int passed) noexcept nogil:
    """passed: -1 for none; the caller still owns it. A peer that does not read its replies is closed."""
    cdef msghdr m
    cdef iovec v
    cdef char room[64]
    cdef cmsghdr *c
    memset(&m, 0, sizeof(m))
    v.iov_base = answer
    v.iov_len = sizeof(ff_tcp_reply)
    m.msg_iov = &v
    m.msg_iovlen = 1
    if passed >= 0:
        memset(room, 0, sizeof(room))
        m.msg_control = room
        m.msg_controllen = CMSG_SPACE(sizeof(int))
        c = CMSG_FIRSTHDR(&m)
        c.cmsg_level = SOL_SOCKET
        c.cmsg_type = SCM_RIGHTS
        c.cmsg_len = CMSG_LEN(sizeof(int))
        memcpy(CMSG_DATA(c), &passed, sizeof(int))
    return 0 if sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(ff_tcp_reply) else -1
