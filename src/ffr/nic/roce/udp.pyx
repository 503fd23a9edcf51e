from libc.errno cimport EAGAIN, EINTR, EIO, ENOBUFS, ENOMEM
from libc.stdlib cimport free
from libc.string cimport memcmp, memset
from posix.stdlib cimport posix_memalign


cdef enum:
    # Runs begin in the middle of a page: programs' buffers begin with one, and a load waits for an earlier store as far
    # into its page as if it were the same memory (staging 64 KB took 10 us so, and takes 7).
    ASIDE = 2048


cdef int udp_init(udp_arena *a, bint segments) noexcept nogil:
    cdef uint32_t i
    memset(a, 0, sizeof(udp_arena))
    a.segments = segments
    if posix_memalign(<void **>&a.bytes, 4096, UDP_RUNS * UDP_RUN_BYTES + 2 * ASIDE):
        return ENOMEM
    a.bytes += ASIDE
    if posix_memalign(<void **>&a.received, 4096, UDP_SLOTS * UDP_RUN_BYTES):
        udp_free(a)
        return ENOMEM
    for i in range(UDP_SLOTS):
        a.slot[i].bytes = a.received + i * UDP_RUN_BYTES
    return 0


cdef void udp_free(udp_arena *a) noexcept nogil:
    if a.bytes != NULL:
        free(a.bytes - ASIDE)
    free(a.received)
    a.bytes = a.received = NULL


cdef inline udp_run *newest(udp_arena *a) noexcept nogil:
    return &a.run[(a.first + a.count - 1) % UDP_RUNS]


cdef bint udp_segments(const udp_arena *a, int32_t fd) noexcept nogil:
    cdef uint32_t i
    for i in range(a.plains):    # as a rule none
        if a.plain[i] == fd:
            return False
    return a.segments


cdef inline bint joins(const udp_arena *a, const udp_run *run, int32_t fd, const ffr_udp_address *to,
                       uint32_t size) noexcept nogil:
    """Whether a packet can be the next of a run: segments are equal, but for a shorter last one."""
    return (udp_segments(a, fd) and not run.closed and run.fd == fd and size <= run.segment
            and run.packets < UDP_RUN_PACKETS and run.size + size <= UDP_RUN_LIMIT
            and memcmp(&run.to, to, sizeof(ffr_udp_address)) == 0)


cdef uint8_t *udp_room(udp_arena *a, int32_t fd, const ffr_udp_address *to, uint32_t size,
                       uint16_t *ident) noexcept nogil:
    cdef udp_run *run
    if a.count == 0 or newest(a).packets and not joins(a, newest(a), fd, to, size):
        if a.count == UDP_RUNS or a.bytes_ready >= UDP_READY:
            udp_flush(a)
            if a.count == UDP_RUNS:
                return NULL
        if a.count == 0:
            a.first = 0          # the same memory again, while it is in the cache
        a.count += 1
        newest(a).packets = 0
    run = newest(a)
    if run.packets == 0:         # new, or asked for before and not used
        memset(run, 0, sizeof(udp_run))
        run.fd = fd
        run.to = to[0]
        run.segment = size
    ident[0] = run.packets
    return a.bytes + (a.first + a.count - 1) % UDP_RUNS * UDP_RUN_BYTES + run.size


cdef uint8_t *udp_room_for(udp_arena *a, int32_t fd, const ffr_udp_address *to, uint32_t size, uint32_t *count,
                           uint16_t *ident) noexcept nogil:
    cdef uint8_t *at = udp_room(a, fd, to, size, ident)
    cdef udp_run *run
    if at == NULL:
        count[0] = 0
        return NULL
    run = newest(a)
    if size != run.segment or not udp_segments(a, fd):
        count[0] = 1
    else:
        count[0] = min(count[0], min((UDP_RUN_LIMIT - run.size) // size, UDP_RUN_PACKETS - run.packets))
    return at


cdef void udp_commit_all(udp_arena *a, uint32_t size, uint32_t count) noexcept nogil:
    cdef udp_run *run = newest(a)
    run.size += size * count
    a.bytes_ready += size * count
    run.packets += count
    run.closed = size < run.segment


cdef void udp_commit(udp_arena *a, uint32_t size) noexcept nogil:
    udp_commit_all(a, size, 1)


cdef int gather(udp_arena *a, ffr_udp_out *out) noexcept nogil:
    """The oldest runs of one socket, as the system call wants them."""
    cdef uint32_t index
    cdef udp_run *run
    cdef int n = 0
    while n < <int>a.count and n < FFR_UDP_BATCH:
        index = (a.first + n) % UDP_RUNS
        run = &a.run[index]
        if run.fd != a.run[a.first].fd:
            break
        out[n].bytes = a.bytes + index * UDP_RUN_BYTES
        out[n].size = run.size
        out[n].segment = run.segment
        out[n].to = &run.to
        n += 1
    return n


cdef void drop(udp_arena *a, int runs, bint went) noexcept nogil:
    cdef int i
    for i in range(runs):
        if went:
            a.packets += a.run[a.first].packets
            a.datagrams += 1
        else:
            a.refused += a.run[a.first].packets
        a.bytes_ready -= a.run[a.first].size
        a.first = (a.first + 1) % UDP_RUNS
        a.count -= 1


cdef void udp_flush(udp_arena *a) noexcept nogil:
    cdef ffr_udp_out out[FFR_UDP_BATCH]
    cdef int n, sent
    if a.count and newest(a).packets == 0:
        a.count -= 1             # room that was asked for and not used
    while a.count:               # ends: each turn takes a run away, or returns
        n = gather(a, out)
        sent = ffr_udp_send(a.run[a.first].fd, out, n)
        a.calls += 1
        if sent == -EAGAIN or sent == -ENOBUFS:
            a.full += 1
            return               # they stay for the next flush
        if sent == -EINTR:
            continue
        if sent == -EIO and out[0].size > out[0].segment and a.plains < UDP_PLAIN and udp_segments(a, a.run[a.first].fd):
            a.plain[a.plains] = a.run[a.first].fd    # the interface sums no packets up, so it cannot cut up either;
            a.plains += 1                            # this run is lost: its packets' ICRCs have other identifications
        drop(a, sent if sent > 0 else 1, sent > 0)


cdef void udp_forget(udp_arena *a, int32_t fd) noexcept nogil:
    cdef uint32_t i
    udp_flush(a)
    for i in range(a.count):     # what it does not take now
        if a.run[(a.first + i) % UDP_RUNS].fd == fd:
            a.run[(a.first + i) % UDP_RUNS].fd = -1
    for i in range(a.plains):
        if a.plain[i] == fd:
            a.plains -= 1
            a.plain[i] = a.plain[a.plains]
            return


cdef int udp_take(udp_arena *a, int32_t fd, int n) noexcept nogil:
    n = ffr_udp_receive(fd, a.slot, n, UDP_RUN_BYTES)
    return n if n > 0 else 0
