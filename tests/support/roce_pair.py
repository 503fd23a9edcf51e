"""Two connected queue pairs, and packets by name, for protocol tests: what goes in and out in given time."""

from ffr.nic.roce.protocol import harness as h
from ffr.nic.roce.protocol import wire

NOW = 1_000_000  # ns; any time but 0
KEY, AT = 0x4321, 0x7000_0000


def pair(a=None, b=None, **both):
    """Requester and responder with PSN 100 from a to b, 200 back. b has 64 KB under KEY at AT."""
    first = h.QP(qpn=0xA, dest_qpn=0xB, sq_psn=100, rq_psn=200, **both, **(a or {}))
    second = h.QP(qpn=0xB, dest_qpn=0xA, sq_psn=200, rq_psn=100, **both, **(b or {}))
    second.memory = second.register(KEY, AT, bytes(range(256)) * 256)
    return first, second


def parsed(packets):
    return [wire.parse(p) for p in packets]


def names(packets):
    """Operations without their transport: ["SEND_FIRST", ...]."""
    return [wire.NAMES[p[0]].split()[1] for p in packets]


def psns(packets):
    return [wire.parse(p)["psn"] for p in packets]


def packet(name, **fields):
    """The bytes of a packet: packet("RC SEND_ONLY", psn=100, payload=b"...")."""
    return wire.emit({"opcode": wire.OPCODES[name], **fields})


def ack(psn, syndrome=0x1F, transport="RC"):
    return packet(f"{transport} ACKNOWLEDGE", psn=psn, syndrome=syndrome)


def nak(psn, code):
    return ack(psn, 0x60 | code)


def rnr(psn, timer):
    return ack(psn, 0x20 | timer)


def converse(a, b, now=NOW):
    """Carry packets both ways until nobody has more to say; all of them, as (from, bytes)."""
    log = []
    a.send(now)
    b.send(now)
    while a.sent or b.sent:
        for source, to in ((a, b), (b, a)):
            for p in source.take_sent():
                log.append((source, p))
                to.receive(p, now)
    return log


def statuses(qp):
    """Completions as (kind, status)."""
    return [(kind, status) for kind, _, status, _ in qp.completions]
