"""Who may talk to whom: asked where a connection is made, and of every datagram. One load where everybody may."""

from libc.stdint cimport uint8_t, uint32_t

from ffr.state cimport ffr_router


cdef inline bint reach_is_open(const ffr_router *r) noexcept nogil:
    return not r.reach.rules.closed


cdef inline bint reach_allows(const ffr_router *r, uint32_t a, uint32_t b) noexcept nogil:
    """Party a may begin with party b."""
    return r.reach.rules.may[a][b >> 6] >> (b & 63) & 1


cdef inline bint reach_between(const ffr_router *r, uint32_t a, uint32_t b) noexcept nogil:
    """One of two sessions may begin with the other: a with b."""
    return reach_is_open(r) or reach_allows(r, r.state.session[a].party, r.state.session[b].party)

# The party of an address.
cdef uint32_t reach_party(const ffr_router *r, const uint8_t *gid) noexcept nogil
# The session may begin with that address; or who has that address, with the session.
cdef bint reach_to(const ffr_router *r, uint32_t session, const uint8_t *gid) noexcept nogil
cdef bint reach_from(const ffr_router *r, const uint8_t *gid, uint32_t session) noexcept nogil
# They may be connected: one of them may begin. Which of the two does, a pair of QPs does not tell.
cdef bint reach_both(const ffr_router *r, uint32_t session, const uint8_t *gid) noexcept nogil
# It was denied, and is counted and told. came: it came from there.
cdef void reach_deny(ffr_router *r, uint32_t session, const uint8_t *gid, bint came) noexcept nogil
# An address is this party's; FFR_STRANGER: nobody tells of it any more. False: the table is full.
cdef bint reach_place(ffr_router *r, const uint8_t *gid, uint32_t party) noexcept nogil
