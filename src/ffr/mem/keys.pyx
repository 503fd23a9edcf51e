from libc.stdint cimport uint8_t

from ffcore.control cimport ff_extent
from ffcore.engine cimport FF_MAX_SEGMENTS, ff_segment
from ffcore.shm cimport ff_sge
from ffr.ibv cimport IBV_ACCESS_LOCAL_WRITE
from ffr.mem.nothing cimport NOTHING_SIZE
from ffr.state cimport (FFR_ACCESS_LOCAL, FFR_DEVICE, FFR_KEY_BITS, FFR_NONE, FFR_NOTHING, FFR_WINDOW_1, FFR_WINDOW_2,
                        ffr_mr, ffr_qp, ffr_router)


cdef inline int append(uint8_t *at, uint64_t length, ff_segment *out, uint32_t *count) noexcept nogil:
    if count[0] == FF_MAX_SEGMENTS:
        return -1
    out[count[0]].at = at
    out[count[0]].length = length
    count[0] += 1
    return 0


cdef int spread(ffr_router *r, ffr_mr *mr, uint64_t at, uint64_t length, ff_segment *out, uint32_t *count) noexcept nogil:
    """The segments of an MR that has several extents; `at` counts from its first byte."""
    cdef ff_extent *extent = r.state.block[mr.block]
    cdef uint8_t *memory = r.view[mr.o.session].memory
    cdef uint32_t i = 0
    cdef uint64_t n
    at += mr.shift
    while length:                            # bound: mr.extents, since the MR's length lies inside them
        while at >= extent[i].length:
            at -= extent[i].length
            i += 1
        n = min(length, extent[i].length - at)
        if append(memory + extent[i].offset + at, n, out, count):
            return -1
        length -= n
        at += n
    return 0


cdef int nothing(ffr_router *r, uint64_t length, uint32_t access, ff_segment *out, uint32_t *count) noexcept nogil:
    if length > <uint64_t>NOTHING_SIZE:
        return -1
    return append(r.sink if access & IBV_ACCESS_LOCAL_WRITE else r.zeroes, length, out, count)


cdef int otherwise(ffr_router *r, ffr_mr *mr, uint32_t qpn, uint64_t at, uint64_t length, uint32_t access,
                   ff_segment *out, uint32_t *count) noexcept nogil:
    """Everything but an MR of one extent; `at` counts from its first byte, and the range has been checked."""
    if mr.behind == FFR_WINDOW_1 or mr.behind == FFR_WINDOW_2:
        if mr.of == FFR_NONE or (mr.behind == FFR_WINDOW_2 and mr.qpn != qpn):
            return -1
        at += mr.offset
        mr = &r.state.mr[mr.of]              # is there, and spans the window: it cannot change while one is bound to it
        if mr.extents == 1:
            return append(r.view[mr.o.session].memory + mr.offset + at, length, out, count)
    if mr.behind == FFR_DEVICE:
        return append(r.view[r.state.dm[mr.of].o.session].control + mr.offset + at, length, out, count)
    if mr.behind == FFR_NOTHING:
        return nothing(r, length, access, out, count)
    return spread(r, mr, at, length, out, count)


cdef inline int look_up(ffr_router *r, uint32_t pd, uint32_t qpn, uint32_t key, uint64_t addr, uint64_t length,
                        uint32_t access, ff_segment *out, uint32_t *count) noexcept nogil:
    cdef ffr_mr *mr = &r.state.mr[key >> FFR_KEY_BITS]       # 20 bits: always inside the table
    cdef uint64_t at
    if mr.key != key or not mr.o.used or key == 0 or mr.pd != pd or (mr.access & access) != access:
        return -1
    at = addr - mr.iova                      # wraps when addr is below: then larger than any length
    if at > mr.length or length > mr.length - at:
        return -1
    if length == 0:
        return 0
    if mr.extents != 1:
        return otherwise(r, mr, qpn, at, length, access, out, count)
    return append(r.view[mr.o.session].memory + mr.offset + at, length, out, count)


cdef int resolve(ffr_router *r, const ffr_qp *q, uint32_t rkey, uint64_t addr, uint64_t length, uint32_t access,
                 ff_segment *out, uint32_t *count) noexcept nogil:
    return look_up(r, q.pd, window_owner(q), rkey, addr, length, access, out, count)


cdef int resolve_in(ffr_router *r, uint32_t pd, const ffr_qp *q, uint32_t rkey, uint64_t addr, uint64_t length, uint32_t access,
                    ff_segment *out, uint32_t *count) noexcept nogil:
    return look_up(r, pd, window_owner(q), rkey, addr, length, access, out, count)


cdef int resolve_list(ffr_router *r, uint32_t pd, const ff_sge *sge, uint32_t sges, uint32_t access,
                      ff_segment *out, uint32_t *count, uint64_t *total) noexcept nogil:
    cdef uint32_t i
    total[0] = 0
    count[0] = 0
    for i in range(sges):
        if sge[i].length == 0:               # names nothing, whatever its address and key: programs leave both unset
            continue
        if look_up(r, pd, 0, sge[i].lkey, sge[i].addr, sge[i].length, access | FFR_ACCESS_LOCAL, out, count):
            return -1
        total[0] += sge[i].length
    return 0


cdef ffr_mr *key_find(ffr_router *r, uint32_t pd, uint32_t key) noexcept nogil:
    cdef ffr_mr *mr = &r.state.mr[key >> FFR_KEY_BITS]
    return mr if mr.key == key and mr.o.used and key != 0 and mr.pd == pd else NULL


cdef uint32_t key_new(ffr_router *r, uint32_t index) noexcept nogil:
    """A key for MR index, not the one that the index had last, and never 0, whatever a window's last 8 bits become.
    splitmix64: the bits guard against accidents (a stale key), not against guessing."""
    cdef uint64_t z
    cdef uint32_t key = 0
    while key >> 8 == 0 or key == r.state.mr[index].key:     # 1 turn in 4096 repeats; of index 0 1 in 16
        r.key_seed += <uint64_t>0x9E3779B97F4A7C15
        z = r.key_seed
        z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
        z ^= z >> 27
        key = (index << FFR_KEY_BITS) | <uint32_t>(z & ((1 << FFR_KEY_BITS) - 1))
    return key
