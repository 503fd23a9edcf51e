"""The requester's timers."""

from libc.stdint cimport uint64_t

from ffr.nic.roce.protocol.qp cimport roce_env, roce_qp
from ffr.nic.roce.protocol.window cimport roce_path


# Call at or after q.timer. Afterwards requester_send may have something to do.
cdef void requester_timer(roce_qp *q, roce_path *path, const roce_env *env, uint64_t now) noexcept nogil
