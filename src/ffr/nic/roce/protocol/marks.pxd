"""How much of what nobody acknowledges - UC and UD - may be on its way to another router.

A receiver that is not running for a moment would lose what its socket's buffer cannot hold, and programs over UC take a
loss for good. So a router puts a mark behind every few packets, which says how many it has sent; the other sends the
mark back when it has read that far (FF_ROUTER of ffcore/roce.h). Neither mark nor echo is repeated by itself: a sender
that has stopped asks again, and after a while takes what it has not heard of for lost. Flat state, no pointers, no I/O.
"""

from libc.stdint cimport uint32_t, uint64_t


cdef enum:
    MARKS_WINDOW = 1024        # packets; at 4 KB, 4 MB: a quarter of the socket's buffer (of jumbo frames half), since several may
                               # send at a time
    MARKS_EVERY = 64           # packets behind which a mark is due

ctypedef struct roce_marks:
    uint32_t sent              # packets, on the PSNs' circle
    uint32_t heard             # of them the peer has read so many
    uint32_t marked            # sent, when the last mark left
    uint64_t marked_ns
    uint64_t closed_ns         # since when nothing may be sent; 0: it may

# May another packet be sent? A window that stays closed for long opens: every wait has an end.
cdef bint marks_open(roce_marks *m, uint64_t now) noexcept nogil
# Is it time for a mark?
cdef bint marks_due(const roce_marks *m, uint64_t now) noexcept nogil
# A mark has left: it carries m.sent.
cdef void marks_left(roce_marks *m, uint64_t now) noexcept nogil
# A mark came back.
cdef void marks_echo(roce_marks *m, uint32_t count) noexcept nogil
