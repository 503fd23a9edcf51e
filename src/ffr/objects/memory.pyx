from ffcore.shm cimport ff_session, ff_store64
from ffr.mem.mappings cimport mapping_drop
from ffr.mem.region cimport ring_free
from ffr.state cimport (FFR_DEVICE, FFR_DM, FFR_DMS, FFR_ENDED, FFR_EXTENT_BLOCKS, FFR_IMPORT, FFR_MR, FFR_MRS, FFR_NONE, FFR_PD,
                        FFR_PDS, ffr_dm, ffr_import, ffr_mr, ffr_pd, object_free)


# ---- who has what ----

cdef uint32_t imported(ffr_router *r, uint32_t session, uint32_t first) noexcept nogil:
    """Bound: FFR_IMPORTERS."""
    while first != FFR_NONE:
        if r.state.imports[first].o.session == session:
            return r.state.imports[first].context
        first = r.state.imports[first].next
    return FFR_NONE


cdef uint32_t pd_context(ffr_router *r, uint32_t session, uint32_t handle) noexcept nogil:
    cdef const ffr_pd *pd = &r.state.pd[handle % FFR_PDS]
    if handle >= FFR_PDS or not pd.o.used:
        return FFR_NONE
    return pd.context if pd.o.session == session else imported(r, session, pd.importer)


cdef uint32_t mr_context(ffr_router *r, uint32_t session, uint32_t handle) noexcept nogil:
    cdef const ffr_mr *mr = &r.state.mr[handle % FFR_MRS]
    if handle >= FFR_MRS or not mr.o.used or is_window(mr) or mr.behind == FFR_ENDED:
        return FFR_NONE
    return mr.context if mr.o.session == session else imported(r, session, mr.importer)


cdef uint32_t dm_context(ffr_router *r, uint32_t session, uint32_t handle) noexcept nogil:
    cdef const ffr_dm *dm = &r.state.dm[handle % FFR_DMS]
    if handle >= FFR_DMS or not dm.o.used or dm.ended:
        return FFR_NONE
    return dm.context if dm.o.session == session else imported(r, session, dm.importer)


# ---- lists of importers ----

cdef uint32_t *importers(ffr_router *r, int kind, uint32_t object) noexcept nogil:
    if kind == FFR_PD:
        return &r.state.pd[object].importer
    return &r.state.mr[object].importer if kind == FFR_MR else &r.state.dm[object].importer


cdef void import_drop(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_import *i = &r.state.imports[index]
    cdef uint32_t *link = importers(r, i.kind, i.object)
    while link[0] != index:                  # bound: FFR_IMPORTERS
        link = &r.state.imports[link[0]].next
    link[0] = i.next
    object_free(r, FFR_IMPORT, index)


cdef void imports_drop(ffr_router *r, int kind, uint32_t object) noexcept nogil:
    cdef uint32_t *first = importers(r, kind, object)
    while first[0] != FFR_NONE:              # bound: FFR_IMPORTERS
        import_drop(r, first[0])


# ---- ends ----

cdef uint32_t block_new(ffr_router *r, uint32_t session) noexcept nogil:
    """A block for the extents of one MR, by the rule of object_new(). Free ones are chained through their first extent."""
    cdef uint32_t block = r.state.block_free, share = r.state.session[session].share
    if r.state.share[share].blocks >= FFR_EXTENT_BLOCKS - r.state.table.blocks_used:
        return FFR_NONE
    if block != FFR_NONE:
        r.state.block_free = <uint32_t>r.state.block[block][0].offset
    else:
        block = r.state.block_fresh
        r.state.block_fresh += 1
    r.state.share[share].blocks += 1
    r.state.table.blocks_used += 1
    return block


cdef void block_free(ffr_router *r, uint32_t session, uint32_t block) noexcept nogil:
    r.state.block[block][0].offset = r.state.block_free
    r.state.block_free = block
    r.state.share[r.state.session[session].share].blocks -= 1
    r.state.table.blocks_used -= 1


cdef uint32_t mr_mapping(ffr_router *r, const ffr_mr *mr, uint32_t extent) noexcept nogil:
    return mr.mapping if mr.block == FFR_NONE else r.state.block_mapping[mr.block][extent]


cdef void mr_pinned(ffr_router *r, uint32_t session, int64_t more) noexcept nogil:
    r.state.session[session].pinned += more
    ff_store64(&(<ff_session *>r.view[session].control).pinned, r.state.session[session].pinned)


cdef void mr_displace(ffr_router *r, ffr_mr *mr) noexcept nogil:
    cdef uint32_t i, mapping
    for i in range(mr.extents):              # bound: FFR_BLOCK_EXTENTS
        mapping = mr_mapping(r, mr, i)
        if mapping != FFR_NONE:
            mapping_drop(r, mapping)
    if mr.block != FFR_NONE:
        block_free(r, mr.o.session, mr.block)
    mr.block = mr.mapping = FFR_NONE
    mr_pinned(r, mr.o.session, -<int64_t>mr.pinned)


cdef void mr_free(ffr_router *r, uint32_t index) noexcept nogil:
    """Voids the key. The reactor thread is the only one that moves bytes, so when this returns nothing refers to the
    pages any more; a message that was under way finds its key void at its next turn."""
    cdef ffr_mr *mr = &r.state.mr[index]
    cdef uint32_t dm = mr.of if mr.behind == FFR_DEVICE else <uint32_t>FFR_NONE
    mr_displace(r, mr)
    if mr.behind != FFR_ENDED:
        r.state.pd[mr.pd].o.references -= 1
    imports_drop(r, FFR_MR, index)
    object_free(r, FFR_MR, index)            # the key stays in the record, so that it is not given out next
    if dm != FFR_NONE:
        r.state.dm[dm].o.references -= 1
        dm_unused(r, dm)


cdef void dm_free(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_dm *dm = &r.state.dm[index]
    ring_free(r, dm.o.session, dm.offset, dm.pages)
    r.state.session[dm.o.session].dm_bytes -= dm.length
    imports_drop(r, FFR_DM, index)
    object_free(r, FFR_DM, index)


cdef void mr_unused(ffr_router *r, uint32_t index) noexcept nogil:
    cdef const ffr_mr *mr = &r.state.mr[index]
    if mr.context == FFR_NONE and mr.importer == FFR_NONE and mr.o.references == 0:
        mr_free(r, index)


cdef void dm_unused(ffr_router *r, uint32_t index) noexcept nogil:
    cdef const ffr_dm *dm = &r.state.dm[index]
    if dm.context == FFR_NONE and dm.importer == FFR_NONE and dm.o.references == 0:
        dm_free(r, index)
