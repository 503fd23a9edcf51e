"""A RoCE queue pair as the protocol sees it: its flat state, and the contract by which it reaches the world.

Requester and responder are pure state machines: (state, packet or timer or doorbell, now) -> packets, completions,
a timer. They read no clock, own no socket and allocate nothing; bytes of programs are only named, never touched here.
Whoever drives them (nic/roce.pyx, or the tests' harness) gives a roce_env, and looks at roce_qp.timer after each call.

The state holds no pointer, so it can lie in the router's memfd and be taken over by a successor. Indices of send WQEs
are those of the QP's ring: a WQE stays in its ring until it completes, so a retransmission reads it again. The private
record (roce_message) keeps what the protocol's bookkeeping rests on - operation, length and PSNs - and a WQE that no
longer agrees with its record fails the QP. The rest (address, key, immediate, wr_id) is only ever the program's own.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ffr.nic.roce.protocol.held cimport held_table
from ffr.nic.roce.protocol.wire cimport roce_packet


cdef enum:
    ROCE_MESSAGES = 64     # send WQEs that have PSNs at a time; a power of 2. 64 messages of 64 B a round trip
    ROCE_RESOURCES = 16    # READs and atomics that a responder remembers: the largest max_dest_rd_atomic; a power of 2

# ---- state ----------------------------------------------------------------------------------------------------------

# A send WQE that has been given its PSNs. 16 bytes.
ctypedef struct roce_message:
    uint32_t first_psn
    uint32_t packets       # PSNs it occupies (a READ: of its response); 0: done here, nothing is sent
    uint32_t length        # bytes
    uint8_t opcode         # enum ff_opcode
    uint8_t flags          # enum ff_wqe_flags
    uint8_t status         # enum ibv_wc_status; not 0: it fails with this as soon as it is the oldest
    uint8_t carried        # its packets are as long as the path carries (ffr/nic/roce/protocol/cut.pxd), not as the MTU says

# A READ or atomic that the responder executed, kept for duplicates of its request (9.7.5.1). 48 bytes.
ctypedef struct roce_resource:
    uint32_t first_psn
    uint32_t packets
    uint32_t emit_start    # PSN of the first packet of the response that is being, or is to be, sent
    uint32_t emit_psn      # the next one
    uint32_t emit_end      # beyond the last one
    uint32_t srqn          # XRC: whose PD the memory is in
    uint64_t addr          # READ: where; atomic: the value that was found there
    uint32_t rkey
    uint32_t length
    uint32_t msn           # as the response carries it
    uint8_t operation      # FF_READ_REQUEST, FF_COMPARE_SWAP or FF_FETCH_ADD
    uint8_t pending        # a response is to be sent
    uint8_t again          # that one is for a duplicate request
    uint8_t unit           # READ: how its response is cut, as the request's filler says it (ffr/nic/roce/protocol/cut.pxd)

cdef enum roce_receiving:
    ROCE_BETWEEN = 0       # no message is open
    ROCE_SEND = 1          # in the middle of a SEND
    ROCE_WRITE = 2         # in the middle of a WRITE
    ROCE_SKIP = 3          # UC: a packet was lost, wait for the next FIRST or ONLY

cdef enum roce_nak_state:
    ROCE_NAK_NONE = 0
    ROCE_NAK_SEQUENCE = 1  # told once; packets behind the gap are dropped in silence (9.7.5.2)
    ROCE_NAK_RNR = 2       # likewise until the RNR'd packet comes again

# With what else a QP costs, under 2 KB: tests/protocol/test_state.py.
ctypedef struct roce_qp:
    # what modify_qp said
    uint32_t handle              # the driver's name for it
    uint32_t qpn
    uint32_t dest_qpn
    uint32_t qkey
    uint32_t mtu                 # 256..4096 bytes
    uint32_t carries             # bytes of a datagram that the path to the peer's router carries; 0: mtu alone counts
    uint32_t read_size           # payload bytes of READ responses that are asked for; 0: mtu
    uint32_t answers             # bytes of a datagram that one may have which the peer asks for; 0: as long as mtu makes it
    uint32_t access              # enum ibv_access_flags
    uint64_t ack_timeout_ns      # 0: never
    # Its packets' P_Key and its peer's. Between routers it says whose the packet is (transport_name): a host's QPs have one address,
    # and a container that guesses another's QPN and PSN is not taken for that one's peer.
    uint16_t pkey, peer_pkey, pkey_mask
    uint8_t transport            # enum ff_transport
    uint8_t max_rd_atomic
    uint8_t max_dest_rd_atomic
    uint8_t min_rnr_timer
    uint8_t retry_cnt
    uint8_t rnr_retry            # 7: for ever
    uint8_t failed               # in ERR: nothing but a last NAK is sent, nothing is accepted
    uint8_t draining             # SQD: no further WQE is begun
    uint8_t routed               # the peer is behind another router of ours
    uint8_t selective            # the peer keeps what comes ahead of a lost packet, and tells what is missing; so do we
    uint16_t held                # packets that are kept (env.held)
    # requester
    uint8_t retries              # left
    uint8_t rnr_retries          # left
    uint32_t sq_done             # the oldest WQE that has not completed: its record is message[sq_done % 64]
    uint32_t sq_next             # the first WQE without PSNs
    uint32_t sq_sending          # the WQE that send_psn belongs to
    uint32_t una                 # the oldest PSN that is not acknowledged; it belongs to WQE sq_done
    uint32_t send_psn            # the next PSN to transmit: una <= send_psn <= next_psn
    uint32_t sent_psn            # beyond the highest PSN ever transmitted
    uint32_t next_psn            # the first PSN that no message has
    uint32_t charged             # packets that stand against the path's window for this QP
    uint32_t limit               # packets in flight until the next progress, after a timer; 0: the window alone counts
    uint32_t gone_back_psn       # where the last go-back began
    uint64_t gone_back_ns        # and when; 0: not since the last progress
    uint32_t timed_psn           # whose round trip is being measured
    uint32_t probed_psn          # the packet that was sent again by the probe timer
    uint64_t timed_ns            # 0: none is
    uint64_t wait_ns             # RNR: nothing is sent before; 0: no wait
    uint64_t ack_ns              # the standard's ACK timer; 0: off
    uint64_t probe_ns            # the probe timer; 0: off
    uint64_t timer               # the earliest of these three; 0: none. The driver calls back at or after it
    uint8_t probes               # sent since the last progress
    uint8_t probed               # probed_psn counts
    uint8_t reads                # READ requests and atomics whose response is outstanding
    uint8_t blocked              # sending stopped at the path's window
    uint32_t reads_open          # READ and atomic WQEs that have not completed (fence)
    uint32_t kept                # packets in flight that the peer says are there, behind a missing one
    uint32_t repaired_psn        # missing packets before it were sent again
    uint64_t repaired_ns         # since when; 0: none were
    # responder
    uint32_t epsn                # expected
    uint32_t msn
    uint8_t receiving            # enum roce_receiving
    uint8_t taken                # a receive WQE belongs to the open message
    uint8_t nak                  # enum roce_nak_state
    uint8_t ack_due
    uint8_t syndrome             # of that ACK
    uint8_t resource_next        # slot of the next READ or atomic
    uint8_t resource_count
    uint8_t pending              # resources whose response is to be sent
    uint32_t ack_psn             # of a NAK; an ACK takes epsn - 1
    uint32_t nak_high            # PSN of the last packet dropped behind the gap
    uint32_t receive_index       # of the receive WQE taken
    uint32_t receive_room        # its length
    uint32_t received            # bytes of the open message
    uint32_t write_rkey
    uint64_t write_addr          # where the next packet's payload goes
    uint32_t write_left          # bytes to come
    uint32_t srqn                # XRC: where receive WQEs of the open message come from
    roce_message message[ROCE_MESSAGES]

# ---- what goes in and out -------------------------------------------------------------------------------------------

# A send WQE, copied to private memory and checked: its list resolves, its length is the sum of the list's.
ctypedef struct roce_send:
    uint8_t opcode
    uint8_t flags
    uint8_t status         # enum ibv_wc_status when it cannot be executed
    uint8_t pad
    uint32_t length
    uint32_t rkey
    uint32_t imm           # as ff_wqe: big-endian immediate, or the rkey to invalidate
    uint64_t remote_addr
    uint64_t compare_add
    uint64_t swap
    uint32_t ah            # UD
    uint32_t remote_qpn    # UD
    uint32_t qkey          # UD
    uint32_t srqn          # XRC

# A receive WQE that has been taken from its queue: it is this QP's until complete_receive.
ctypedef struct roce_receive:
    uint32_t index
    uint32_t length        # bytes that its list holds
    uint8_t status         # enum ibv_wc_status when it cannot be used

ctypedef struct roce_received:
    uint32_t index         # of the receive WQE
    uint32_t length
    uint32_t imm
    uint32_t src_qpn
    uint32_t srqn          # XRC
    uint8_t status         # enum ibv_wc_status
    uint8_t flags          # enum ff_cqe_flags
    uint8_t write          # 1: IBV_WC_RECV_RDMA_WITH_IMM
    uint8_t pad

cdef enum roce_source:
    ROCE_NO_PAYLOAD = 0
    ROCE_FROM_SEND = 1     # bytes [offset, offset + size) of send WQE `index`
    ROCE_FROM_HERE = 3     # bytes at `bytes`
    ROCE_FROM_REMOTE = 2   # the responder's memory at `addr` under `rkey`, which is checked anew

# A packet to send: headers as a value, payload as a reference (head.size bytes).
ctypedef struct roce_out:
    roce_packet head
    uint8_t source         # enum roce_source
    uint32_t index
    uint32_t offset
    uint32_t rkey
    uint64_t addr
    uint32_t ah            # UD: which address; otherwise the QP's own
    const uint8_t *bytes

cdef enum roce_emitted:
    ROCE_SENT = 0
    ROCE_NO_ROOM = -1      # no buffer now: the same packet is tried again in a later turn
    # and above 0: enum ibv_wc_status, its payload could not be read

ctypedef struct roce_counters:
    uint64_t packets_sent
    uint64_t bytes_asked        # payload of requests that were sent, and of the READ responses that they ask for
    uint64_t retransmitted
    uint64_t acks_sent
    uint64_t naks_sent
    uint64_t rnrs_sent
    uint64_t naks_received
    uint64_t rnrs_received
    uint64_t probes
    uint64_t timeouts
    uint64_t packets_received
    uint64_t duplicates         # requests that came again
    uint64_t out_of_sequence    # requests behind a gap
    uint64_t held               # requests behind a gap that were kept
    uint64_t repaired           # of retransmitted: because the peer said that they alone are missing
    uint64_t ghosts             # responses to nothing
    uint64_t dropped            # wrong key, version, transport, length: not for this QP

# The driver's side. Statuses are enum ibv_wc_status, 0 when all is well. Everything is called in the caller's thread.
ctypedef struct roce_env:
    void *context
    roce_counters *counters
    roce_resource *resource     # ROCE_RESOURCES of each QP, by handle: what was never asked to READ needs no page of it
    held_table *held            # NULL: nothing is kept
    # Send WQE `index` (one after the other, and again on retransmission): 1, or 0 when nothing is posted there.
    bint (*peek_send)(void *context, roce_qp *q, uint32_t index, roce_send *wqe) noexcept nogil
    # Copy the payload, checksum and queue the packet: enum roce_emitted. out is the driver's to change.
    int (*emit)(void *context, roce_qp *q, roce_out *out) noexcept nogil
    # As emit, for `count` MIDDLE packets of a message or response (ROCE_FROM_SEND, ROCE_FROM_REMOTE) which differ from
    # `out` in this alone: each has the PSN after the one before it, and the bytes behind its; and a reliable QP's requests
    # ask for an ACK where the PSN says so (requester.pxd: asks). How many were queued (fewer: no buffer), or minus a status.
    int (*emit_run)(void *context, roce_qp *q, roce_out *out, uint32_t count) noexcept nogil
    # Store bytes of a READ's or atomic's result at an offset of the list of send WQE `index`. Status.
    int (*put_send)(void *context, roce_qp *q, uint32_t index, uint32_t offset, const uint8_t *data,
                    uint32_t size) noexcept nogil
    # Execute LOCAL_INV or BIND_MW. Status.
    int (*local_operation)(void *context, roce_qp *q, uint32_t index, const roce_send *wqe) noexcept nogil
    # The WQE at `index` is done; the ring's slots up to and with it are free. Also when it asked for no CQE.
    void (*complete_send)(void *context, roce_qp *q, uint32_t index, const roce_message *m, uint8_t status) noexcept nogil
    # XRC: the request names this SRQ, whose receive WQEs, PD and CQ it uses. False: there is none such in the QP's domain.
    bint (*select_srq)(void *context, roce_qp *q, uint32_t srqn) noexcept nogil
    # Take the next receive WQE (of the QP, its SRQ, or for XRC of SRQ srqn): 1, or 0 when there is none.
    bint (*take_receive)(void *context, roce_qp *q, uint32_t srqn, roce_receive *wqe) noexcept nogil
    # Store bytes at an offset of the list of the receive WQE that was taken. Status.
    int (*put_receive)(void *context, roce_qp *q, uint32_t index, uint32_t offset, const uint8_t *data,
                       uint32_t size) noexcept nogil
    void (*complete_receive)(void *context, roce_qp *q, const roce_received *done) noexcept nogil
    # Whether `length` bytes at addr may be used with `access` (IBV_ACCESS_REMOTE_*) under rkey in the QP's PD. Status.
    int (*check_remote)(void *context, roce_qp *q, uint32_t rkey, uint64_t addr, uint32_t length,
                        uint32_t access) noexcept nogil
    int (*put_remote)(void *context, roce_qp *q, uint32_t rkey, uint64_t addr, const uint8_t *data,
                      uint32_t size, bint last) noexcept nogil
    # As put_receive or put_remote, for the payloads of `count` MIDDLE packets of the open message, `stride` bytes apart,
    # which all fit; p is the first. When the status is not 0, a part of them may have been stored.
    int (*put_run)(void *context, roce_qp *q, const roce_packet *p, uint32_t count, uint32_t stride) noexcept nogil
    # operation: FF_COMPARE_SWAP or FF_FETCH_ADD. Status.
    int (*atomic)(void *context, roce_qp *q, uint32_t rkey, uint64_t addr, uint8_t operation, uint64_t swap_add,
                  uint64_t compare, uint64_t *original) noexcept nogil
    int (*invalidate)(void *context, roce_qp *q, uint32_t rkey) noexcept nogil
    # The QP goes to ERR: call requester_stop and responder_flush, then flush what is left in its rings.
    # event: enum ibv_event_type, or -1 for none.
    void (*fail)(void *context, roce_qp *q, int event) noexcept nogil
