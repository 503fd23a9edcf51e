"""Cython's view of reach.h."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ffcore.shm cimport ff_a64


cdef extern from "ffr/reach.h" nogil:
    enum:
        FFR_STRANGER
        FFR_NOBODY
        FFR_PARTIES
        FFR_PARTY_WORDS
        FFR_PARTY_GIDS
        FFR_RANGES
        FFR_DENIALS
    ctypedef struct ffr_party_gid "struct ffr_party_gid":
        uint8_t gid[16]
        uint32_t used, party
    ctypedef struct ffr_range "struct ffr_range":
        uint8_t gid[16]
        uint32_t bits, party
    ctypedef struct ffr_denial "struct ffr_denial":
        uint32_t session, came
        uint8_t gid[16]
    ctypedef struct ffr_rules "struct ffr_rules":
        uint32_t closed, ranges
        ffr_range range[FFR_RANGES]
        uint32_t tenant[FFR_PARTIES]
        uint64_t may[FFR_PARTIES][FFR_PARTY_WORDS]
    ctypedef struct ffr_reach_ask "struct ffr_reach_ask":
        ffr_rules *rules
        const ffr_party_gid *place
        uint32_t count, refused
        uint32_t session, party
        uint32_t sweep, ended
    ctypedef struct ffr_reach "struct ffr_reach":
        ffr_rules *rules
        ffr_reach_ask *ask
        uint32_t gids
        ff_a64 denied
        ffr_denial denial[FFR_DENIALS]
        ffr_party_gid gid[FFR_PARTY_GIDS]
