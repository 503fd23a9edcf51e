"""IMPORT_CONTEXT, IMPORT_PD, IMPORT_MR, IMPORT_DM: what a process has of another one's.

Contexts are a group when one was imported from the other: by its secret, which its cmd_fd holds. An object of a group may be
used through the context that made it, and through those that have imported it. Whoever uses it has one of these, so an object
that outlives its maker's context always has somebody to stay for:

  - a PD moves to one of its importers;
  - an MR and a DM stay where their memory is, without a context, until the last importer is gone.
"""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_router

cdef int import_context(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int import_pd(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int import_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil
cdef int import_dm(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil

# The end of an importer's context, or of its maker's.
cdef void import_free(ffr_router *r, uint32_t index) noexcept nogil
cdef void pd_leave(ffr_router *r, uint32_t index) noexcept nogil
cdef void mr_leave(ffr_router *r, uint32_t index) noexcept nogil
cdef void dm_leave(ffr_router *r, uint32_t index) noexcept nogil
