"""PDs, MRs and DMs: who has them, what keeps them, and their end.

They may be imported, so that whether a session has one is more than whose it is; and an MR or DM whose maker's context is
gone lives until its last importer, or the last window or MR that names it, is gone, too (handlers/importing.pxd).
"""

from libc.stdint cimport int64_t, uint32_t

from ffr.state cimport FFR_WINDOW_1, ffr_mr, ffr_router


cdef inline bint is_window(const ffr_mr *mr) noexcept nogil:
    return mr.behind >= FFR_WINDOW_1

# The context through which the session has the object, or FFR_NONE: it has not. Any handle may be asked for.
cdef uint32_t pd_context(ffr_router *r, uint32_t session, uint32_t handle) noexcept nogil
cdef uint32_t mr_context(ffr_router *r, uint32_t session, uint32_t handle) noexcept nogil    # not of a window
cdef uint32_t dm_context(ffr_router *r, uint32_t session, uint32_t handle) noexcept nogil

# The head of the list of those that have imported an object; one that leaves it; and all of them, as the object is about to end.
cdef uint32_t *importers(ffr_router *r, int kind, uint32_t object) noexcept nogil
cdef void import_drop(ffr_router *r, uint32_t index) noexcept nogil
cdef void imports_drop(ffr_router *r, int kind, uint32_t object) noexcept nogil

# Places of an MR's extents, where it has several: FFR_NONE, its container has too many.
cdef uint32_t block_new(ffr_router *r, uint32_t session) noexcept nogil
cdef void block_free(ffr_router *r, uint32_t session, uint32_t block) noexcept nogil
# The mapping of an MR's extent, or FFR_NONE.
cdef uint32_t mr_mapping(ffr_router *r, const ffr_mr *mr, uint32_t extent) noexcept nogil
# Counts bytes that a session has registered, and tells it.
cdef void mr_pinned(ffr_router *r, uint32_t session, int64_t more) noexcept nogil
# The MR lies nowhere any more.
cdef void mr_displace(ffr_router *r, ffr_mr *mr) noexcept nogil

cdef void mr_free(ffr_router *r, uint32_t index) noexcept nogil
cdef void dm_free(ffr_router *r, uint32_t index) noexcept nogil

# Something that used it has gone: was that the last to keep it?
cdef void mr_unused(ffr_router *r, uint32_t index) noexcept nogil
cdef void dm_unused(ffr_router *r, uint32_t index) noexcept nogil
