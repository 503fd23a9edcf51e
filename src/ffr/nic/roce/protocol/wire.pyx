"""Parse and emit RoCE headers, in the order of figure 9-2: BTH, XRCETH or DETH, then the operation's own."""

from libc.string cimport memcpy, memset

from ffcore.roce cimport *


cdef uint32_t headers_of(uint32_t traits) noexcept nogil:
    cdef uint32_t size = sizeof(ff_bth)
    if traits & FF_HAS_XRCETH:
        size += sizeof(ff_xrceth)
    if traits & FF_HAS_DETH:
        size += sizeof(ff_deth)
    if traits & FF_HAS_RETH:
        size += sizeof(ff_reth)
    if traits & FF_HAS_ATOMICETH:
        size += sizeof(ff_atomiceth)
    if traits & FF_HAS_AETH:
        size += sizeof(ff_aeth)
    if traits & FF_HAS_ATOMICACK:
        size += sizeof(ff_atomicacketh)
    if traits & FF_HAS_IMM:
        size += sizeof(ff_immdt)
    if traits & FF_HAS_IETH:
        size += sizeof(ff_ieth)
    if traits & FF_HAS_GRH:
        size += FF_GRH_SIZE
    return size


cdef int roce_parse(roce_packet *packet, const uint8_t *bytes, uint32_t size) noexcept nogil:
    cdef const ff_bth *bth = <const ff_bth *>bytes
    cdef uint32_t traits, headers
    memset(packet, 0, sizeof(roce_packet))
    if size < sizeof(ff_bth):
        return ROCE_TRUNCATED
    if bth.flags & FF_BTH_TVER:
        return ROCE_BAD_VERSION
    traits = ff_roce_traits_of(bth.opcode)
    if not traits:
        return ROCE_UNKNOWN_OPCODE
    headers = headers_of(traits)
    packet.pad = (bth.flags & FF_BTH_PAD) >> FF_BTH_PAD_SHIFT
    if size < headers + packet.pad:
        return ROCE_TRUNCATED
    packet.size = size - headers - packet.pad
    # 9.2.4: pad bytes align the payload to 4 bytes; a packet without payload has none
    if size & 3 or (packet.pad and not packet.size) or (packet.size and not traits & FF_HAS_PAYLOAD):
        return ROCE_NOT_ALIGNED
    packet.traits = traits
    packet.headers = headers
    packet.payload = bytes + headers
    packet.opcode = bth.opcode
    packet.solicited = bth.flags >> 7
    packet.migreq = bth.flags >> 6 & 1
    packet.pkey = ff_get16(bth.pkey)
    packet.ecn = bth.ecn
    packet.qpn = ff_get24(bth.qpn)
    packet.ackreq = bth.ack >> 7
    packet.filler = bth.ack & FF_BTH_FILLER
    packet.psn = ff_get24(bth.psn)
    parse_extensions(packet, bytes + sizeof(ff_bth))
    return ROCE_PARSED


cdef void parse_extensions(roce_packet *packet, const uint8_t *at) noexcept nogil:
    """The headers after the BTH; their room was checked."""
    cdef uint32_t traits = packet.traits
    if traits & FF_HAS_XRCETH:
        packet.srqn = ff_get24((<const ff_xrceth *>at).srqn)
        at += sizeof(ff_xrceth)
    if traits & FF_HAS_DETH:
        packet.qkey = ff_get32((<const ff_deth *>at).qkey)
        packet.src_qpn = ff_get24((<const ff_deth *>at).src_qpn)
        at += sizeof(ff_deth)
    if traits & FF_HAS_RETH:
        packet.addr = ff_get64((<const ff_reth *>at).addr)
        packet.rkey = ff_get32((<const ff_reth *>at).rkey)
        packet.length = ff_get32((<const ff_reth *>at).length)
        at += sizeof(ff_reth)
    if traits & FF_HAS_ATOMICETH:
        packet.addr = ff_get64((<const ff_atomiceth *>at).addr)
        packet.rkey = ff_get32((<const ff_atomiceth *>at).rkey)
        packet.swap_add = ff_get64((<const ff_atomiceth *>at).swap_add)
        packet.compare = ff_get64((<const ff_atomiceth *>at).compare)
        at += sizeof(ff_atomiceth)
    if traits & FF_HAS_AETH:
        packet.syndrome = (<const ff_aeth *>at).syndrome
        packet.msn = ff_get24((<const ff_aeth *>at).msn)
        at += sizeof(ff_aeth)
    if traits & FF_HAS_ATOMICACK:
        packet.original = ff_get64((<const ff_atomicacketh *>at).original)
        at += sizeof(ff_atomicacketh)
    if traits & FF_HAS_IMM:
        memcpy(&packet.imm, at, sizeof(ff_immdt))
        at += sizeof(ff_immdt)
    if traits & FF_HAS_IETH:
        packet.inv_rkey = ff_get32((<const ff_ieth *>at).rkey)
        at += sizeof(ff_ieth)
    if traits & FF_HAS_GRH:
        packet.grh = at


