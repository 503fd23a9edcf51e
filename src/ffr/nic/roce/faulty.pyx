from libc.errno cimport ENOMEM
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from ffcore.roce cimport FF_ROCE_MAX_PACKET


cdef inline uint64_t draw(roce_faulty *f) noexcept nogil:
    """SplitMix64 (Steele, Lea, Flood 2014)."""
    cdef uint64_t z
    f.random += <uint64_t>0x9E3779B97F4A7C15
    z = f.random
    z = (z ^ z >> 30) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ z >> 27) * <uint64_t>0x94D049BB133111EB
    return z ^ z >> 31


cdef inline bint happens(roce_faulty *f, uint32_t share) noexcept nogil:
    return share != 0 and <uint32_t>(draw(f) >> 32) < share


cdef int faulty_set(roce_faulty *f, const faulty_plan *plan) noexcept nogil:
    cdef uint32_t i
    if f.slot == NULL:
        if FAULTY_BYTES < FF_ROCE_MAX_PACKET:
            return ENOMEM
        f.slot = <faulty_packet *>malloc(FAULTY_HELD * sizeof(faulty_packet))
        if f.slot == NULL:
            return ENOMEM
        for i in range(FAULTY_HELD):
            f.heap[i] = i
    f.plan = plan[0]
    f.random = plan.seed
    f.on = f.held or plan.drop or plan.duplicate or plan.corrupt or plan.reorder or plan.delay_ns or plan.jitter_ns
    return 0


# ---- packets on their way: a heap by time -----------------------------------------------------------------------------

cdef inline bint earlier(const roce_faulty *f, uint32_t a, uint32_t b) noexcept nogil:
    cdef const faulty_packet *x = &f.slot[f.heap[a]]
    cdef const faulty_packet *y = &f.slot[f.heap[b]]
    return x.due_ns < y.due_ns or (x.due_ns == y.due_ns and x.number < y.number)


cdef inline void swap(roce_faulty *f, uint32_t a, uint32_t b) noexcept nogil:
    cdef uint16_t kept = f.heap[a]
    f.heap[a] = f.heap[b]
    f.heap[b] = kept


cdef void hold(roce_faulty *f, const uint8_t *bytes, uint32_t size, uint16_t segment, const ffr_udp_address *from_,
               uint32_t socket, uint64_t due_ns, bint damage) noexcept nogil:
    cdef uint32_t at = f.held
    cdef faulty_packet *p
    if at == FAULTY_HELD:
        f.overflowed += 1
        return
    p = &f.slot[f.heap[at]]
    p.due_ns = due_ns
    p.number = f.numbers
    p.size = size
    p.socket = socket
    p.segment = segment
    p.from_ = from_[0]
    memcpy(p.bytes, bytes, size)
    if damage and size:
        p.bytes[draw(f) % size] ^= 1 << draw(f) % 8
    f.numbers += 1
    f.held += 1
    while at and earlier(f, at, (at - 1) // 2):
        swap(f, at, (at - 1) // 2)
        at = (at - 1) // 2


cdef const faulty_packet *faulty_due(roce_faulty *f, uint64_t now) noexcept nogil:
    cdef uint32_t at = 0, child
    if f.held == 0 or f.slot[f.heap[0]].due_ns > now:
        return NULL
    f.held -= 1
    swap(f, 0, f.held)
    while 2 * at + 1 < f.held:
        child = 2 * at + 1
        if child + 1 < f.held and earlier(f, child + 1, child):
            child += 1
        if not earlier(f, child, at):
            break
        swap(f, at, child)
        at = child
    if f.held == 0:
        faulty_set(f, &f.plan)   # the last of a plan that was taken back
    return &f.slot[f.heap[f.held]]


cdef uint64_t faulty_deadline(const roce_faulty *f) noexcept nogil:
    return f.slot[f.heap[0]].due_ns if f.held else <uint64_t>-1


# ---- what happens to one ----------------------------------------------------------------------------------------------

cdef bint faulty_passes(roce_faulty *f, const uint8_t *bytes, uint32_t size, uint16_t segment, const ffr_udp_address *from_,
                        uint32_t socket, uint64_t now) noexcept nogil:
    cdef uint64_t due = now + f.plan.delay_ns
    cdef bint damage
    if size > FAULTY_BYTES:
        return True
    if happens(f, f.plan.drop):
        f.dropped += 1
        return False
    if f.plan.jitter_ns:
        due += draw(f) % f.plan.jitter_ns
    if happens(f, f.plan.duplicate):
        f.duplicated += 1
        hold(f, bytes, size, segment, from_, socket, due, False)
    if happens(f, f.plan.reorder):
        f.reordered += 1
        due += f.plan.behind_ns
    damage = happens(f, f.plan.corrupt)
    f.corrupted += damage
    if due == now and not damage:
        return True
    hold(f, bytes, size, segment, from_, socket, due, damage)
    return False


cdef dict faulty_describe(const roce_faulty *f):
    return {"on": bool(f.on), "held": f.held, "dropped": f.dropped, "duplicated": f.duplicated, "corrupted": f.corrupted,
            "reordered": f.reordered, "overflowed": f.overflowed}


# ---- for its own tests --------------------------------------------------------------------------------------------------

cdef class Faulty:
    """One of its own, of numbered packets of `size` bytes of zeros."""
    cdef roce_faulty f
    cdef uint32_t size

    def __cinit__(self, size=64, **plan):
        self.size = size
        self.plan(**plan)

    def __dealloc__(self):
        free(self.f.slot)

    def plan(self, drop=0, duplicate=0, corrupt=0, reorder=0, delay_ns=0, jitter_ns=0, behind_ns=0, seed=1):
        """Shares are of 2^32."""
        cdef faulty_plan p = faulty_plan(drop, duplicate, corrupt, reorder, delay_ns, jitter_ns, behind_ns, seed)
        if faulty_set(&self.f, &p):
            raise MemoryError

    def take(self, int number, uint64_t now):
        """A packet with this number comes. Whether it passes."""
        cdef uint8_t bytes[FAULTY_BYTES]
        cdef ffr_udp_address from_
        memset(bytes, 0, sizeof(bytes))
        memset(&from_, 0, sizeof(from_))
        return faulty_passes(&self.f, bytes, self.size, <uint16_t>number, &from_, 7, now)

    def due(self, uint64_t now):
        """(number, bytes, due_ns) of all packets whose time has come."""
        cdef const faulty_packet *p
        out = []
        while True:
            p = faulty_due(&self.f, now)
            if p == NULL:
                return out
            out.append((p.segment, bytes(p.bytes[:p.size]), p.due_ns))

    @property
    def state(self):
        return faulty_describe(&self.f) | {"deadline": faulty_deadline(&self.f)}
