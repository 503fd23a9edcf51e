from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy

from ffcore.grh cimport ff_gid_hash
from ffcore.shm cimport ff_load64, ff_store64_release
from ffr.reach cimport FFR_DENIALS, FFR_PARTY_GIDS, FFR_STRANGER, ffr_denial, ffr_party_gid, ffr_range, ffr_reach, ffr_rules


cdef inline uint32_t bucket(const ffr_router *r, const uint8_t *gid) noexcept nogil:
    return ff_gid_hash(gid, r.state.epoch) & (FFR_PARTY_GIDS - 1)


cdef bint holds(const ffr_range *range_, const uint8_t *gid) noexcept nogil:
    cdef uint32_t whole = range_.bits >> 3, rest = range_.bits & 7
    if memcmp(range_.gid, gid, whole):
        return False
    return rest == 0 or (range_.gid[whole] ^ gid[whole]) >> (8 - rest) == 0


cdef const ffr_party_gid *find(const ffr_router *r, const uint8_t *gid) noexcept nogil:
    """The address's place, or the first one that was never used."""
    cdef const ffr_reach *reach = r.reach
    cdef uint32_t at = bucket(r, gid)
    while reach.gid[at].used and memcmp(reach.gid[at].gid, gid, 16):     # bound: half of the places are free
        at = (at + 1) & (FFR_PARTY_GIDS - 1)
    return &reach.gid[at]


cdef uint32_t reach_party(const ffr_router *r, const uint8_t *gid) noexcept nogil:
    cdef const ffr_party_gid *known = find(r, gid)
    cdef const ffr_rules *rules = r.reach.rules
    cdef uint32_t i
    if known.used and known.party != FFR_STRANGER:
        return known.party
    for i in range(rules.ranges):
        if holds(&rules.range[i], gid):
            return rules.range[i].party
    return FFR_STRANGER


cdef bint reach_to(const ffr_router *r, uint32_t session, const uint8_t *gid) noexcept nogil:
    return reach_is_open(r) or reach_allows(r, r.state.session[session].party, reach_party(r, gid))


cdef bint reach_from(const ffr_router *r, const uint8_t *gid, uint32_t session) noexcept nogil:
    return reach_is_open(r) or reach_allows(r, reach_party(r, gid), r.state.session[session].party)


cdef bint reach_both(const ffr_router *r, uint32_t session, const uint8_t *gid) noexcept nogil:
    return reach_to(r, session, gid) or reach_from(r, gid, session)


cdef void reach_deny(ffr_router *r, uint32_t session, const uint8_t *gid, bint came) noexcept nogil:
    cdef uint64_t denied = ff_load64(&r.reach.denied)
    cdef ffr_denial *denial = &r.reach.denial[denied % FFR_DENIALS]
    denial.session, denial.came = session, came
    memcpy(denial.gid, gid, 16)
    ff_store64_release(&r.reach.denied, denied + 1)
    r.session_stats[session].denied += 1


cdef bint reach_place(ffr_router *r, const uint8_t *gid, uint32_t party) noexcept nogil:
    """What was taken back says no more than what nobody told, so its place is free again: containers come and go for as long
    as a router lives."""
    cdef ffr_reach *reach = r.reach
    cdef ffr_party_gid *place = <ffr_party_gid *>find(r, gid)
    cdef uint32_t at = bucket(r, gid)
    if not place.used:
        if party == FFR_STRANGER:
            return True
        while reach.gid[at].used and reach.gid[at].party != FFR_STRANGER:
            at = (at + 1) & (FFR_PARTY_GIDS - 1)
        place = &reach.gid[at]
        if not place.used and reach.gids >= FFR_PARTY_GIDS // 2:
            return False
        reach.gids += not place.used
        place.used = 1
        memcpy(place.gid, gid, 16)
    place.party = party
    return True
