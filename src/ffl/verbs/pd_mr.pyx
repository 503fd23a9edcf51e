"""Protection domains and memory regions."""

from libc cimport errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc

from ffcore.control cimport (FF_CMD_ALLOC_NULL_MR, FF_CMD_ALLOC_PD, FF_CMD_DEALLOC_PD, FF_CMD_DEREG_MR,
                             FF_CMD_REG_MR, FF_CMD_IMPORT_MR, FF_CMD_IMPORT_PD, FF_CMD_RECLAIM_MR, FF_CMD_REREG_MR,
                             FF_NO_HANDLE, FF_WHY_CHANGED, FF_WHY_ERRNO, FF_WHY_FILE_SYSTEM, FF_WHY_LIMIT,
                             FF_WHY_MANY, FF_WHY_PRIVATE, FF_WHY_READ_ONLY, FF_WHY_SEALED, FF_WHY_SHORT, FF_WHY_SLOW,
                             FF_WHY_UNSEEN, ff_cmd_handle, ff_cmd_part, ff_cmd_reg_mr, ff_cmd_rereg_mr,
                             ff_reply_dereg_mr, ff_reply_handle, ff_reply_import_mr, ff_reply_reg_mr)
from ffcore.shm cimport ff_load32, ff_load64, ff_session
from ffl.session.call_api cimport ff_call, ff_call_begin, ff_call_continue, ff_call_end, ff_call_end_of, ff_call_new
from ffl.verbs.domain_api cimport ff_dealloc_parent_domain, ff_domain_is_parent
from ffl.kernel cimport fail
from ffl.session.log_api cimport FF_LOG_INFO, FF_LOG_WARN, ff_log
from ffl.interpose.interpose cimport ff_interpose_look
from ffl.memory.api cimport FF_PIECES, ff_extent, ff_held, ff_memory_reason, ff_run, ff_range_bring_in, ff_range_pin, ff_range_unpin
from ffl.verbs.mr_api cimport ff_odp_add, ff_odp_remove
from ffl.objects cimport FFL_IMPORTED, FFL_NOTHING, FFL_PAGES, context_of, ffl_context, ffl_mr, ffl_pd
from ffl.session.retired_api cimport ff_retire
from ffl.session.session_api cimport ff_session_get
from ffl.ibv cimport (IBV_ACCESS_HUGETLB, IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_MW_BIND, IBV_ACCESS_ON_DEMAND,
                        IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_READ, IBV_ACCESS_REMOTE_WRITE,
                        IBV_ACCESS_ZERO_BASED, IBV_REREG_MR_CHANGE_ACCESS, IBV_REREG_MR_CHANGE_PD,
                        IBV_REREG_MR_CHANGE_TRANSLATION, IBV_REREG_MR_ERR_CMD, IBV_REREG_MR_ERR_INPUT,
                        IBV_REREG_MR_FLAGS_SUPPORTED, ibv_context, ibv_mr, ibv_pd)

cdef enum:
    GRANTED = (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC
               | IBV_ACCESS_MW_BIND)
    UNDERSTOOD = GRANTED | IBV_ACCESS_ZERO_BASED | IBV_ACCESS_HUGETLB | IBV_ACCESS_ON_DEMAND
    OPTIONAL = 0x3ff00000     # IBV_ACCESS_OPTIONAL_RANGE: hints, which a device may ignore. Relaxed ordering is one


# ---- protection domains ----

cdef public ibv_pd *ffv_ibv_alloc_pd(ibv_context *context) noexcept nogil:
    cdef ff_cmd_handle request
    cdef ff_reply_handle reply
    cdef ffl_pd *pd
    request.handle = context_of(context).handle
    pd = <ffl_pd *>ff_call_new(context_of(context), sizeof(ffl_pd), FF_CMD_ALLOC_PD, &request, sizeof(request), &reply,
                               sizeof(reply))
    if pd == NULL:
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
    ff_retire(pd, &pd.handle)
    return 0


# ---- memory regions ----

