"""How a message is cut into packets.

The standard's way is by the MTU that both ends have agreed on: 1024 bytes on Ethernet, of the 1472 that a datagram may
have there, and 4096 of 8972. Each packet costs the same whatever is in it. So SENDs and WRITEs between two routers are
cut by what the path carries, and into packets of one size, FIRST with its RETH as well as LAST, whose payload is followed
by as many words of filler as make it as long as the others: the kernel cuts up large datagrams that are all packets of one
size (UDP_SEGMENT), so messages can follow one another in them. Where each byte belongs follows from the order of packets,
as in the standard, so the receiver takes packets of any length from another router.

LAST of a message of more packets than the BTH's bits can count filler for is simply shorter. Nobody takes a LAST without
payload, so where nothing would be left for it beside its own header, each packet leaves as much room.

The packets of a READ's response are counted by both ends, so the request says how long their payload is (READ_UNIT, in
the bits in which others count filler): as much as the other router's own probe has brought here.
"""

from libc.stdint cimport uint8_t, uint32_t

from ffcore.roce cimport (FF_BTH_FILLER, FF_ICRC_SIZE, FF_IS_FIRST, FF_IS_LAST, FF_XRC, ff_aeth, ff_bth, ff_immdt, ff_packets_of, ff_reth,
                          ff_xrceth)
from ffcore.shm cimport FF_OP_READ, FF_OP_SEND_IMM, FF_OP_SEND_INV, FF_OP_WRITE, FF_OP_WRITE_IMM
from ffr.nic.roce.protocol.qp cimport roce_message, roce_qp
from ffr.nic.roce.protocol.wire cimport roce_packet


cdef enum:
    READ_UNIT = 128        # bytes
    # Bytes that a datagram must carry: what IPv4 carries anywhere (576, RFC 791). From 532 on, 126 packets that are rounded
    # up to words leave LAST a byte beside its own header.
    CUT_LEAST = 548
    CUT_PAYLOAD_LEAST = 512  # of a packet in such a datagram, all headers taken off


cdef inline uint32_t cut_reth(const roce_message *m) noexcept nogil:
    """Bytes of the header that FIRST alone has."""
    return sizeof(ff_reth) if m.opcode == FF_OP_WRITE or m.opcode == FF_OP_WRITE_IMM else 0


cdef inline uint32_t cut_imm(const roce_message *m) noexcept nogil:
    """... and LAST alone. An IETH is as long."""
    return sizeof(ff_immdt) if m.opcode == FF_OP_SEND_IMM or m.opcode == FF_OP_SEND_INV or m.opcode == FF_OP_WRITE_IMM else 0


cdef inline uint32_t cut_room(const roce_qp *q) noexcept nogil:
    """Bytes of a packet that are left for those headers and the payload."""
    return q.carries - sizeof(ff_bth) - FF_ICRC_SIZE - (sizeof(ff_xrceth) if q.transport == FF_XRC else 0)


cdef inline bint cut_full(const roce_qp *q, const roce_message *m, uint32_t packets) noexcept nogil:
    """Whether LAST has payload when all others are as long as they may be."""
    return (packets - 1) * cut_room(q) < m.length + cut_reth(m)


cdef inline uint32_t cut_packets(const roce_qp *q, const roce_message *m) noexcept nogil:
    cdef uint32_t packets
    if not m.carried:
        return ff_packets_of(m.length, q.mtu)
    if m.opcode == FF_OP_READ:
        return ff_packets_of(m.length, q.read_size)
    packets = ff_packets_of(m.length + cut_reth(m) + cut_imm(m), cut_room(q))
    if packets <= FF_BTH_FILLER or cut_full(q, m, packets):
        return packets
    return ff_packets_of(m.length + cut_reth(m), cut_room(q) - cut_imm(m))


cdef inline uint32_t cut_rest(const roce_qp *q, const roce_message *m) noexcept nogil:
    """Payload bytes of each packet but FIRST and LAST."""
    if not m.carried:
        return q.mtu
    if m.opcode == FF_OP_READ:
        return q.read_size
    if m.packets > FF_BTH_FILLER:
        return cut_room(q) if cut_full(q, m, m.packets) else cut_room(q) - cut_imm(m)
    return ((m.length + cut_reth(m) + cut_imm(m) + m.packets - 1) // m.packets + 3) & ~<uint32_t>3


cdef inline uint32_t cut_offset(const roce_qp *q, const roce_message *m, uint32_t at) noexcept nogil:
    """Where in the message the packet number `at` begins."""
    return at * cut_rest(q, m) - cut_reth(m) * m.carried if at else 0


cdef inline uint32_t cut_size(const roce_qp *q, const roce_message *m, uint32_t at, uint32_t offset) noexcept nogil:
    """Payload bytes of packet number `at`, which begins there."""
    cdef uint32_t size = cut_rest(q, m)
    if at == m.packets - 1:
        return m.length - offset
    return size - cut_reth(m) if m.carried and at == 0 else size


cdef inline uint32_t cut_filler(const roce_qp *q, const roce_message *m, uint32_t size) noexcept nogil:
    """Words behind the `size` bytes of LAST. 3 bytes of pad, at most, stand before them."""
    if not m.carried or m.packets == 1 or m.packets > FF_BTH_FILLER:
        return 0
    return (cut_rest(q, m) - cut_imm(m) - size) // 4


cdef inline bint cut_taken(const roce_qp *q, const roce_packet *p) noexcept nogil:
    """Whether a SEND's or WRITE's packet, without its filler, is as long as it may be. 9.7.4.1: FIRST and MIDDLE carry
    exactly an MTU, LAST at least a byte, nothing more than an MTU. Between routers any length but none."""
    if q.routed:
        return p.size or (p.traits & FF_IS_FIRST and p.traits & FF_IS_LAST)
    if not p.traits & FF_IS_LAST:
        return p.size == q.mtu
    return p.size <= q.mtu and (p.size or p.traits & FF_IS_FIRST)


# ---- READ responses ----

cdef inline uint32_t cut_read_size(uint32_t heard) noexcept nogil:
    """The payload to ask for where datagrams of so many bytes come through; 0: the MTU's."""
    cdef uint32_t beside = sizeof(ff_bth) + sizeof(ff_aeth) + FF_ICRC_SIZE
    return min(heard - beside, <uint32_t>(FF_BTH_FILLER * READ_UNIT)) // READ_UNIT * READ_UNIT if heard >= CUT_LEAST else 0


cdef inline bint cut_sends(const roce_qp *q, uint8_t unit) noexcept nogil:
    """Whether responses that are cut like this can be sent. By what the link carries: who asks has heard a probe of such a
    length, and this router, which sent it, need not have heard yet that it came."""
    return unit == 0 or sizeof(ff_bth) + sizeof(ff_aeth) + unit * <uint32_t>READ_UNIT + FF_ICRC_SIZE <= q.answers


cdef inline uint32_t cut_unit_size(const roce_qp *q, uint8_t unit) noexcept nogil:
    return unit * <uint32_t>READ_UNIT if unit else q.mtu


cdef inline uint32_t cut_read_filler(uint8_t unit, bint first, bint last, uint32_t size) noexcept nogil:
    """Words behind the payload, which make all packets of a response as long as FIRST, with its AETH."""
    cdef uint32_t words
    if unit == 0 or first:
        return 0
    if not last:
        return sizeof(ff_aeth) // 4
    words = (unit * <uint32_t>READ_UNIT - size) // 4
    return words if words <= FF_BTH_FILLER else 0
