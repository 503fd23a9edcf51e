"""CRC engines against one another, and the ICRC against what it must and must not notice (annex A17.9)."""

import random
import struct
import zlib

import pytest
from pcaps import CAPTURES, roce_packets

from ffcore import icrc

ENGINES = [name for name in ("isal", "zlib", "table") if icrc.use_engine(name)]  # those that this machine has
icrc.use_engine("")


@pytest.fixture(params=ENGINES)
def engine(request):
    icrc.use_engine(request.param)
    yield request.param
    icrc.use_engine("")


def test_engines_agree_with_zlib(engine):
    rng = random.Random(1)
    for size in [*range(70), 255, 256, 4095, 4096, 4097, 9001]:
        data = rng.randbytes(size)
        running = rng.getrandbits(32)
        assert icrc.crc32(data, running) == zlib.crc32(data, running)
        assert icrc.crc32_copy(data, running) == (data, zlib.crc32(data, running))


def test_best_engine_is_chosen():
    assert icrc.use_engine("") == icrc.engine_name
    assert icrc.use_engine("none such") == ""


def by_the_book(source, destination, source_port, ident, body, flags=0x4000):
    """The ICRC of an IPv4 packet, composed as the annex describes it."""
    size = len(body) + 4
    ip = struct.pack("!BBHHHBBH", 0x45, 0xFF, 28 + size, ident, flags, 0xFF, 17, 0xFFFF) + source + destination
    udp = struct.pack("!HHHH", source_port, 4791, 8 + size, 0xFFFF)
    return struct.pack("<I", zlib.crc32(b"\xff" * 8 + ip + udp + body[:4] + b"\xff" + body[5:]))


SOURCE, DESTINATION, PORT = b"\x0a\x4d\0\1", b"\x0a\x4d\0\2", 0xC123


def test_any_identification_is_accepted_and_only_that(engine):
    """A UDP socket does not show the IP identification: every value of it passes, other changes do not."""
    rng = random.Random(2)
    flow = icrc.Flow(SOURCE, DESTINATION, PORT)
    for size in [12, 16, 28, 1040, 4112]:
        body = rng.randbytes(size)
        for ident in [0, 1, 63, 0x1234, 0xFFFF, rng.getrandbits(16)]:
            assert flow.icrc(body, ident) == by_the_book(SOURCE, DESTINATION, PORT, ident, body)
            for flags in (0x4000, 0):
                packet = body + by_the_book(SOURCE, DESTINATION, PORT, ident, body, flags)
                assert all(flow.good(packet, guess) for guess in (0, 5, ident))
        passed = 0
        for _ in range(2000):
            bad = bytearray(body + flow.icrc(body))
            at = rng.randrange(len(bad))
            if at == 4:
                continue
            bad[at] ^= rng.randrange(1, 256)
            passed += flow.good(bytes(bad))
        assert passed <= 3  # one in 2^15 is expected to pass


def test_what_a_flow_remembers_serves_every_size_and_identification(engine):
    """Of long packets only what changes is summed; sizes take turns, as those of FIRST, MIDDLE and LAST packets do."""
    rng = random.Random(3)
    flow = icrc.Flow(SOURCE, DESTINATION, PORT)
    for ident in [*range(70), 0x1234, 0xFFFF]:
        for size in (1056, 1040, 508, 504, 4112, 4364):
            for congestion in (0, 0x40):
                body = rng.randbytes(4) + bytes([congestion]) + rng.randbytes(size - 5)
                assert flow.icrc(body, ident) == by_the_book(SOURCE, DESTINATION, PORT, ident, body)


def test_long_packets_over_ipv6():
    source, destination = bytes(15) + b"\1", bytes(15) + b"\2"
    flow = icrc.Flow(source, destination, PORT)
    for size in (1056, 1040, 1056):
        body = bytes(size)
        length = struct.pack("!H", 8 + size + 4)
        covered = (b"\xff" * 8 + b"\x6f\xff\xff\xff" + length + b"\x11\xff" + source + destination
                   + struct.pack("!HH", PORT, 4791) + length + b"\xff\xff" + body[:4] + b"\xff" + body[5:])
        assert flow.icrc(body) == struct.pack("<I", zlib.crc32(covered))


def test_congestion_bits_are_not_covered():
    """9.2: routers set FECN and BECN on the way."""
    flow = icrc.Flow(SOURCE, DESTINATION, PORT)
    body = bytearray(range(32))
    packet = bytes(body) + flow.icrc(bytes(body))
    body[4] = 0xC0
    assert flow.good(bytes(body) + packet[-4:])


def test_ipv6_has_no_identification_to_hide_behind():
    c = next(roce_packets(CAPTURES / "v6_rc_send.pcap"))
    flow = icrc.Flow(c.source, c.destination, c.source_port)
    assert flow.good(c.packet)
    for bit in range(8 * len(c.packet)):
        if bit // 8 == 4:
            continue
        bad = bytearray(c.packet)
        bad[bit // 8] ^= 1 << bit % 8
        assert not flow.good(bytes(bad))


def test_too_short_is_not_good():
    flow = icrc.Flow(SOURCE, DESTINATION, PORT)
    for size in range(16):
        assert not flow.good(bytes(size))
