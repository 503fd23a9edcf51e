"""Executes the data movement of a WQE on mapped memory: segments to segments.

Both sides run it: the router in isolated mode, the library in semi-isolated mode. It knows nothing of keys, rings or
sessions: whoever calls it has resolved them to segments, and guards the call against memory that vanishes.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef extern from "ffcore/copy.h" nogil:
    void ff_copy_publish(uint8_t *to, const uint8_t *source, size_t length)
    void ff_soon_read(const uint8_t *at, size_t length)
    void ff_soon_written(uint8_t *at, size_t length)


ctypedef struct ff_segment:
    uint8_t *at
    uint64_t length      # bytes


cdef enum:
    FF_MAX_SEGMENTS = 128  # 32 SGEs, of which a few straddle extents


ctypedef struct ff_move:
    # One message, or a part of it: bytes [start, start + length) of the gather list go to the same of the scatter list.
    ff_segment *to
    const ff_segment *source
    uint32_t to_count
    uint32_t source_count
    uint64_t start
    uint64_t length
    bint last            # the part ends the message: its last byte is published after all others


ctypedef struct ff_parts:
    # Equal parts of a list, one after the other, each from or to a place of its own: payloads and their packets.
    const ff_segment *segment
    uint32_t segment_count
    uint32_t count       # of parts
    uint64_t start       # of the first one in the list
    uint32_t size        # of each
    uint32_t stride      # from one place to the next
    uint8_t *place       # the first one
    bint collect         # from the places into the list; else from the list to the places


cdef inline uint64_t ff_segments_length(const ff_segment *segment, uint32_t count) noexcept nogil:
    cdef uint64_t total = 0
    cdef uint32_t i
    for i in range(count):
        total += segment[i].length
    return total


cdef inline uint32_t ff_segments_seek(const ff_segment *segment, uint32_t count, uint64_t *offset) noexcept nogil:
    """Index of the segment that holds byte *offset, which becomes the offset inside that segment."""
    cdef uint32_t i = 0
    while i < count and offset[0] >= segment[i].length:
        offset[0] -= segment[i].length
        i += 1
    return i


cdef inline int ff_engine_move(void *context) noexcept nogil:
    """Moves what the ff_move at context describes. Takes void * so that a guard can call it."""
    cdef ff_move *m = <ff_move *>context
    cdef uint64_t to_at = m.start, source_at = m.start, left = m.length, n
    cdef uint32_t t, s
    if left == 0:
        return 0
    t = ff_segments_seek(m.to, m.to_count, &to_at)
    s = ff_segments_seek(m.source, m.source_count, &source_at)
    while True:                              # ends: each turn finishes a segment of one side, or the message
        n = min(left, min(m.to[t].length - to_at, m.source[s].length - source_at))
        if n == left and m.last:
            ff_copy_publish(m.to[t].at + to_at, m.source[s].at + source_at, n)
            return 0
        memcpy(m.to[t].at + to_at, m.source[s].at + source_at, n)
        left -= n
        if left == 0:
            return 0
        to_at += n
        source_at += n
        if to_at == m.to[t].length:
            t += 1
            to_at = 0
        if source_at == m.source[s].length:
            s += 1
            source_at = 0


cdef inline void ff_parts_soon(const ff_parts *p, const ff_segment *s, uint64_t at) noexcept nogil:
    """What stands two parts on in this segment."""
    at += 2 * p.size
    if at >= s.length:
        return
    if p.collect:
        ff_soon_written(s.at + at, min(<uint64_t>p.size, s.length - at))
    else:
        ff_soon_read(s.at + at, min(<uint64_t>p.size, s.length - at))


cdef inline int ff_engine_parts(void *context) noexcept nogil:
    """Copies what the ff_parts at context describes; the list holds it all. Takes void * so that a guard can call it."""
    cdef ff_parts *p = <ff_parts *>context
    cdef uint64_t at = p.start
    cdef uint32_t s = ff_segments_seek(p.segment, p.segment_count, &at), part, done, n
    cdef uint8_t *place = p.place
    for part in range(p.count):
        ff_parts_soon(p, &p.segment[s], at)
        done = 0
        while done < p.size:                 # ends: each turn finishes a part or a segment
            n = <uint32_t>min(<uint64_t>(p.size - done), p.segment[s].length - at)
            if p.collect:
                memcpy(p.segment[s].at + at, place + done, n)
            else:
                memcpy(place + done, p.segment[s].at + at, n)
            done += n
            at += n
            if at == p.segment[s].length:
                s += 1
                at = 0
        place += p.stride
    return 0
