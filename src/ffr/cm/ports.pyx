from libc.errno cimport EADDRINUSE, EADDRNOTAVAIL
from libc.string cimport memcmp

from ffr.cm.random cimport cm_random
from ffr.cm.state cimport CM_LISTEN, FFR_CM_BUCKETS, ffr_cm_id
from ffr.state cimport FFR_NONE


cdef enum:
    EPHEMERAL_FIRST = 32768   # as Linux has it when nobody says otherwise
    EPHEMERAL_LAST = 60999


cdef bint address_any(const cm_address *a) noexcept nogil:
    cdef uint32_t i, nonzero = 0
    for i in range(12 if a.family == 4 else 0, 16):
        nonzero |= a.ip[i]
    return nonzero == 0


cdef bint address_loopback(const cm_address *a) noexcept nogil:
    cdef uint32_t i, nonzero = 0
    if a.family == 4:
        return a.ip[12] == 127
    for i in range(15):
        nonzero |= a.ip[i]
    return nonzero == 0 and a.ip[15] == 1


cdef uint32_t *bucket(ffr_router *r, uint32_t share, uint16_t space, uint16_t port) noexcept nogil:
    return &r.state.cm.port[(port ^ (share * <uint32_t>2654435761) >> 16 ^ space << 4) % FFR_CM_BUCKETS]


cdef inline bint same_port(const ffr_cm_id *a, const ffr_cm_id *b) noexcept nogil:
    return a.share == b.share and a.space == b.space and a.here.port == b.here.port


cdef int conflict(const ffr_cm_id *a, const ffr_cm_id *b, bint listens) noexcept nogil:
    """Of two ids with the same port. Connected ones do not disturb who binds for himself alone: their peers tell them apart."""
    if a.reuse and b.reuse and not (listens and b.c.state == CM_LISTEN):
        return 0
    if a.here.family != b.here.family and (a.afonly or b.afonly):
        return 0
    if address_any(&a.here) or address_any(&b.here):
        return EADDRNOTAVAIL
    return EADDRINUSE if memcmp(a.here.ip, b.here.ip, 16) == 0 else 0


cdef int look(ffr_router *r, uint32_t id, bint listens) noexcept nogil:
    """Bound: the ids of a bucket, 16 on average when all ids are bound."""
    cdef const ffr_cm_id *a = &r.state.cm_id[id]
    cdef uint32_t at = bucket(r, a.share, a.space, a.here.port)[0]
    cdef int error
    while at != FFR_NONE:
        if at != id and same_port(a, &r.state.cm_id[at]):
            error = conflict(a, &r.state.cm_id[at], listens)
            if error:
                return error
        at = r.state.cm_id[at].port_next
    return 0


cdef void link(ffr_router *r, uint32_t id) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef uint32_t *head = bucket(r, a.share, a.space, a.here.port)
    a.port_next = head[0]
    a.bound = 1
    head[0] = id


cdef int port_bind(ffr_router *r, uint32_t id) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef uint32_t i, first, span = EPHEMERAL_LAST - EPHEMERAL_FIRST + 1
    cdef int error
    if a.here.port:
        error = look(r, id, False)
        if error == 0:
            link(r, id)
        return error
    first = cm_random(r) % span
    for i in range(span):                    # bound: all ephemeral ports; the second try is rare until most are taken
        a.here.port = <uint16_t>(EPHEMERAL_FIRST + (first + i) % span)
        if look(r, id, False) == 0:
            link(r, id)
            return 0
    a.here.port = 0
    return EADDRNOTAVAIL


cdef void port_release(ffr_router *r, uint32_t id) noexcept nogil:
    cdef ffr_cm_id *a = &r.state.cm_id[id]
    cdef uint32_t *at
    if not a.bound:
        return
    at = bucket(r, a.share, a.space, a.here.port)
    while at[0] != id:
        at = &r.state.cm_id[at[0]].port_next
    at[0] = a.port_next
    a.bound = 0


cdef int port_listen(ffr_router *r, uint32_t id) noexcept nogil:
    return EADDRINUSE if look(r, id, True) else 0


cdef bint hears(const ffr_cm_id *a, const cm_address *at) noexcept nogil:
    if a.c.state != CM_LISTEN:
        return False
    if address_any(&a.here):
        return a.here.family == at.family or (a.here.family == 6 and not a.afonly)
    return a.here.family == at.family and memcmp(a.here.ip, at.ip, 16) == 0


cdef uint32_t port_listener(ffr_router *r, uint32_t share, uint16_t space, const cm_address *at) noexcept nogil:
    """The one that is bound to just that address, or one that listens at any."""
    cdef uint32_t i = bucket(r, share, space, at.port)[0], found = FFR_NONE
    cdef const ffr_cm_id *a
    while i != FFR_NONE:                     # bound: as in look()
        a = &r.state.cm_id[i]
        if a.share == share and a.space == space and a.here.port == at.port and hears(a, at):
            found = i
            if not address_any(&a.here):
                return i
        i = a.port_next
    return found
