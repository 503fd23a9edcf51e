"""How a message is cut into packets.

The standard's way is by the MTU that both ends have agreed on: 1024 bytes on Ethernet, of the 1472 that a datagram may
have there, and 4096 of 8972. Each packet costs the same whatever is in it. So SENDs and WRITEs between two routers are
cut by what the path carries, and into packets of one size, FIRST with its RETH as well as LAST, whose payload is followed
by as many words of filler as make it as long as the others: the kernel cuts up large datagrams that are all packets of one
size (UDP_SEGMENT), so messages can follow one another in them. Where each byte belongs follows from the order of packets,
as in the standard, so the receiver takes packets of any length from another router. READ responses, whose packets both
ends count, stay as the standard has them.

LAST of a message of more packets than the BTH's bits can count filler for is simply shorter. Nobody takes a LAST without
payload, so where nothing would be left for it beside its own header, each packet leaves as much room.
"""

from libc.stdint cimport uint32_t

from ffcore.roce cimport FF_BTH_FILLER, FF_ICRC_SIZE, FF_XRC, ff_bth, ff_immdt, ff_packets_of, ff_reth, ff_xrceth
from ffcore.shm cimport FF_OP_SEND_IMM, FF_OP_SEND_INV, FF_OP_WRITE, FF_OP_WRITE_IMM
from ffr.roce.qp cimport roce_message, roce_qp


cdef enum:
    # Bytes that a datagram must carry: what IPv4 carries anywhere (576, RFC 791). From 532 on, 126 packets that are rounded
    # up to words leave LAST a byte beside its own header.
    CUT_LEAST = 548


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
    packets = ff_packets_of(m.length + cut_reth(m) + cut_imm(m), cut_room(q))
    if packets <= FF_BTH_FILLER or cut_full(q, m, packets):
        return packets
    return ff_packets_of(m.length + cut_reth(m), cut_room(q) - cut_imm(m))


cdef inline uint32_t cut_rest(const roce_qp *q, const roce_message *m) noexcept nogil:
    """Payload bytes of each packet but FIRST and LAST."""
    if not m.carried:
        return q.mtu
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
