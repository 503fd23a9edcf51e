"""How much may be in flight towards one peer host. All QPs of a path share one window, so that 512 QPs load a link as
one does, and take turns (the driver goes round them) for their even shares.

The window adapts to delay and loss. Go-back-N throws away what was in flight behind a lost packet, so a larger window
makes each loss dearer; but a window halved at each loss never recovers on a link that loses one packet in a hundred
for reasons of its own. So: a queue that stands (even the shortest round trip of an interval was long) shrinks the
window in proportion, loss above LOSSY halves it, and a rarer loss takes a sixteenth. A single long round trip says
nothing: on busy hosts it is the scheduler's. Flat state, no pointers.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    ROCE_WINDOW_MIN = 2
    ROCE_WINDOW_START = 16     # also the least that a standing queue alone shrinks it to
    ROCE_WINDOW_MAX = 1024     # packets; of jumbo frames 9 MB: the transport's receive buffer holds it

ctypedef struct roce_path:
    uint32_t window            # packets, 8 bits of fraction
    uint32_t most              # packets that it may grow to
    uint32_t in_flight         # packets of all QPs
    uint32_t loss              # share of packets that began a go-back, 16 bits of fraction, over about 256 packets
    uint16_t samples           # round trips of the interval
    uint8_t late               # round trips in a row that were long
    uint8_t standing           # a queue stood in the last interval
    uint8_t starting           # slow start: the window doubles in each round trip
    uint64_t rtt_ns            # smoothed; 0: no sample yet
    uint64_t deviation_ns      # smoothed
    uint64_t floor_ns          # the least round trip seen lately
    uint64_t floor_at_ns       # when
    uint64_t interval_ns       # when the present interval began
    uint64_t shortest_ns       # round trip of it
    uint64_t reduced_ns        # when the window last shrank
    uint64_t acked_ns          # when anything was last acknowledged

cdef void path_init(roce_path *path) noexcept nogil
cdef inline bint path_open(const roce_path *path) noexcept nogil:
    return path.in_flight < path.window >> 8
# `packets` were acknowledged; rtt_ns is a round trip measured with them, or 0.
cdef void path_acked(roce_path *path, uint32_t packets, uint64_t rtt_ns, uint64_t now) noexcept nogil
# A go-back began.
cdef void path_lost(roce_path *path, uint64_t now) noexcept nogil
# So many packets were lost, and they alone are sent again.
cdef void path_missed(roce_path *path, uint32_t packets, uint64_t now) noexcept nogil
# A QP got nothing back for this long. Others may have: one dead QP does not close the window for all.
cdef void path_silent(roce_path *path, uint64_t for_ns, uint64_t now) noexcept nogil
# After how long without progress a packet is sent again to learn what arrived, when `probes` already were and the
# standard's timer is at most_ns (0: off): some probes fit into each of its turns.
cdef uint64_t path_probe_ns(const roce_path *path, uint32_t probes, uint64_t most_ns) noexcept nogil
