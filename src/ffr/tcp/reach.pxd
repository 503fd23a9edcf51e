"""Which tenants' programs may connect to which others' (ffr/policy/reach.py); within a tenant everybody may."""

from libc.stdint cimport uint32_t, uint64_t

from ffr.tcp.state cimport broker

cdef enum:
    ANY_TENANT = 0
    REACH_PAIRS = 1 << 16

# A client of that tenant may connect to a server of that one.
cdef bint reach_allows(const broker *b, uint64_t client, uint64_t server) noexcept nogil
# Rules from now on: pairs (client, server), sorted, in memory of malloc's that is the broker's then.
cdef void reach_take(broker *b, uint64_t *pairs, uint32_t count) noexcept nogil
