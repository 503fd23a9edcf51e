"""Ids as objects: made, found, freed; and whose an address is."""

from libc.stdint cimport uint8_t, uint32_t

from ffr.cm.state cimport cm_message, ffr_cm_id
from ffr.state cimport ffr_router

# Cleared but for where it belongs. FFR_NONE: there is no room.
cdef uint32_t id_new(ffr_router *r, uint32_t session, uint32_t channel) noexcept nogil
# Its conversation has ended, and nobody waits for its events.
cdef void id_free(ffr_router *r, uint32_t id) noexcept nogil
cdef void id_migrate(ffr_router *r, uint32_t id, uint32_t channel) noexcept nogil
# The id of a communication ID of ours, or FFR_NONE.
cdef uint32_t id_by_number(ffr_router *r, uint32_t number) noexcept nogil
# ... that a REQ from this GID made, with this ID of the peer's.
cdef uint32_t id_by_remote(ffr_router *r, const uint8_t *gid, uint32_t remote) noexcept nogil
cdef void id_remember(ffr_router *r, uint32_t id) noexcept nogil

# The container (its share) whose address it is, or FFR_NONE.
cdef uint32_t share_of(ffr_router *r, const uint8_t *gid) noexcept nogil
# The place of a GID in a session's table, or FFR_NONE.
cdef uint32_t gid_index(ffr_router *r, uint32_t session, const uint8_t *gid) noexcept nogil
# The address of that family that is nearest to another one: (index, or FFR_NONE).
cdef uint32_t gid_near(ffr_router *r, uint32_t session, uint8_t family, const uint8_t *gid) noexcept nogil
