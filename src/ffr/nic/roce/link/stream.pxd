"""The stream link: packets of connected QPs in frames, over a TCP connection to the router that they are for.

A frame is its length (4 bytes, little-endian: of all that follows), a packet as on the wire, from its BTH to its last byte of
filler, and 4 bytes in the place of an ICRC, which TCP's own checksum makes needless: 0, or FRAME_VOID for one whose memory was
gone before the kernel had taken all of it. Its bytes mean nothing, but its length is kept, so the stream goes on.

Payload of some size goes from registered memory into the socket, without a copy in between. Small frames are staged and leave
together at the end of a pass. Frames that came lie in a buffer of the router's: they are checked there, then delivered, as
datagrams are. A connection that ends, or brings anything that no router sends, is not read or written any more until the
control thread has replaced it (nic/roce/streams.py); what was lost with it the QPs send again, as what a wire loses.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ffcore.engine cimport ff_segment
from ffcore.roce cimport FF_ROCE_MAX_HEADERS
from ffr.nic.roce.tables cimport roce_nic
from ffr.nic.roce.udp cimport ffr_udp_address


cdef enum:
    STREAM_CARRIES = 16384     # bytes of a packet, with the place of its ICRC: what a READ's response can be asked in, too
    STREAM_LENGTH = 4          # bytes of a frame's length
    STREAM_RUN = 4             # frames of one system call: a QP's turn
    STREAM_WINDOW = 128        # packets in flight to a router: 2 MB at most, and the window shrinks where they stand
    STREAM_FULL_NS = 50000     # when a full stream is looked at again
    FRAME_VOID = 1

ctypedef struct stream_frame:
    uint8_t headers[STREAM_LENGTH + FF_ROCE_MAX_HEADERS]
    uint32_t begin             # bytes of these
    uint32_t size              # of the payload
    uint32_t tail              # of zeros, and of the last 4 bytes
    uint64_t offset            # of the payload in its list

ctypedef struct stream_payload:
    const ff_segment *segment
    uint32_t count
    uint64_t offset            # where the first frame's payload begins
    ff_segment own             # for a list of one


cdef inline void frame_begin(stream_frame *f, const uint8_t *headers, uint32_t begin, uint32_t size, uint32_t zeros) noexcept nogil:
    cdef uint32_t length = begin + size + zeros + 4
    memcpy(f.headers, &length, STREAM_LENGTH)                # both processors that this runs on are little-endian
    memcpy(f.headers + STREAM_LENGTH, headers, begin)
    f.begin, f.size, f.tail, f.offset = STREAM_LENGTH + begin, size, zeros + 4, 0


# Send up to `count` (STREAM_RUN) frames over stream `number`, as roce_peer.stream has it (0: none). How many are on their way,
# or lost where there is no stream; 0: no room now; -1: the memory of one of them is not there.
cdef int stream_send(roce_nic *n, uint32_t number, const stream_frame *frame, uint32_t count,
                     const stream_payload *payload) noexcept nogil
# What has not left yet, of all streams.
cdef void streams_flush(roce_nic *n) noexcept nogil
# Take in what came: over one (from 0 on) that epoll says has something, and over those that heard something lately.
cdef int stream_listen(roce_nic *n, uint32_t index) noexcept nogil
cdef int streams_listen(roce_nic *n) noexcept nogil

# For the map: a stream's number by its router's address, or 0. And another socket for it, -1: none. 0: no room.
cdef uint32_t stream_to(roce_nic *n, const ffr_udp_address *address) noexcept nogil
cdef uint32_t stream_open(roce_nic *n, const ffr_udp_address *address, int fd) noexcept nogil
