"""Cython's view of atomics.h and shm.h: named, not restated. Meaning, layout and asserts stand in the headers."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "ffcore/atomics.h" nogil:
    ctypedef uint32_t ff_a32
    ctypedef uint64_t ff_a64

    uint32_t ff_load32(const ff_a32 *cell)
    uint64_t ff_load64(const ff_a64 *cell)
    void ff_store32(ff_a32 *cell, uint32_t value)
    void ff_store64(ff_a64 *cell, uint64_t value)
    uint32_t ff_load32_acquire(const ff_a32 *cell)
    uint64_t ff_load64_acquire(const ff_a64 *cell)
    void ff_store32_release(ff_a32 *cell, uint32_t value)
    void ff_store64_release(ff_a64 *cell, uint64_t value)
    uint32_t ff_exchange32(ff_a32 *cell, uint32_t value)
    uint64_t ff_exchange64(ff_a64 *cell, uint64_t value)
    uint64_t ff_or64(ff_a64 *cell, uint64_t bits)
    uint64_t ff_and64(ff_a64 *cell, uint64_t bits)
    uint32_t ff_add32(ff_a32 *cell, uint32_t value)
    bint ff_cas32(ff_a32 *cell, uint32_t expected, uint32_t desired)
    void ff_fence()
    void ff_pause()
    uint64_t ff_guest_cmp_swp(void *at, uint64_t compare, uint64_t swap)
    uint64_t ff_guest_fetch_add(void *at, uint64_t add)


cdef extern from "ffcore/shm.h" nogil:
    enum:
        FF_MAGIC
        FF_LAYOUT_VERSION
        FF_LINE
        FF_PAGE
        FF_PAYLOAD_OFFSET
        FF_PAYLOAD_SIZE
        FF_RINGS_OFFSET
        FF_QP_WORDS
        FF_QPS_PER_SESSION
        FF_WQE_HEADER
        FF_RECV_HEADER
        FF_MAX_SGE
        FF_MAX_INLINE
        FF_GID_TABLE
        FF_CQ_LANES
        FF_COMMAND_BODY
        FF_REASON

    enum:  # enum ff_mode
        FF_MODE_ISOLATED
        FF_MODE_SEMI_ISOLATED

    ctypedef struct ff_sge "struct ff_sge":
        uint64_t addr
        uint32_t length
        uint32_t lkey

    enum:  # enum ff_opcode
        FF_OP_SEND
        FF_OP_SEND_IMM
        FF_OP_SEND_INV
        FF_OP_WRITE
        FF_OP_WRITE_IMM
        FF_OP_READ
        FF_OP_CMP_SWP
        FF_OP_FETCH_ADD
        FF_OP_LOCAL_INV
        FF_OP_BIND_MW
        FF_OP_LAST

    enum:  # enum ff_wqe_flags
        FF_WQE_SIGNALED
        FF_WQE_SOLICITED
        FF_WQE_FENCE
        FF_WQE_INLINE

    ctypedef struct ff_wqe "struct ff_wqe":
        ff_a32 seq
        uint8_t opcode
        uint8_t flags
        uint16_t count
        uint64_t wr_id
        uint64_t remote_addr
        uint32_t rkey
        uint32_t imm
        uint64_t compare_add
        uint64_t swap
        uint32_t ah
        uint32_t remote_qpn
        uint32_t qkey
        uint32_t srqn
        uint64_t bind_length
        uint32_t bind_lkey
        uint32_t bind_access
        ff_sge *sge
    uint32_t *ff_wqe_srqn(ff_wqe *w)

    ctypedef struct ff_recv_wqe "struct ff_recv_wqe":
        ff_a32 seq
        uint32_t count
        uint64_t wr_id
        ff_sge *sge

    ctypedef struct ff_qp_shared "struct ff_qp_shared":
        ff_a32 state
        ff_a32 sq_done
        ff_a32 rq_done

    ctypedef struct ff_srq_shared "struct ff_srq_shared":
        ff_a32 done

    enum:  # enum ff_cqe_flags
        FF_CQE_IMM
        FF_CQE_GRH
        FF_CQE_INV
        FF_CQE_SOLICITED
        FF_CQE_IPV4
        FF_CQE_DEAD

    ctypedef struct ff_cqe "struct ff_cqe":
        uint64_t wr_id
        uint64_t timestamp_ns
        uint32_t qpn
        uint32_t src_qpn
        uint32_t byte_len
        uint32_t imm
        uint8_t status
        uint8_t opcode
        uint8_t flags
        uint8_t vendor_err
        uint16_t pkey_index
        uint32_t bell
        uint32_t queue_index
        ff_a32 seq

    enum:  # enum ff_arm
        FF_ARM_NONE
        FF_ARM_SOLICITED
        FF_ARM_NEXT

    ctypedef struct ff_cq_shared "struct ff_cq_shared":
        ff_a32 *consumed
        ff_a32 arm
        ff_a32 waiters
        ff_cqe *cqe

    enum:  # enum ff_session_flags
        FF_FLAG_OVERSUBSCRIBED
        FF_FLAG_SLOW_YIELD

    ctypedef struct ff_command_slot "struct ff_command_slot":
        ff_a32 request_seq
        uint16_t op
        uint16_t size
        uint8_t *request
        ff_a32 reply_seq
        int32_t status
        uint8_t *reply

    ctypedef struct ff_session "struct ff_session":
        uint32_t magic
        uint32_t layout_version
        uint32_t mode
        uint32_t session
        uint64_t epoch
        uint64_t control_size
        uint64_t memory_size
        uint64_t pinned_limit
        ff_a64 pinned
        ff_a32 armed
        ff_a32 flags
        ff_a32 dead
        ff_a32 far
        ff_a32 pushed
        ff_a64 qp_summary
        ff_a32 command_bell
        ff_a32 sleepers
        ff_a64 *qp_bell
        ff_command_slot command

    enum:
        FF_WELCOME_USERFAULTFD
    ctypedef struct ff_hello "struct ff_hello":
        uint32_t magic
        uint32_t layout_version
        uint32_t flags

    ctypedef struct ff_welcome "struct ff_welcome":
        uint32_t magic
        uint32_t layout_version
        int32_t status
        uint32_t session
        uint64_t control_size
        uint64_t memory_size
        uint32_t flags
        char *reason

    ctypedef struct ff_fd_note "struct ff_fd_note":
        uint32_t request_seq
        uint32_t handle

    ctypedef struct ff_event "struct ff_event":
        uint32_t type
        uint32_t handle
