from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy, memset

from ffcore.grh cimport ff_gid_is_ipv4
from ffr.cm.ports cimport port_release
from ffr.cm.random cimport cm_random
from ffr.cm.state cimport FFR_CM_BUCKETS, FFR_CM_IDS, ffr_cm_channel, ffr_cm_head
from ffr.cm.timers cimport timer_stop
from ffr.state cimport FFR_CM_ID, FFR_NONE, ffr_session, has_gid, object_free, object_new


cdef enum:
    GENERATIONS = 0xFFFF      # a communication ID is 16 bits of index below as many of generation, which are never 0


# ---- made and freed ----

cdef void link(ffr_router *r, uint32_t id, uint32_t channel) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    a.channel = channel
    a.prev = FFR_NONE
    a.next = r.state.cm_channel[channel].id
    if a.next != FFR_NONE:
        r.state.cm_id[a.next].prev = id
    r.state.cm_channel[channel].id = id


cdef void unlink(ffr_router *r, uint32_t id) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    if a.prev == FFR_NONE:
        r.state.cm_channel[a.channel].id = a.next
    else:
        r.state.cm_id[a.prev].next = a.next
    if a.next != FFR_NONE:
        r.state.cm_id[a.next].prev = a.prev


cdef uint32_t id_new(ffr_router *r, uint32_t session, uint32_t channel) noexcept nogil:
    cdef uint32_t id = object_new(r, FFR_CM_ID, session), generation
    cdef ffr_cm_id *a
    cdef ffr_cm_head head
    if id == FFR_NONE:
        return FFR_NONE
    a = &r.state.cm_id[id]
    head = a.o
    generation = a.generation % GENERATIONS + 1
    memset(a, 0, sizeof(ffr_cm_id))
    a.o = head
    a.generation = generation
    a.share = r.state.session[session].share
    a.listener = FFR_NONE
    a.c.psn = cm_random(r) & 0xFFFFFF
    a.c.local = generation << 16 | id
    link(r, id, channel)
    return id


cdef void id_free(ffr_router *r, uint32_t id) noexcept nogil:
    forget(r, id)
    timer_stop(r, id)
    port_release(r, id)
    unlink(r, id)
    object_free(r, FFR_CM_ID, id)


cdef void id_migrate(ffr_router *r, uint32_t id, uint32_t channel) noexcept nogil:
    unlink(r, id)
    link(r, id, channel)


# ---- found ----

cdef uint32_t id_by_number(ffr_router *r, uint32_t number) noexcept nogil:
    cdef uint32_t id = number & (FFR_CM_IDS - 1)
    return id if r.state.cm_id[id].o.used and r.state.cm_id[id].c.local == number else <uint32_t>FFR_NONE


cdef uint32_t *bucket(ffr_router *r, const uint8_t *gid, uint32_t remote) noexcept nogil:
    cdef uint32_t low
    memcpy(&low, gid + 12, 4)
    return &r.state.cm.remote[(low ^ remote ^ remote >> 16) * <uint32_t>2654435761 >> 20 & (FFR_CM_BUCKETS - 1)]


cdef uint32_t id_by_remote(ffr_router *r, const uint8_t *gid, uint32_t remote) noexcept nogil:
    cdef uint32_t id = bucket(r, gid, remote)[0]
    while id != FFR_NONE:                    # bound: ids that REQs made, 16 of a bucket on average
        if r.state.cm_id[id].c.remote == remote and memcmp(r.state.cm_id[id].dgid, gid, 16) == 0:
            return id
        id = r.state.cm_id[id].remote_next
    return FFR_NONE


cdef void id_remember(ffr_router *r, uint32_t id) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef uint32_t *head = bucket(r, a.dgid, a.c.remote)
    a.asked = 1
    a.remote_next = head[0]
    head[0] = id


cdef void forget(ffr_router *r, uint32_t id) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef uint32_t *at
    if not a.asked:
        return
    at = bucket(r, a.dgid, a.c.remote)
    while at[0] != id:
        at = &r.state.cm_id[at[0]].remote_next
    at[0] = a.remote_next
    a.asked = 0


# ---- whose an address is ----

cdef uint32_t gid_index(ffr_router *r, uint32_t session, const uint8_t *gid) noexcept nogil:
    cdef const ffr_session *s = &r.state.session[session]
    cdef uint32_t i
    for i in range(s.gid_count):
        if has_gid(s, i) and memcmp(s.gid[i], gid, 16) == 0:
            return i
    return FFR_NONE


cdef uint32_t share_of(ffr_router *r, const uint8_t *gid) noexcept nogil:
    cdef uint32_t i
    for i in range(r.live_count):            # once per connection; bound: FFR_SESSIONS
        if not r.state.session[r.live[i]].closing and gid_index(r, r.live[i], gid) != FFR_NONE:
            return r.state.session[r.live[i]].share
    return FFR_NONE


cdef uint32_t common_bits(const uint8_t *a, const uint8_t *b) noexcept nogil:
    cdef uint32_t i = 0
    while i < 128 and (a[i >> 3] ^ b[i >> 3]) >> (7 - (i & 7)) & 1 == 0:
        i += 1
    return i


cdef uint32_t gid_near(ffr_router *r, uint32_t session, uint8_t family, const uint8_t *gid) noexcept nogil:
    cdef const ffr_session *s = &r.state.session[session]
    cdef uint32_t i, best = FFR_NONE, most = 0, bits
    for i in range(s.gid_count):
        if not has_gid(s, i) or ff_gid_is_ipv4(s.gid[i]) != (family == 4):
            continue
        bits = common_bits(s.gid[i], gid) + 1
        if bits > most:
            most = bits
            best = i
    return best