cdef int check_access(uint32_t access) noexcept nogil:
    """IBTA 11.2.8.2: what a peer may change, the owner may change too."""
    if access & ~<uint32_t>UNDERSTOOD:
        return errno.EOPNOTSUPP
    if access & (IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC) and not access & IBV_ACCESS_LOCAL_WRITE:
        return errno.EINVAL
    return 0


cdef int check_range(uint64_t addr, uint64_t length, uint32_t access) noexcept nogil:
    if access & IBV_ACCESS_ON_DEMAND and addr == 0 and length == <uint64_t>-1:
        return errno.EOPNOTSUPP                      # all of the address space: see docs/design-memory.md
    return errno.EINVAL if length == 0 or addr + length < addr else 0


cdef const char *reason(uint32_t why) noexcept nogil:
    """What the router says of shared memory."""
    if why == FF_WHY_FILE_SYSTEM:
        return b"it is a file's or a device's; shared memory of tmpfs, memfd, SysV and hugetlbfs can be registered"
    if why == FF_WHY_PRIVATE or why == FF_WHY_CHANGED:
        return b"the program has changed its mappings meanwhile"
    if why == FF_WHY_READ_ONLY:
        return b"it is read-only, and is to be written to"
    if why == FF_WHY_SHORT:
        return b"the shared memory ends before the range does"
    if why == FF_WHY_SEALED:
        return b"the seals of its memory file forbid the router to map it so"
    if why == FF_WHY_UNSEEN:
        return b"it is shared memory without a descriptor, and the router may not look into this process: run it as root, in its pid namespace"
    if why == FF_WHY_MANY:
        return b"too many pieces: the container's part of the router's tables is used up"
    if why == FF_WHY_LIMIT:
        return b"more than pinned_bytes allows (docs/operations.md)"
    if why == FF_WHY_SLOW:
        return b"the kernel does not say what the process has mapped there: a thread of its own keeps it waiting"
    return b""


cdef void complain(const ff_cmd_reg_mr *place, const char *why) noexcept nogil:
    if why[0]:
        ff_log(FF_LOG_WARN, b"ibv_reg_mr of %llu bytes at %#llx: %s", <unsigned long long>place.length,
               <unsigned long long>place.addr, why)


cdef int check_limit(const ff_cmd_reg_mr *place, uint64_t instead_of) noexcept nogil:
    """Before anything is converted. The router asks again. instead_of: bytes of the MR that are given up for these."""
    cdef const ff_session *shared = ff_session_get().shared
    cdef uint64_t limit = shared.pinned_limit, pinned = ff_load64(&shared.pinned)
    pinned -= min(pinned, instead_of)
    if place.length <= limit and pinned <= limit - place.length:
        return 0
    ff_log(FF_LOG_WARN, b"ibv_reg_mr of %llu bytes at %#llx: %llu of at most %llu bytes are registered (pinned_bytes of a policy"
           b" sets the limit: docs/operations.md)", <unsigned long long>place.length, <unsigned long long>place.addr,
           <unsigned long long>pinned, <unsigned long long>limit)
    return errno.ENOMEM


cdef int tell(uint16_t op, void *request, uint32_t size, const ff_cmd_reg_mr *place, ff_reply_reg_mr *reply) noexcept nogil:
    cdef int error
    reply.why = FF_WHY_ERRNO
    error = ff_call_continue(op, request, size, reply, sizeof(reply[0]))
    if error and error != errno.EIO:
        complain(place, reason(reply.why))
    return error