cdef uint32_t roce_emit(roce_packet *packet, uint8_t *out) noexcept nogil:
    cdef ff_bth *bth = <ff_bth *>out
    cdef uint8_t *end
    packet.traits = ff_roce_traits_of(packet.opcode)
    packet.pad = -packet.size & 3
    bth.opcode = packet.opcode
    bth.flags = packet.solicited << 7 | packet.migreq << 6 | packet.pad << FF_BTH_PAD_SHIFT
    ff_put16(bth.pkey, packet.pkey)
    bth.ecn = packet.ecn
    ff_put24(bth.qpn, packet.qpn)
    bth.ack = packet.ackreq << 7 | packet.filler
    ff_put24(bth.psn, packet.psn)
    end = emit_extensions(packet, out + sizeof(ff_bth))
    packet.headers = <uint8_t>(end - out)
    return packet.headers


cdef uint8_t *emit_extensions(const roce_packet *packet, uint8_t *at) noexcept nogil:
    """The headers after the BTH; the byte behind the last."""
    cdef uint32_t traits = packet.traits
    if traits & FF_HAS_XRCETH:
        (<ff_xrceth *>at).reserved = 0
        ff_put24((<ff_xrceth *>at).srqn, packet.srqn)
        at += sizeof(ff_xrceth)
    if traits & FF_HAS_DETH:
        ff_put32((<ff_deth *>at).qkey, packet.qkey)
        (<ff_deth *>at).reserved = 0
        ff_put24((<ff_deth *>at).src_qpn, packet.src_qpn)
        at += sizeof(ff_deth)
    if traits & FF_HAS_RETH:
        ff_put64((<ff_reth *>at).addr, packet.addr)
        ff_put32((<ff_reth *>at).rkey, packet.rkey)
        ff_put32((<ff_reth *>at).length, packet.length)
        at += sizeof(ff_reth)
    if traits & FF_HAS_ATOMICETH:
        ff_put64((<ff_atomiceth *>at).addr, packet.addr)
        ff_put32((<ff_atomiceth *>at).rkey, packet.rkey)
        ff_put64((<ff_atomiceth *>at).swap_add, packet.swap_add)
        ff_put64((<ff_atomiceth *>at).compare, packet.compare)
        at += sizeof(ff_atomiceth)
    if traits & FF_HAS_AETH:
        (<ff_aeth *>at).syndrome = packet.syndrome
        ff_put24((<ff_aeth *>at).msn, packet.msn)
        at += sizeof(ff_aeth)
    if traits & FF_HAS_ATOMICACK:
        ff_put64((<ff_atomicacketh *>at).original, packet.original)
        at += sizeof(ff_atomicacketh)
    if traits & FF_HAS_IMM:
        memcpy(at, &packet.imm, sizeof(ff_immdt))
        at += sizeof(ff_immdt)
    if traits & FF_HAS_IETH:
        ff_put32((<ff_ieth *>at).rkey, packet.inv_rkey)
        at += sizeof(ff_ieth)
    if traits & FF_HAS_GRH:
        memcpy(at, packet.grh, FF_GRH_SIZE)
        at += FF_GRH_SIZE
    return at


# ---- the Python edge: packets as dicts, for tests and tools ---------------------------------------------------------

FIELDS = {
    "rkey": FF_HAS_RETH | FF_HAS_ATOMICETH, "length": FF_HAS_RETH, "addr": FF_HAS_RETH | FF_HAS_ATOMICETH,
    "swap_add": FF_HAS_ATOMICETH, "compare": FF_HAS_ATOMICETH, "syndrome": FF_HAS_AETH, "msn": FF_HAS_AETH,
    "original": FF_HAS_ATOMICACK, "imm": FF_HAS_IMM, "inv_rkey": FF_HAS_IETH, "srqn": FF_HAS_XRCETH,
    "qkey": FF_HAS_DETH, "src_qpn": FF_HAS_DETH, "grh": FF_HAS_GRH,
}
REASONS = {ROCE_TRUNCATED: "truncated", ROCE_UNKNOWN_OPCODE: "unknown opcode", ROCE_BAD_VERSION: "transport version",
           ROCE_NOT_ALIGNED: "pad"}
