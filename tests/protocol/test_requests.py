"""Requester: what is sent for a work request, and in how many packets (IBTA volume 1, 9.2 to 9.4, 9.7.3)."""

import pytest
from roce_pair import AT, KEY, NOW, ack, converse, names, nak, packet, pair, parsed, psns, statuses

from ffr.nic.roce.protocol import harness as h


@pytest.mark.parametrize("mtu", [256, 512, 1024, 2048, 4096])
@pytest.mark.parametrize("operation, stem", [("send", "SEND"), ("write", "WRITE")])
def test_segmentation(mtu, operation, stem):
    """9.7.2: a message of n packets is FIRST, MIDDLE ..., LAST; all but the last carry exactly an MTU."""
    for size, shape in [(0, ["ONLY"]), (1, ["ONLY"]), (mtu, ["ONLY"]), (mtu + 1, ["FIRST", "LAST"]),
                        (3 * mtu, ["FIRST", "MIDDLE", "LAST"]), (3 * mtu + 5, ["FIRST", "MIDDLE", "MIDDLE", "LAST"])]:
        a, b = pair(mtu=mtu)
        data = bytes(i * 7 & 255 for i in range(size))
        a.post_send(operation, data, rkey=KEY, addr=AT)
        a.send(NOW)
        assert names(a.sent) == [f"{stem}_{part}" for part in shape]
        assert psns(a.sent) == list(range(100, 100 + len(shape)))
        assert b"".join(p["payload"] for p in parsed(a.sent)) == data
        assert all(len(p) % 4 == 0 for p in a.sent)


def test_ack_is_requested_at_a_messages_end():
    """9.7.3: AckReq on the last packet, so that the message completes."""
    a, _ = pair()
    a.post_send("send", bytes(3000))
    a.send(NOW)
    assert [p["ackreq"] for p in parsed(a.sent)] == [0, 0, 1]


def test_ack_is_requested_when_nothing_else_may_follow():
    """Else a window that closes in the middle of a message would open by a timer alone."""
    a, _ = pair()
    a.path.window = 2
    a.post_send("send", bytes(9000))
    assert a.send(NOW) == "blocked"
    assert [p["ackreq"] for p in parsed(a.sent)] == [0, 1]
    a, _ = pair()
    a.post_send("send", bytes(9000))
    assert a.send(NOW, 4) == "more"
    assert parsed(a.sent)[-1]["ackreq"] == 1


def test_headers_of_each_operation():
    """9.3: RETH on the first packet of a WRITE, ImmDt and IETH on the last, AtomicETH."""
    a, _ = pair()
    for kind in ("send", "send_imm", "send_inv", "write", "write_imm", "read"):
        a.post_send(kind, bytes(1500), imm=0x11223344, rkey=KEY, addr=AT)
    a.post_send("cmp_swp", bytes(8), rkey=KEY, addr=AT, compare_add=5, swap=9)
    a.post_send("fetch_add", bytes(8), rkey=KEY, addr=AT, compare_add=7)
    a.send(NOW)
    assert names(a.sent) == ["SEND_FIRST", "SEND_LAST", "SEND_FIRST", "SEND_LAST_IMM", "SEND_FIRST", "SEND_LAST_INV",
                             "WRITE_FIRST", "WRITE_LAST", "WRITE_FIRST", "WRITE_LAST_IMM", "READ_REQUEST",
                             "COMPARE_SWAP", "FETCH_ADD"]
    p = parsed(a.sent)
    assert p[3]["imm"] == 0x11223344 and p[5]["inv_rkey"] == 0x11223344
    assert (p[6]["addr"], p[6]["rkey"], p[6]["length"]) == (AT, KEY, 1500) == (p[10]["addr"], p[10]["rkey"], p[10]["length"])
    assert (p[11]["swap_add"], p[11]["compare"]) == (9, 5)
    assert (p[12]["swap_add"], p[12]["compare"]) == (7, 0)
    # 9.7.2: a READ takes as many PSNs as its response has packets
    assert p[10]["psn"] + 2 == p[11]["psn"]
    assert {x["qpn"] for x in p} == {0xB} and {x["pkey"] for x in p} == {0xFFFF}


def test_solicited_event_is_on_the_last_packet():
    """9.2.2: and only where a receive WQE completes by it."""
    a, _ = pair()
    for kind in ("send", "write_imm", "write"):
        a.post_send(kind, bytes(1500), flags=h.SIGNALED | h.SOLICITED, rkey=KEY, addr=AT)
    a.send(NOW)
    assert [p["solicited"] for p in parsed(a.sent)] == [0, 1, 0, 1, 0, 0]


def test_psn_wraps():
    """9.7.1: PSNs count modulo 2^24."""
    a, b = h.QP(qpn=1, dest_qpn=2, sq_psn=0xFFFFFE, rq_psn=0), h.QP(qpn=2, dest_qpn=1, sq_psn=0, rq_psn=0xFFFFFE)
    b.post_recv(4000)
    w = a.post_send("send", bytes(range(256)) * 15)
    log = converse(a, b)
    assert psns(p for source, p in log if source is a) == [0xFFFFFE, 0xFFFFFF, 0, 1]
    assert statuses(a) == [("send", "ok")] and b.receive_queue[0].data[:3840] == w.data


def test_long_read_is_asked_for_in_cells():
    """9.4.4 allows any length; asking for less at a time is how a requester slows a responder down."""
    a, _ = pair(mtu=1024)
    a.path.window = 1000
    a.post_send("read", bytes(100_000), rkey=KEY, addr=AT)
    a.send(NOW)
    requests = parsed(a.sent)
    assert [r["length"] for r in requests] == [32768, 32768, 32768, 1696]
    assert [r["addr"] - AT for r in requests] == [0, 32768, 65536, 98304]
    assert [r["psn"] for r in requests] == [100, 132, 164, 196]