cdef int pin_and_tell(ffl_context *context, uint16_t op, void *request, uint32_t size, ff_cmd_reg_mr *place, uint32_t access,
                      uint64_t instead_of, ff_reply_reg_mr *reply, ff_held **held) noexcept nogil:
    """Extents go straight into the payload, so the command slot is held while pages are converted. `place` lies in the
    request. access: the MR's rights; instead_of: as check_limit. *held: what is pinned for it, malloc's."""
    cdef uint8_t *payload
    cdef ff_extent *extents
    cdef bint writable = access & IBV_ACCESS_LOCAL_WRITE != 0
    cdef int error
    ff_interpose_look()
    held[0] = <ff_held *>calloc(1, sizeof(ff_held))
    if held[0] == NULL:
        return errno.ENOMEM
    error = ff_call_begin(context, &payload)
    if error:
        free(held[0])
        return error
    extents = <ff_extent *>payload
    error = check_limit(place, instead_of)
    if error == 0:
        error = ff_range_pin(place.addr, place.length, writable, extents, &place.extents, held[0])
        if error == 0 and op == FF_CMD_REREG_MR:     # a failure must leave the MR as it was
            error = ff_range_bring_in(extents, place.extents, writable)
        if error:
            complain(place, ff_memory_reason())
        else:
            error = tell(op, request, size, place, reply)
        if error == 0 and op == FF_CMD_REG_MR:
            error = bring_in(place, extents, writable, reply)
        if error:
            ff_range_unpin(held[0])
    ff_call_end()
    if error:
        free(held[0])
    else:
        held[0] = <ff_held *>realloc(held[0], sizeof(ff_held) - (FF_PIECES - held[0].pieces) * sizeof(ff_run))  # to less
    return error


cdef int bring_in(const ff_cmd_reg_mr *place, const ff_extent *extents, bint writable,
                  const ff_reply_reg_mr *reply) noexcept nogil:
    """Once the router has found that the memory is of a kind that can be registered. Nobody knows the key yet."""
    cdef ff_cmd_handle request
    cdef ff_reply_dereg_mr ended
    cdef int error = ff_range_bring_in(extents, place.extents, writable)
    if error:
        complain(place, ff_memory_reason())
        request.handle = reply.handle
        ff_call_continue(FF_CMD_DEREG_MR, &request, sizeof(request), &ended, sizeof(ended))
    return error


cdef void describe(ffl_mr *mr, ibv_pd *pd, void *addr, size_t length, const ff_reply_reg_mr *reply) noexcept nogil:
    mr.base.context = pd.context
    mr.base.pd = pd
    mr.base.addr = addr
    mr.base.length = length
    mr.base.handle = reply.handle
    mr.base.lkey = reply.lkey
    mr.base.rkey = reply.rkey


cdef ibv_mr *register(ibv_pd *pd, void *addr, size_t length, uint64_t iova, uint32_t access) noexcept nogil:
    cdef ff_cmd_reg_mr request
    cdef ff_reply_reg_mr reply
    cdef ffl_mr *mr
    cdef int error
    access &= ~<uint32_t>OPTIONAL
    error = check_access(access)
    error = error or check_range(<uint64_t>addr, length, access)
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
    error = pin_and_tell(context_of(pd.context), FF_CMD_REG_MR, &request, sizeof(request), &request, access, 0, &reply,
                         &mr.held)
    if error:
        free(mr)
        fail(error)
        return NULL
    describe(mr, pd, addr, length, &reply)
    mr.behind = FFL_PAGES
    mr.access = access
    mr.iova = request.iova
    if access & IBV_ACCESS_ON_DEMAND:
        ff_odp_add(mr)
    return &mr.base


cdef public ibv_mr *ffv_ibv_reg_mr(ibv_pd *pd, void *addr, size_t length, int access) noexcept nogil:
    return register(pd, addr, length, <uint64_t>addr, access)


cdef public ibv_mr *ffv_ibv_reg_mr_iova(ibv_pd *pd, void *addr, size_t length, uint64_t iova,
                                        int access) noexcept nogil:
    return register(pd, addr, length, iova, access)


cdef public ibv_mr *ffv_ibv_reg_mr_iova2(ibv_pd *pd, void *addr, size_t length, uint64_t iova,
                                         unsigned int access) noexcept nogil:
    return register(pd, addr, length, iova, access)


cdef public ibv_mr *ffv_ibv_reg_dmabuf_mr(ibv_pd *pd, uint64_t offset, size_t length, uint64_t iova, int fd,
                                          int access) noexcept nogil:
    ff_log(FF_LOG_INFO, b"ibv_reg_dmabuf_mr: there is no device here whose memory a dma-buf could name")
    fail(errno.EOPNOTSUPP)
    return NULL


