"""Handle -> object, for events: they name a CQ, a QP or an SRQ by the router's index. Implemented in handles.pyx."""

from libc.stdint cimport uint32_t

from ffcore.shm cimport ff_a32
from ffl.objects cimport ffl_tracked
from ffl.ibv cimport ibv_comp_channel

cdef extern void ff_handle_put(ffl_tracked *tracked, void *object, uint32_t kind, uint32_t handle) noexcept nogil

# An event of the object has been acknowledged.
cdef extern void ff_handle_acknowledge(ff_a32 *owed, uint32_t count) noexcept nogil

# Forgets the object and waits until every event that was handed out for it is acknowledged (ibv_destroy_qp(3)).
cdef extern void ff_handle_retire(ffl_tracked *tracked) noexcept nogil

# The object, or NULL; one more event of it is then owed an acknowledgement.
cdef extern void *ff_handle_take_async(uint32_t kind, uint32_t handle) noexcept nogil
# ... a CQ of that channel
cdef extern void *ff_handle_take_comp(uint32_t handle, ibv_comp_channel *channel) noexcept nogil

cdef extern void ff_handles_child() noexcept nogil