def test_reads_and_atomics_outstanding_are_limited():
    """9.4.4, 9.4.5: no more than the responder has resources for (max_rd_atomic)."""
    a, _ = pair(a={"max_rd_atomic": 2})
    for _ in range(4):
        a.post_send("read", bytes(8), rkey=KEY, addr=AT)
    a.post_send("send", bytes(8))
    a.send(NOW)
    assert names(a.take_sent()) == ["READ_REQUEST"] * 2
    a.receive(packet("RC READ_RESPONSE_ONLY", psn=100, syndrome=0x1F, payload=bytes(8)), NOW)
    assert names(a.take_sent()) == ["READ_REQUEST"]
    assert statuses(a) == [("send", "ok")]


def test_fence_waits_for_reads_and_atomics():
    """10.8.3: a fenced request starts when the READs and atomics before it are done."""
    a, _ = pair()
    a.post_send("fetch_add", bytes(8), rkey=KEY, addr=AT, compare_add=1)
    a.post_send("send", bytes(8), flags=h.SIGNALED | h.FENCE)
    a.send(NOW)
    assert names(a.take_sent()) == ["FETCH_ADD"]
    a.receive(packet("RC ATOMIC_ACKNOWLEDGE", psn=100, syndrome=0x1F, original=3), NOW)
    assert names(a.sent) == ["SEND_ONLY"]
    assert int.from_bytes(a.send_queue[0].data, "little") == 3


def test_unsignaled_completes_silently():
    a, b = pair()
    b.post_recv(8), b.post_recv(8)
    a.post_send("send", bytes(8), flags=0)
    a.post_send("send", bytes(8))
    converse(a, b)
    assert [c[1] for c in a.completions] == [1] and a.state["sq_done"] == 2


def test_draining_begins_nothing_new():
    """10.3.1 (SQD): what has begun goes on, the next work request waits."""
    a, _ = pair()
    a.path.window = 1
    a.post_send("send", bytes(2048))
    a.post_send("send", bytes(1))
    a.send(NOW)
    a.drain(True)
    a.receive(ack(100), NOW)
    a.receive(ack(101), NOW)
    assert names(a.take_sent()) == ["SEND_FIRST", "SEND_LAST"] and statuses(a) == [("send", "ok")]
    a.drain(False)
    a.send(NOW)
    assert names(a.sent) == ["SEND_ONLY"]


@pytest.mark.parametrize("request_, attributes, status", [
    (("bad", b""), {}, "loc_qp_op"),
    (("send", b"", dict(status=4)), {}, "loc_prot"),
    (("read", bytes(8)), {"max_rd_atomic": 0}, "loc_qp_op"),
    (("fetch_add", bytes(4)), {}, "loc_len"),
])
def test_what_cannot_be_executed_fails_in_its_turn(request_, attributes, status):
    """9.9.2: a local error completes with its status after all before it, the QP goes to ERR, the rest is flushed."""
    a, _ = pair(a=attributes)
    a.post_send("send", bytes(8))
    a.post_send(request_[0], request_[1], **(request_[2] if len(request_) > 2 else {}))
    a.post_send("send", bytes(8))
    a.send(NOW)
    assert names(a.sent) == ["SEND_ONLY"] and a.completions == []
    a.receive(ack(100), NOW)
    assert statuses(a) == [("send", "ok"), ("send", status), ("send", "flush")]
    assert a.failed and a.path.in_flight == 0


def test_payload_that_cannot_be_read_fails():
    """9.9.2: the memory region is gone in the middle of a message."""
    a, _ = pair()
    w = a.post_send("send", bytes(4000))
    w.fault = 2000
    a.send(NOW)
    assert names(a.sent) == ["SEND_FIRST"] and statuses(a) == [("send", "loc_prot")] and a.failed


def test_a_slot_that_changes_in_flight_fails_its_qp():
    """A program that writes to a WQE it has posted: what is sent again must agree with what the PSNs were given for."""
    a, _ = pair()
    w = a.post_send("send", bytes(2048))
    a.send(NOW)
    del w.data[100:]
    a.receive(nak(100, 0), NOW)
    assert statuses(a) == [("send", "loc_qp_op")]


def test_local_operation_completes_in_order():
    a, _ = pair()
    a.post_send("send", bytes(8))
    a.post_send("local_inv", b"")
    a.post_send("send", bytes(8))
    a.send(NOW)
    assert psns(a.sent) == [100, 101] and a.completions == []
    a.receive(ack(101), NOW)
    assert statuses(a) == [("send", "ok")] * 3 and [c[1] for c in a.completions] == [0, 1, 2]


def test_message_of_two_gigabytes_has_its_psns():
    """9.7.2: at MTU 256 it has 2^23 packets, half of all PSNs; it starts when nothing else is outstanding."""
    a, _ = pair(mtu=256)
    a.post_send("send", bytes(8))
    a.post_send("read", b"", rkey=KEY, addr=AT).data = range(1 << 31)
    a.send(NOW)
    assert names(a.take_sent()) == ["SEND_ONLY"]
    a.receive(ack(100), NOW)
    assert names(a.sent) == ["READ_REQUEST"] and a.state["next_psn"] == 101 + (1 << 23)


def test_no_buffer_loses_nothing():
    a, b = pair()
    b.post_recv(4000)
    a.post_send("send", bytes(4000))
    a.room = 2
    assert a.send(NOW) == "full"
    a.room = None
    assert a.send(NOW) == "idle"
    assert psns(a.sent) == [100, 101, 102, 103]
    converse(a, b)
    assert statuses(a) == [("send", "ok")]


