"""One request to the broker and its reply.

A process keeps a few sessions, one per thread that is inside a call at the same time. Their descriptors are hidden
from the program but not protected from it: it may close all numbers it does not know, and reuse them. So a session
counts only while its number still is the socket with the cookie that it was opened with.
"""

from ffcore.tcp cimport *
from ffl.tcp.sock cimport *
from ffl.tcp.sys cimport *
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset, strlen

cdef extern from "ffcore/atomics.h" nogil:
    ctypedef uint32_t ff_a32
    int ff_cas32(ff_a32 *, uint32_t, uint32_t)
    void ff_store32_release(ff_a32 *, uint32_t)
    uint32_t ff_add32(ff_a32 *, uint32_t)

cdef enum:
    SLOTS = 8
    ANSWER_S = 2       # a router that is stopped, or swamped
    RETRY_MS = 1000    # after "no router": programs that connect often do not pay for asking each time
    NO_NUMBER = -2     # receive_one: there is a descriptor, and no number free for it
    FIRST_NUMBER = 900 # out of the way of programs that count on getting the lowest numbers, within select's 1024

cdef struct session:
    ff_a32 busy
    int fd
    uint64_t cookie # 0: not open

cdef session slots[SLOTS]
cdef ff_a32 sequences
cdef uint64_t absent_until_ms


cdef public int ffs_call(ff_tcp_request *ask, ff_tcp_reply *answer, int *passed) noexcept nogil:
    cdef int none = -1
    return ffs_call_giving(ask, answer, passed, &none)


cdef public int ffs_call_giving(ff_tcp_request *ask, ff_tcp_reply *answer, int *passed, int *spare) noexcept nogil:
    cdef session extra
    cdef session *s
    cdef int saved = get_errno()
    cdef int status
    passed[0] = -1
    if absent_until_ms > now_ms():
        return -1
    s = take()
    if s == NULL:
        memset(&extra, 0, sizeof(extra))
        s = &extra
    status = call_on(s, ask, answer, passed, spare)
    if s == &extra:
        drop(s)
    else:
        ff_store32_release(&s.busy, 0)  # pairs with the compare-and-swap in take()
    set_errno(saved)
    return status


cdef session *take() noexcept nogil:
    cdef int i
    for i in range(SLOTS):
        if ff_cas32(&slots[i].busy, 0, 1):
            return &slots[i]
    return NULL


cdef int call_on(session *s, ff_tcp_request *ask, ff_tcp_reply *answer, int *passed, int *spare) noexcept nogil:
    cdef int attempt
    ask.version = FF_TCP_VERSION
    ask.sequence = ff_add32(&sequences, 1) + 1
    for attempt in range(2):  # a session that a restarted router left behind fails at once; a new one may not
        if s.cookie == 0 or ffs_cookie(s.fd) != s.cookie:
            s.cookie = 0
            if open_session(s) != 0:
                return -1
        if transmit(s.fd, ask) == 0 and receive(s.fd, ask.sequence, answer, passed, spare) == 0:
            return 0
        drop(s)
        if get_errno() == EAGAIN:
            break  # it took ANSWER_S: not again
    absent()
    return -1


cdef void absent() noexcept nogil:
    global absent_until_ms
    absent_until_ms = now_ms() + RETRY_MS  # a torn or lost store costs one more attempt
    ffs_warn_no_router()


cdef int open_session(session *s) noexcept nogil:
    cdef sockaddr_un where
    cdef timeval limit
    cdef int fd, hidden
    cdef size_t length = strlen(ffs_broker_path())
    memset(&where, 0, sizeof(where))
    where.sun_family = AF_UNIX
    memcpy(where.sun_path, ffs_broker_path(), length)
    fd = raw_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
    if fd < 0:
        return -1  # the program's descriptors are used up: that is no reason to avoid the router from now on
    limit.tv_sec = ANSWER_S
    limit.tv_usec = 0
    raw_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit))
    raw_setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit))
    if raw_connect(fd, &where, sizeof(where)) != 0:
        raw_close(fd)
        absent()
        return -1
    hidden = raw_fcntl(fd, F_DUPFD_CLOEXEC, FIRST_NUMBER)
    if hidden >= 0:
        raw_close(fd)
        fd = hidden
    s.fd = fd
    s.cookie = ffs_cookie(fd)
    return 0


