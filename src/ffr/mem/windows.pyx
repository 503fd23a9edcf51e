from libc.stdint cimport uint64_t

from ffcore.shm cimport FF_OP_LOCAL_INV
from ffr.ibv cimport (IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_MW_BIND, IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_READ,
                      IBV_ACCESS_REMOTE_WRITE, IBV_ACCESS_ZERO_BASED, IBV_WC_MW_BIND_ERR, IBV_WC_SUCCESS)
from ffr.mem.keys cimport key_find, window_owner
from ffr.objects.memory cimport mr_unused
from ffr.state cimport FFR_KEY_BITS, FFR_NONE, FFR_WINDOW_1, FFR_WINDOW_2


cdef enum:
    OWN_BITS = 0xff           # of a window's key: who binds it chooses them (man 3 ibv_inc_rkey)


cdef void window_unbind(ffr_router *r, ffr_mr *window) noexcept nogil:
    if window.of != FFR_NONE:
        r.state.mr[window.of].o.references -= 1
        mr_unused(r, window.of)
    window.of = FFR_NONE
    window.access = 0
    window.length = 0


cdef ffr_mr *window_of(ffr_router *r, const ffr_qp *q, uint32_t rkey) noexcept nogil:
    cdef ffr_mr *window = key_find(r, q.pd, rkey)
    if window == NULL or window.behind != FFR_WINDOW_2 or window.of == FFR_NONE or window.qpn != window_owner(q):
        return NULL
    return window


cdef ffr_mr *to_bind(ffr_router *r, const ffr_qp *q, uint32_t key) noexcept nogil:
    """The window that is to get this key, or NULL. One of type 1 may be bound already; one of type 2 has to be free,
    and its key has to change."""
    cdef ffr_mr *window = &r.state.mr[key >> FFR_KEY_BITS]
    if not window.o.used or window.behind < FFR_WINDOW_1 or window.pd != q.pd or (window.key ^ key) & ~<uint32_t>OWN_BITS:
        return NULL
    if key == 0 or (window.behind == FFR_WINDOW_2 and (window.of != FFR_NONE or window.key == key)):
        return NULL
    return window


cdef bint may_span(const ffr_mr *mr, const ff_wqe *w) noexcept nogil:
    """Does the MR lend itself to this window?"""
    cdef uint64_t at = w.remote_addr - mr.iova               # wraps when it is below
    if mr.behind >= FFR_WINDOW_1 or not mr.access & IBV_ACCESS_MW_BIND:
        return False
    if w.bind_access & (IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC) and not mr.access & IBV_ACCESS_LOCAL_WRITE:
        return False
    return at <= mr.length and w.bind_length <= mr.length - at


cdef uint8_t bind(ffr_router *r, const ffr_qp *q, const ff_wqe *w) noexcept nogil:
    cdef ffr_mr *window = to_bind(r, q, w.rkey)
    cdef ffr_mr *mr = NULL
    if window == NULL or (w.bind_length == 0 and window.behind == FFR_WINDOW_2):
        return IBV_WC_MW_BIND_ERR
    if w.bind_length:
        mr = key_find(r, q.pd, w.bind_lkey)
        if mr == NULL or not may_span(mr, w):
            return IBV_WC_MW_BIND_ERR
        mr.o.references += 1                 # first: the window may be all that keeps it
    window_unbind(r, window)
    window.key = w.rkey
    if mr == NULL:
        return IBV_WC_SUCCESS
    window.of = <uint32_t>(mr - r.state.mr)
    window.qpn = window_owner(q)
    window.access = w.bind_access & (IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC)
    window.iova = 0 if w.bind_access & IBV_ACCESS_ZERO_BASED else w.remote_addr
    window.length = w.bind_length
    window.offset = w.remote_addr - mr.iova
    return IBV_WC_SUCCESS


cdef uint8_t window_operation(ffr_router *r, const ffr_qp *q, const ff_wqe *w) noexcept nogil:
    cdef ffr_mr *window
    if w.opcode != FF_OP_LOCAL_INV:
        return bind(r, q, w)
    window = window_of(r, q, w.imm)
    if window == NULL:
        return IBV_WC_MW_BIND_ERR            # IBTA calls it a memory management operation error
    window_unbind(r, window)
    return IBV_WC_SUCCESS
