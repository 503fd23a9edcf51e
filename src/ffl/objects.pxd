"""What FreeFlow keeps for each verbs object. The part that applications see comes first, at its newest size.

The application holds a pointer to the first field (for a context: to base.v.context), so each struct is reached by a
cast. Objects start as zero bytes; a zeroed mutex or condition of the visible part is a valid, unused one.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ffcore.shm cimport ff_a32, ff_a64, ff_cq_shared, ff_cqe, ff_qp_shared, ff_session, ff_srq_shared, ff_wqe
from ffl.memory.api cimport ff_held
from ffl.ibv cimport (ff_qp_ex, ff_verbs_context, ff_verbs_context_of, ibv_ah, ibv_comp_channel, ibv_context,
                        ibv_cq_ex, ibv_dm, ibv_mr, ibv_mw, ibv_parent_domain_init_attr, ibv_pd, ibv_srq, ibv_td, ibv_xrcd)


cdef enum ffl_kind:
    FFL_CQ = 1
    FFL_QP = 2
    FFL_SRQ = 3


cdef struct ffl_tracked:
    # What an event may name: a CQ, a QP or an SRQ. Listed by its handle (handles.pyx).
    ffl_tracked *next
    void *object              # the struct that holds this one
    uint32_t kind             # enum ffl_kind
    uint32_t handle           # the router's table index
    ff_a32 async_owed         # asynchronous events that were handed out and not acknowledged yet; a futex word
    ff_a32 comp_owed          # the same for completion events


cdef struct ffl_origin:
    # What contexts that were imported from each other have in common: the router's context.
    uint32_t contexts         # open
    uint64_t secret[2]        # what their cmd_fd says


cdef struct ffl_context:
    ff_verbs_context base
    uint32_t handle
    uint32_t generation       # of the session that it belongs to; the calls of an older one's get EIO
    ff_a32 fatal_told         # IBV_EVENT_DEVICE_FATAL has been handed out
    ffl_origin *origin        # see context.pyx
    ffl_context *next         # of all that are open


cdef struct ffl_channel:
    ibv_comp_channel base
    uint32_t handle


cdef struct ffl_td:
    ibv_td base
    ff_a32 domains            # parent domains that use it


cdef struct ffl_pd:
    ibv_pd base
    ff_a32 domains            # parent domains over this protection domain; objects with memory of this parent domain
    ffl_pd *protection        # of a parent domain: the protection domain; NULL in that itself
    ffl_td *thread            # of a parent domain, or NULL
    ibv_parent_domain_init_attr custom    # of a parent domain: its allocators


cdef struct ffl_memory:
    # Where an object's struct has come from: the parent domain that it was made in, or NULL.
    ffl_pd *domain
    uint32_t custom           # that domain's own allocator has given it


cdef struct ffl_ah:
    ibv_ah base


cdef enum ffl_behind:
    FFL_PAGES = 0             # of the application's memory, pinned (memory/api.pxd)
    FFL_NOTHING = 1           # a null MR
    FFL_DEVICE = 2            # device memory
    FFL_IMPORTED = 3          # whatever another MR object has


cdef struct ffl_mr:
    ibv_mr base
    uint32_t behind           # enum ffl_behind
    uint32_t access           # enum ibv_access_flags, as asked for
    uint64_t iova             # the address that WQEs and peers use for its first byte
    ff_held *held             # of FFL_PAGES: the private memory among them
    ffl_mr *next              # of the on-demand MRs (odp.pyx)


cdef struct ffl_mw:
    ibv_mw base


cdef struct ffl_dm:
    ibv_dm base
    uint8_t *at               # in the control segment; NULL: in another process's
    uint64_t length


cdef struct ffl_xrcd:
    ibv_xrcd base
    uint32_t handle


cdef enum ffl_target:
    FFL_CONNECTED = 0         # a request goes to the QP's peer
    FFL_DATAGRAM              # ... where its address handle says
    FFL_XRC                   # ... to the peer, for the SRQ that it names


cdef struct ffl_qp:
    ff_qp_ex base             # 360 bytes
    uint64_t pad0[3]          # so that what post_send uses starts a cache line
    # ---- send side
    ff_a32 sq_lock
    uint32_t sq_index         # of the next WQE
    uint32_t sq_free          # sq_polled as last seen: it only grows, so an old value is safe
    uint32_t sq_mask          # entries - 1
    uint32_t sq_stride
    uint32_t max_send_sge
    uint32_t max_inline
    uint32_t opcodes          # bit IBV_WR_x: the transport has it
    uint8_t *sq
    uint64_t bell_bit
    ff_a64 *bell              # its word of session.qp_bell
    ff_session *session
    # ---- what both sides need, seldom written
    ff_qp_shared *shared
    uint64_t summary_bit      # of the bell's word
    int event_fd              # wakes a router that sleeps
    uint32_t sq_flags         # enum ff_wqe_flags that every WQE has: SIGNALED with sq_sig_all
    uint32_t sq_sig_all
    uint32_t bell_number
    ff_wqe *wr_wqe            # of the batch that wr_start began: the WQE being written; NULL when there is none
    uint32_t wr_index         # ... behind it
    int wr_error              # ... its first error
    uint32_t has_wr           # made with send operations
    uint32_t target           # enum ffl_target
    uint32_t pad1[2]
    # ---- written by whoever polls
    uint32_t qpn
    ff_a32 sq_polled          # slots before this index are free: their completions have been polled
    ff_a32 rq_polled
    uint32_t pad2[13]
    # ---- receive side
    ff_a32 rq_lock
    uint32_t rq_index
    uint32_t rq_free
    uint32_t rq_mask
    uint32_t rq_stride
    uint32_t max_recv_sge     # 0 with an SRQ, and without receive queue
    uint32_t rq_entries
    uint32_t pad3
    uint8_t *rq
    ffl_tracked tracked
    ffl_memory memory


cdef struct ffl_srq:
    ibv_srq base
    ff_a32 lock
    uint32_t index            # of the next WQE
    uint32_t free             # shared.done as last seen: it only grows, so an old value is safe
    uint32_t entries
    uint32_t stride
    uint32_t max_sge
    uint8_t *ring
    ff_srq_shared *shared
    uint32_t number           # what XRC requests name
    ffl_tracked tracked
    ffl_memory memory


cdef struct ffl_cq:
    ibv_cq_ex base
    ff_a32 lock               # guards the ring's consumer side
    uint32_t index            # of the next CQE
    uint32_t mask             # entries - 1
    uint32_t idle             # empty polls since the router's socket was looked at (approximate: no order, no lock)
    ff_cqe *ring
    ff_a32 turning            # a resize is under way: see cq_resize.pyx
    uint32_t single_threaded  # start_poll takes no lock
    ff_cqe *next_ring         # when not NULL: CQEs from turn_index on are there
    uint32_t next_mask
    uint32_t turn_index
    ffl_memory memory
    ffl_qp **qps              # the session's QPs by their bell, as CQEs name them
    ff_cq_shared *shared
    ff_session *session
    ff_cqe current            # a copy of what start_poll or next_poll found: its slot is the router's again
    ffl_tracked tracked


cdef inline ffl_context *context_of(ibv_context *context) noexcept nogil:
    return <ffl_context *>ff_verbs_context_of(context)
