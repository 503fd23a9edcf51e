from libc.errno cimport EBUSY, EINVAL, ENOMEM
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from ffcore.control cimport ff_cmd_handle, ff_cmd_reg_mr, ff_extent, ff_reply_handle, ff_reply_reg_mr
from ffcore.shm cimport FF_PAGE, FF_PAYLOAD_OFFSET
from ffr.handlers.base cimport owns_channel, owns_mr, owns_pd
from ffr.mem.keys cimport key_new
from ffr.state cimport (FFR_BLOCK_EXTENTS, FFR_EXTENT_BLOCKS, FFR_MR, FFR_NONE, FFR_PD, ffr_mr, ffr_session,
                        object_free, object_new)


cdef extern from "<infiniband/verbs.h>" nogil:
    enum:
        IBV_ACCESS_LOCAL_WRITE
        IBV_ACCESS_REMOTE_WRITE
        IBV_ACCESS_REMOTE_ATOMIC


cdef int alloc_pd(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t context = (<ff_cmd_handle *>body).handle, index
    cdef ffr_session *s = &r.state.session[session]
    if not owns_channel(r, session, context, True):
        return EINVAL
    if s.count[FFR_PD] >= s.limit.max_pd:
        return ENOMEM
    index = object_new(r, FFR_PD, session)
    if index == FFR_NONE:
        return ENOMEM
    r.state.pd[index].context = context
    (<ff_reply_handle *>reply).handle = index
    return 0


cdef int dealloc_pd(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    if not owns_pd(r, session, index):
        return EINVAL
    if r.state.pd[index].o.references:
        return EBUSY
    object_free(r, FFR_PD, index)
    return 0


# ---- memory regions ----

cdef uint32_t block_new(ffr_router *r) noexcept nogil:
    """A block for the extents of one MR. Free blocks are chained through their first extent."""
    cdef uint32_t block = r.state.block_free
    if block != FFR_NONE:
        r.state.block_free = <uint32_t>r.state.block[block][0].offset
    elif r.state.block_fresh < FFR_EXTENT_BLOCKS:
        block = r.state.block_fresh
        r.state.block_fresh += 1
    return block


cdef void block_free(ffr_router *r, uint32_t block) noexcept nogil:
    r.state.block[block][0].offset = r.state.block_free
    r.state.block_free = block


cdef int check_extents(const ffr_session *s, const ff_cmd_reg_mr *c, const ff_extent *extent) noexcept nogil:
    """Whole pages inside the memory segment, exactly those that [addr, addr + length) touches."""
    cdef uint64_t pages = ((c.addr % FF_PAGE) + c.length + FF_PAGE - 1) // FF_PAGE, sum = 0
    cdef uint32_t i
    for i in range(c.extents):
        if (extent[i].offset | extent[i].length) % FF_PAGE or extent[i].length == 0:
            return EINVAL
        if extent[i].length > s.memory_size or extent[i].offset > s.memory_size - extent[i].length:
            return EINVAL
        sum += extent[i].length              # no overflow: 64 extents of at most memory_size
    return 0 if sum == pages * FF_PAGE else EINVAL


cdef int reg_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef const ff_cmd_reg_mr *c = <const ff_cmd_reg_mr *>body
    cdef ffr_session *s = &r.state.session[session]
    cdef ff_extent extent[FFR_BLOCK_EXTENTS]
    cdef uint32_t index, block = FFR_NONE
    cdef ffr_mr *mr
    cdef int error
    if not owns_pd(r, session, c.pd):
        return EINVAL
    if c.access & (IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC) and not c.access & IBV_ACCESS_LOCAL_WRITE:
        return EINVAL
    if c.length > s.memory_size or c.addr + c.length < c.addr or c.iova + c.length < c.iova:
        return EINVAL
    if c.extents > FFR_BLOCK_EXTENTS or s.count[FFR_MR] >= s.limit.max_mr:
        return ENOMEM
    if s.pinned + c.length > s.limit.pinned_bytes:
        return ENOMEM
    memcpy(extent, r.view[session].control + FF_PAYLOAD_OFFSET, c.extents * sizeof(ff_extent))
    error = check_extents(s, c, extent)
    if error:
        return error
    if c.extents > 1:
        block = block_new(r)
        if block == FFR_NONE:
            return ENOMEM
        memcpy(r.state.block[block], extent, c.extents * sizeof(ff_extent))
    index = object_new(r, FFR_MR, session)
    if index == FFR_NONE:
        if block != FFR_NONE:
            block_free(r, block)
        return ENOMEM
    mr = &r.state.mr[index]
    mr.pd = c.pd
    mr.access = c.access
    mr.extents = c.extents
    mr.block = block
    mr.iova = c.iova
    mr.length = c.length
    mr.shift = c.addr % FF_PAGE
    mr.offset = extent[0].offset + mr.shift if c.extents else 0
    mr.pinned = c.length
    mr.key = key_new(r, index)
    s.pinned += mr.pinned
    r.state.pd[c.pd].o.references += 1
    (<ff_reply_reg_mr *>reply).handle = index
    (<ff_reply_reg_mr *>reply).lkey = mr.key
    (<ff_reply_reg_mr *>reply).rkey = mr.key
    return 0


cdef void mr_free(ffr_router *r, uint32_t index) noexcept nogil:
    """Voids the key. The reactor thread is the only one that moves bytes, so when this returns nothing refers to the
    pages any more; a message that was under way finds its key void at its next turn."""
    cdef ffr_mr *mr = &r.state.mr[index]
    if mr.block != FFR_NONE:
        block_free(r, mr.block)
        mr.block = FFR_NONE
    r.state.session[mr.o.session].pinned -= mr.pinned
    r.state.pd[mr.pd].o.references -= 1
    object_free(r, FFR_MR, index)            # the key stays in the record, so that it is not given out next


cdef int dereg_mr(ffr_router *r, uint32_t session, const void *body, void *reply) noexcept nogil:
    cdef uint32_t index = (<ff_cmd_handle *>body).handle
    if not owns_mr(r, session, index):
        return EINVAL
    mr_free(r, index)
    return 0
