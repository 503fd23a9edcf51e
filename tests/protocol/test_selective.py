"""Between two routers what came ahead of a lost packet is kept, and only what is missing is sent again. Not the standard's:
its requester goes back (9.7.5.2), and so does ours where the peer is not one of ours."""

from roce_pair import AT, KEY, NOW, names, packet, pair, parsed, psns, statuses

from ffr.nic.roce.protocol import wire

SELECTIVE = wire.OPCODES["routed UD ACKNOWLEDGE"]
RTT = 50_000


def sent_packets(a, size=8 * 1024, operation="write"):
    a.path.window = 100
    a.post_send(operation, bytes(range(256)) * (size // 256), rkey=KEY, addr=AT)
    a.send(NOW)
    return a.take_sent()


def batch(to, packets, now=NOW):
    for p in packets:
        to.receive(p, now, send=False)
    to.send(now)
    return to.take_sent()


def bits(report):
    return int.from_bytes(parsed([report])[0]["payload"], "little")


def test_only_what_is_missing_is_sent_again():
    a, b = pair(selective=True)
    packets = sent_packets(a)
    report, = batch(b, packets[:2] + packets[3:5] + packets[6:])
    assert report[0] == SELECTIVE and psns([report]) == [102] and bits(report) == 0b110110
    assert b.state["held"] == 4 and b.state["epsn"] == 102
    repairs = batch(a, [report], NOW + RTT)
    assert psns(repairs) == [102, 105] and names(repairs) == ["WRITE_MIDDLE", "WRITE_MIDDLE"]
    answers = batch(b, repairs, NOW + RTT)
    assert b.state["held"] == 0 and b.state["epsn"] == 108 and names(answers) == ["ACKNOWLEDGE"]
    batch(a, answers, NOW + 2 * RTT)
    assert statuses(a) == [("send", "ok")] and a.state["charged"] == 0
    assert bytes(b.memory.data[:8192]) == bytes(range(256)) * 32
    assert a.counters["retransmitted"] == a.counters["repaired"] == 2


def test_what_is_kept_does_not_fill_the_window():
    a, b = pair(selective=True)
    packets = sent_packets(a)
    assert a.path.in_flight == 8
    batch(a, batch(b, packets[1:]), NOW + RTT)
    assert a.path.in_flight == 1, "the one that is missing"


def test_a_report_that_comes_again_repairs_nothing_within_a_round_trip():
    a, b = pair(selective=True)
    packets = sent_packets(a)
    batch(a, batch(b, packets), NOW + RTT)  # so that the round trip is known
    packets = sent_packets(a)
    first = batch(b, packets[1:4], NOW + 2 * RTT)
    second = batch(b, packets[5:], NOW + 2 * RTT)
    assert psns(batch(a, first, NOW + 3 * RTT)) == [108]
    assert psns(batch(a, second, NOW + 3 * RTT + 10)) == [112], "the new gap alone"
    assert batch(a, second, NOW + 3 * RTT + 20) == []
    assert psns(batch(a, second, NOW + 6 * RTT)) == [108, 112], "both were lost again"


def test_requests_for_reads_are_told_from_their_responses():
    """A READ's PSNs are its response's; a request has the first of each cell only."""
    a, b = pair(selective=True)
    a.path.window = 200
    a.post_send("read", bytes(11_000), rkey=KEY, addr=AT)
    a.post_send("write", b"x" * 100, rkey=KEY, addr=AT)
    a.send(NOW)
    packets = a.take_sent()
    assert names(packets) == ["READ_REQUEST", "WRITE_ONLY"]
    report, = batch(b, packets[1:])
    assert names(batch(a, [report], NOW + RTT)) == ["READ_REQUEST"]


def test_a_full_table_means_going_back():
    a, b = pair(a={"selective": True}, b={"selective": True, "held": 0})
    packets = sent_packets(a)
    report, = batch(b, packets[1:])
    assert report[0] == wire.OPCODES["RC ACKNOWLEDGE"]
    assert psns(batch(a, [report], NOW + RTT)) == list(range(100, 108))


def test_nothing_is_kept_for_a_peer_that_is_not_a_router():
    a, b = pair()
    packets = sent_packets(a)
    report, = batch(b, packets[1:])
    assert report[0] == wire.OPCODES["RC ACKNOWLEDGE"] and b.state["held"] == 0
    forged = packet("routed UD ACKNOWLEDGE", psn=100, syndrome=0x60, payload=b"\xfe\xff\xff\xff")
    assert batch(a, [forged]) == [] and a.counters["dropped"] == 1


def test_a_report_about_packets_that_were_never_sent_is_ignored():
    a, b = pair(selective=True)
    sent_packets(a)
    report = packet("routed UD ACKNOWLEDGE", psn=100, syndrome=0x60, payload=b"\xfe" + b"\xff" * 127)
    assert psns(batch(a, [report], NOW + RTT)) == [100]
    assert 0 <= a.path.in_flight <= 1 and not a.failed


def test_one_that_is_not_ready_ends_what_was_kept_in_order():
    """The SEND behind the gap finds no receive WQE: RNR, and nothing kept is executed before its turn."""
    a, b = pair(selective=True)
    a.path.window = 100
    for n in range(3):
        a.post_send("send", bytes([n]))
    a.send(NOW)
    packets = a.take_sent()
    b.post_recv(8)
    batch(a, batch(b, packets[1:]), NOW + RTT)
    rnr, = batch(b, packets[:1])
    assert parsed([rnr])[0]["syndrome"] >> 5 == 1 and b.state["epsn"] == 101
    b.post_recv(8)
    b.post_recv(8)
    answers = batch(b, batch(a, [rnr], NOW + RTT) or packets[1:], NOW + RTT)
    batch(b, packets[2:], NOW + RTT)
    assert statuses(b) == [("recv", "ok")] * 3 and answers
    assert [bytes(w.data[:1]) for w in b.receive_queue] == [b"\0", b"\1", b"\2"]


def test_a_qp_that_fails_keeps_nothing():
    a, b = pair(selective=True)
    packets = sent_packets(a)
    batch(b, packets[2:])
    assert b.state["held"] == 6
    batch(b, [packet("RC WRITE_ONLY", psn=100, rkey=0xBAD, addr=AT, length=4, payload=b"abcd")])
    assert b.failed and b.state["held"] == 0


def test_no_more_is_kept_than_a_window():
    a, b = pair(selective=True)
    far = packet("RC SEND_ONLY", psn=100 + 1024, payload=b"x")
    near = packet("RC SEND_ONLY", psn=100 + 1023, payload=b"x")
    batch(b, [far])
    assert b.state["held"] == 0
    report, = batch(b, [near])
    assert b.state["held"] == 1 and bits(report) == 1 << 1023
