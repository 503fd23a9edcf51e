from libc.string cimport memcmp

from ffcore.grh cimport ff_gid_hash
from ffr.state cimport FFR_MCAST_BUCKETS, FFR_NONE, ffr_mcast


cdef uint32_t *bucket_of(ffr_router *r, const uint8_t *gid) noexcept nogil:
    return &r.state.mcast_bucket[ff_gid_hash(gid, r.state.epoch) % FFR_MCAST_BUCKETS]


cdef uint32_t mcast_next(ffr_router *r, const uint8_t *gid, uint32_t previous) noexcept nogil:
    cdef uint32_t at = bucket_of(r, gid)[0] if previous == FFR_NONE else r.state.mcast[previous].next
    while at != FFR_NONE and memcmp(r.state.mcast[at].gid, gid, 16):     # bound: FFR_MCASTS; 16 on average
        at = r.state.mcast[at].next
    return at


cdef void mcast_link(ffr_router *r, uint32_t index) noexcept nogil:
    cdef uint32_t *bucket = bucket_of(r, r.state.mcast[index].gid)
    r.state.mcast[index].next = bucket[0]
    bucket[0] = index


cdef void mcast_unlink(ffr_router *r, uint32_t index) noexcept nogil:
    cdef uint32_t *at = bucket_of(r, r.state.mcast[index].gid)
    while at[0] != index:
        at = &r.state.mcast[at[0]].next
    at[0] = r.state.mcast[index].next
