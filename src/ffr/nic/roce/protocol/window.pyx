"""The window of a path. Constants are in packets and nanoseconds; the arithmetic's reasons stand in window.pxd."""

from libc.string cimport memset


cdef enum:
    QUEUE_NS = 200000          # delay above the floor that may stand in queues: go-back-N throws away what stands there
    INTERVAL_NS = 5000000      # over which the shortest round trip counts: longer than a scheduler's turn
    INTERVAL_SAMPLES = 8
    LATE = 3                   # round trips in a row above the floor, and slow start has gone far enough
    FLOOR_AGE_NS = 10000000000 # a path's least round trip is forgotten after this long
    LOSSY = 3277               # 5 % in 16 bits of fraction
    GROWTH = 2                 # packets that the window grows in a round trip
    PROBE_MIN_NS = 1000000     # schedulers of a busy host delay an answer by about this
    PROBE_FIRST_NS = 10000000  # while nothing has been measured
    PROBE_MAX_NS = 500000000


cdef void path_init(roce_path *path) noexcept nogil:
    memset(path, 0, sizeof(roce_path))
    path.window = ROCE_WINDOW_START << 8
    path.most = ROCE_WINDOW_MAX
    path.starting = 1


cdef void shrink(roce_path *path, uint32_t parts_of_256, uint32_t least, uint64_t now) noexcept nogil:
    """To so many 256ths of what it is, at most once in a round trip: one loss makes several reports."""
    if path.reduced_ns and now - path.reduced_ns < path.rtt_ns:
        return
    path.reduced_ns = now
    path.starting = 0
    path.window = <uint32_t>(<uint64_t>path.window * parts_of_256 >> 8)
    if path.window < least << 8:
        path.window = least << 8


cdef void measure(roce_path *path, uint64_t rtt_ns, uint64_t now) noexcept nogil:
    """RFC 6298's smoothing: 1/8 and 1/4."""
    cdef uint64_t off
    if path.rtt_ns == 0:
        path.rtt_ns = rtt_ns
        path.deviation_ns = rtt_ns // 2
    else:
        off = rtt_ns - path.rtt_ns if rtt_ns > path.rtt_ns else path.rtt_ns - rtt_ns
        path.deviation_ns += off // 4 - path.deviation_ns // 4
        path.rtt_ns += rtt_ns // 8 - path.rtt_ns // 8
    if path.floor_ns == 0 or rtt_ns <= path.floor_ns or now - path.floor_at_ns > FLOOR_AGE_NS:
        path.floor_ns = rtt_ns
        path.floor_at_ns = now
    if path.in_flight < path.window >> 9:
        return                 # whatever stands in the way, it is not this window's doing
    if path.samples == 0 or rtt_ns < path.shortest_ns:
        path.shortest_ns = rtt_ns
    path.samples += path.samples < 0xFFFF
    path.late = path.late + 1 if rtt_ns > path.floor_ns + QUEUE_NS and path.late < 255 else 0


cdef void judge(roce_path *path, uint64_t now) noexcept nogil:
    """At an interval's end: does a queue stand?"""
    if path.samples < INTERVAL_SAMPLES or now - path.interval_ns < INTERVAL_NS:
        return
    path.standing = path.shortest_ns > path.floor_ns + QUEUE_NS
    if path.standing and path.window > ROCE_WINDOW_START << 8:
        shrink(path, <uint32_t>max(256 * (path.floor_ns + QUEUE_NS) // path.shortest_ns, <uint64_t>128),
               ROCE_WINDOW_START, now)
    path.interval_ns = now
    path.samples = 0


cdef void path_acked(roce_path *path, uint32_t packets, uint64_t rtt_ns, uint64_t now) noexcept nogil:
    cdef uint32_t grown
    path.acked_ns = now
    path.loss -= path.loss * min(packets, <uint32_t>256) >> 8
    if rtt_ns:
        measure(path, rtt_ns, now)
        judge(path, now)
        if path.late >= LATE:
            path.starting = 0
    if path.standing or path.in_flight + packets < path.window >> 9:
        return                 # a queue stands; or not even half of it is used: nothing is learnt about more
    if path.starting:
        grown = packets << 8
    else:
        grown = <uint32_t>((<uint64_t>packets * GROWTH << 16) // path.window)
    path.window = min(path.window + grown, path.most << 8)


cdef void path_lost(roce_path *path, uint64_t now) noexcept nogil:
    path.loss += (65536 - path.loss) >> 8
    shrink(path, 128 if path.starting or path.loss > LOSSY else 240, ROCE_WINDOW_MIN, now)


cdef void path_missed(roce_path *path, uint32_t packets, uint64_t now) noexcept nogil:
    """A lost packet costs itself alone, so the window is kept while losses are rare: where a queue is the reason, its
    delay tells, or they become many."""
    path.loss += (65536 - path.loss) * min(packets, <uint32_t>256) >> 8
    path.starting = 0
    if path.loss > LOSSY:
        shrink(path, 128, ROCE_WINDOW_MIN, now)


cdef void path_silent(roce_path *path, uint64_t for_ns, uint64_t now) noexcept nogil:
    if now - path.acked_ns < for_ns:
        return
    path.loss += (65536 - path.loss) >> 8
    path.window = ROCE_WINDOW_MIN << 8
    path.reduced_ns = now
    path.starting = 1


cdef uint64_t path_probe_ns(const roce_path *path, uint32_t probes, uint64_t most_ns) noexcept nogil:
    cdef uint64_t ns = PROBE_FIRST_NS
    if path.rtt_ns:
        ns = path.rtt_ns + 4 * path.deviation_ns
    ns = max(ns, <uint64_t>PROBE_MIN_NS) << min(probes, <uint32_t>10)
    most_ns = most_ns // 4 if most_ns else <uint64_t>PROBE_MAX_NS
    return max(min(ns, min(most_ns, <uint64_t>PROBE_MAX_NS)), <uint64_t>PROBE_MIN_NS)
