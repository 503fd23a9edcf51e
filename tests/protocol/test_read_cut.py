"""READs between routers: the request says how its response is cut, in units of 128 bytes (ffr/nic/roce/protocol/cut.pxd)."""

import pytest
from roce_pair import AT, KEY, NOW, converse, names, pair, parsed, psns, statuses

from ffr.nic.roce.protocol import harness as h
from ffr.nic.roce.protocol import wire

ROUTED = dict(routed=True, carries=1472, read_size=1408)
FIRST_BYTES = 12 + 4 + 1408  # BTH, AETH, payload


def read(length, now=NOW, **both):
    """(the WQE, packets from a, packets from b) of a READ that was answered."""
    a, b = pair(**(both or ROUTED))
    w = a.post_send("read", bytes(length), addr=AT, rkey=KEY)
    log = converse(a, b, now)
    assert statuses(a) == [("send", "ok")]
    assert bytes(w.data) == bytes(b.memory.data[:length])
    return w, [p for source, p in log if source is a], [p for source, p in log if source is b]


@pytest.mark.parametrize("length", [0, 1, 1407, 1408, 1409, 1411, 2816, 4096, 65535, 65536])
@pytest.mark.parametrize("size", [128, 1408])
def test_what_is_read_is_what_was_there(length, size):
    _, requests, responses = read(length, routed=True, carries=1472, read_size=size)
    assert len(responses) == max(1, -(-length // size))
    assert all(wire.parse(p)["filler"] == size // 128 for p in requests)


def test_packets_of_a_response_are_of_one_size():
    """FIRST has an AETH, so MIDDLE has a word of filler and LAST as many as it takes: one datagram for the kernel."""
    _, _, responses = read(3 * 1408 - 400)
    assert names(responses) == ["READ_RESPONSE_FIRST", "READ_RESPONSE_MIDDLE", "READ_RESPONSE_LAST"]
    assert {len(p) for p in responses} == {FIRST_BYTES}
    assert [p["filler"] for p in parsed(responses)] == [0, 1, 100]


def test_a_last_that_would_be_mostly_filler_is_shorter():
    """The BTH's seven bits count 127 words."""
    _, _, responses = read(1408 + 512)
    assert len(responses[1]) == 12 + 4 + 512


def test_long_reads_are_asked_for_in_cells():
    """48 packets of 1408 bytes, 8 of 8832: about 64 KB each."""
    _, requests, _ = read(65536)
    assert [p["length"] for p in parsed(requests)] == [65536]
    a, _ = pair(routed=True, carries=8972, read_size=8832)
    a.path.window = 1000
    a.post_send("read", bytes(200_000), addr=AT, rkey=KEY)
    a.send(NOW)
    assert [p["length"] for p in parsed(a.take_sent())] == [8 * 8832, 8 * 8832, 200_000 - 16 * 8832]


def test_a_part_that_was_lost_is_asked_for_and_cut_the_same_way():
    """9.4.4: a READ that is repeated is a part of the one before, packet for packet."""
    a, b = pair(**ROUTED)
    w = a.post_send("read", bytes(5 * 1408), addr=AT, rkey=KEY)
    a.send(NOW)
    b.receive(a.take_sent()[0], NOW)
    first, second, _, fourth, fifth = b.take_sent()
    for p in (first, second, fourth):
        a.receive(p, NOW)
    again = a.take_sent()
    assert psns(again) == [102] and wire.parse(again[0])["filler"] == 11 and wire.parse(again[0])["length"] == 3 * 1408
    b.receive(again[0], NOW)
    repeated = b.take_sent()
    assert psns(repeated) == [102, 103, 104] and repeated[-1][12:] == fifth[12:]
    for p in repeated:
        a.receive(p, NOW)
    assert statuses(a) == [("send", "ok")] and bytes(w.data) == bytes(b.memory.data[:5 * 1408])


def test_who_does_not_know_yet_what_its_path_carries_answers_as_it_is_asked():
    """The other router has heard a probe; that it came is still on its way back, or was lost."""
    read(20_000, a={"carries": 1472, "read_size": 1408}, b={"carries": 0, "answers": 1472}, routed=True)


def test_who_cannot_send_such_packets_refuses():
    """A unit that its own link does not carry is no request of a router that has heard its probes."""
    a, b = pair(a={"carries": 8972, "read_size": 8832}, b={"carries": 1472}, routed=True)
    a.post_send("read", bytes(20_000), addr=AT, rkey=KEY)
    converse(a, b)
    assert statuses(a) == [("send", "rem_inv_req")]


def test_a_foreign_peers_reserved_bits_say_nothing():
    """9.2: reserved bits are ignored by who receives them."""
    a, b = pair(a={**ROUTED}, b={})
    a.post_send("read", bytes(3000), addr=AT, rkey=KEY)
    a.send(NOW)
    b.receive(a.take_sent()[0], NOW)
    assert [len(p["payload"]) for p in parsed(b.take_sent())] == [1024, 1024, 952]


def test_no_room_in_the_middle_of_a_response():
    a, b = pair(**ROUTED)
    w = a.post_send("read", bytes(20 * 1408), addr=AT, rkey=KEY)
    a.send(NOW)
    b.room = 7
    assert b.receive(a.take_sent()[0], NOW) == "full"
    b.room = None
    b.respond()
    responses = b.take_sent()
    assert psns(responses) == list(range(100, 120))
    for p in responses:
        a.receive(p, NOW)
    assert bytes(w.data) == bytes(b.memory.data[:20 * 1408])


def test_memory_that_goes_away_during_a_response():
    a, b = pair(**ROUTED)
    a.post_send("read", bytes(20 * 1408), addr=AT, rkey=KEY)
    a.send(NOW)
    b.room = 7
    b.receive(a.take_sent()[0], NOW)
    b.regions.clear()
    b.room = None
    b.respond()
    for p in b.take_sent():
        a.receive(p, NOW)
    assert statuses(a) == [("send", "rem_access")]
    assert isinstance(b, h.QP) and b.failed
