"""Request packets that came ahead of a lost one, kept until that comes: a requester that learns which (the bits of a
selective NAK) need not send them again. By QP and PSN; bounded, and who finds it full does without.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ffr.nic.roce.protocol.wire cimport roce_packet


cdef enum:
    HELD_AHEAD = 1024          # PSNs that one may be ahead of what is expected: the largest window
    HELD_MAP_BYTES = 128       # a bit for each
    HELD_PACKETS = 2048        # of all QPs, 18 MB; a page is touched only when it is needed
    HELD_CHAINS = 2048         # a power of 2
    HELD_BYTES = 8976          # room for a packet: FF_ROCE_MAX_PACKET fits (held.pyx looks)
    HELD_NONE = 0xFFFF

ctypedef struct held_packet:
    uint32_t qp                # the driver's name for it (roce_qp.handle)
    uint32_t psn
    uint32_t size              # bytes before the ICRC
    uint16_t next              # of its chain, or of the free ones
    uint8_t bytes[HELD_BYTES]

ctypedef struct held_table:
    held_packet *slot          # NULL until the first packet
    uint32_t room              # slots: at most HELD_PACKETS
    uint32_t fresh             # slots from here on were never used
    uint16_t free
    uint16_t chain[HELD_CHAINS]

# An empty table of `room` packets.
cdef void held_init(held_table *t, uint32_t room) noexcept nogil
cdef void held_free(held_table *t) noexcept nogil
# Keep a copy. False: it is there already, or there is no room.
cdef bint held_put(held_table *t, uint32_t qp, const roce_packet *p) noexcept nogil
# Give up the copy with this PSN: it is the caller's until the next put. False: there is none.
cdef bint held_take(held_table *t, uint32_t qp, uint32_t psn, roce_packet *p) noexcept nogil
# Which PSNs from `psn` on are held: bit i of `bits` (HELD_MAP_BYTES) for psn + i, up to `count` of them. Bytes until the
# last one that has a bit, rounded up to four; 0: none are.
cdef uint32_t held_map(const held_table *t, uint32_t qp, uint32_t psn, uint32_t count, uint8_t *bits) noexcept nogil
# Give up everything of a QP.
cdef void held_drop(held_table *t, uint32_t qp) noexcept nogil
