"""Protection domains and memory regions."""

from libc cimport errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from ffcore.control cimport (FF_CMD_ALLOC_PD, FF_CMD_DEALLOC_PD, FF_CMD_DEREG_MR, FF_CMD_REG_MR, FF_MAX_EXTENTS,
                             ff_cmd_handle, ff_cmd_reg_mr, ff_reply_handle, ff_reply_reg_mr)
from ffcore.shm cimport ff_load32
from ffl.call_api cimport ff_call, ff_call_begin, ff_call_continue, ff_call_end, ff_call_end_of
from ffl.domain_api cimport ff_dealloc_parent_domain, ff_domain_is_parent
from ffl.kernel cimport fail
from ffl.log_api cimport FF_LOG_WARN, ff_log
from ffl.memory_api cimport ff_extent, ff_memory_pin, ff_memory_reason, ff_memory_unpin
from ffl.objects cimport context_of, ffl_context, ffl_mr, ffl_pd
from ffl.verbs cimport (IBV_ACCESS_HUGETLB, IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_MW_BIND, IBV_ACCESS_REMOTE_ATOMIC,
                        IBV_ACCESS_REMOTE_READ, IBV_ACCESS_REMOTE_WRITE, IBV_ACCESS_ZERO_BASED, ibv_context, ibv_mr,
                        ibv_pd)

cdef enum:
    GRANTED = (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC
               | IBV_ACCESS_MW_BIND)
    UNDERSTOOD = GRANTED | IBV_ACCESS_ZERO_BASED | IBV_ACCESS_HUGETLB
    OPTIONAL = 0x3ff00000     # IBV_ACCESS_OPTIONAL_RANGE: hints, which a device may ignore


# ---- protection domains ----

cdef public ibv_pd *ffv_ibv_alloc_pd(ibv_context *context) noexcept nogil:
    cdef ff_cmd_handle request
    cdef ff_reply_handle reply
    cdef ffl_pd *pd = <ffl_pd *>calloc(1, sizeof(ffl_pd))
    cdef int error
    if pd == NULL:
        return NULL
    request.handle = context_of(context).handle
    error = ff_call(context_of(context), FF_CMD_ALLOC_PD, &request, sizeof(request), &reply, sizeof(reply))
    if error:
        free(pd)
        fail(error)
        return NULL
    pd.base.context = context
    pd.base.handle = reply.handle
    return &pd.base


cdef public int ffv_ibv_dealloc_pd(ibv_pd *pd) noexcept nogil:
    cdef int error
    if ff_domain_is_parent(pd):
        return ff_dealloc_parent_domain(<ffl_pd *>pd)
    if ff_load32(&(<ffl_pd *>pd).domains):
        return fail(errno.EBUSY)
    error = ff_call_end_of(context_of(pd.context), FF_CMD_DEALLOC_PD, pd.handle)
    if error:
        return fail(error)
    free(<ffl_pd *>pd)
    return 0


# ---- memory regions ----

cdef int check_access(uint32_t access) noexcept nogil:
    """IBTA 11.2.8.2: what a peer may change, the owner may change too."""
    if access & ~<uint32_t>UNDERSTOOD:
        return errno.EOPNOTSUPP
    if access & (IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC) and not access & IBV_ACCESS_LOCAL_WRITE:
        return errno.EINVAL
    return 0


cdef int pin_and_tell(ffl_context *context, ff_cmd_reg_mr *request, ff_reply_reg_mr *reply) noexcept nogil:
    """Extents go straight into the payload, so the command slot is held while pages are converted."""
    cdef uint8_t *payload
    cdef int error = ff_call_begin(context, &payload)
    if error:
        return error
    error = ff_memory_pin(request.addr, request.length, <ff_extent *>payload, FF_MAX_EXTENTS, &request.extents)
    if error:
        ff_log(FF_LOG_WARN, b"ibv_reg_mr of %llu bytes at %#llx: %s", <unsigned long long>request.length,
               <unsigned long long>request.addr, ff_memory_reason())
    else:
        error = ff_call_continue(FF_CMD_REG_MR, request, sizeof(ff_cmd_reg_mr), reply, sizeof(ff_reply_reg_mr))
        if error:
            ff_memory_unpin(request.addr, request.length)
    ff_call_end()
    return error


cdef ibv_mr *register(ibv_pd *pd, void *addr, size_t length, uint64_t iova, uint32_t access) noexcept nogil:
    cdef ff_cmd_reg_mr request
    cdef ff_reply_reg_mr reply
    cdef ffl_mr *mr
    cdef int error
    access &= ~<uint32_t>OPTIONAL
    error = check_access(access)
    if length == 0 or <uint64_t>addr + length < <uint64_t>addr:
        error = errno.EINVAL
    if error:
        fail(error)
        return NULL
    mr = <ffl_mr *>calloc(1, sizeof(ffl_mr))
    if mr == NULL:
        return NULL
    request.pd = pd.handle
    request.access = access & GRANTED
    request.addr = <uint64_t>addr
    request.length = length
    request.iova = 0 if access & IBV_ACCESS_ZERO_BASED else iova
    error = pin_and_tell(context_of(pd.context), &request, &reply)
    if error:
        free(mr)
        fail(error)
        return NULL
    mr.base.context = pd.context
    mr.base.pd = pd
    mr.base.addr = addr
    mr.base.length = length
    mr.base.handle = reply.handle
    mr.base.lkey = reply.lkey
    mr.base.rkey = reply.rkey
    return &mr.base


cdef public ibv_mr *ffv_ibv_reg_mr(ibv_pd *pd, void *addr, size_t length, int access) noexcept nogil:
    return register(pd, addr, length, <uint64_t>addr, access)


cdef public ibv_mr *ffv_ibv_reg_mr_iova(ibv_pd *pd, void *addr, size_t length, uint64_t iova,
                                        int access) noexcept nogil:
    return register(pd, addr, length, iova, access)


cdef public ibv_mr *ffv_ibv_reg_mr_iova2(ibv_pd *pd, void *addr, size_t length, uint64_t iova,
                                         unsigned int access) noexcept nogil:
    return register(pd, addr, length, iova, access)


cdef public int ffv_ibv_dereg_mr(ibv_mr *mr) noexcept nogil:
    """The router answers when nothing refers to the pages any more: only then are they given back."""
    cdef int error = ff_call_end_of(context_of(mr.context), FF_CMD_DEREG_MR, mr.handle)
    if error:
        return fail(error)
    ff_memory_unpin(<uint64_t>mr.addr, mr.length)
    free(<ffl_mr *>mr)
    return 0
