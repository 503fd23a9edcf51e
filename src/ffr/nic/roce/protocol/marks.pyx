from ffcore.roce cimport FF_PSN_MASK


cdef enum:
    AGAIN_NS = 2000000         # a sender that is stopped asks again this often
    PATIENCE_NS = 100000000    # and this long: longer than a scheduler keeps a router waiting


cdef inline uint32_t on_the_way(const roce_marks *m) noexcept nogil:
    return (m.sent - m.heard) & FF_PSN_MASK


cdef bint marks_open(roce_marks *m, uint64_t now) noexcept nogil:
    if on_the_way(m) < MARKS_WINDOW:
        m.closed_ns = 0
        return True
    if m.closed_ns == 0:
        m.closed_ns = now
    elif now - m.closed_ns > PATIENCE_NS:
        m.heard = m.sent
        m.closed_ns = 0
        return True
    return False


cdef bint marks_due(const roce_marks *m, uint64_t now) noexcept nogil:
    return ((m.sent - m.marked) & FF_PSN_MASK) >= MARKS_EVERY or (m.closed_ns and now - m.marked_ns > AGAIN_NS)


cdef void marks_left(roce_marks *m, uint64_t now) noexcept nogil:
    m.marked = m.sent
    m.marked_ns = now


cdef void marks_echo(roce_marks *m, uint32_t count) noexcept nogil:
    """One that is older than the last, or of something never sent, says nothing."""
    if ((count - m.heard) & FF_PSN_MASK) <= on_the_way(m):
        m.heard = count