cdef public ibv_mr *ff_alloc_null_mr(ibv_pd *pd) noexcept nogil:
    cdef ff_cmd_handle request
    cdef ff_reply_reg_mr reply
    cdef ffl_mr *mr
    request.handle = pd.handle
    mr = <ffl_mr *>ff_call_new(context_of(pd.context), sizeof(ffl_mr), FF_CMD_ALLOC_NULL_MR, &request, sizeof(request),
                               &reply, sizeof(reply))
    if mr == NULL:
        return NULL
    describe(mr, pd, NULL, <size_t>-1, &reply)
    mr.behind = FFL_NOTHING
    return &mr.base


cdef public int ffv_ibv_dereg_mr(ibv_mr *handed) noexcept nogil:
    """The router answers when nothing refers to the pages any more: only then are they given back."""
    cdef ffl_mr *mr = <ffl_mr *>handed
    cdef ff_cmd_handle request
    cdef ff_reply_dereg_mr reply
    cdef int error
    if handed.handle == FF_NO_HANDLE:                # ended before (retired.pyx)
        return fail(errno.EINVAL)
    request.handle = handed.handle
    error = ff_call(context_of(handed.context), FF_CMD_DEREG_MR, &request, sizeof(request), &reply, sizeof(reply))
    if error and error != errno.EIO:                 # EIO: the router is gone, and with it the MR
        reclaim(mr)
        return fail(error)
    let_go(&mr.held)
    forget(mr)
    return 0


cdef void reclaim(ffl_mr *mr) noexcept nogil:
    """Has another process deregistered it? Its pages are ours to take back."""
    cdef ff_cmd_handle request
    cdef ff_reply_dereg_mr reply
    request.handle = mr.base.handle
    if mr.behind == FFL_PAGES and request.handle != FF_NO_HANDLE and ff_call(
            context_of(mr.base.context), FF_CMD_RECLAIM_MR, &request, sizeof(request), &reply, sizeof(reply)) == 0:
        let_go(&mr.held)


cdef void let_go(ff_held **held) noexcept nogil:
    if held[0] != NULL:
        ff_range_unpin(held[0])
        free(held[0])
    held[0] = NULL


cdef void forget(ffl_mr *mr) noexcept nogil:
    if mr.access & IBV_ACCESS_ON_DEMAND:
        ff_odp_remove(mr)
    ff_retire(mr, &mr.base.handle)


# ---- a second object for what there is (context.pyx) ----

cdef public ibv_pd *ffv_ibv_import_pd(ibv_context *context, uint32_t pd_handle) noexcept nogil:
    cdef ff_cmd_part request
    cdef ffl_pd *pd
    request.of = context_of(context).handle
    request.handle = pd_handle
    pd = <ffl_pd *>ff_call_new(context_of(context), sizeof(ffl_pd), FF_CMD_IMPORT_PD, &request, sizeof(request), NULL, 0)
    if pd == NULL:
        return NULL
    pd.base.context = context
    pd.base.handle = pd_handle
    return &pd.base


cdef public void ffv_ibv_unimport_pd(ibv_pd *pd) noexcept nogil:
    ff_retire(pd, &pd.handle)


cdef public ibv_mr *ffv_ibv_import_mr(ibv_pd *pd, uint32_t mr_handle) noexcept nogil:
    """Its address is not known here (man 3 ibv_import_mr)."""
    cdef ff_cmd_part request
    cdef ff_reply_import_mr reply
    cdef ffl_mr *mr
    request.of = pd.handle
    request.handle = mr_handle
    mr = <ffl_mr *>ff_call_new(context_of(pd.context), sizeof(ffl_mr), FF_CMD_IMPORT_MR, &request, sizeof(request), &reply,
                               sizeof(reply))
    if mr == NULL:
        return NULL
    mr.base.context = pd.context
    mr.base.pd = pd
    mr.base.length = reply.length
    mr.base.handle = mr_handle
    mr.base.lkey = reply.lkey
    mr.base.rkey = reply.rkey
    mr.behind = FFL_IMPORTED
    return &mr.base


cdef public void ffv_ibv_unimport_mr(ibv_mr *mr) noexcept nogil:
    """Pages stay pinned as long as the MR is there: whoever deregisters it hears from the router which they are, if they are
    its own."""
    reclaim(<ffl_mr *>mr)
    forget(<ffl_mr *>mr)


