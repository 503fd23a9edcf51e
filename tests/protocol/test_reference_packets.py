"""Packets that Linux rxe sent: each parses, is emitted again byte for byte, and carries the ICRC that we compute."""

import pytest
from pcaps import CAPTURES, roce_packets

from ffcore import icrc
from ffr.nic.roce.protocol import wire

FILES = sorted(CAPTURES.glob("*.pcap"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_parse_emit_icrc(path):
    captured = list(roce_packets(path))
    assert captured
    for c in captured:
        body = c.packet[:-4]
        assert wire.emit(wire.parse(body)) == body
        flow = icrc.Flow(c.source, c.destination, c.source_port)
        assert flow.icrc(body, c.ident) == c.packet[-4:]
        assert flow.good(c.packet)


def test_captures_hold_what_they_are_named_for():
    seen = {p.stem: {wire.NAMES[wire.parse(c.packet[:-4])["opcode"]] for c in roce_packets(p)} for p in FILES}
    assert "RC SEND_ONLY_INV" in seen["rc_send_inv"]
    assert {"RC COMPARE_SWAP", "RC FETCH_ADD", "RC ATOMIC_ACKNOWLEDGE"} <= seen["rc_atomic"]
    assert {"RC READ_REQUEST", "RC READ_RESPONSE_FIRST", "RC READ_RESPONSE_MIDDLE", "RC READ_RESPONSE_LAST",
            "RC READ_RESPONSE_ONLY"} <= seen["v6_rc_read"]
    assert "UC WRITE_FIRST" in seen["uc_write"]
    assert "UD SEND_ONLY_IMM" in seen["ud_send_imm"]


@pytest.mark.parametrize("name, syndrome", [("nak_invalid", 0x61), ("nak_access", 0x62), ("nak_op", 0x63),
                                            ("nak_rnr", 0x20 | 14)])
def test_nak_syndromes(name, syndrome):
    """9.7.5.1, table 45: what kind of NAK a syndrome is."""
    packets = [wire.parse(c.packet[:-4]) for c in roce_packets(CAPTURES / f"{name}.pcap")]
    assert syndrome in {p.get("syndrome") for p in packets}


def test_go_back_n_in_the_capture():
    """Under loss rxe goes back to the first packet that was not acknowledged and sends from there."""
    psns = [p["psn"] for p in (wire.parse(c.packet[:-4]) for c in roce_packets(CAPTURES / "nak_seq.pcap"))
            if "syndrome" not in p]
    assert psns == [8748, 8749, 8750, 8748, 8749, 8750, 8751]


def test_psn_wraps_in_the_capture():
    psns = [wire.parse(c.packet[:-4])["psn"] for c in roce_packets(CAPTURES / "rc_psn_wrap.pcap")]
    assert 0xFFFFFF in psns and 0 in psns
