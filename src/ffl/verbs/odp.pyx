"""On-demand paging. What an on-demand MR covers is brought into the segment when it is registered, and again when the
program asks for it (ibv_advise_mr), wherever it has mapped other memory there meanwhile. See docs/design-memory.md."""

from libc cimport errno
from libc.stdint cimport uint32_t, uint64_t

from ffcore.control cimport FF_CMD_QUERY_KEY, ff_cmd_part
from ffcore.shm cimport ff_a32, ff_store32
from ffl.session.call_api cimport ff_call
from ffl.kernel cimport fail
from ffl.session.lock cimport ff_mutex_lock, ff_mutex_unlock
from ffl.session.log_api cimport FF_LOG_INFO, ff_log
from ffl.memory.api cimport FF_PIECES, ff_extent, ff_held, ff_memory_reason, ff_range_bring_in, ff_range_pin, ff_range_unpin
from ffl.objects cimport context_of, ffl_mr
from ffl.ibv cimport (IBV_ACCESS_LOCAL_WRITE, IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH,
                        IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT, IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_WRITE,
                        IB_UVERBS_ADVISE_MR_FLAG_FLUSH, ibv_advise_mr_advice, ibv_pd, ibv_sge)

cdef ffl_mr *first
cdef ff_a32 mutex


cdef public void ff_odp_add(ffl_mr *mr) noexcept nogil:
    global first
    ff_mutex_lock(&mutex)
    mr.next = first
    first = mr
    ff_mutex_unlock(&mutex)


cdef public void ff_odp_remove(ffl_mr *mr) noexcept nogil:
    cdef ffl_mr **link = &first
    ff_mutex_lock(&mutex)
    while link[0] != NULL and link[0] != mr:
        link = &link[0].next
    if link[0] != NULL:
        link[0] = mr.next
    ff_mutex_unlock(&mutex)


cdef public void ff_odp_child() noexcept nogil:
    """The registrations are the parent's; so is the mutex, if somebody held it."""
    global first
    first = NULL
    ff_store32(&mutex, 0)


cdef int find(const ibv_pd *pd, uint32_t advice, const ibv_sge *sge, uint64_t *addr) noexcept nogil:
    """Where the program has the bytes that the SGE names; 0, or what the man page calls it. Under the mutex."""
    cdef ffl_mr *mr = first
    cdef uint64_t at
    while mr != NULL and mr.base.lkey != sge.lkey:
        mr = mr.next
    if mr == NULL:
        return errno.ENOENT                          # no MR's key, or not an on-demand one's
    if mr.base.pd.handle != pd.handle:
        return errno.EPERM
    if advice == IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_WRITE and not mr.access & IBV_ACCESS_LOCAL_WRITE:
        return errno.EPERM
    at = sge.addr - mr.iova
    if at > mr.base.length or sge.length > mr.base.length - at:
        return errno.EFAULT
    addr[0] = <uint64_t>mr.base.addr + at
    return 0


cdef int what_else(ibv_pd *pd, uint32_t lkey) noexcept nogil:
    """Of a key that is no on-demand MR's: the man page tells windows from the rest, which the router alone can."""
    cdef ff_cmd_part request
    cdef int error
    request.of, request.handle = pd.handle, lkey
    error = ff_call(context_of(pd.context), FF_CMD_QUERY_KEY, &request, sizeof(request), NULL, 0)
    return error if error else errno.ENOENT


cdef int prefetch(uint64_t addr, uint32_t length) noexcept nogil:
    """A pin converts what is not the segment's, at the place that it has there; the MR keeps it pinned."""
    cdef ff_extent extent[FF_PIECES]
    cdef ff_held held
    cdef uint32_t extents
    cdef int error = ff_range_pin(addr, length, False, extent, &extents, &held)
    if error == 0:
        error = ff_range_bring_in(extent, extents, False)
        ff_range_unpin(&held)
    if error:
        ff_log(FF_LOG_INFO, b"ibv_advise_mr of %u bytes at %#llx: %s", length, <unsigned long long>addr,
               ff_memory_reason())
    return error


cdef public int ff_advise_mr(ibv_pd *pd, ibv_advise_mr_advice advice, uint32_t flags, ibv_sge *sg_list,
                             uint32_t num_sge) noexcept nogil:
    """With or without FLUSH, it is done on return. Stops at the first SGE that is wrong."""
    cdef uint64_t addr
    cdef uint32_t i
    cdef int error
    if (advice != IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH and advice != IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_WRITE
            and advice != IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT):
        return fail(errno.EOPNOTSUPP)
    if flags & ~<uint32_t>IB_UVERBS_ADVISE_MR_FLAG_FLUSH or num_sge == 0:
        return fail(errno.EINVAL)
    for i in range(num_sge):
        ff_mutex_lock(&mutex)
        error = find(pd, advice, &sg_list[i], &addr)
        ff_mutex_unlock(&mutex)
        if error == errno.ENOENT:
            error = what_else(pd, sg_list[i].lkey)
        if error == 0 and sg_list[i].length and advice != IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT:
            error = prefetch(addr, sg_list[i].length)
        if error:
            return fail(error)
    return 0
