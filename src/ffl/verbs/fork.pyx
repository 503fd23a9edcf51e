"""fork: what ibv_fork_init() promises holds from the first registration on, asked for or not (see memory)."""

from ffl.ibv cimport IBV_FORK_UNNEEDED, ibv_fork_status


cdef public int ffv_ibv_fork_init() noexcept nogil:
    return 0


cdef public ibv_fork_status ffv_ibv_is_fork_initialized() noexcept nogil:
    return IBV_FORK_UNNEEDED


cdef public int ffv_ibv_dontfork_range(void *base, size_t size) noexcept nogil:
    return 0


cdef public int ffv_ibv_dofork_range(void *base, size_t size) noexcept nogil:
    return 0
