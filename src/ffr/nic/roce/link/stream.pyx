from libc.errno cimport EAGAIN, EFAULT, EINTR, errno
from libc.stdlib cimport malloc
from libc.string cimport memcmp, memmove, memset

from ffcore.engine cimport ff_engine_move, ff_move, ff_segments_seek
from ffcore.roce cimport FF_HAS_DETH, FF_ROUTER, FF_TRANSPORT_MASK, ff_bth
from ffr.mem.guard cimport FFR_FAULT, guarded
from ffr.nic.roce.protocol.wire cimport ROCE_PARSED, roce_packet, roce_parse
from ffr.nic.roce.tables cimport ROCE_SOCKETS, ROCE_STREAMS, roce_receives, roce_stream
from ffr.state cimport FFR_QPS, ffr_qp


cdef extern from "<sys/socket.h>" nogil:
    enum:
        MSG_DONTWAIT, MSG_NOSIGNAL
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    ssize_t recv(int fd, void *at, size_t size, int flags)

cdef extern from "ffr/reactor/loop.h" nogil:
    enum:
        FFR_TAG_NIC
    int ffr_epoll_add(int epoll, int fd, uint32_t tag, uint32_t session)
    void ffr_epoll_remove(int epoll, int fd)


cdef enum:
    READ_BYTES = 65536         # in one system call: they are still in the second-level cache when they are delivered
    STREAM_IN = READ_BYTES + STREAM_CARRIES + STREAM_LENGTH
    STREAM_OUT = 262144        # ... for what is to leave
    FRAME_MAX = STREAM_CARRIES
    SMALL = 2048               # bytes of payload from which a copy costs more than a system call
    READY = 65536              # staged bytes that leave at once
    TAIL = 512                 # bytes of zeros in front of a frame's last 4: 126 words of filler, and a pad
    PIECES = 192               # of one system call: STREAM_RUN frames, of lists of a few segments; one frame of the longest list
    TAKE_BYTES = 131072        # in one call; then it is another one's turn
    HOT_NS = 2000000           # one that heard something this recently is read in each pass

cdef uint8_t zeros[TAIL + 4]


# ---- out ----

cdef void broken(roce_nic *n, roce_stream *s) noexcept nogil:
    """It is the control thread's to replace it."""
    if not s.broken:
        ffr_epoll_remove(n.epoll, s.fd)
    s.broken = 1
    s.begin = s.end = 0


