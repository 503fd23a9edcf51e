"""What is known of a descriptor before it is connected: one array index, no lock.

Connections need no entry: what they are stands in the kernel (tcp/name.pyx). An entry says how a socket came to be,
which nothing else can tell: made by this process, held by nobody else, watched by these epolls. Numbers are reused
behind our back (close is not replaced), so an entry counts only while the socket's cookie is the one it was made for.
"""

from ffl.tcp.sock cimport *
from ffl.tcp.sys cimport *
from libc.stdint cimport uint64_t
from libc.string cimport memset

cdef extern from "ffl/tcp/raw.h" nogil:
    int munmap(void *, size_t)
    void *MAP_FAILED
    # _Atomic pointers, published with release and read with acquire: a chunk's zeros come before its address.
    void *ffs_chunk_load "__atomic_load_n"(void **, int)
    bint ffs_chunk_publish "__atomic_compare_exchange_n"(void **, void **, void *, bint, int, int)
    int __ATOMIC_ACQUIRE
    int __ATOMIC_ACQ_REL

cdef enum:
    CHUNK = 1024   # entries; 80 KB
    CHUNKS = 4096  # 4 million descriptors; fs.nr_open allows a million

cdef void *chunks[CHUNKS]


cdef public ffs_entry *ffs_entry_at(int fd) noexcept nogil:
    if fd < 0 or fd >= CHUNK * CHUNKS:
        return NULL
    cdef ffs_entry *chunk = <ffs_entry *>ffs_chunk_load(&chunks[fd // CHUNK], __ATOMIC_ACQUIRE)
    return &chunk[fd % CHUNK] if chunk != NULL else NULL


cdef public ffs_entry *ffs_entry_make(int fd) noexcept nogil:
    cdef void *fresh
    cdef void *none = NULL
    if fd < 0 or fd >= CHUNK * CHUNKS:
        return NULL
    if ffs_chunk_load(&chunks[fd // CHUNK], __ATOMIC_ACQUIRE) == NULL:
        fresh = raw_map_zeros(CHUNK * sizeof(ffs_entry))
        if fresh == MAP_FAILED:
            return NULL
        if not ffs_chunk_publish(&chunks[fd // CHUNK], &none, fresh, False, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE):
            munmap(fresh, CHUNK * sizeof(ffs_entry))
    return ffs_entry_at(fd)


cdef public uint64_t ffs_cookie(int fd) noexcept nogil:
    cdef uint64_t cookie = 0
    cdef unsigned length = sizeof(cookie)
    return cookie if raw_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0 else 0


cdef public ffs_entry *ffs_fresh_stream(int fd) noexcept nogil:
    cdef ffs_entry *entry = ffs_entry_at(fd)
    if ffs_alone() or entry == NULL or entry.kind != FFS_STREAM or entry.flags & (FFS_SHARED | FFS_TRIED):
        return NULL
    if entry.forks != ffs_forks() or entry.cookie != ffs_cookie(fd):
        return NULL
    return entry


cdef public void ffs_leave_listeners() noexcept nogil:
    """Of all that this process knows."""
    cdef int i, j
    cdef ffs_entry *chunk
    for i in range(CHUNKS):
        chunk = <ffs_entry *>ffs_chunk_load(&chunks[i], __ATOMIC_ACQUIRE)
        for j in range(CHUNK if chunk != NULL else 0):
            if chunk[j].kind == FFS_LISTENER and chunk[j].cookie == ffs_cookie(i * CHUNK + j):
                ffs_leave_listener(i * CHUNK + j)


cdef public int ffs_socket(int domain, int type, int protocol) noexcept nogil:
    cdef int fd = raw_socket(domain, type, protocol)
    cdef ffs_entry *entry
    if fd < 0 or ffs_alone():
        return fd
    entry = ffs_entry_at(fd)
    if entry != NULL:
        entry.kind = FFS_NONE
    if domain != AF_INET and domain != AF_INET6:
        return fd
    if type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC) != SOCK_STREAM or (protocol != 0 and protocol != IPPROTO_TCP):
        return fd
    entry = ffs_entry_make(fd)
    if entry != NULL:
        entry.cookie = ffs_cookie(fd)
        entry.forks = ffs_forks()
        entry.flags = 0
        entry.watches = 0
        memset(entry.set, 0, sizeof(entry.set))
        entry.kind = FFS_STREAM
    return fd


cdef public int ffs_socketpair(int domain, int type, int protocol, int *ends) noexcept nogil:
    """Not TCP's; but two numbers that mean something new."""
    cdef int status = raw_socketpair(domain, type, protocol, ends)
    cdef ffs_entry *entry
    cdef int i
    for i in range(2 if status == 0 else 0):
        entry = ffs_entry_at(ends[i])
        if entry != NULL:
            entry.kind = FFS_NONE
    return status


cdef public void ffs_duplicated(int before, int after) noexcept nogil:
    """Two descriptors of one open file: neither can be changed over alone."""
    cdef ffs_entry *entry = ffs_entry_at(before)
    if entry != NULL and entry.kind == FFS_STREAM:
        entry.flags |= FFS_SHARED
    entry = ffs_entry_at(after)
    if entry != NULL:
        entry.kind = FFS_NONE


cdef public int ffs_epoll_ctl(int epoll, int op, int fd, epoll_event *event) noexcept nogil:
    cdef ffs_entry *entry
    cdef int status = raw_epoll_ctl(epoll, op, fd, event)
    if status != 0:
        return status
    entry = ffs_entry_at(fd)
    if entry == NULL or ffs_alone():
        return 0
    if entry.kind == FFS_STREAM and not entry.flags & (FFS_SHARED | FFS_TRIED):
        note_watch(entry, epoll, op, event)
    elif entry.kind == FFS_LISTENER and op == EPOLL_CTL_ADD and not entry.flags & FFS_ACCEPTS:
        ffs_watch_listener(fd)
    return 0


cdef void note_watch(ffs_entry *entry, int epoll, int op, epoll_event *event) noexcept nogil:
    cdef uint32_t i = 0
    while i < entry.watches and entry.watch[i].epoll != epoll:
        i += 1
    if op == EPOLL_CTL_DEL:
        if i < entry.watches:
            entry.watches -= 1
            entry.watch[i] = entry.watch[entry.watches]
        return
    if i == FFS_WATCHES:
        entry.flags |= FFS_SHARED  # more epolls than there is room for: stays where they watch it
        return
    entry.watch[i].epoll = epoll
    entry.watch[i].events = event.events
    entry.watch[i].data = event.data.u64
    if i == entry.watches:
        entry.watches += 1
