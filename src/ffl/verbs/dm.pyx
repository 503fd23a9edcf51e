"""Device memory: pages of the control segment, which are mapped here as a NIC's own memory would be."""

from libc cimport errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ffcore.control cimport (FF_CMD_ALLOC_DM, FF_CMD_COPY_DM, FF_CMD_FREE_DM, FF_CMD_IMPORT_DM, FF_CMD_RECLAIM_DM,
                             FF_CMD_REG_DM_MR, FF_NO_HANDLE, ff_cmd_alloc_dm, ff_cmd_copy_dm, ff_cmd_handle, ff_cmd_part,
                             ff_cmd_reg_dm_mr, ff_reply_alloc_dm, ff_reply_import_dm, ff_reply_reg_mr)
from ffcore.shm cimport FF_PAYLOAD_SIZE
from ffl.session.call_api cimport ff_call, ff_call_begin, ff_call_continue, ff_call_end, ff_call_end_of, ff_call_new
from ffl.kernel cimport fail
from ffl.objects cimport FFL_DEVICE, context_of, ffl_dm, ffl_mr
from ffl.session.retired_api cimport ff_retire
from ffl.session.session_api cimport ff_context_adopt, ff_session_get
from ffl.ibv cimport (IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_MW_BIND, IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_READ,
                        IBV_ACCESS_REMOTE_WRITE, IBV_ACCESS_ZERO_BASED, IBV_DM_MASK_HANDLE, ibv_alloc_dm_attr,
                        ibv_context, ibv_dm, ibv_mr, ibv_pd)

cdef enum:
    WORD = 4                  # bytes: offsets and lengths of copies are multiples, as NICs have it
    LOG_ALIGN_MAX = 12        # an allocation is whole pages
    GRANTED = (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC
               | IBV_ACCESS_MW_BIND)
    OPTIONAL = 0x3ff00000     # IBV_ACCESS_OPTIONAL_RANGE


# ---- copying ----

cdef int check_copy(const ffl_dm *dm, uint64_t offset, uint64_t length) noexcept nogil:
    if (offset | length) % WORD:
        return errno.EINVAL
    return errno.EFAULT if offset > dm.length or length > dm.length - offset else 0


cdef int copy_part(ffl_dm *dm, uint64_t offset, uint8_t *host, uint64_t length, bint to_dm) noexcept nogil:
    """Of what is not mapped here, through the payload of a command."""
    cdef ff_cmd_copy_dm request
    cdef uint8_t *payload
    cdef int error = ff_call_begin(context_of(dm.base.context), &payload)
    if error:
        return error
    request.dm, request.to_dm = dm.base.handle, to_dm
    request.offset, request.length = offset, length
    if to_dm:
        memcpy(payload, host, length)
    error = ff_call_continue(FF_CMD_COPY_DM, &request, sizeof(request), NULL, 0)
    if error == 0 and not to_dm:
        memcpy(host, payload, length)
    ff_call_end()
    return error


cdef int copy(ffl_dm *dm, uint64_t offset, uint8_t *host, uint64_t length, bint to_dm) noexcept nogil:
    cdef uint64_t done = 0, part
    cdef int error = check_copy(dm, offset, length)
    if error == 0 and dm.at != NULL:
        memcpy(dm.at + offset if to_dm else host, host if to_dm else dm.at + offset, length)
        return 0
    while error == 0 and done < length:
        part = min(length - done, <uint64_t>FF_PAYLOAD_SIZE)
        error = copy_part(dm, offset + done, host + done, part, to_dm)
        done += part
    return fail(error) if error else 0


cdef int memcpy_to_dm(ibv_dm *dm, uint64_t offset, const void *host_addr, size_t length) noexcept nogil:
    return copy(<ffl_dm *>dm, offset, <uint8_t *>host_addr, length, True)


cdef int memcpy_from_dm(void *host_addr, ibv_dm *dm, uint64_t offset, size_t length) noexcept nogil:
    return copy(<ffl_dm *>dm, offset, <uint8_t *>host_addr, length, False)


# ---- life ----

