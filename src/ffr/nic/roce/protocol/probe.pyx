from ffr.nic.roce.protocol.cut cimport CUT_LEAST


cdef enum:
    AGAIN_NS = 100000000       # while there is no answer yet: a router that has just come knows its peers soon
    EAGER = 20                 # ... so many times, and then as seldom as when there was one
    REFRESH_NS = 10000000000
    GIVEN_UP = 3               # unanswered ones after which a path carries no more what it did
    STALE_NS = 25000000000     # after the other router's last one: two at least were lost since


cdef void probe_begin(roce_probe *p, uint32_t wanted, uint64_t now) noexcept nogil:
    wanted = wanted if wanted >= CUT_LEAST else 0
    if wanted == p.wanted:
        return
    p.wanted = wanted
    p.carries = p.unanswered = 0
    p.due_ns = now


cdef void probe_left(roce_probe *p, uint64_t now) noexcept nogil:
    p.unanswered += p.unanswered < EAGER
    if p.unanswered > GIVEN_UP:
        p.carries = 0
    p.left_ns = now
    p.due_ns = now + AGAIN_NS
    if p.unanswered == EAGER or p.carries and p.unanswered == 1:
        p.due_ns = now + REFRESH_NS          # written out: Cython's `x if y else z` of an enum's constants has 32 bits


cdef void probe_answered(roce_probe *p, uint32_t size, uint64_t now) noexcept nogil:
    if size != p.wanted:
        return                 # to one that was meant for another link, or forged
    p.carries = size
    p.unanswered = 0
    p.due_ns = now + REFRESH_NS


cdef void probe_heard(roce_probe *p, uint32_t size, uint64_t now) noexcept nogil:
    p.heard = size
    p.heard_ns = now
    if p.carries == 0 and p.unanswered:
        p.unanswered = 0
        p.due_ns = min(p.due_ns, max(now, p.left_ns + AGAIN_NS))     # two that hear no answers would wake each other at once


cdef uint32_t probe_hears(const roce_probe *p, uint64_t now) noexcept nogil:
    return p.heard if now - p.heard_ns <= <uint64_t>STALE_NS else 0
