"""Keys to memory: lkeys and rkeys resolve here, for the protection domain of the QP that uses them, and nowhere else."""

from libc.stdint cimport uint32_t, uint64_t

from ffcore.engine cimport ff_segment
from ffcore.shm cimport ff_sge
from ffr.ibv cimport IBV_QPT_XRC_RECV, IBV_QPT_XRC_SEND
from ffr.state cimport ffr_mr, ffr_qp, ffr_router

# Whose windows of type 2 may be named on this QP; 0 is no QP's number.
cdef inline uint32_t window_owner(const ffr_qp *q) noexcept nogil:
    return 0 if q.type == IBV_QPT_XRC_SEND or q.type == IBV_QPT_XRC_RECV else q.qpn

# What a peer names: appends the segments of [addr, addr + length) of the MR or window that rkey names to QP q.
# access: IBV_ACCESS_REMOTE_x. 0, or -1: no such key in the QP's PD, out of its range, without the access asked for, or
# too many segments.
cdef int resolve(ffr_router *r, const ffr_qp *q, uint32_t rkey, uint64_t addr, uint64_t length, uint32_t access,
                 ff_segment *out, uint32_t *count) noexcept nogil

# ... of a PD that is not the QP's own (XRC).
cdef int resolve_in(ffr_router *r, uint32_t pd, const ffr_qp *q, uint32_t rkey, uint64_t addr, uint64_t length, uint32_t access,
                    ff_segment *out, uint32_t *count) noexcept nogil

# What its own program names: a list of SGEs. access: 0 or IBV_ACCESS_LOCAL_WRITE; *total is the sum of their lengths.
# An SGE of length 0 is passed over unseen.
cdef int resolve_list(ffr_router *r, uint32_t pd, const ff_sge *sge, uint32_t sges, uint32_t access,
                      ff_segment *out, uint32_t *count, uint64_t *total) noexcept nogil

# The MR or window of this PD that the key names, or NULL.
cdef ffr_mr *key_find(ffr_router *r, uint32_t pd, uint32_t key) noexcept nogil

cdef uint32_t key_new(ffr_router *r, uint32_t index) noexcept nogil