# ---- changing one ----

cdef int check_rereg(const ffl_mr *mr, uint32_t flags, const ibv_pd *pd, uint64_t addr, uint64_t length,
                     uint32_t access) noexcept nogil:
    if flags == 0 or flags & ~<uint32_t>IBV_REREG_MR_FLAGS_SUPPORTED or mr.behind != FFL_PAGES:
        return errno.EINVAL
    if flags & IBV_REREG_MR_CHANGE_PD and (pd == NULL or pd.context != mr.base.context):
        return errno.EINVAL
    if flags & IBV_REREG_MR_CHANGE_TRANSLATION and (addr == 0 or check_range(addr, length, 0)):
        return errno.EINVAL
    if not flags & IBV_REREG_MR_CHANGE_ACCESS:
        return errno.EINVAL if access else 0
    if (access ^ mr.access) & (IBV_ACCESS_ON_DEMAND | IBV_ACCESS_ZERO_BASED):
        return errno.EOPNOTSUPP                      # another kind of MR; so does Linux
    return check_access(access)


cdef int change(ffl_mr *mr, uint32_t flags, ibv_pd *pd, uint64_t addr, uint64_t length, uint32_t access) noexcept nogil:
    """The new pages are pinned before the old ones are let go, so that a failure leaves the MR as it was."""
    cdef bint to_place = flags & IBV_REREG_MR_CHANGE_TRANSLATION != 0
    cdef ffl_context *context = context_of(mr.base.context)
    cdef ff_cmd_rereg_mr request
    cdef ff_reply_reg_mr reply
    cdef ff_held *held
    cdef int error
    if flags & IBV_REREG_MR_CHANGE_ACCESS and access & ~mr.access & IBV_ACCESS_LOCAL_WRITE:
        flags |= IBV_REREG_MR_CHANGE_TRANSLATION     # may the program itself write there? Asked as if it were new
        addr = addr if to_place else <uint64_t>mr.base.addr
        length = length if to_place else mr.base.length
    request.handle = mr.base.handle
    request.flags = flags
    request.to.pd = pd.handle if flags & IBV_REREG_MR_CHANGE_PD else 0
    request.to.access = access & GRANTED
    request.to.extents = 0
    if not flags & IBV_REREG_MR_CHANGE_TRANSLATION:
        return ff_call(context, FF_CMD_REREG_MR, &request, sizeof(request), NULL, 0)
    request.to.addr = addr
    request.to.length = length
    request.to.iova = mr.iova if not to_place else 0 if mr.access & IBV_ACCESS_ZERO_BASED else addr
    error = pin_and_tell(context, FF_CMD_REREG_MR, &request, sizeof(request), &request.to,
                         access if flags & IBV_REREG_MR_CHANGE_ACCESS else mr.access, mr.base.length, &reply, &held)
    if error == 0:
        let_go(&mr.held)
        mr.held = held
        mr.base.addr = <void *>addr
        mr.base.length = length
        mr.iova = request.to.iova
    return error


cdef public int ffv_ibv_rereg_mr(ibv_mr *handed, int flags, ibv_pd *pd, void *addr, size_t length,
                                 int access) noexcept nogil:
    """0 or enum ibv_rereg_mr_err_code, with errno. The MR is then still what it was, unless the router is gone."""
    cdef ffl_mr *mr = <ffl_mr *>handed
    cdef uint32_t wanted = <uint32_t>access & ~<uint32_t>OPTIONAL
    cdef int error = check_rereg(mr, <uint32_t>flags, pd, <uint64_t>addr, length, wanted)
    error = error or change(mr, <uint32_t>flags, pd, <uint64_t>addr, length, wanted)
    if error:
        fail(error)
        return IBV_REREG_MR_ERR_CMD if error == errno.EIO else IBV_REREG_MR_ERR_INPUT
    if flags & IBV_REREG_MR_CHANGE_PD:
        handed.pd = pd
    if flags & IBV_REREG_MR_CHANGE_ACCESS:
        mr.access = wanted
    return 0
