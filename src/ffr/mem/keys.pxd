"""Keys to memory: lkeys and rkeys resolve here, for the protection domain of the QP that uses them, and nowhere else."""

from libc.stdint cimport uint32_t, uint64_t

from ffcore.engine cimport ff_segment
from ffcore.shm cimport ff_sge
from ffr.state cimport ffr_mr, ffr_router

# Appends the segments of [addr, addr + length) of the MR that key names. 0, or -1: no such key in this PD, out of its
# range, without the access asked for, or too many segments.
cdef int resolve(ffr_router *r, uint32_t pd, uint32_t key, uint64_t addr, uint64_t length, uint32_t access,
                 ff_segment *out, uint32_t *count) noexcept nogil

# The same for a list of SGEs; *total is the sum of their lengths.
cdef int resolve_list(ffr_router *r, uint32_t pd, const ff_sge *sge, uint32_t sges, uint32_t access,
                      ff_segment *out, uint32_t *count, uint64_t *total) noexcept nogil

cdef uint32_t key_new(ffr_router *r, uint32_t index) noexcept nogil
