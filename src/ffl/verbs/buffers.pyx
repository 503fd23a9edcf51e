"""Buffers that a device allocates as it likes them best (rdma-core 64 and later), and MRs by attributes (59). This device likes
ordinary memory: whole pages of a buffer's own, which nothing else shares when they are registered."""

from libc cimport errno
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from ffl.kernel cimport fail
from ffl.session.socket cimport (MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap)
from ffl.ibv cimport ff_mr_init_attr, ibv_mr, ibv_pd

cdef extern ibv_mr *ffv_ibv_reg_mr_iova2(ibv_pd *pd, void *addr, size_t length, uint64_t iova, unsigned int access) noexcept nogil

cdef enum:
    BY_IOVA = 1               # IBV_REG_MR_MASK_x
    BY_ADDR = 2
    BY_BUFFER = 32


cdef struct buffer:           # behind struct ibv_buf, which is opaque
    ibv_pd *pd
    uint64_t at
    uint64_t size


cdef public void *ffv_ibv_alloc_buf(ibv_pd *pd, size_t size, void **handle) noexcept nogil:
    """Its first byte; or NULL and errno."""
    cdef buffer *made
    cdef void *at
    if size == 0:
        fail(errno.EINVAL)
        return NULL
    made = <buffer *>calloc(1, sizeof(buffer))
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) if made != NULL else MAP_FAILED
    if at == MAP_FAILED:
        free(made)
        fail(errno.ENOMEM)
        return NULL
    made.pd, made.at, made.size = pd, <uint64_t>at, size
    handle[0] = made
    return at


cdef public void ffv_ibv_free_buf(void *handle) noexcept nogil:
    cdef buffer *made = <buffer *>handle
    if made != NULL:
        munmap(<void *>made.at, made.size)
        free(made)


cdef public int ffv_ibv_export_buf_dmabuf_fd(void *handle) noexcept nogil:
    """No buffer here is another device's memory."""
    fail(errno.ENODATA)
    return -1


cdef bint holds(const buffer *b, const ibv_pd *pd, uint64_t at, uint64_t length) noexcept nogil:
    return b != NULL and b.pd == pd and at - b.at <= b.size and length <= b.size - (at - b.at)


cdef public ibv_mr *ffv_ibv_reg_buf_mr(ibv_pd *pd, void *handle, void *addr, size_t length, int access) noexcept nogil:
    """EINVAL: not all of it lies in the buffer, or the buffer is another PD's."""
    if not holds(<buffer *>handle, pd, <uint64_t>addr, length):
        fail(errno.EINVAL)
        return NULL
    return ffv_ibv_reg_mr_iova2(pd, addr, length, <uint64_t>addr, access)


cdef public ibv_mr *ffv_ibv_reg_mr_ex(ibv_pd *pd, ff_mr_init_attr *attr) noexcept nogil:
    """Ordinary memory. Of another device's (FD) or with a hint where to steer it (DMAH): EOPNOTSUPP."""
    cdef uint64_t iova = attr.iova if attr.comp_mask & BY_IOVA else <uint64_t>attr.addr
    cdef int error = 0
    if attr.comp_mask & ~<uint64_t>(BY_IOVA | BY_ADDR | BY_BUFFER):
        error = errno.EOPNOTSUPP
    elif not attr.comp_mask & BY_ADDR:
        error = errno.EINVAL
    elif attr.comp_mask & BY_BUFFER and not holds(<buffer *>attr.buf, pd, <uint64_t>attr.addr, attr.length):
        error = errno.EINVAL
    if error:
        fail(error)
        return NULL
    return ffv_ibv_reg_mr_iova2(pd, attr.addr, attr.length, iova, attr.access)
