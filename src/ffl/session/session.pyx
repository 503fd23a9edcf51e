"""Connecting to the router, noticing that it is gone, and leaving the session to the parent after a fork."""

from libc cimport errno
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport getenv
from libc.stdio cimport snprintf
from libc.string cimport memcpy, memset, strcpy, strerror

from ffcore.control cimport FF_CMD_QUERY_DEVICE
from ffcore.shm cimport (FF_LAYOUT_VERSION, FF_MAGIC, FF_PAGE, FF_REASON, FF_WELCOME_USERFAULTFD, ff_a32, ff_hello, ff_load32, ff_session, ff_store32,
                         ff_welcome)
from ffl.session.call_api cimport ff_call_child, ff_call_session
from ffl.session.handles_api cimport ff_handles_child
from ffl.kernel cimport is_glibc, now_ns
from ffl.session.lock cimport ff_mutex_lock, ff_mutex_unlock
from ffl.session.log_api cimport FF_LOG_DEBUG, FF_LOG_ERROR, FF_LOG_INFO, ff_log
from ffl.interpose.interpose cimport ff_interpose, ff_interpose_look
from ffl.memory.api cimport ff_fork_look, ff_memory_drop, ff_memory_init, ff_memory_madvise, ff_memory_mremap
from ffl.verbs.mr_api cimport ff_odp_child
from ffl.session.session_api cimport ff_context_child, ffl_session
from ffl.session.socket cimport (AF_UNIX, MAP_ANONYMOUS, MAP_FAILED, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, MREMAP_MAYMOVE, MSG_NOSIGNAL, PF_UNIX,
                         POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLRDHUP, PROT_READ, PROT_WRITE, SOCK_CLOEXEC,
                         SOCK_SEQPACKET, SOL_SOCKET, SO_SNDTIMEO, close, connect, ff_receive, getpid, mmap, mremap, munlock, munmap, poll,
                         pollfd, send, setsockopt, sockaddr_un, socket, sockaddr, timeval, write)

cdef enum:
    CONNECT_MS = 1000         # in the router's backlog
    HANDSHAKE_MS = 1500       # with that: a router that says nothing costs a program no more
    SILENT_MS = 10000         # and is left alone for so long, for programs list devices over and over
    TURN_MS = 10000           # a router that says "not yet" is asked again for so long: at 100 a second, 1000 programs
    TURN_FIRST_MS = 16        # ... after so long, twice as long each time, and at random between half of it and all
    TURN_LONGEST_MS = 256
    LOOK_MS = 100             # a router that dies is noticed within this, and a second at most
    DESCRIPTORS = 3           # of the welcome: control, memory, eventfd
    USERFAULTFD = 3           # a fourth, where the router has it

cdef ffl_session session
cdef ff_a32 opening           # a mutex
cdef uint64_t looked_ns       # when the router's socket was last looked at
cdef uint64_t silent_until_ns # the router did not answer, and is not asked again before
cdef bint answering           # some of libc's calls in its place
cdef bint complained          # about the last failure to connect: once per process is enough


cdef public ffl_session *ff_session_get() noexcept nogil:
    return &session


cdef public void ff_session_wake(int event_fd) noexcept nogil:
    cdef uint64_t one = 1
    write(event_fd, &one, sizeof(one))       # EAGAIN: it is being woken already


# ---- is the router there? ----

cdef public int ff_session_look() noexcept nogil:
    """A hang-up is the router's end. Nothing is read: what lies in the socket belongs to a command."""
    cdef pollfd look
    if session.shared == NULL:
        return errno.EIO
    if ff_load32(&session.gone):
        return ff_load32(&session.gone)
    look.fd = session.sock
    look.events = POLLRDHUP
    look.revents = 0
    if poll(&look, 1, 0) > 0 and look.revents & (POLLHUP | POLLERR | POLLRDHUP | POLLNVAL):
        ff_store32(&session.gone, errno.EIO)
        ff_log(FF_LOG_ERROR, b"the router is gone; `freeflow doctor` says more")
    elif ff_load32(&session.shared.dead):
        ff_store32(&session.gone, errno.EIO)
        ff_log(FF_LOG_ERROR, b"the router has ended this session: %s", strerror(ff_load32(&session.shared.dead)))
    return ff_load32(&session.gone)


cdef public void ff_session_idle() noexcept nogil:
    global looked_ns
    cdef uint64_t now = now_ns()
    if now - looked_ns >= LOOK_MS * 1000000ull:      # racing threads look twice: harmless
        looked_ns = now
        ff_session_look()


# ---- connecting ----

cdef int complain(int error, const char *path, const char *why) noexcept nogil:
    """One line for a person, and the errno that ibv_get_device_list documents."""
    global complained
    if not complained:
        ff_log(FF_LOG_ERROR, b"no RDMA device: %s: %s (`freeflow doctor` says more)", path, why)
    complained = True
    if error == errno.EPERM or error == errno.EACCES:
        return errno.EPERM
    if error == errno.ENOMEM or error == errno.EMFILE or error == errno.ENFILE or error == errno.EAGAIN:
        return errno.ENOMEM
    return errno.ENOSYS


