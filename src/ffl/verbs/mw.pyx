"""Memory windows. Making and freeing them asks the router; binding one is a work request."""

from libc cimport errno
from libc.stdint cimport uint32_t

from ffcore.control cimport FF_CMD_ALLOC_MW, FF_CMD_DEALLOC_MW, ff_cmd_alloc_mw, ff_reply_reg_mr
from ffcore.shm cimport FF_OP_BIND_MW, ff_store32_release, ff_wqe
from ffl.session.call_api cimport ff_call_end_of, ff_call_new
from ffl.kernel cimport fail
from ffl.session.lock cimport spin_lock, spin_unlock
from ffl.objects cimport context_of, ffl_mw, ffl_qp
from ffl.verbs.post_ring cimport ff_flags, ff_queue_full, put_bind, ring_bell, sq_has_room
from ffl.session.retired_api cimport ff_retire
from ffl.ibv cimport (IBV_QPS_RTR, IBV_WR_BIND_MW, ibv_mw, ibv_mw_bind, ibv_mw_bind_info, ibv_mw_type, ibv_pd, ibv_qp)

cdef enum:
    OWN_BITS = 0xff           # of the key: see ibv_inc_rkey


cdef public ibv_mw *ff_alloc_mw(ibv_pd *pd, ibv_mw_type type) noexcept nogil:
    cdef ff_cmd_alloc_mw request
    cdef ff_reply_reg_mr reply
    cdef ffl_mw *mw
    request.pd = pd.handle
    request.type = type
    mw = <ffl_mw *>ff_call_new(context_of(pd.context), sizeof(ffl_mw), FF_CMD_ALLOC_MW, &request, sizeof(request), &reply,
                               sizeof(reply))
    if mw == NULL:
        return NULL
    mw.base.context = pd.context
    mw.base.pd = pd
    mw.base.rkey = reply.rkey
    mw.base.handle = reply.handle
    mw.base.type = type
    return &mw.base


cdef public int ff_dealloc_mw(ibv_mw *mw) noexcept nogil:
    cdef int error = ff_call_end_of(context_of(mw.context), FF_CMD_DEALLOC_MW, mw.handle)
    if error:
        return fail(error)
    ff_retire(mw, &mw.handle)
    return 0


# ---- type 1: ibv_bind_mw ----

cdef int post_bind(ffl_qp *qp, const ibv_mw_bind *bind, uint32_t rkey) noexcept nogil:
    """The lock is held."""
    cdef uint32_t index = qp.sq_index
    cdef ff_wqe *wqe = <ff_wqe *>(qp.sq + <size_t>(index & qp.sq_mask) * qp.sq_stride)
    if not sq_has_room(qp, index):
        return ff_queue_full(qp)
    wqe.opcode = FF_OP_BIND_MW
    wqe.flags = <unsigned char>(ff_flags(bind.send_flags) | qp.sq_flags)
    wqe.wr_id = bind.wr_id
    put_bind(wqe, rkey, &bind.bind_info)
    qp.sq_index = index + 1
    ff_store32_release(&wqe.seq, index + 1)          # publishes the slot; pairs with the router's acquire
    ring_bell(qp)
    return 0


cdef public int ff_bind_mw(ibv_qp *handed, ibv_mw *mw, ibv_mw_bind *bind) noexcept nogil:
    """The window's key is the new one from here on: what is posted behind may carry it (man 3 ibv_bind_mw)."""
    cdef ffl_qp *qp = <ffl_qp *>handed
    cdef uint32_t rkey = (mw.rkey & ~<uint32_t>OWN_BITS) | ((mw.rkey + 1) & OWN_BITS)
    cdef int error
    if handed.state <= IBV_QPS_RTR or not (qp.opcodes >> IBV_WR_BIND_MW) & 1 or handed.pd.handle != mw.pd.handle:
        return fail(errno.EINVAL)
    spin_lock(&qp.sq_lock)
    error = post_bind(qp, bind, rkey)
    spin_unlock(&qp.sq_lock)
    if error:
        return fail(error)
    mw.rkey = rkey
    return 0