cdef void drop(session *s) noexcept nogil:
    cdef int saved = get_errno()
    if s.cookie != 0 and ffs_cookie(s.fd) == s.cookie:
        raw_close(s.fd)
    s.cookie = 0
    set_errno(saved)


cdef int transmit(int fd, ff_tcp_request *ask) noexcept nogil:
    cdef msghdr m
    cdef iovec v
    memset(&m, 0, sizeof(m))
    v.iov_base = ask
    v.iov_len = sizeof(ff_tcp_request)
    m.msg_iov = &v
    m.msg_iovlen = 1
    while raw_sendmsg(fd, &m, MSG_NOSIGNAL) < 0:
        if get_errno() != EINTR:
            return -1
    return 0


cdef int receive(int fd, uint32_t sequence, ff_tcp_reply *answer, int *passed, int *spare) noexcept nogil:
    """Replies to calls that gave up waiting come first; what they bring is closed."""
    cdef ssize_t got
    while True:
        if spare[0] >= 0:
            got = receive_in_place_of(fd, answer, passed, spare)
        else:
            got = receive_one(fd, answer, passed, 0)
        if got < 0 and get_errno() == EINTR:
            continue
        if got == sizeof(ff_tcp_reply) and answer.version == FF_TCP_VERSION and answer.sequence == sequence:
            return 0
        if passed[0] >= 0:
            raw_close(passed[0])
            passed[0] = -1
        if got <= 0:
            if got == 0:
                set_errno(EPIPE)
            return -1


cdef ssize_t receive_in_place_of(int fd, ff_tcp_reply *answer, int *passed, int *spare) noexcept nogil:
    """A descriptor that finds no number is lost with its message: so look first, and give the spare one up for it."""
    cdef ssize_t got = receive_one(fd, answer, passed, MSG_PEEK)
    if got == NO_NUMBER:
        raw_close(spare[0])
        spare[0] = -1
        return receive_one(fd, answer, passed, 0)
    if got > 0:
        raw_recv(fd, answer, sizeof(ff_tcp_reply))  # what was looked at; the kernel drops its copy of the descriptor
    return got


cdef ssize_t receive_one(int fd, ff_tcp_reply *answer, int *passed, int flags) noexcept nogil:
    cdef msghdr m
    cdef iovec v
    cdef char room[64]
    cdef cmsghdr *c
    cdef ssize_t got
    memset(&m, 0, sizeof(m))
    v.iov_base = answer
    v.iov_len = sizeof(ff_tcp_reply)
    m.msg_iov = &v
    m.msg_iovlen = 1
    m.msg_control = room
    m.msg_controllen = CMSG_SPACE(sizeof(int))
    got = raw_recvmsg(fd, &m, flags | MSG_CMSG_CLOEXEC)
    if got <= 0:
        return got
    c = CMSG_FIRSTHDR(&m)
    if c != NULL and c.cmsg_level == SOL_SOCKET and c.cmsg_type == SCM_RIGHTS:
        memcpy(passed, CMSG_DATA(c), sizeof(int))
    elif m.msg_flags & MSG_CTRUNC and flags & MSG_PEEK:
        return NO_NUMBER
    return got


cdef public void ffs_sessions_after_fork() noexcept nogil:
    """In the child: its parent goes on using these, and threads that held them do not exist here."""
    cdef int i
    for i in range(SLOTS):
        drop(&slots[i])
        ff_store32_release(&slots[i].busy, 0)