cdef int socket_path(sockaddr_un *address) noexcept nogil:
    cdef const char *folder = getenv(b"FREEFLOW_DIR")
    cdef const char *name = getenv(b"FFR_NAME")
    cdef int length
    if folder == NULL or folder[0] == 0:
        folder = b"/freeflow"
    if name == NULL or name[0] == 0:
        name = b"router"
    address.sun_family = AF_UNIX
    length = snprintf(address.sun_path, sizeof(address.sun_path), b"%s/%s.sock", folder, name)
    return errno.ENAMETOOLONG if length >= <int>sizeof(address.sun_path) else 0


cdef int reach(sockaddr_un *address, int *sock) noexcept nogil:
    """A connected socket; bounded by SO_SNDTIMEO when the router's backlog is full."""
    cdef timeval limit
    cdef int error
    sock[0] = socket(PF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
    if sock[0] < 0:
        return errno.errno
    limit.tv_sec = CONNECT_MS // 1000
    limit.tv_usec = 0
    setsockopt(sock[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit))
    while connect(sock[0], <sockaddr *>address, sizeof(sockaddr_un)) < 0:
        if errno.errno != errno.EINTR:
            error = errno.errno
            close(sock[0])
            return error
    return 0


cdef int judge(ff_welcome *welcome, int *fds, int got) noexcept nogil:
    """0, or an errno; then no descriptor stays open, and welcome.reason says why where errno cannot."""
    cdef int error = errno.EPROTO
    welcome.reason[FF_REASON - 1] = 0
    if got >= 0 and welcome.magic == FF_MAGIC:
        error = welcome.status
        if error == 0 and welcome.layout_version != FF_LAYOUT_VERSION:
            error = errno.EPROTO
            snprintf(welcome.reason, FF_REASON,
                     b"the router has layout %u and this library %u: take both from one release", welcome.layout_version, <unsigned int>FF_LAYOUT_VERSION)
        elif error == 0 and got != DESCRIPTORS + (1 if welcome.flags & FF_WELCOME_USERFAULTFD else 0):
            error = errno.EPROTO
    while error and got > 0:
        got -= 1
        close(fds[got])
    return error


cdef int greet(int sock, ff_welcome *welcome, int *fds, uint64_t until) noexcept nogil:
    """Hello and welcome. 0: fds holds the descriptors; else an errno, and welcome.reason may say why."""
    cdef ff_hello hello
    cdef pollfd answer
    cdef int got = 0
    cdef ssize_t size
    memset(welcome, 0, sizeof(ff_welcome))
    memset(&hello, 0, sizeof(hello))
    hello.magic = FF_MAGIC
    hello.layout_version = FF_LAYOUT_VERSION
    if send(sock, &hello, sizeof(hello), MSG_NOSIGNAL) != sizeof(hello) and errno.errno != errno.EPIPE:
        return errno.errno                           # EPIPE: refused before we spoke, and the reason waits to be read
    answer.fd = sock
    answer.events = POLLIN
    while now_ns() < until:
        if poll(&answer, 1, 50) <= 0:                # short slices: a signal's EINTR must not prolong the second
            continue
        size = ff_receive(sock, welcome, sizeof(ff_welcome), fds, DESCRIPTORS + 1, &got)
        if size == 0:
            return errno.ECONNRESET                  # it died
        if size != sizeof(ff_welcome):
            got = -1
        break
    else:
        return errno.ETIMEDOUT
    return judge(welcome, fds, got)


cdef void *map_control(int fd, uint64_t size) noexcept nogil:
    """A program may have locked whatever it is going to map (mlockall), under a limit that the rings exceed: EAGAIN. They need not
    be locked, so a page that is let go grows to all of them, as it is."""
    cdef void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
    cdef void *grown
    if at != MAP_FAILED or errno.errno != errno.EAGAIN:
        return at
    at = mmap(NULL, FF_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
    if at == MAP_FAILED:
        return at
    munlock(at, FF_PAGE)
    grown = mremap(at, FF_PAGE, size, MREMAP_MAYMOVE)
    if grown == MAP_FAILED:
        munmap(at, FF_PAGE)
    return grown


cdef int adopt(int sock, ff_welcome *welcome, int *fds) noexcept nogil:
    """Map what the welcome brought. Takes over the descriptors, also when it fails."""
    cdef void *control = map_control(fds[0], welcome.control_size)
    cdef int error = errno.errno if control == MAP_FAILED else 0
    cdef int userfaultfd = fds[USERFAULTFD] if welcome.flags & FF_WELCOME_USERFAULTFD else -1
    close(fds[0])                                    # the mapping keeps the memory
    if error == 0:
        error = ff_memory_init(fds[1], welcome.memory_size, userfaultfd)
        if error:
            munmap(control, welcome.control_size)
    if error:
        close(fds[1])
        close(fds[2])
        if userfaultfd >= 0:
            close(userfaultfd)
        close(sock)
        return error
    session.memory_fd = fds[1]
    session.userfaultfd = userfaultfd
    session.control_size = welcome.control_size
    session.sock = sock
    session.event_fd = fds[2]
    session.generation += 1
    ff_store32(&session.gone, 0)
    session.shared = <ff_session *>control
    return 0


cdef void drop() noexcept nogil:
    """Forget a session that has no contexts any more, so that another can be started."""
    if session.shared != NULL:
        munmap(session.shared, session.control_size)
        close(session.sock)
        close(session.event_fd)
        ff_memory_drop()
        close(session.memory_fd)
        if session.userfaultfd >= 0:
            close(session.userfaultfd)
    session.shared = NULL


cdef int knock(sockaddr_un *address, ff_welcome *welcome, int *fds, int *sock) noexcept nogil:
    """One attempt. 0, and *sock is connected; or an errno, and welcome.reason may say why."""
    global silent_until_ns
    cdef uint64_t until = now_ns() + HANDSHAKE_MS * 1000000ull
    cdef int error
    welcome.magic = 0
    welcome.reason[0] = 0
    error = reach(address, sock)
    if error == errno.ENOENT or error == errno.ECONNREFUSED:
        strcpy(welcome.reason, b"no router is running there")
    elif error == 0:
        error = greet(sock[0], welcome, fds, until)
        if error:
            close(sock[0])
    if error == errno.ETIMEDOUT or (error == errno.EAGAIN and welcome.magic != FF_MAGIC):
        silent_until_ns = now_ns() + SILENT_MS * 1000000ull
        strcpy(welcome.reason, b"the router there does not answer")
    return error


cdef int wait_turn(sockaddr_un *address, ff_welcome *welcome, int *fds, int *sock) noexcept nogil:
    """As knock. Where many programs start at once, the router (which counts them, for each container) says EAGAIN: then
    this one waits, and at random, for the others do so too."""
    cdef uint64_t until = now_ns() + TURN_MS * 1000000ull
    cdef uint32_t wait_ms = TURN_FIRST_MS
    cdef int error = knock(address, welcome, fds, sock)
    while error == errno.EAGAIN and welcome.magic == FF_MAGIC and now_ns() < until:
        poll(NULL, 0, <int>(wait_ms // 2 + ((now_ns() >> 10) + <uint64_t>getpid()) % (wait_ms // 2)))
        wait_ms = min(2 * wait_ms, <uint32_t>TURN_LONGEST_MS)
        error = knock(address, welcome, fds, sock)
    return error


cdef void answer_for_libc() noexcept nogil:
    """Before any memory is registered. What is loaded later is looked at when memory is (pd_mr.pyx)."""
    global answering
    if not answering:
        ff_interpose(NULL, b"madvise", <void *>ff_memory_madvise, NULL)
        ff_interpose(NULL, b"mremap", <void *>ff_memory_mremap, NULL)
    answering = True
    ff_interpose_look()


cdef int start() noexcept nogil:
    cdef sockaddr_un address
    cdef ff_welcome welcome
    cdef int fds[DESCRIPTORS + 1]
    cdef int sock, error
    error = socket_path(&address)
    if not is_glibc():
        return complain(errno.ENOSYS, address.sun_path, b"its device is for programs of glibc")
    if error:
        return complain(error, address.sun_path, strerror(error))
    error = wait_turn(&address, &welcome, fds, &sock)
    if error:
        return complain(error, address.sun_path, welcome.reason if welcome.reason[0] else strerror(error))
    error = adopt(sock, &welcome, fds)
    if error == 0:
        answer_for_libc()
        error = ff_call_session(FF_CMD_QUERY_DEVICE, NULL, 0, &session.device, sizeof(session.device))
    if error:
        drop()
        return complain(error, address.sun_path, strerror(error))
    ff_log(FF_LOG_INFO, b"session %u on %s", welcome.session, address.sun_path)
    return 0


cdef public int ff_session_open() noexcept nogil:
    global complained
    cdef int error = 0
    ff_fork_look()
    ff_mutex_lock(&opening)
    if session.shared != NULL and ff_session_look() and ff_load32(&session.contexts) == 0:
        drop()
    if session.shared == NULL and now_ns() < silent_until_ns:
        error = errno.ENOSYS
    elif session.shared == NULL:
        error = start()
        if error == 0:
            complained = False
    elif ff_load32(&session.gone):
        error = errno.ENOSYS                         # its contexts have to be closed before a new one can start
    ff_mutex_unlock(&opening)
    return error


# ---- fork ----

cdef public void ff_session_child() noexcept nogil:
    """The rings are the parent's. What the child still holds of them becomes private memory that nobody reads, so a
    stray post or poll does no harm; its calls get EIO; and it may open a session of its own."""
    if session.shared != NULL:
        mmap(session.shared, session.control_size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
        close(session.sock)
        close(session.event_fd)
        close(session.memory_fd)
        if session.userfaultfd >= 0:
            close(session.userfaultfd)
        ff_log(FF_LOG_DEBUG, b"this fork leaves the session to its parent")
    session.shared = NULL
    ff_store32(&session.contexts, 0)
    ff_store32(&opening, 0)                          # whoever held it is not in this process
    ff_call_child()
    ff_handles_child()
    ff_odp_child()
    ff_context_child()
