"""CM messages against those of Linux (tests/data/pcaps/cm_*): read, and written again to the byte."""

import pytest
from pcaps import CAPTURES, roce_packets

from ffr.cm import harness

BTH, DETH, ICRC, MAD = 12, 8, 4, 256
REQ, MRA, REJ, REP, RTU, DREQ, DREP, SIDR_REQ, SIDR_REP = range(0x10, 0x19)


def mads(name):
    """The MADs to QP1 of a capture."""
    for captured in roce_packets(CAPTURES / f"{name}.pcap"):
        packet = captured.packet
        if int.from_bytes(packet[5:8], "big") == 1:
            yield packet[BTH + DETH:BTH + DETH + MAD]


ALL = [(name, i, mad) for name in ("cm_rping", "cm_ucmatose", "cm_udaddy", "cm_reject", "cm_mckey") for i, mad in enumerate(mads(name))]


def kinds(name):
    return [harness.parse(mad)["type"] for mad in mads(name)]


def test_conversations():
    assert kinds("cm_rping") == [REQ, REP, RTU, DREQ, DREP]
    assert kinds("cm_reject") == [REQ, REJ]
    assert kinds("cm_udaddy") == [SIDR_REQ, SIDR_REP]


def blank(mad):
    """Without the flow label, which here is always 0."""
    said = bytearray(mad)
    if harness.parse(mad)["type"] == REQ:
        said[24 + 88:24 + 91] = bytes(3)
    return bytes(said)


@pytest.mark.parametrize("name, i, mad", ALL, ids=[f"{name}-{i}" for name, i, _ in ALL])
def test_written_as_linux_writes(name, i, mad):
    assert harness.emit(harness.parse(mad)) == blank(mad)


def test_fields_of_a_request():
    said = harness.parse(next(iter(mads("cm_rping"))))
    assert said["service"] == 0x0106 << 16 | 7174
    assert said["qpn"] == 0x51 and said["psn"] == 0xe0f678 and said["mtu"] == 3
    assert (said["responder_resources"], said["initiator_depth"], said["retry_count"], said["rnr_retry"]) == (1, 1, 7, 7)
    assert said["sgid"][-4:] == bytes([10, 77, 0, 3]) and said["dgid"][-4:] == bytes([10, 77, 0, 2])
    assert said["ack_timeout"] == 19 and said["hop_limit"] == 64
    assert said["private"][1] == 0x40 and said["private"][20 - 4:20] == bytes([10, 77, 0, 3])


def test_fields_of_a_rejection():
    said = harness.parse(list(mads("cm_reject"))[1])
    assert said["reason"] == 8 and said["refers"] == 0 and said["local"] == 0


def test_fields_of_datagrams():
    request, reply = map(harness.parse, mads("cm_udaddy"))
    assert request["service"] == reply["service"] == 0x0111 << 16 | 7174
    assert reply["remote"] == request["local"]
    assert (reply["reason"], reply["qpn"], reply["qkey"]) == (0, 0x53, 0x01234567)


@pytest.mark.parametrize("at, value", [(0, 2), (1, 3), (2, 1), (3, 1), (17, 0x0f), (17, 0x19), (16, 1)])
def test_what_is_no_cm_message(at, value):
    mad = bytearray(next(iter(mads("cm_rping"))))
    mad[at] = value
    assert harness.parse(bytes(mad)) is None


def test_private_data_has_the_room_of_the_standard():
    assert {kind: harness.room(kind) for kind in (REQ, REP, REJ, MRA, RTU, DREQ, DREP, SIDR_REQ, SIDR_REP)} == {
        REQ: 92, REP: 196, REJ: 148, MRA: 222, RTU: 224, DREQ: 220, DREP: 224, SIDR_REQ: 216, SIDR_REP: 136}


def test_any_bytes_are_read(rng):
    for _ in range(2000):
        mad = bytearray(rng.randbytes(256))
        mad[:4] = bytes([1, 7, 2, 3])
        mad[16:18] = bytes([0, rng.randrange(0x10, 0x19)])
        said = harness.parse(bytes(mad))
        assert said is not None and len(said["private"]) == harness.room(said["type"])


@pytest.mark.parametrize("transport", [0, 1, 3])
def test_transports(transport):
    """RC, UC and XRC, whose type stands in a field of its own."""
    assert harness.parse(harness.emit({"type": REQ, "transport": transport}))["transport"] == transport
