from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from ffcore.roce cimport FF_ROCE_MAX_PACKET, ff_psn_add

from ffr.nic.roce.protocol.wire cimport ROCE_PARSED, roce_parse


cdef void held_init(held_table *t, uint32_t room) noexcept nogil:
    memset(t, 0, sizeof(held_table))
    memset(t.chain, 0xFF, sizeof(t.chain))
    t.free = HELD_NONE
    t.room = min(room, <uint32_t>HELD_PACKETS)


cdef void held_free(held_table *t) noexcept nogil:
    free(t.slot)
    t.slot = NULL


cdef inline uint32_t chain_of(uint32_t qp, uint32_t psn) noexcept nogil:
    """PSNs of a window fall into different chains."""
    return (psn + qp * <uint32_t>2654435761) & (HELD_CHAINS - 1)


cdef uint16_t *find(held_table *t, uint32_t qp, uint32_t psn) noexcept nogil:
    """The link that leads to it; or to HELD_NONE."""
    cdef uint16_t *link = &t.chain[chain_of(qp, psn)]
    while link[0] != HELD_NONE and (t.slot[link[0]].psn != psn or t.slot[link[0]].qp != qp):   # bound: HELD_PACKETS
        link = &t.slot[link[0]].next
    return link


cdef uint16_t new_slot(held_table *t) noexcept nogil:
    cdef uint16_t at = t.free
    if at != HELD_NONE:
        t.free = t.slot[at].next
    elif t.fresh < t.room:
        at = <uint16_t>t.fresh
        t.fresh += 1
    return at


cdef void release(held_table *t, uint16_t *link) noexcept nogil:
    cdef uint16_t at = link[0]
    link[0] = t.slot[at].next
    t.slot[at].next = t.free
    t.free = at


cdef bint held_put(held_table *t, uint32_t qp, const roce_packet *p) noexcept nogil:
    cdef uint32_t size = p.headers + p.size + p.pad
    cdef uint16_t *link
    cdef uint16_t at
    if t.slot == NULL:
        t.slot = <held_packet *>malloc(t.room * sizeof(held_packet)) if HELD_BYTES >= FF_ROCE_MAX_PACKET else NULL
        if t.slot == NULL:
            return False
    link = find(t, qp, p.psn)
    if link[0] != HELD_NONE or size > HELD_BYTES:
        return False
    at = new_slot(t)
    if at == HELD_NONE:
        return False
    t.slot[at].qp = qp
    t.slot[at].psn = p.psn
    t.slot[at].size = size
    t.slot[at].next = HELD_NONE
    memcpy(t.slot[at].bytes, p.payload - p.headers, size)
    link[0] = at
    return True


cdef bint held_take(held_table *t, uint32_t qp, uint32_t psn, roce_packet *p) noexcept nogil:
    cdef uint16_t *link
    cdef uint16_t at
    if t.slot == NULL:
        return False
    link = find(t, qp, psn)
    at = link[0]
    if at == HELD_NONE:
        return False
    release(t, link)
    return roce_parse(p, t.slot[at].bytes, t.slot[at].size) == ROCE_PARSED     # it was before


cdef uint32_t held_map(const held_table *t, uint32_t qp, uint32_t psn, uint32_t count, uint8_t *bits) noexcept nogil:
    cdef uint32_t i, bytes_ = 0
    memset(bits, 0, HELD_MAP_BYTES)
    if t.slot == NULL:
        return 0
    for i in range(HELD_AHEAD):
        if count == 0:
            break
        if find(<held_table *>t, qp, ff_psn_add(psn, i))[0] != HELD_NONE:
            bits[i // 8] |= 1 << i % 8
            bytes_ = i // 8 + 1
            count -= 1
    return (bytes_ + 3) & ~<uint32_t>3


cdef void held_drop(held_table *t, uint32_t qp) noexcept nogil:
    """Rare: a QP fails while packets of it are held."""
    cdef uint32_t i
    cdef uint16_t *link
    if t.slot == NULL:
        return
    for i in range(HELD_CHAINS):
        link = &t.chain[i]
        while link[0] != HELD_NONE:           # bound, of all chains: HELD_PACKETS
            if t.slot[link[0]].qp == qp:
                release(t, link)
            else:
                link = &t.slot[link[0]].next
