"""The headers of roce.h: sizes, refusals, tables."""

import random

import pytest

from ffr.nic.roce.protocol import wire

SIZES = {  # bytes of headers, table 38
    "RC SEND_ONLY": 12, "RC SEND_ONLY_IMM": 16, "RC SEND_ONLY_INV": 16, "RC WRITE_FIRST": 28, "RC WRITE_MIDDLE": 12,
    "RC WRITE_ONLY_IMM": 32, "RC WRITE_LAST_IMM": 16, "RC READ_REQUEST": 28, "RC READ_RESPONSE_FIRST": 16,
    "RC READ_RESPONSE_MIDDLE": 12, "RC ACKNOWLEDGE": 16, "RC ATOMIC_ACKNOWLEDGE": 24, "RC COMPARE_SWAP": 40,
    "UC WRITE_ONLY_IMM": 32, "UD SEND_ONLY": 20, "UD SEND_ONLY_IMM": 24, "XRC SEND_ONLY": 16, "XRC FETCH_ADD": 44,
    "XRC ACKNOWLEDGE": 16,
}


@pytest.mark.parametrize("name", SIZES)
def test_header_sizes(name):
    assert len(wire.emit({"opcode": wire.OPCODES[name]})) == SIZES[name]


@pytest.mark.parametrize("name", wire.OPCODES)
def test_random_values_survive(name):
    rng = random.Random(name)
    body = wire.emit({"opcode": wire.OPCODES[name]})
    reserved = 16 if "qkey" in wire.parse(body) else 12 if "srqn" in wire.parse(body) else None
    for _ in range(50):
        noise = bytearray(rng.randbytes(len(body)))
        noise[0], noise[1] = body[0], noise[1] & 0xC0
        if reserved is not None:
            noise[reserved] = 0
        assert wire.emit(wire.parse(bytes(noise))) == bytes(noise)


def test_transports_speak_their_operations_only():
    """Table 38: UC has no READ, atomics, acknowledgements or invalidate; UD only SEND_ONLY. Invalidates of UC are our own."""
    assert len([n for n in wire.OPCODES if n.startswith("RC")]) == 23
    assert len([n for n, code in wire.OPCODES.items() if n.startswith("UC") and code < 0xC0]) == 12
    assert [wire.OPCODES[f"UC SEND_{place}_INV"] for place in ("LAST", "ONLY")] == [0xD6, 0xD7]
    assert [n for n in wire.OPCODES if n.startswith("UD")] == ["UD SEND_ONLY", "UD SEND_ONLY_IMM"]
    for opcode in set(range(256)) - set(wire.OPCODES.values()):
        with pytest.raises(ValueError, match="unknown opcode"):
            wire.parse(bytes([opcode]) + bytes(63))


@pytest.mark.parametrize("name", wire.OPCODES)
def test_truncated(name):
    body = wire.emit({"opcode": wire.OPCODES[name]})
    for size in range(len(body)):
        with pytest.raises(ValueError, match="truncated"):
            wire.parse(body[:size])


def test_refusals():
    """9.2.5 transport version; 9.2.4 pad count and alignment."""
    send = bytearray(wire.emit({"opcode": wire.OPCODES["RC SEND_ONLY"], "payload": b"12345"}))
    assert len(send) == 20 and wire.parse(bytes(send))["payload"] == b"12345"
    send[1] |= 1
    with pytest.raises(ValueError, match="transport version"):
        wire.parse(bytes(send))
    with pytest.raises(ValueError, match="pad"):
        wire.parse(wire.emit({"opcode": wire.OPCODES["RC SEND_ONLY"]}) + b"123")
    with pytest.raises(ValueError, match="pad"):  # an acknowledgement carries nothing
        wire.parse(wire.emit({"opcode": wire.OPCODES["RC ACKNOWLEDGE"]}) + b"1234")
    padded = bytearray(wire.emit({"opcode": wire.OPCODES["RC SEND_ONLY"]}))
    padded[1] |= 0x30
    with pytest.raises(ValueError, match="truncated"):
        wire.parse(bytes(padded))
    with pytest.raises(ValueError, match="pad"):
        wire.parse(bytes(padded) + b"123")
