"""XRC (IBTA volume 1, annex A14): an RC connection whose requests name the shared receive queue."""

from roce_pair import AT, KEY, NOW, converse, names, packet, pair, parsed, statuses


def test_requests_carry_the_srq_number_and_responses_do_not():
    a, b = pair(transport="XRC")
    b.post_recv(4096), b.post_recv(4096)
    a.post_send("send", bytes(2000), srqn=0x77)
    a.post_send("write_imm", bytes(8), srqn=0x78, rkey=KEY, addr=AT, imm=3)
    a.post_send("read", bytes(8), rkey=KEY, addr=AT)
    a.post_send("fetch_add", bytes(8), rkey=KEY, addr=AT, compare_add=1)
    log = converse(a, b)
    requests = parsed(p for source, p in log if source is a)
    assert [r["srqn"] for r in requests] == [0x77, 0x77, 0x78, 0, 0]
    answers = [p for source, p in log if source is b]
    assert set(names(answers)) == {"ACKNOWLEDGE", "READ_RESPONSE_ONLY", "ATOMIC_ACKNOWLEDGE"}
    assert all(p[0] & 0xE0 == 0xA0 and "srqn" not in q for p, q in zip(answers, parsed(answers)))
    assert statuses(a) == [("send", "ok")] * 4 and statuses(b) == [("recv", "ok")] * 2


def test_srq_that_does_not_exist():
    """A14.4: an invalid request."""
    a, b = pair(transport="XRC")
    b.srqs = {0x77}
    b.post_recv(4096)
    a.post_send("write", bytes(8), srqn=0x77, rkey=KEY, addr=AT)
    a.post_send("send", bytes(8), srqn=0x78)
    converse(a, b)
    assert statuses(a) == [("send", "ok"), ("send", "rem_inv_req")] and b.failed


def test_srq_that_changes_within_a_message():
    """A14: all packets of a message name one SRQ."""
    _, b = pair(transport="XRC")
    b.post_recv(4096)
    b.receive(packet("XRC SEND_FIRST", psn=100, srqn=1, payload=bytes(1024)), NOW)
    b.receive(packet("XRC SEND_LAST", psn=101, srqn=2, payload=bytes(8)), NOW)
    assert parsed(b.sent)[-1]["syndrome"] == 0x61 and b.failed


def test_a_response_during_a_long_send_to_another_srq():
    """What a READ returns is in the PD of the SRQ that the READ named, also when its response goes out late."""
    _, b = pair(transport="XRC")
    b.register(0x99, 0x1000, bytes(range(250)) * 8, srqn=1)
    b.post_recv(4096)
    b.room = 0
    b.receive(packet("XRC READ_REQUEST", psn=100, srqn=1, rkey=0x99, addr=0x1000, length=2000), NOW)
    b.receive(packet("XRC SEND_FIRST", psn=102, srqn=2, payload=bytes(1024)), NOW)
    b.room = None
    b.send(NOW)
    assert names(b.sent)[:2] == ["READ_RESPONSE_FIRST", "READ_RESPONSE_LAST"] and not b.failed
    b.receive(packet("XRC SEND_LAST", psn=103, srqn=2, payload=bytes(8), ackreq=True), NOW)
    assert statuses(b) == [("recv", "ok")]
    b.receive(packet("XRC READ_REQUEST", psn=104, srqn=2, rkey=0x99, addr=0x1000, length=8), NOW)
    assert parsed(b.sent)[-1]["syndrome"] == 0x62 and b.failed  # not in that one's


def test_send_with_invalidate():
    a, b = pair(transport="XRC")
    b.register(0x77, 0, bytes(8))
    b.post_recv(4096)
    a.post_send("send_inv", bytes(2000), srqn=0x12, imm=0x77)
    log = converse(a, b)
    last = next(wire for source, wire in reversed(log) if source is a)
    assert names([last]) == ["SEND_LAST_INV"] and parsed([last])[0]["srqn"] == 0x12 and parsed([last])[0]["inv_rkey"] == 0x77
    assert statuses(a) == [("send", "ok")] and b.completions[0][3]["imm"] == 0x77
