"""Several MIDDLE packets of a message are made at once (env.emit_run), and taken at once (env.put_run). That is for speed
alone: what comes of it is what packets that come singly make."""

import pytest
from roce_pair import AT, KEY, NOW, ack, converse, nak, names, packet, pair, parsed, psns, statuses

from ffr.nic.roce.protocol import harness as h

RTT = 50_000


def content(size):
    return bytes(i * 7 & 255 for i in range(257)) * (size // 257 + 1)


def routers(window=1000, **both):
    a, b = pair(routed=True, carries=both.pop("carries", 1472), **both)
    a.path.window = window
    return a, b


def post(a, operation, size):
    return a.post_send(operation, content(size)[:size], rkey=KEY, addr=AT)


# ---- made -----------------------------------------------------------------------------------------------------------

def asked(packets):
    return [p["psn"] for p in parsed(packets) if p["ackreq"]]


@pytest.mark.parametrize("transport", ["RC", "XRC"])
@pytest.mark.parametrize("budget, window", [(1000, 1000), (1000, 7), (5, 1000), (16, 1000), (17, 11), (2, 1000), (1000, 2)])
def test_the_same_packets_ask_for_an_ack(transport, budget, window, rng):
    """9.7.3, as if each was sent by itself: the last of a message, of a turn and of what the window has room for, and each
    16th."""
    for _ in range(20):
        a = h.QP(transport=transport, qpn=1, dest_qpn=2, sq_psn=rng.getrandbits(24), routed=True, carries=1472)
        a.path.window = window
        for _ in range(3):
            post(a, rng.choice(["send", "write", "send_imm"]), rng.choice([10, 3000, 20_000, 60_000]))
        turn = "more"
        while turn == "more":
            turn = a.send(NOW, budget)
            packets = a.take_sent()
            ends = [psn for psn, name in zip(psns(packets), names(packets)) if "LAST" in name or "ONLY" in name]
            ends += psns(packets[-1:]) if turn in ("more", "blocked") else []
            assert asked(packets) == [psn for psn in psns(packets) if psn & 15 == 15 or psn in ends]


def test_uc_asks_for_nothing():
    """9.8.2: nothing is acknowledged."""
    a, _ = routers(transport="UC")
    post(a, "send", 60_000)
    assert a.send(NOW, 1000) == "idle"
    assert len(a.sent) == 42 and asked(a.sent) == []


@pytest.mark.parametrize("transport", ["RC", "UC", "XRC"])
@pytest.mark.parametrize("carries", [0, 1472])
def test_no_room_in_a_run_loses_nothing(transport, carries):
    """What is not queued now is sent in a later turn, from where it stopped."""
    for room in range(12):
        a, b = routers(carries=carries, transport=transport)
        whole, _ = routers(carries=carries, transport=transport)
        b.post_recv(9000)
        for qp in (a, whole):
            post(qp, "send", 9000)
        a.room = room
        whole.send(NOW)
        count = len(whole.sent)
        assert a.send(NOW) == ("full" if room < count else "idle")
        assert len(a.sent) == min(room, count) and a.state["send_psn"] == 100 + min(room, count)
        assert a.counters["packets_sent"] == len(a.sent) and a.counters["retransmitted"] == 0
        a.room = None
        a.send(NOW)
        assert a.sent == whole.sent and a.state == whole.state and a.counters == whole.counters
        converse(a, b)
        assert statuses(a) == [("send", "ok")] and b.receive_queue[0].data == content(9000)[:9000]


@pytest.mark.parametrize("transport", ["RC", "UC"])
@pytest.mark.parametrize("earlier", [False, True])
def test_memory_that_is_gone_in_a_run_fails_its_message_alone(transport, earlier):
    """9.9.2: LOC_PROT, after all before it; what was sent is as if packets were made singly, in turns of one."""
    for fault in (0, 1, 1400, 1456, 1457, 5000, 8999):
        ends = []
        for budget in (1000, 1):
            a, _ = routers(transport=transport)
            if earlier:
                post(a, "send", 10)
            post(a, "send", 9000).fault = fault
            post(a, "send", 10)
            while a.send(NOW, budget) == "more":
                pass
            if earlier and transport == "RC":
                assert a.completions == [] and not a.failed
                a.receive(ack(100), NOW)
            ends.append(a)
        assert statuses(ends[0]) == [("send", "ok")] * earlier + [("send", "loc_prot"), ("send", "flush")]
        assert ends[0].failed and ends[0].path.in_flight == 0
        assert [p[12:] for p in ends[0].sent] == [p[12:] for p in ends[1].sent]
        assert ends[0].state == {**ends[1].state, "timed_psn": ends[0].state["timed_psn"]}
        assert ends[0].completions == ends[1].completions and ends[0].counters == ends[1].counters


@pytest.mark.parametrize("budget, timed", [(10, 108), (16, 114), (1000, 141)])
def test_a_round_trip_is_that_of_a_packet_that_asks(budget, timed):
    """The packet whose time is taken is one whose ACK comes by itself. An admission costs a turn one packet."""
    a, b = pair(routed=True, carries=1472)
    a.path.window = 1000
    post(a, "write", 60_000)
    a.send(NOW, budget)
    assert a.state["timed_psn"] == timed and timed in asked(a.sent)
    for p in a.take_sent():
        b.receive(p, NOW, send=psns([p]) == [timed])
    a.receive(b.sent[0], NOW + RTT)
    assert a.path.rtt_ns == RTT


def test_what_is_sent_again_goes_singly():
    """After going back (9.7.5.2); runs begin with what is new."""
    a, b = routers()
    post(a, "write", 60_000)
    a.send(NOW, 21)
    first = a.take_sent()
    assert psns(first) == list(range(100, 120))
    a.receive(nak(105, 0), NOW + RTT, budget=1000)
    assert psns(a.sent) == list(range(105, 142)) and a.counters["retransmitted"] == 15
    for p in first[:5] + a.take_sent():
        b.receive(p, NOW + RTT)
    assert b.memory.data[:60_000] == content(60_000)[:60_000] and not b.failed


# ---- taken ----------------------------------------------------------------------------------------------------------

def run_of(stem, count, *, psn=101, size=500, ackreq=(), **fields):
    """MIDDLE packets. ackreq: which ask for an ACK."""
    return [packet(f"RC {stem}_MIDDLE", psn=psn + n & 0xFFFFFF, payload=content(count * size)[n * size:(n + 1) * size],
                   ackreq=n in ackreq, **fields) for n in range(count)]


def opened(stem, length=9000, receive=9000, size=500, routed=True, **attributes):
    """In the middle of a message of `length` bytes, of which 500 are there."""
    _, b = pair(b=attributes, routed=routed, carries=1472 * routed)
    b.post_recv(receive)
    b.receive(packet(f"RC {stem}_FIRST", psn=100, payload=b"1" * size, rkey=KEY, addr=AT, length=length), NOW)
    return b


def everything(b):
    return (b.state, b.counters, list(b.sent), list(b.completions), list(b.events), b.failed, b.due,
            [bytes(r.data) for r in b.regions], [bytes(w.data) for w in b.receive_queue])


def singly(b, packets):
    for p in packets:
        b.receive(p, NOW, send=False)
    b.send(NOW)


@pytest.mark.parametrize("ackreq", [(), (0,), (3,), (6,), (0, 3, 6)])
@pytest.mark.parametrize("size", [4, 500, 501, 1456])
@pytest.mark.parametrize("stem", ["SEND", "WRITE"])
def test_a_run_is_what_its_packets_are(stem, size, ackreq):
    packets, tail = run_of(stem, 7, size=size, ackreq=ackreq), 100
    length = 500 + 7 * size + tail
    last = packet(f"RC {stem}_LAST", psn=108, payload=b"4" * tail, ackreq=1)
    ends = []
    for together in (True, False):
        b = opened(stem, length, receive=length)
        if together:
            assert b.receive_run(packets, NOW)
        else:
            singly(b, packets)
        ends.append(everything(b))
        assert psns(b.sent) == ([107] if ackreq else []), "one ACK for all that came together"
        b.receive(last, NOW)
        ends.append(everything(b))
        where = b.receive_queue[0].data if stem == "SEND" else b.memory.data
        assert where[:length] == b"1" * 500 + content(7 * size)[:7 * size] + b"4" * tail
        assert statuses(b) == ([("recv", "ok")] if stem == "SEND" else []) and not b.failed
    assert ends[:2] == ends[2:]


def test_runs_follow_one_another_across_psn_zero():
    """9.7.1: PSNs count modulo 2^24."""
    b = h.QP(qpn=0xB, dest_qpn=0xA, rq_psn=0xFFFFFC, routed=True)
    b.post_recv(6005)
    b.receive(packet("RC SEND_FIRST", psn=0xFFFFFC, payload=b"1" * 4), NOW)
    for psn in (0xFFFFFD, 1, 5):
        assert b.receive_run(run_of("SEND", 4, psn=psn, ackreq=(1,)), NOW)
    assert psns(b.sent) == [0, 4, 8]
    b.receive(packet("RC SEND_LAST", psn=9, payload=b"2"), NOW)
    assert statuses(b) == [("recv", "ok")] and b.completions[0][3]["length"] == 6005
    assert b.receive_queue[0].data == b"1" * 4 + content(2000)[:2000] * 3 + b"2"


def same_singly(b, twin, packets, stores=False):
    """The run is refused and has changed nothing; one by one they do what they do to a QP that was never asked. stores: a
    part of it may be in memory already."""
    before = everything(b)
    assert not b.receive_run(packets, NOW)
    assert everything(b) == before or stores and (b.state, b.counters, b.sent, b.completions) == before[:4]
    singly(b, packets)
    singly(twin, packets)
    assert everything(b) == everything(twin)


@pytest.mark.parametrize("stem", ["SEND", "WRITE"])
@pytest.mark.parametrize("selective", [False, True])
def test_a_gap_takes_no_run(stem, selective):
    """9.7.5.2: behind it, and where it is closed by a run whose end is not all that came."""
    b, twin = [opened(stem, selective=selective) for _ in range(2)]
    same_singly(b, twin, run_of(stem, 3, psn=102))
    assert parsed(b.sent)[-1]["syndrome"] == 0x60 and b.state["held"] == 3 * selective
    before = b.counters["packets_received"]
    same_singly(b, twin, run_of(stem, 3, psn=101))
    assert b.state["epsn"] == (105 if selective else 104) and b.counters["packets_received"] == before + 3
    assert b.receive_run(run_of(stem, 3, psn=b.state["epsn"]), NOW), "the gap is closed"


@pytest.mark.parametrize("stem", ["SEND", "WRITE"])
def test_what_came_before_takes_no_run(stem):
    """9.7.5.1: duplicates are acknowledged, and store nothing."""
    b, twin = [opened(stem) for _ in range(2)]
    packets = run_of(stem, 3)
    for qp in (b, twin):
        singly(qp, packets)
    same_singly(b, twin, packets)
    assert b.counters["duplicates"] == 3 and names(b.sent) == ["ACKNOWLEDGE"]


def test_a_receiver_that_is_not_ready_takes_no_run():
    """9.7.5.2.8: what follows a packet that found no receive WQE is dropped in silence until that comes again."""
    ends = []
    for _ in range(2):
        _, b = pair(routed=True)
        b.receive(packet("RC SEND_FIRST", psn=100, payload=b"1" * 500), NOW)
        assert parsed(b.sent)[-1]["syndrome"] & 0xE0 == 0x20
        b.post_recv(9000)
        ends.append(b)
    b, twin = ends
    same_singly(b, twin, run_of("SEND", 3))
    b.receive(packet("RC SEND_FIRST", psn=100, payload=b"1" * 500), NOW)
    assert b.receive_run(run_of("SEND", 3), NOW) and b.state["received"] == 2000


def test_a_nak_that_has_not_left_yet_takes_no_run():
    """A packet ends it that is executed by itself (9.7.5.2)."""
    b, twin = [opened("WRITE") for _ in range(2)]
    for qp in (b, twin):
        qp.receive(packet("RC WRITE_MIDDLE", psn=105, payload=b"x" * 500), NOW, send=False)
    same_singly(b, twin, run_of("WRITE", 3))
    assert names(b.sent) == [] and b.receive_run(run_of("WRITE", 3, psn=104), NOW)


def test_a_failed_qp_takes_no_run():
    b, twin = [opened("WRITE") for _ in range(2)]
    for qp in (b, twin):
        qp.receive(packet("RC SEND_ONLY", psn=101), NOW)
        assert qp.failed
    same_singly(b, twin, run_of("WRITE", 3, psn=101))
    assert b.counters["dropped"] == 3


@pytest.mark.parametrize("stem, attributes", [
    ("WRITE", {"length": 2000}), ("WRITE", {"length": 1999}), ("WRITE", {"length": 600}), ("SEND", {"receive": 1999}),
    ("SEND", {"receive": 700})])
def test_a_run_stops_short_of_its_messages_end(stem, attributes):
    """9.7.4.1: MIDDLE packets that leave no byte for LAST, or more than there is room for."""
    b, twin = [opened(stem, **attributes) for _ in range(2)]
    same_singly(b, twin, run_of(stem, 3))
    assert b.failed and parsed(b.sent)[-1]["syndrome"] == 0x61
    assert statuses(b) == [("recv", "loc_len" if stem == "SEND" else "flush")]


def test_a_run_may_fill_its_receive_wqe():
    """What is too much is LAST, which has a byte at least."""
    b = opened("SEND", receive=2000)
    assert b.receive_run(run_of("SEND", 3), NOW) and not b.failed
    b.receive(packet("RC SEND_LAST", psn=104, payload=b"x"), NOW)
    assert statuses(b) == [("recv", "loc_len")]
    b = opened("WRITE", length=2001)
    assert b.receive_run(run_of("WRITE", 3), NOW) and b.state["write_left"] == 1


@pytest.mark.parametrize("opened_by, stem", [("SEND", "WRITE"), ("WRITE", "SEND"), (None, "SEND"), (None, "WRITE")])
def test_a_run_of_no_open_message_is_refused(opened_by, stem):
    """9.7.4.1: the opcode sequence."""
    ends = [opened(opened_by) if opened_by else pair(routed=True)[1] for _ in range(2)]
    for qp in ends:
        qp.post_recv(9000)
    same_singly(*ends, run_of(stem, 3, psn=101 if opened_by else 100))
    assert ends[0].failed and parsed(ends[0].sent)[-1]["syndrome"] == 0x61


@pytest.mark.parametrize("left", [0, 499, 500, 501, 1200, 1999])
def test_a_key_that_is_gone_in_a_run(left):
    """9.7.4.1: a remote access error, by the packet that finds it. `left`: bytes that are still registered."""
    b, twin = [opened("WRITE") for _ in range(2)]
    for qp in (b, twin):
        del qp.memory.data[left:]
    same_singly(b, twin, run_of("WRITE", 3), stores=True)
    assert b.failed and parsed(b.sent)[-1]["syndrome"] == 0x62 and b.state["received"] == max(left, 500) // 500 * 500
    assert b.events == ["access_err"]


def test_a_run_without_access_is_refused():
    """9.7.4.1: an invalid request. What a QP allows may change while it is connected."""
    b, twin = [opened("WRITE", access=0) for _ in range(2)]
    assert b.failed and parsed(b.sent)[-1]["syndrome"] == 0x61
    same_singly(b, twin, run_of("WRITE", 3))
    b, twin = [opened("WRITE") for _ in range(2)]
    for qp in (b, twin):
        qp.allow(0)
    same_singly(b, twin, run_of("WRITE", 3))
    assert b.failed and parsed(b.sent)[-1]["syndrome"] == 0x61


@pytest.mark.parametrize("fault", [500, 999, 1000, 1499, 1999])
def test_a_receive_wqe_whose_memory_is_gone_in_a_run(fault):
    """9.7.4.1: a remote operational error, by the packet that finds it."""
    b, twin = [opened("SEND") for _ in range(2)]
    for qp in (b, twin):
        qp.receive_queue[0].fault = fault
    same_singly(b, twin, run_of("SEND", 3), stores=True)
    assert statuses(b) == [("recv", "loc_prot")] and b.failed and parsed(b.sent)[-1]["syndrome"] == 0x63


@pytest.mark.parametrize("fields", [{"pkey": 0x7FFE}, {"filler": 1}, {"filler": 127}])
def test_runs_of_another_partition_or_with_filler_are_refused(fields):
    """9.6.1; and MIDDLE packets have no filler."""
    b, twin = [opened("SEND") for _ in range(2)]
    same_singly(b, twin, run_of("SEND", 3, **fields))
    assert b.counters["dropped"] == 3 and b.state["epsn"] == 101


@pytest.mark.parametrize("transport", ["UC", "XRC"])
def test_runs_are_of_rc(transport):
    b, twin = [pair(transport=transport, routed=True)[1] for _ in range(2)]
    for qp in (b, twin):
        qp.post_recv(9000)
        qp.receive(packet(f"{transport} SEND_FIRST", psn=100, payload=b"1" * 500), NOW)
    same_singly(b, twin, run_of("SEND", 3))
    same_singly(b, twin, [packet(f"{transport} SEND_MIDDLE", psn=101 + n, payload=b"2" * 500) for n in range(3)])
    assert b.state["epsn"] == 104


def test_others_send_no_runs():
    """What is not from a router is looked at packet by packet (9.7.4.1: exactly an MTU each)."""
    b, twin = [opened("SEND", size=1024, routed=False) for _ in range(2)]
    same_singly(b, twin, run_of("SEND", 3, size=1024))
    assert b.state["epsn"] == 104
    same_singly(b, twin, run_of("SEND", 3, psn=104))
    assert b.failed


@pytest.mark.parametrize("stem", ["SEND", "WRITE"])
def test_empty_packets_make_no_run(stem):
    """9.7.4.1: an invalid request."""
    b, twin = [opened(stem) for _ in range(2)]
    same_singly(b, twin, run_of(stem, 3, size=0))
    assert b.failed