cdef ssize_t say(roce_nic *n, roce_stream *s, iovec *pieces, uint32_t count) noexcept nogil:
    """Bytes that the kernel took; 0: it takes nothing now, or the stream is broken; -1: memory was not there."""
    cdef msghdr message
    cdef ssize_t got
    memset(&message, 0, sizeof(message))
    message.msg_iov, message.msg_iovlen = pieces, count
    got = sendmsg(s.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
    if got >= 0:
        return got
    if errno == EFAULT:
        return -1
    if errno != EAGAIN and errno != EINTR:
        broken(n, s)
    return 0


cdef void flush(roce_nic *n, roce_stream *s) noexcept nogil:
    cdef iovec piece
    if s.begin == s.end:
        return
    piece.iov_base, piece.iov_len = s.staged + s.begin, s.end - s.begin
    s.begin += <uint32_t>say(n, s, &piece, 1)                # the router's own memory is there
    if s.begin == s.end:
        s.begin = s.end = 0


cdef bint make_room(roce_nic *n, roce_stream *s, uint32_t size) noexcept nogil:
    if s.end + size <= STREAM_OUT:
        return True
    flush(n, s)
    if s.begin:
        memmove(s.staged, s.staged + s.begin, s.end - s.begin)
        s.end -= s.begin
        s.begin = 0
    return s.end + size <= STREAM_OUT


cdef bint stage(roce_stream *s, const stream_frame *f, const stream_payload *p, uint32_t skip) noexcept nogil:
    """A frame from its byte number `skip` on, which there is room for, behind what waits already. False: its memory is not
    there; where a part of it has left, the rest follows nevertheless, and it is void."""
    cdef uint32_t at = min(skip, f.begin), left = f.size - (min(skip - at, f.size)), size = f.begin - at
    cdef uint32_t tail = f.tail - (skip - at - (f.size - left)), void_ = FRAME_VOID
    cdef uint8_t *to = s.staged + s.end
    cdef bint whole = True
    cdef ff_segment place
    cdef ff_move m
    memcpy(to, f.headers + at, size)
    if left:
        m.start, m.length, m.last = f.offset + f.size - left, left, False
        place.at, place.length = to + size - m.start, m.start + left     # so that one offset serves both sides
        m.source, m.source_count, m.to, m.to_count = p.segment, p.count, &place, 1
        whole = guarded(ff_engine_move, &m) != FFR_FAULT
    if not whole and skip == 0:
        return False
    if not whole:
        memset(to + size, 0, left)
    size += left
    memset(to + size, 0, tail)
    size += tail
    if not whole:
        memcpy(to + size - sizeof(void_), &void_, sizeof(void_))         # a tail that has begun to leave is not void: it was read
    s.end += size
    return whole


cdef uint32_t spread(const stream_frame *f, const stream_payload *p, iovec *pieces) noexcept nogil:
    """A frame as the kernel gathers it; how many pieces."""
    cdef uint64_t offset = f.offset, left = f.size, size
    cdef uint32_t i = ff_segments_seek(p.segment, p.count, &offset), n = 1
    pieces[0].iov_base, pieces[0].iov_len = <void *>f.headers, f.begin
    while left:                              # bound: the list holds them all
        size = min(left, p.segment[i].length - offset)
        pieces[n].iov_base, pieces[n].iov_len = p.segment[i].at + offset, size
        n += 1
        left -= size
        offset = 0
        i += 1
    pieces[n].iov_base, pieces[n].iov_len = zeros, f.tail
    return n + 1


cdef int send_large(roce_nic *n, roce_stream *s, const stream_frame *frame, uint32_t count, const stream_payload *p) noexcept nogil:
    """Straight from memory, behind what was staged."""
    cdef iovec piece[PIECES]
    cdef uint32_t pieces = 0, i = 0, size, staged = s.end - s.begin
    cdef ssize_t got
    if not make_room(n, s, READY):           # what the kernel leaves of them has to fit
        return 0
    staged = s.end - s.begin
    if staged:
        piece[0].iov_base, piece[0].iov_len = s.staged + s.begin, staged
        pieces = 1
    while i < count and pieces + p.count + 2 <= PIECES:      # at least one: a list has FF_MAX_SEGMENTS at most
        pieces += spread(&frame[i], p, &piece[pieces])
        i += 1
    count = i
    got = say(n, s, piece, pieces)
    if got < 0:
        return -1                            # not a byte was taken
    if got < <ssize_t>staged or s.broken:
        s.begin += <uint32_t>got
        return <int>count if s.broken else 0
    got -= staged
    s.begin = s.end = 0
    for i in range(count):
        size = frame[i].begin + frame[i].size + frame[i].tail
        if got >= <ssize_t>size:
            got -= size
        elif got == 0:
            return <int>i
        elif stage(s, &frame[i], p, <uint32_t>got):
            return <int>i + 1
        else:
            n.frames_void += 1
            return -1
    return <int>count


cdef int stream_send(roce_nic *n, uint32_t number, const stream_frame *frame, uint32_t count,
                     const stream_payload *payload) noexcept nogil:
    cdef roce_stream *s
    cdef int sent
    if number == 0 or n.stream[number - 1].fd < 0 or n.stream[number - 1].broken:
        n.frames_lost += count
        return <int>count
    s = &n.stream[number - 1]
    if count > 1 or frame[0].size >= SMALL:
        sent = send_large(n, s, frame, count, payload)
    elif not make_room(n, s, frame[0].begin + frame[0].size + frame[0].tail):
        sent = 1 if s.broken else 0
    else:
        sent = 1 if stage(s, frame, payload, 0) else -1
    if sent > 0:
        n.frames_sent += sent
    if s.end - s.begin >= READY:
        flush(n, s)
    n.stream_full |= sent == 0
    return sent


cdef void streams_flush(roce_nic *n) noexcept nogil:
    cdef uint32_t i
    for i in range(n.streams):               # bound: ROCE_STREAMS
        if n.stream[i].fd >= 0 and not n.stream[i].broken:
            flush(n, &n.stream[i])
            n.stream_full |= n.stream[i].begin != n.stream[i].end


# ---- in ----

cdef bint take_frame(roce_nic *n, uint32_t index, const uint8_t *bytes, uint32_t size) noexcept nogil:
    """One, of `size` bytes without its length. False: no router sends such a one."""
    cdef uint32_t void_, at
    cdef const ffr_qp *q
    cdef roce_packet p
    memcpy(&void_, bytes + size - sizeof(void_), sizeof(void_))
    if void_:
        return void_ == FRAME_VOID
    if roce_parse(&p, bytes, size - 4) != ROCE_PARSED:
        return False
    if p.traits & FF_HAS_DETH or p.opcode & FF_TRANSPORT_MASK == FF_ROUTER:
        return False
    at = p.qpn & (FFR_QPS - 1)
    q = &n.router.state.qp[at]
    if not q.o.used or q.qpn != p.qpn or not roce_receives(q.state) or not n.tables.side[at].streamed \
            or n.tables.side[at].path == 0 or n.tables.peer[n.tables.side[at].path].stream != index + 1:
        n.strangers += 1                     # a QP that is gone, as a rule
        return True
    n.deliver(n, at, &p, bytes, size - 4)
    return True


cdef void take_frames(roce_nic *n, uint32_t index) noexcept nogil:
    cdef roce_stream *s = &n.stream[index]
    cdef uint32_t at = 0, size
    while s.have - at >= STREAM_LENGTH and not s.broken:     # ends: each turn takes one out
        memcpy(&size, s.taken + at, STREAM_LENGTH)
        if size < sizeof(ff_bth) + 4 or size > FRAME_MAX or size & 3:
            break
        if s.have - at - STREAM_LENGTH < size:
            memmove(s.taken, s.taken + at, s.have - at)
            s.have -= at
            return
        if not take_frame(n, index, s.taken + at + STREAM_LENGTH, size):
            break
        n.frames_received += 1
        at += STREAM_LENGTH + size
    if s.have - at >= STREAM_LENGTH:
        n.streams_refused += not s.broken
        broken(n, s)
        return
    memmove(s.taken, s.taken + at, s.have - at)
    s.have -= at


cdef int stream_listen(roce_nic *n, uint32_t index) noexcept nogil:
    cdef roce_stream *s = &n.stream[index]
    cdef uint32_t total = 0
    cdef ssize_t got
    while total < TAKE_BYTES and s.fd >= 0 and not s.broken:
        got = recv(s.fd, s.taken + s.have, READ_BYTES, MSG_DONTWAIT)     # behind a part of a frame at most, so it fits
        if got < 0 and (errno == EAGAIN or errno == EINTR):
            break
        if got <= 0:
            broken(n, s)
            break
        s.have += <uint32_t>got
        total += <uint32_t>got
        s.heard_ns = n.router.now_ns
        take_frames(n, index)
    return total > 0


cdef int streams_listen(roce_nic *n) noexcept nogil:
    cdef uint32_t i
    cdef int work = 0
    n.stream_full = False                    # the turns that come next will tell
    for i in range(n.streams):               # bound: ROCE_STREAMS
        if n.router.now_ns - n.stream[i].heard_ns < HOT_NS:
            work += stream_listen(n, i)
    return work


# ---- for the map ----

cdef uint32_t stream_to(roce_nic *n, const ffr_udp_address *address) noexcept nogil:
    cdef uint32_t i
    for i in range(n.streams):
        if n.stream[i].address.family == address.family and memcmp(n.stream[i].address.ip, address.ip, 16) == 0:
            return i + 1 if n.stream[i].fd >= 0 else 0
    return 0


cdef uint32_t place_for(roce_nic *n, const ffr_udp_address *address) noexcept nogil:
    """The place that this router had before, one that nobody has, or a new one. ROCE_STREAMS: there is none."""
    cdef uint32_t i, free = ROCE_STREAMS
    for i in range(n.streams):
        if n.stream[i].address.family == address.family and memcmp(n.stream[i].address.ip, address.ip, 16) == 0:
            return i
        if n.stream[i].fd < 0:
            free = i
    if free == ROCE_STREAMS and n.streams < ROCE_STREAMS:
        free = n.streams
    return free


cdef uint32_t stream_open(roce_nic *n, const ffr_udp_address *address, int fd) noexcept nogil:
    cdef uint32_t i = place_for(n, address)
    cdef roce_stream *s
    if i == ROCE_STREAMS or (i == n.streams and fd < 0):
        return 0
    s = &n.stream[i]
    if i == n.streams:
        s.fd = -1
        n.streams += 1
    if s.fd >= 0 and not s.broken:
        ffr_epoll_remove(n.epoll, s.fd)
    s.fd = -1
    s.address = address[0]
    s.have = s.begin = s.end = 0
    s.broken = 0
    s.heard_ns = n.router.now_ns
    if fd < 0:
        return 0
    if s.taken == NULL:
        s.taken = <uint8_t *>malloc(STREAM_IN)
    if s.staged == NULL:
        s.staged = <uint8_t *>malloc(STREAM_OUT)
    if s.taken == NULL or s.staged == NULL or ffr_epoll_add(n.epoll, fd, FFR_TAG_NIC, ROCE_SOCKETS + i):
        return 0
    s.fd = fd
    return i + 1
