"""Between routers a packet says which QP of its host has sent it: all of a host's QPs have one address, and who guesses a
QP's number and its PSN is another tenant's perhaps."""

import pytest
from roce_pair import AT, KEY, NOW, converse, packet, pair, parsed, statuses

from ffr.nic.roce.protocol.harness import name


@pytest.mark.parametrize("transport", ["RC", "UC", "XRC"])
def test_peers_hear_each_other(transport):
    a, b = pair(transport=transport, routed=True, named=True)
    b.post_recv(64)
    a.post_send("send", b"hello", rkey=KEY, addr=AT)
    converse(a, b)
    assert statuses(a)[0][1] == "ok" and statuses(b) == [("recv", "ok")]


@pytest.mark.parametrize("transport", ["RC", "UC", "XRC"])
@pytest.mark.parametrize("sender", [0xC, 0xA | 0x8000, 0xA ^ 0xFFFF, 0xFFFF, 0])
def test_nobody_else_is_heard(transport, sender):
    """Everything else of the packet is right."""
    _, b = pair(transport=transport, routed=True, named=True)
    b.post_recv(64)
    for pkey in (sender, name(0, 0, sender, 0xB), name(1, 0, 0xA, 0xB), name(0, 1, 0xA, 0xB)):
        b.receive(packet(f"{transport} SEND_ONLY", psn=100, payload=b"false", pkey=pkey), NOW)
        assert statuses(b) == [] and not b.sent
    b.receive(packet(f"{transport} SEND_ONLY", psn=100, payload=b"right", pkey=name(0, 0, 0xA, 0xB)), NOW)
    assert statuses(b) == [("recv", "ok")]


def test_to_others_they_are_the_standard_s():
    a, b = pair(transport="RC")
    b.post_recv(64)
    a.post_send("send", b"hello")
    a.send(NOW, 64)
    assert {p["pkey"] for p in parsed(a.take_sent())} == {0xFFFF}
