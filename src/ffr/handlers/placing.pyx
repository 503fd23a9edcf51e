from libc.errno cimport EAGAIN, EINVAL, ENOMEM
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ffcore.control cimport FF_EXTENT_SHARED, FF_WHY_LIMIT, FF_WHY_MANY, ff_cmd_reg_mr, ff_extent, ff_reply_reg_mr
from ffcore.shm cimport FF_PAGE, FF_PAYLOAD_OFFSET
from ffr.handlers.base cimport FFR_LATER
from ffr.ibv cimport IBV_ACCESS_LOCAL_WRITE
from ffr.mem.mappings cimport mapping_drop, mapping_forget, mapping_new
from ffr.objects.memory cimport block_free, block_new, mr_mapping, mr_pinned
from ffr.state cimport (FFR_BLOCK_EXTENTS, FFR_LATER_ASKED, FFR_LATER_MAPPED, FFR_NONE, FFR_SESSIONS, ffr_later, ffr_mr,
                        ffr_router, ffr_session)


cdef extern from "ffr/reactor/loop.h" nogil:
    void ffr_eventfd_add(int fd)


# ---- what the library says ----

cdef bint is_shared(const ff_extent *extent) noexcept nogil:
    return extent.offset & FF_EXTENT_SHARED != 0


cdef int check_extents(const ffr_session *s, const ff_cmd_reg_mr *c, const ff_extent *extent) noexcept nogil:
    """Whole pages, exactly as many as [addr, addr + length) touches: inside the memory segment, or of the program's own
    addresses, which whoever maps them looks at."""
    cdef uint64_t pages = ((c.addr % FF_PAGE) + c.length + FF_PAGE - 1) // FF_PAGE, sum = 0, bound
    cdef uint32_t i
    for i in range(c.extents):
        if (extent[i].offset | extent[i].length) % FF_PAGE or extent[i].length == 0:
            return EINVAL
        bound = FF_EXTENT_SHARED - 1 if is_shared(&extent[i]) else s.memory_size
        if extent[i].length > bound or (extent[i].offset & ~FF_EXTENT_SHARED) > bound - extent[i].length:
            return EINVAL
        sum += extent[i].length
        if sum > pages * FF_PAGE:            # so that no sum of 64 extents wraps
            return EINVAL
    return 0 if sum == pages * FF_PAGE else EINVAL


cdef int check_place(const ffr_session *s, const ff_cmd_reg_mr *c, uint64_t pinned, ff_reply_reg_mr *reply) noexcept nogil:
    if c.addr + c.length < c.addr or c.iova + c.length < c.iova or c.addr + c.length > FF_EXTENT_SHARED:
        return EINVAL
    if c.extents > FFR_BLOCK_EXTENTS:
        reply.why = FF_WHY_MANY
        return ENOMEM
    if c.length > s.limit.pinned_bytes or pinned > s.limit.pinned_bytes - c.length:
        reply.why = FF_WHY_LIMIT
        return ENOMEM
    return 0


cdef int ask(ffr_router *r, uint32_t session, const ff_cmd_reg_mr *c, uint32_t access, const place *where) noexcept nogil:
    """Leaves the extents to whoever maps them: wanted() in reactor.pyx."""
    cdef ffr_later *later = &r.later[session]
    if r.asked_count == FFR_SESSIONS:        # some of them of sessions that have ended meanwhile
        return EAGAIN
    r.tickets += 1
    later.ticket = r.tickets
    later.state = FFR_LATER_ASKED
    later.extents = c.extents
    later.writable = access & IBV_ACCESS_LOCAL_WRITE
    later.error = later.why = later.kept = 0
    memcpy(later.extent, where.extent, c.extents * sizeof(ff_extent))
    r.asked[r.asked_count] = session
    r.asked_count += 1
    ffr_eventfd_add(r.mapper)
    return FFR_LATER


cdef int keep(ffr_router *r, uint32_t session, const ff_cmd_reg_mr *c, place *where) noexcept nogil:
    """What has been mapped becomes the MR's, all of it or nothing. Bound: FFR_BLOCK_EXTENTS."""
    cdef ffr_later *later = &r.later[session]
    cdef uint32_t i, j
    for i in range(c.extents):
        if not is_shared(&where.extent[i]):
            continue
        where.mapping[i] = mapping_new(r, session, &later.mapping[i], &later.mapped[i])
        if where.mapping[i] == FFR_NONE:
            for j in range(i):
                if where.mapping[j] != FFR_NONE:
                    mapping_forget(r, where.mapping[j])
            return ENOMEM
        where.extent[i].offset = <uint64_t>later.mapped[i].at + later.mapped[i].skip - <uint64_t>r.view[session].memory
    later.kept = 1
    return 0


cdef int take_extents(ffr_router *r, uint32_t session, const ff_cmd_reg_mr *c, uint32_t access, place *where,
                      ff_reply_reg_mr *reply) noexcept nogil:
    cdef ffr_later *later = &r.later[session]
    cdef bint again = later.state == FFR_LATER_MAPPED
    cdef uint32_t i
    cdef int error = 0
    where.block = FFR_NONE
    if again:
        reply.why = later.why
        if later.error:
            return later.error
        memcpy(where.extent, later.extent, c.extents * sizeof(ff_extent))
    else:
        memcpy(where.extent, r.view[session].control + FF_PAYLOAD_OFFSET, c.extents * sizeof(ff_extent))
        error = check_extents(&r.state.session[session], c, where.extent)
    for i in range(c.extents):
        where.mapping[i] = FFR_NONE
        if error == 0 and not again and is_shared(&where.extent[i]):
            return ask(r, session, c, access, where)
    if error == 0 and c.extents > 1:
        where.block = block_new(r, session)
        error = ENOMEM if where.block == FFR_NONE else 0
    if error == 0 and again:
        error = keep(r, session, c, where)
        if error and where.block != FFR_NONE:
            block_free(r, session, where.block)
    if error == ENOMEM:
        reply.why = FF_WHY_MANY
    return error


# ---- the MR's ----

cdef void undo_place(ffr_router *r, uint32_t session, const ff_cmd_reg_mr *c, const place *where) noexcept nogil:
    cdef uint32_t i
    for i in range(c.extents):
        if where.mapping[i] != FFR_NONE:
            mapping_drop(r, where.mapping[i])
    if where.block != FFR_NONE:
        block_free(r, session, where.block)


cdef void lies_at(ffr_router *r, ffr_mr *mr, const ff_cmd_reg_mr *c, const place *where) noexcept nogil:
    mr.extents = c.extents
    mr.block = where.block
    mr.mapping = where.mapping[0] if c.extents == 1 else <uint32_t>FFR_NONE
    if mr.block != FFR_NONE:
        memcpy(r.state.block[mr.block], where.extent, c.extents * sizeof(ff_extent))
        memcpy(r.state.block_mapping[mr.block], where.mapping, c.extents * sizeof(uint32_t))
    mr.iova = c.iova
    mr.length = c.length
    mr.shift = c.addr % FF_PAGE
    mr.offset = where.extent[0].offset + mr.shift if c.extents else 0
    mr.pinned = c.length
    mr.addr = c.addr
    mr_pinned(r, mr.o.session, <int64_t>mr.pinned)


cdef bint is_read_only(ffr_router *r, const ffr_mr *mr) noexcept nogil:
    cdef uint32_t i, mapping
    for i in range(mr.extents):
        mapping = mr_mapping(r, mr, i)
        if mapping != FFR_NONE and not r.state.mapping[mapping].writable:
            return True
    return False