OPERATIONS = {
    "SEND_FIRST": FF_SEND_FIRST, "SEND_MIDDLE": FF_SEND_MIDDLE, "SEND_LAST": FF_SEND_LAST,
    "SEND_LAST_IMM": FF_SEND_LAST_IMM, "SEND_ONLY": FF_SEND_ONLY, "SEND_ONLY_IMM": FF_SEND_ONLY_IMM,
    "WRITE_FIRST": FF_WRITE_FIRST, "WRITE_MIDDLE": FF_WRITE_MIDDLE, "WRITE_LAST": FF_WRITE_LAST,
    "WRITE_LAST_IMM": FF_WRITE_LAST_IMM, "WRITE_ONLY": FF_WRITE_ONLY, "WRITE_ONLY_IMM": FF_WRITE_ONLY_IMM,
    "READ_REQUEST": FF_READ_REQUEST, "READ_RESPONSE_FIRST": FF_READ_RESPONSE_FIRST,
    "READ_RESPONSE_MIDDLE": FF_READ_RESPONSE_MIDDLE, "READ_RESPONSE_LAST": FF_READ_RESPONSE_LAST,
    "READ_RESPONSE_ONLY": FF_READ_RESPONSE_ONLY, "ACKNOWLEDGE": FF_ACKNOWLEDGE,
    "ATOMIC_ACKNOWLEDGE": FF_ATOMIC_ACKNOWLEDGE, "COMPARE_SWAP": FF_COMPARE_SWAP, "FETCH_ADD": FF_FETCH_ADD,
    "SEND_LAST_INV": FF_SEND_LAST_INV, "SEND_ONLY_INV": FF_SEND_ONLY_INV,
}
TRANSPORTS = {"RC": FF_RC, "UC": FF_UC, "UD": FF_UD, "XRC": FF_XRC, "routed UD": FF_ROUTED_UD}
OPCODES = {f"{t} {o}": tv | ov for t, tv in TRANSPORTS.items() for o, ov in OPERATIONS.items()
           if ff_roce_traits_of(tv | ov) and not (tv == FF_ROUTED_UD and ff_roce_traits_of(tv | ov) & FF_HAS_IETH)} | {
               f"UC {o}": FF_ROUTED_UC | OPERATIONS[o] for o in ("SEND_LAST_INV", "SEND_ONLY_INV")} | {"MARK": FF_ROUTER | FF_MARK, "ECHO": FF_ROUTER | FF_ECHO,
               "PROBE": FF_ROUTER | FF_PROBE, "PROBED": FF_ROUTER | FF_PROBED}
NAMES = {value: name for name, value in OPCODES.items()}


def parse(const uint8_t[::1] data):
    """A packet (BTH up to, not with, its ICRC) as a dict; ValueError with the reason when it is none."""
    cdef roce_packet p
    cdef uint8_t empty = 0
    cdef int result = roce_parse(&p, &data[0] if data.shape[0] else &empty, data.shape[0])
    if result != ROCE_PARSED:
        raise ValueError(REASONS[result])
    whole = {"rkey": p.rkey, "length": p.length, "addr": p.addr, "swap_add": p.swap_add, "compare": p.compare,
             "syndrome": p.syndrome, "msn": p.msn, "original": p.original, "imm": p.imm, "inv_rkey": p.inv_rkey,
             "srqn": p.srqn, "qkey": p.qkey, "src_qpn": p.src_qpn,
             "grh": bytes(p.grh[:FF_GRH_SIZE]) if p.traits & FF_HAS_GRH else None}
    packet = {"opcode": p.opcode, "solicited": p.solicited, "migreq": p.migreq, "ackreq": p.ackreq, "filler": p.filler, "ecn": p.ecn,
              "pkey": p.pkey, "qpn": p.qpn, "psn": p.psn, "payload": bytes(p.payload[:p.size])}
    packet.update({name: whole[name] for name, traits in FIELDS.items() if p.traits & traits})
    return packet


def emit(dict packet):
    """The bytes of a packet, pad included, ICRC not. Fields as parse() gives them; absent ones are 0."""
    cdef roce_packet p
    cdef uint8_t out[FF_ROCE_MAX_HEADERS]
    get = packet.get
    memset(&p, 0, sizeof(p))
    payload = get("payload", b"")
    p.size = len(payload)
    p.opcode, p.solicited, p.migreq = packet["opcode"], get("solicited", 0), get("migreq", 0)
    p.ackreq, p.ecn, p.pkey = get("ackreq", 0), get("ecn", 0), get("pkey", FF_DEFAULT_PKEY)
    p.filler = get("filler", 0) & FF_BTH_FILLER
    p.qpn, p.psn, p.rkey, p.length = get("qpn", 0), get("psn", 0), get("rkey", 0), get("length", 0)
    p.addr, p.swap_add, p.compare = get("addr", 0), get("swap_add", 0), get("compare", 0)
    p.syndrome, p.msn, p.original = get("syndrome", 0), get("msn", 0), get("original", 0)
    p.imm, p.inv_rkey, p.srqn = get("imm", 0), get("inv_rkey", 0), get("srqn", 0)
    p.qkey, p.src_qpn = get("qkey", 0), get("src_qpn", 0)
    grh = get("grh", bytes(FF_GRH_SIZE))
    if len(grh) != FF_GRH_SIZE:
        raise ValueError("a GRH has 40 bytes")
    p.grh = grh
    if not ff_roce_traits_of(p.opcode):
        raise ValueError("unknown opcode")
    headers = roce_emit(&p, out)
    return bytes(out[:headers]) + payload + bytes(p.pad)