cdef ibv_dm *describe(ffl_dm *dm, ibv_context *context, uint32_t handle, uint64_t offset, uint64_t length) noexcept nogil:
    dm.base.context = context
    dm.base.memcpy_to_dm = memcpy_to_dm
    dm.base.memcpy_from_dm = memcpy_from_dm
    dm.base.comp_mask = IBV_DM_MASK_HANDLE
    dm.base.handle = handle
    dm.at = <uint8_t *>ff_session_get().shared + offset if offset else NULL
    dm.length = length
    return &dm.base


cdef public ibv_dm *ff_alloc_dm(ibv_context *context, ibv_alloc_dm_attr *attr) noexcept nogil:
    cdef ff_cmd_alloc_dm request
    cdef ff_reply_alloc_dm reply
    cdef ffl_dm *dm
    cdef int error = errno.EINVAL
    if attr.comp_mask == 0 and attr.length and attr.log_align_req <= LOG_ALIGN_MAX:
        error = ff_context_adopt(context_of(context))
    if error:
        fail(error)
        return NULL
    request.context = context_of(context).handle
    request.length = attr.length
    dm = <ffl_dm *>ff_call_new(context_of(context), sizeof(ffl_dm), FF_CMD_ALLOC_DM, &request, sizeof(request), &reply,
                               sizeof(reply))
    return describe(dm, context, reply.handle, reply.offset, attr.length) if dm != NULL else NULL


cdef public int ff_free_dm(ibv_dm *dm) noexcept nogil:
    cdef int error = ff_call_end_of(context_of(dm.context), FF_CMD_FREE_DM, dm.handle)
    if error:
        reclaim(dm)
        return fail(error)
    ff_retire(dm, &dm.handle)
    return 0


cdef void reclaim(ibv_dm *dm) noexcept nogil:
    """If another process has freed what is ours, the pages are free from now on."""
    cdef ff_cmd_handle request
    request.handle = dm.handle
    if (<ffl_dm *>dm).at != NULL and request.handle != FF_NO_HANDLE:
        ff_call(context_of(dm.context), FF_CMD_RECLAIM_DM, &request, sizeof(request), NULL, 0)


cdef public ibv_dm *ffv_ibv_import_dm(ibv_context *context, uint32_t dm_handle) noexcept nogil:
    """A second object for what there is (context.pyx)."""
    cdef ff_cmd_part request
    cdef ff_reply_import_dm reply
    cdef ffl_dm *dm
    request.of = context_of(context).handle
    request.handle = dm_handle
    dm = <ffl_dm *>ff_call_new(context_of(context), sizeof(ffl_dm), FF_CMD_IMPORT_DM, &request, sizeof(request), &reply,
                               sizeof(reply))
    return describe(dm, context, dm_handle, reply.offset, reply.length) if dm != NULL else NULL


cdef public void ffv_ibv_unimport_dm(ibv_dm *dm) noexcept nogil:
    reclaim(dm)
    ff_retire(dm, &dm.handle)


# ---- registering ----

cdef public ibv_mr *ff_reg_dm_mr(ibv_pd *pd, ibv_dm *dm, uint64_t offset, size_t length,
                                 unsigned int access) noexcept nogil:
    """Zero based always: the program has no address for it."""
    cdef ff_cmd_reg_dm_mr request
    cdef ff_reply_reg_mr reply
    cdef ffl_mr *mr
    access &= ~<unsigned int>OPTIONAL
    if not access & IBV_ACCESS_ZERO_BASED or access & ~<unsigned int>(GRANTED | IBV_ACCESS_ZERO_BASED):
        fail(errno.EINVAL)
        return NULL
    request.pd = pd.handle
    request.dm = dm.handle
    request.offset = offset
    request.length = length
    request.access = access & GRANTED
    mr = <ffl_mr *>ff_call_new(context_of(pd.context), sizeof(ffl_mr), FF_CMD_REG_DM_MR, &request, sizeof(request), &reply,
                               sizeof(reply))
    if mr == NULL:
        return NULL
    mr.base.context = pd.context
    mr.base.pd = pd
    mr.base.length = length
    mr.base.handle = reply.handle
    mr.base.lkey = reply.lkey
    mr.base.rkey = reply.rkey
    mr.behind = FFL_DEVICE
    mr.access = access
    return &mr.base
