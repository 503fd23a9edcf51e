"""Batches of packets over UDP sockets: the staging arena on the way out, the receive slots on the way in.

A packet is composed in the arena (headers, payload copied, checksum), right behind the one before it when both go to
the same address and have the same size; such a run leaves as one datagram that the kernel cuts up (UDP GSO). What is
in the arena is private: a program that writes to its buffer cannot spoil a checksum.
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "ffr/nic/roce/udp.h" nogil:
    enum:
        FFR_UDP_BATCH
    ctypedef struct ffr_udp_address "struct ffr_udp_address":
        uint8_t ip[16]
        uint16_t family
        uint16_t port
    ctypedef struct ffr_udp_out "struct ffr_udp_out":
        const uint8_t *bytes
        uint32_t size
        uint32_t segment
        const ffr_udp_address *to
    ctypedef struct ffr_udp_in "struct ffr_udp_in":
        uint8_t *bytes
        uint32_t size
        uint32_t segment
        ffr_udp_address from_ "from"
    int ffr_udp_send(int fd, const ffr_udp_out *out, int n)
    int ffr_udp_receive(int fd, ffr_udp_in *into, int n, uint32_t room)


cdef enum:
    UDP_RUNS = 16              # runs in the arena
    UDP_RUN_BYTES = 65536      # room of one
    UDP_RUN_LIMIT = 65000      # bytes of a datagram, below IP's limit with all headers
    UDP_RUN_PACKETS = 64       # segments of one (UDP_MAX_SEGMENTS of kernels before 6.9)
    UDP_PLAIN = 64             # sockets whose interface cannot have runs cut up
    UDP_SLOTS = 16             # receive slots: datagrams of one system call, at most
    UDP_READY = 131072         # bytes that leave at once: what was staged is still in the second-level cache

ctypedef struct udp_run:
    int32_t fd
    uint32_t size              # bytes in it
    uint32_t segment           # of its first packet
    uint32_t packets
    bint closed                # the last one was shorter: nothing may follow
    ffr_udp_address to

# A process's own; 1 MB in each direction.
ctypedef struct udp_arena:
    uint8_t *bytes             # UDP_RUNS * UDP_RUN_BYTES
    udp_run run[UDP_RUNS]
    uint32_t first             # the oldest run that has not left
    uint32_t count
    uint32_t bytes_ready       # in all of them
    bint segments              # the kernel cuts runs up (GSO)
    int32_t plain[UDP_PLAIN]   # ... but not for these sockets
    uint32_t plains
    uint64_t calls             # sends, and what they carried
    uint64_t datagrams
    uint64_t packets
    uint64_t refused           # packets that the kernel would not send: lost, as on a wire
    uint64_t full              # times that a socket's buffer was full
    uint8_t *received          # UDP_SLOTS * UDP_RUN_BYTES
    ffr_udp_in slot[UDP_SLOTS]

cdef int udp_init(udp_arena *a, bint segments) noexcept nogil       # 0 or ENOMEM
cdef void udp_free(udp_arena *a) noexcept nogil
# Room for a packet of `size` bytes to `to`; NULL: the arena is full and the socket takes nothing now. *ident is the
# IPv4 identification that it will have.
cdef uint8_t *udp_room(udp_arena *a, int32_t fd, const ffr_udp_address *to, uint32_t size, uint16_t *ident) noexcept nogil
# As udp_room, for up to *count packets of this size that lie end to end; *count becomes how many there is room for.
cdef uint8_t *udp_room_for(udp_arena *a, int32_t fd, const ffr_udp_address *to, uint32_t size, uint32_t *count,
                           uint16_t *ident) noexcept nogil
# The packet is complete. Without this call the room is free again.
cdef void udp_commit(udp_arena *a, uint32_t size) noexcept nogil
# ... and so are `count` of them.
cdef void udp_commit_all(udp_arena *a, uint32_t size, uint32_t count) noexcept nogil
# Hand everything to the kernel, as far as it takes it.
cdef void udp_flush(udp_arena *a) noexcept nogil
# Whether runs of this socket are cut up by the kernel, as far as was tried.
cdef bint udp_segments(const udp_arena *a, int32_t fd) noexcept nogil
# A socket goes: nothing waits for it.
cdef void udp_forget(udp_arena *a, int32_t fd) noexcept nogil
# Take up to n (UDP_SLOTS) datagrams from a socket into a.slot; how many, 0 when there are none.
cdef int udp_take(udp_arena *a, int32_t fd, int n) noexcept nogil
