"""What the roce NIC keeps. Flat, as the router's state is: tables in one memfd, referred to by index (roce_tables). What a
process needs beside them (arena, caches of resolved memory) is struct roce_nic, of which there is one per process.
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from ffcore.engine cimport ff_segment
from ffcore.icrc cimport ff_icrc_flow
from ffr.ibv cimport IBV_QPS_RTR, IBV_QPS_RTS, IBV_QPS_SQD, IBV_QPS_SQE
from ffr.nic.roce.faulty cimport roce_faulty
from ffr.nic.roce.protocol.held cimport held_table
from ffr.nic.roce.protocol.marks cimport roce_marks
from ffr.nic.roce.protocol.probe cimport roce_probe
from ffr.nic.roce.protocol.qp cimport ROCE_RESOURCES, roce_counters, roce_env, roce_qp, roce_resource
from ffr.nic.roce.udp cimport ffr_udp_address, udp_arena
from ffr.nic.roce.protocol.window cimport roce_path
from ffr.nic.roce.protocol.wire cimport roce_packet
from ffr.state cimport ffr_router


cdef enum:
    ROCE_PATHS = 4096          # peer addresses; number 0 is nobody's
    ROCE_SOCKETS = 2049        # the host's, one per container, and one more of the host's per other host
    ROCE_GIDS = 65536          # places of the GID map; at most half of them are used
    ROCE_WHEEL = 256           # slots of the timer wheel
    ROCE_TICK_BITS = 18        # a slot is 262 us: the wheel goes round in 67 ms
    ROCE_HOT = 64              # sockets that are looked at in each pass; others wait for their turn at epoll
    ROCE_QUANTUM = 65536       # bytes of requests that a QP sends before it is another one's turn: what the kernel takes at once

# ---- tables: no pointers ---------------------------------------------------------------------------------------------

# What the driver knows of a QP besides its protocol state. Lists are by QP index, FFR_NONE at their ends.
ctypedef struct roce_side:
    uint32_t path              # to its peer; 0: not connected through this NIC
    uint32_t turn_next         # in the path's turns
    uint32_t wheel_next
    uint32_t wheel_prev
    uint16_t wheel_slot        # 1 + the slot that it is in; 0: none
    uint8_t queued             # in the path's turns
    uint8_t held               # a rate has held up its turn
    uint8_t touched            # a packet came for it in this batch
    uint8_t streamed           # its packets go over the stream to its peer, and come from there alone
    uint32_t parked_first      # packets that wait for a receive WQE (nic/roce/backlog.pxd), in order, when parked is not 0
    uint32_t parked_last
    uint32_t parked

# A peer address, and all that is shared by the QPs which talk to it.
ctypedef struct roce_peer:
    roce_path window
    roce_marks marks           # of what is sent there without being acknowledged
    roce_probe probe           # of how long a packet it may be
    ffr_udp_address address
    ff_icrc_flow flow          # of what is sent there
    uint32_t socket            # index
    uint32_t first             # turns: QPs with requests to send, in order
    uint32_t last
    uint32_t next              # of the peers that have turns
    uint32_t gids              # virtual addresses behind it; 0: no router, as far as the map knows
    uint32_t references        # QPs that are connected to it
    uint32_t stream            # 1 + the number of the stream that leads there (nic/roce/link/stream.pxd); 0: none
    uint8_t used
    uint8_t listed             # among those peers
    uint8_t pad[2]

ctypedef struct roce_socket:
    int32_t fd                 # -1: closed
    uint32_t of                # whose packets it hears: its own number, or 0 for those of one other host
    ffr_udp_address address
    uint64_t heard_ns          # when a packet came last
    uint64_t rests_ns          # it is not looked at before: what it heard were strangers
    uint32_t hot               # in the list of those that are looked at in each pass
    uint32_t pad2

# Where a virtual address lives.
ctypedef struct roce_gid:
    uint8_t gid[16]
    uint32_t state             # enum roce_place
    uint32_t peer              # ROCE_ELSEWHERE: which; ROCE_HERE: its container's socket, or 0

cdef enum roce_place:
    ROCE_UNKNOWN = 0           # an empty place of the map: nobody told
    ROCE_HERE = 1              # a container of this host
    ROCE_ELSEWHERE = 2
    ROCE_NOWHERE = 3           # was told, and taken back

ctypedef struct roce_tables:
    uint64_t now_tick          # the wheel's slots before it have been looked at
    uint32_t wheel[ROCE_WHEEL] # heads
    uint32_t wheel_count
    uint32_t turns_first       # peers with turns
    uint32_t turns_last
    uint32_t peers             # numbers from 1 on; those from here on were never used
    uint32_t gids
    uint32_t sockets
    uint32_t connected         # QPs
    roce_socket socket[ROCE_SOCKETS]
    roce_peer peer[ROCE_PATHS]
    roce_gid gid[ROCE_GIDS]
    roce_side side[65536]      # [FFR_QPS]
    roce_qp qp[65536]
    roce_resource resource[65536 * ROCE_RESOURCES]

# ---- this process's ---------------------------------------------------------------------------------------------------

# A work request's memory, resolved. Good for one call of the driver: commands run between calls.
ctypedef struct roce_resolved:
    uint32_t qp                # FFR_NONE: nothing
    uint32_t index
    uint32_t count
    uint64_t length
    ff_segment segment[128]    # FF_MAX_SEGMENTS

# Packets that wait for a receive WQE: nic/roce/backlog.pxd.
cdef enum:
    BACKLOG_PACKETS = 2048     # of all QPs, 18 MB; a page is touched only when it is needed
    BACKLOG_QP_PACKETS = 1024  # of one
    BACKLOG_QPS = 256          # that wait at a time
    BACKLOG_BYTES = 8976       # room for a packet: FF_ROCE_MAX_PACKET fits (nic/roce/backlog.pyx looks)

ctypedef struct roce_parked:
    uint32_t next              # of the same QP, or of the free ones
    uint32_t size              # bytes before the ICRC
    uint8_t grh[40]            # of a datagram (FF_GRH_SIZE)
    uint8_t bytes[BACKLOG_BYTES]

ctypedef struct backlog_wait:
    uint32_t qp
    uint64_t deadline_ns       # then they are dropped

ctypedef struct roce_backlog:
    roce_parked *slot          # NULL until the first packet waits
    uint32_t free              # head of the free ones
    uint32_t waits
    backlog_wait wait[BACKLOG_QPS]

# A TCP connection to another router: nic/roce/link/stream.pxd.
cdef enum:
    ROCE_STREAMS = 256

ctypedef struct roce_stream:
    ffr_udp_address address    # the router's
    int32_t fd                 # -1: none
    uint8_t broken             # it ended, or what came was not what a router sends: nothing is read or written any more
    uint8_t *taken             # STREAM_IN bytes of room; frames that came, from the first byte on
    uint32_t have
    uint8_t *staged            # STREAM_OUT bytes of room; [begin, end) is still to leave
    uint32_t begin
    uint32_t end
    uint64_t heard_ns

cdef enum:
    ROCE_TOUCHED = 1024

ctypedef struct roce_nic

# Of the driver, for those below it: a packet for this QP, whose ICRC and origin are right, goes to its state machine, or waits
# for a receive WQE.
ctypedef void (*roce_deliver)(roce_nic *n, uint32_t qp, roce_packet *p, const uint8_t *bytes, uint32_t size) noexcept nogil

ctypedef struct roce_nic:
    ffr_router *router
    roce_tables *tables
    roce_env env
    roce_deliver deliver
    roce_counters counters
    udp_arena arena
    roce_backlog backlog
    roce_faulty faulty
    held_table kept           # packets behind a gap
    roce_resolved send
    roce_resolved receive
    roce_resolved write        # what is left of an open WRITE, from write_addr on
    uint32_t write_rkey
    uint64_t write_addr
    uint64_t receive_wr_id
    uint32_t touched[ROCE_TOUCHED]
    uint32_t touched_count
    uint32_t patience          # passes that ACKs may still wait for what they can leave with
    int32_t epoll              # over all sockets, itself watched by the router's
    uint32_t hot_count         # sockets that heard something lately
    uint16_t hot[ROCE_HOT]
    uint64_t passes
    uint64_t looked_ns         # when all sockets were asked last
    uint64_t bad_icrc          # packets whose checksum was wrong
    uint64_t strangers         # for no QP, or from elsewhere than its peer
    bint held                  # a datagram has to wait for an echo
    uint64_t probes_ns         # when probes are due
    uint32_t mad_psn           # of QP1
    uint64_t overrun           # of UC and UD, without a receive WQE, and with no room to wait for one
    bint streaming             # packets of connected QPs go to other routers over streams, and never otherwise
    roce_stream stream[ROCE_STREAMS]
    uint32_t streams           # places that were ever used
    bint stream_full           # something waits for room in a stream
    uint64_t frames_sent
    uint64_t frames_received
    uint64_t frames_lost       # to routers that no stream led to at the time
    uint64_t frames_void       # their memory went while the kernel took it
    uint64_t streams_refused   # closed for what came over them


# The process's; its router is NULL until it is opened.
cdef roce_nic *roce_nic_of() noexcept nogil


cdef inline bint roce_receives(uint32_t state) noexcept nogil:
    """A QP in this state takes packets."""
    return state == IBV_QPS_RTR or state == IBV_QPS_RTS or state == IBV_QPS_SQD or state == IBV_QPS_SQE
