"""Where an MR's bytes lie: extents of the session's memory segment, and of shared memory of its program's."""

from libc.stdint cimport uint32_t, uint64_t

from ffcore.control cimport ff_cmd_reg_mr, ff_extent, ff_reply_reg_mr
from ffr.state cimport ffr_mr, ffr_router, ffr_session


ctypedef struct place:
    ff_extent extent[64]      # FFR_BLOCK_EXTENTS; offsets from where the memory segment is mapped, modulo 2^64
    uint32_t mapping[64]      # of each; FFR_NONE for the segment's
    uint32_t block            # of the tables, or FFR_NONE

# pinned: what the session has besides.
cdef int check_place(const ffr_session *s, const ff_cmd_reg_mr *c, uint64_t pinned, ff_reply_reg_mr *reply) noexcept nogil

# Takes the extents out of the payload. An errno, or FFR_LATER (base.pxd): shared memory has to be mapped first. access: the
# MR's rights.
cdef int take_extents(ffr_router *r, uint32_t session, const ff_cmd_reg_mr *c, uint32_t access, place *where,
                      ff_reply_reg_mr *reply) noexcept nogil
cdef void undo_place(ffr_router *r, uint32_t session, const ff_cmd_reg_mr *c, const place *where) noexcept nogil

cdef void lies_at(ffr_router *r, ffr_mr *mr, const ff_cmd_reg_mr *c, const place *where) noexcept nogil

# Whether some of it is memory that the router has mapped without the right to write.
cdef bint is_read_only(ffr_router *r, const ffr_mr *mr) noexcept nogil
