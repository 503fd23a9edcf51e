"""Cython's view of state.h."""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from ffcore.control cimport ff_ah_attr, ff_body, ff_cap, ff_extent, ff_qp_attr
from ffcore.grh cimport ff_gid_is_empty
from ffr.cm.state cimport ffr_cm_channel, ffr_cm_event, ffr_cm_group, ffr_cm_id, ffr_cm_tables
from ffcore.stats cimport ff_qp_stats, ff_session_stats, ff_stats_header
from ffr.rates cimport FFR_SESSION_BUCKETS, ffr_clock, ffr_rates
from ffr.reach cimport ffr_reach


cdef extern from "ffr/state.h" nogil:
    enum:
        FFR_STATE_MAGIC
        FFR_STATE_VERSION
        FFR_SESSIONS
        FFR_QPS
        FFR_CQS
        FFR_MRS
        FFR_PDS
        FFR_CHANNELS
        FFR_AHS
        FFR_SRQS
        FFR_XRCDS
        FFR_OPENERS
        FFR_OPENERS_QP
        FFR_DMS
        FFR_EVENT_RECORDS
        FFR_IMPORTS
        FFR_IMPORTERS
        FFR_MCASTS
        FFR_MCAST_BUCKETS
        FFR_MCAST_QPS
        FFR_EXTENT_BLOCKS
        FFR_BLOCK_EXTENTS
        FFR_MAPPINGS
        FFR_LATER_NONE
        FFR_LATER_ASKED
        FFR_LATER_MAPPED
        FFR_CONTROL_MAX
        FFR_KEY_BITS
        FFR_MAX_WR
        FFR_MAX_CQE
        FFR_MAX_RD_ATOMIC
        FFR_PORT_MTU
        FFR_PD
        FFR_MR
        FFR_CQ
        FFR_QP
        FFR_CHANNEL
        FFR_AH
        FFR_MCAST
        FFR_SRQ
        FFR_XRCD
        FFR_OPENER
        FFR_MW
        FFR_DM
        FFR_IMPORT
        FFR_EVENT
        FFR_CM_CHANNEL
        FFR_CM_ID
        FFR_CM_EVENT
        FFR_CM_GROUP
        FFR_KINDS
        FFR_PAGES
        FFR_NOTHING
        FFR_DEVICE
        FFR_ENDED
        FFR_WINDOW_1
        FFR_WINDOW_2
        FFR_RUN
        FFR_WAIT_RNR
        FFR_WAIT_ACK
        FFR_WAIT_RATE
        FFR_LIST_NONE
        FFR_LIST_ACTIVE
        FFR_LIST_WAITING
        FFR_ADAPTIVE
        FFR_FASTPATH
        FFR_LOWCPU
    uint32_t FFR_NONE
    uint32_t FFR_NO_CONTEXT
    uint32_t FFR_ACCESS_LOCAL

    ctypedef struct ffr_object "struct ffr_object":
        uint32_t used
        uint32_t session
        uint32_t next
        uint32_t prev
        uint32_t references

    ctypedef struct ffr_limits "struct ffr_limits":
        uint32_t max_qp
        uint32_t max_cq
        uint32_t max_mr
        uint32_t max_pd
        uint32_t max_channels
        uint32_t max_ah
        uint32_t max_mcast
        uint32_t max_srq
        uint32_t max_xrcd
        uint32_t dm_bytes
        uint64_t pinned_bytes

    ctypedef struct ffr_session "struct ffr_session":
        uint32_t used
        uint32_t closing
        uint32_t lingers
        uint32_t pid
        uint32_t request_seq
        int32_t sock
        int32_t control
        int32_t memory
        int32_t event
        uint64_t control_size
        uint64_t memory_size
        uint32_t gid_count
        uint32_t port_down
        uint32_t link_mtu[16]
        uint64_t guid
        uint32_t contexts
        uint32_t share
        uint32_t party
        uint32_t bucket[FFR_SESSION_BUCKETS]
        uint8_t gid[16][16]
        ffr_limits limit
        uint64_t pinned
        uint64_t dm_bytes
        uint32_t mappings
        uint32_t *count
        uint32_t *first
        uint64_t active_ns
        uint64_t qkey_violations
        char *name
        uint64_t *pages
        uint32_t *bell_qp

    ctypedef struct ffr_channel "struct ffr_channel":
        ffr_object o
        int32_t fd
        uint32_t is_async
        uint32_t context
        uint64_t group
        uint64_t *secret
        uint32_t event
        uint32_t last_event
        uint32_t owed

    ctypedef struct ffr_pd "struct ffr_pd":
        ffr_object o
        uint32_t context
        uint32_t importer

    ctypedef struct ffr_mr "struct ffr_mr":
        ffr_object o
        uint32_t key
        uint32_t pd
        uint32_t access
        uint32_t extents
        uint32_t block
        uint64_t iova
        uint64_t length
        uint64_t offset
        uint64_t shift
        uint64_t pinned
        uint64_t addr
        uint32_t behind
        uint32_t of
        uint32_t qpn
        uint32_t context
        uint32_t importer
        uint32_t mapping

    ctypedef struct ffr_mapping "struct ffr_mapping":
        uint64_t device
        uint64_t inode
        uint64_t offset
        uint64_t length
        uint32_t session
        uint32_t writable
        uint32_t next

    ctypedef struct ffr_mapped "struct ffr_mapped":
        uint8_t *at
        uint64_t size
        uint64_t skip

    ctypedef struct ffr_later "struct ffr_later":
        uint64_t ticket
        uint32_t state
        uint32_t seq
        uint32_t op
        uint32_t writable
        uint32_t extents
        uint32_t error
        uint32_t why
        uint32_t kept
        ff_body request
        ff_extent *extent
        ffr_mapping *mapping
        ffr_mapped *mapped

    ctypedef struct ffr_dm "struct ffr_dm":
        ffr_object o
        uint32_t context
        uint32_t pages
        uint64_t offset
        uint64_t length
        uint64_t group
        uint32_t importer
        uint32_t ended

    ctypedef struct ffr_import "struct ffr_import":
        ffr_object o
        uint32_t context
        uint32_t kind
        uint32_t object
        uint32_t next

    ctypedef struct ffr_cq "struct ffr_cq":
        ffr_object o
        uint32_t channel
        uint32_t entries
        uint32_t produced
        uint32_t consumed
        uint32_t overrun
        uint32_t notify
        uint32_t owed
        uint32_t context
        uint32_t pages
        uint64_t offset
        uint64_t ring
        uint64_t before
        uint32_t ring_pages
        uint32_t before_pages

    ctypedef struct ffr_rq "struct ffr_rq":
        uint64_t ring
        uint64_t done
        uint32_t entries
        uint32_t stride
        uint32_t max_sge
        uint32_t index
        uint32_t missed
        uint32_t session
        uint32_t pd
        uint32_t srqn
        uint32_t held
        uint32_t qp

    ctypedef struct ffr_qp "struct ffr_qp":
        ffr_object o
        uint32_t qpn
        uint32_t generation
        uint32_t type
        uint32_t state
        uint32_t opcodes
        uint32_t pd
        uint32_t send_cq
        uint32_t recv_cq
        uint32_t sq_sig_all
        uint32_t bell
        uint32_t nic
        uint32_t context
        uint32_t pages
        uint64_t offset
        uint64_t sq_offset
        uint32_t sq_entries
        uint32_t sq_stride
        ffr_rq rq
        ff_cap cap
        ff_qp_attr attr
        uint32_t sq_index
        uint32_t sq_seen
        uint64_t moved
        uint32_t atomic_done
        uint32_t wait
        uint64_t atomic_old
        uint64_t deadline_ns
        uint32_t retries
        uint32_t rnr_retries
        uint32_t peer
        uint32_t peer_generation
        uint32_t list
        uint32_t idle
        uint32_t list_next
        uint32_t list_prev
        uint64_t domain
        uint32_t xrcd
        uint32_t opener
        uint32_t orphan
        uint32_t established
        uint32_t owed
        ffr_clock clock

    ctypedef struct ffr_srq "struct ffr_srq":
        ffr_object o
        uint32_t srqn
        uint32_t generation
        uint32_t type
        uint32_t context
        uint32_t limit
        uint32_t cq
        uint32_t xrcd
        uint32_t owed
        uint64_t domain
        ffr_rq rq
        uint64_t offset
        uint32_t pages
        uint32_t ring_pages
        uint64_t next_ring
        uint32_t turn
        uint32_t next_entries
        uint32_t next_pages

    ctypedef struct ffr_xrcd "struct ffr_xrcd":
        ffr_object o
        uint32_t context
        uint32_t flags
        uint64_t domain
        uint64_t device
        uint64_t inode

    ctypedef struct ffr_opener "struct ffr_opener":
        ffr_object o
        uint32_t qp
        uint32_t next
        uint32_t context
        uint32_t xrcd
        uint32_t owed

    ctypedef struct ffr_held "struct ffr_held":
        uint64_t *wqe
        uint32_t generation

    ctypedef struct ffr_event "struct ffr_event":
        ffr_object o
        uint32_t channel
        uint32_t next
        uint32_t type
        uint32_t handle

    ctypedef struct ffr_ah "struct ffr_ah":
        ffr_object o
        uint32_t pd
        uint32_t context
        ff_ah_attr attr

    ctypedef struct ffr_mcast "struct ffr_mcast":
        ffr_object o
        uint32_t qp
        uint32_t context
        uint32_t next
        uint8_t *gid

    ctypedef struct ffr_tables "struct ffr_tables":
        uint32_t *free
        uint32_t *fresh
        uint32_t *used
        uint32_t blocks_used
        uint32_t mappings_used

    ctypedef struct ffr_share "struct ffr_share":
        uint32_t *held
        uint32_t blocks
        uint32_t mappings

    ctypedef struct ffr_state "struct ffr_state":
        uint32_t magic
        uint32_t version
        uint64_t size
        uint64_t epoch
        ffr_tables table
        uint32_t block_free
        uint32_t block_fresh
        ffr_session *session
        ffr_share *share
        ffr_channel *channel
        ffr_pd *pd
        ffr_cq *cq
        ffr_qp *qp
        ffr_mr *mr
        ffr_ah *ah
        ffr_mcast *mcast
        ffr_dm *dm
        ffr_import *imports
        ffr_event *event
        ffr_cm_channel *cm_channel
        ffr_cm_id *cm_id
        ffr_cm_event *cm_event
        ffr_cm_group *cm_group
        ffr_cm_tables cm
        uint64_t groups
        uint32_t *mcast_bucket
        ffr_srq *srq
        ffr_xrcd *xrcd
        ffr_opener *opener
        ffr_held *held
        uint64_t domains
        ff_extent block[1][64]
        uint32_t block_mapping[1][64]
        uint32_t mapping_free
        uint32_t mapping_fresh
        ffr_mapping *mapping

    ctypedef struct ffr_place "struct ffr_place":
        uint64_t at
        uint32_t size
        uint32_t capacity
        uint32_t context

    const ffr_place *ffr_places

    enum:
        FFR_OWED
        FFR_NEAR
        FFR_FAR
        FFR_FAR_MORE

    ctypedef struct ffr_view "struct ffr_view":
        uint8_t *control
        uint8_t *memory
        uint32_t armed
        uint32_t faults
        uint32_t far
        uint32_t pushed
        uint32_t owed

    ctypedef struct ffr_ring_list "struct ffr_ring_list":
        uint32_t head
        uint32_t count

    ctypedef struct ffr_router "struct ffr_router":
        ffr_state *state
        ffr_view *view
        ff_stats_header *stats
        ff_session_stats *session_stats
        ff_qp_stats *qp_stats
        ffr_reach *reach
        ffr_rates *rates
        uint64_t now_ns
        uint64_t key_seed
        uint8_t *zeroes
        uint8_t *sink
        ffr_later *later
        ffr_mapped *mapped
        uint32_t unwanted
        uint64_t tickets
        uint32_t asked_count
        uint32_t *asked
        ffr_ring_list active
        ffr_ring_list waiting
        uint64_t wait_deadline_ns
        uint32_t *live
        uint32_t live_count
        uint32_t live_cursor
        uint32_t notify_pending
        uint32_t port_mtu
        uint32_t rated, turn_wqes
        uint64_t turn_bytes
        uint32_t wire_only         # containers of this host reach each other through the roce NIC too
        uint32_t notify_cursor
        uint32_t events_pending
        uint32_t events_cursor
        uint32_t channel_room
        uint32_t flags
        uint32_t far
        uint64_t far_ns
        uint32_t *owed
        uint32_t owed_count
        int32_t epoll
        int32_t wake
        int32_t reaped
        int32_t uffd
        int32_t mapper


# What state.pyx implements: objects come from and go to the flat tables here, and nowhere else.

cdef ffr_object *object_at(ffr_state *state, int kind, uint32_t index) noexcept nogil
# Of which context it is, or FFR_NO_CONTEXT.
cdef uint32_t object_context(ffr_state *state, int kind, uint32_t index) noexcept nogil
cdef uint32_t object_new(ffr_router *r, int kind, uint32_t session) noexcept nogil
cdef void object_move(ffr_router *r, int kind, uint32_t index, uint32_t session) noexcept nogil  # to another session
cdef void object_free(ffr_router *r, int kind, uint32_t index) noexcept nogil


cdef inline bint has_gid(const ffr_session *s, uint32_t index) noexcept nogil:
    """Whether that entry of its GID table is in use."""
    return index < s.gid_count and not ff_gid_is_empty(s.gid[index])
