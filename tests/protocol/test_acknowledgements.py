"""Requester: what acknowledgements, NAKs, responses and silence do (IBTA volume 1, 9.7.5 to 9.7.7, 9.9.2)."""

import pytest
from roce_pair import AT, KEY, NOW, ack, nak, names, packet, pair, parsed, psns, rnr, statuses


MS = 1_000_000


def posted(count=4, size=8, operation="send", **attributes):
    a, b = pair(**attributes)
    for _ in range(count):
        a.post_send(operation, bytes(size), rkey=KEY, addr=AT)
    a.send(NOW)
    return a, b


def response(psn, payload=bytes(8), part="ONLY"):
    fields = {} if part == "MIDDLE" else {"syndrome": 0x1F}
    return packet(f"RC READ_RESPONSE_{part}", psn=psn, payload=payload, **fields)


# ---- acknowledgements -----------------------------------------------------------------------------------------------

def test_ack_is_cumulative():
    """9.7.5.1.2: an ACK acknowledges every PSN up to its own (coalesced acknowledges)."""
    a, _ = posted(4)
    a.receive(ack(102), NOW)
    assert [c[1] for c in a.completions] == [0, 1, 2] and a.state["una"] == 103


def test_ack_in_the_middle_of_a_message_completes_nothing():
    a, _ = posted(1, 4000)
    a.receive(ack(101), NOW)
    assert a.completions == [] and a.state["una"] == 102


@pytest.mark.parametrize("psn", [99, 104, 0xFFFFFF, 100 + (1 << 23)])
def test_ghost_acks_are_dropped(psn):
    """9.7.6.1: a response to nothing that is outstanding is ignored."""
    a, _ = posted(4)
    before = a.state
    a.receive(ack(psn), NOW)
    assert a.state == before and a.counters["ghosts"] == 1


def test_ack_beyond_a_read_says_that_its_response_was_lost():
    """9.7.6, an implied NAK: responses come in order, so the READ is asked for again."""
    a, _ = pair()
    a.post_send("send", bytes(8))
    a.post_send("read", bytes(8), rkey=KEY, addr=AT)
    a.post_send("send", bytes(8))
    a.send(NOW)
    a.take_sent()
    a.receive(ack(102), NOW)
    assert statuses(a) == [("send", "ok")]
    assert names(a.sent) == ["READ_REQUEST", "SEND_ONLY"] and psns(a.sent) == [101, 102]


def test_credits_are_not_counted():
    """9.7.7.2: a requester without end-to-end flow control takes any credit count."""
    a, _ = posted(2)
    a.receive(ack(100, 0x00), NOW)
    a.receive(ack(101, 0x1F), NOW)
    assert statuses(a) == [("send", "ok")] * 2


# ---- NAKs -----------------------------------------------------------------------------------------------------------

def test_sequence_nak_goes_back():
    """9.7.5.2: everything before the NAK's PSN is acknowledged, everything from it on is sent again."""
    a, _ = posted(5)
    a.take_sent()
    a.receive(nak(102, 0), NOW)
    assert [c[1] for c in a.completions] == [0, 1]
    assert psns(a.sent) == [102, 103, 104]


def test_go_back_resumes_in_the_middle_of_a_message():
    a, _ = posted(1, 5000)
    a.take_sent()
    a.receive(nak(102, 0), NOW)
    assert names(a.sent) == ["SEND_MIDDLE", "SEND_MIDDLE", "SEND_LAST"]


def test_the_same_loss_reported_twice_is_one_go_back():
    a, _ = posted(1)
    a.receive(ack(100), NOW + 50_000)  # a round trip of 50 us is known now
    for _ in range(5):
        a.post_send("send", bytes(8))
    a.send(NOW + MS)
    a.take_sent()
    a.receive(nak(102, 0), NOW + MS + 1000)
    assert psns(a.take_sent()) == [102, 103, 104, 105]
    a.receive(nak(102, 0), NOW + MS + 2000)
    assert a.take_sent() == []
    a.receive(nak(102, 0), NOW + MS + 100_000)
    assert psns(a.sent) == [102, 103, 104, 105]


@pytest.mark.parametrize("code, status", [(1, "rem_inv_req"), (2, "rem_access"), (3, "rem_op")])
def test_fatal_nak(code, status):
    """9.7.5.2, 9.9.2: the request at the NAK's PSN fails, those before it succeeded, those after it are flushed."""
    a, _ = posted(4)
    a.post_recv(8)
    a.receive(nak(102, code), NOW)
    assert [c[:3] for c in a.completions] == [("send", 0, "ok"), ("send", 1, "ok"), ("send", 2, status),
                                              ("send", 3, "flush"), ("recv", 0, "flush")]
    assert a.failed and a.timer == 0 and a.path.in_flight == 0


def test_fatal_nak_behind_a_lost_read_response():
    """The READ cannot be completed any more: it fails when its retries end, and only then is the rest flushed."""
    a, _ = pair(a={"timeout": 10, "retry_cnt": 1})
    a.post_send("read", bytes(8), rkey=KEY, addr=AT)
    a.post_send("send", bytes(8))
    a.send(NOW)
    a.receive(nak(101, 2), NOW)
    assert a.completions == []
    while a.timer:
        a.tick(a.timer)
    assert statuses(a) == [("send", "retry_exc"), ("send", "flush")]


@pytest.mark.parametrize("syndrome", [0x40, 0x64, 0x7F, 0x80, 0xE0])
def test_reserved_syndromes_are_ignored(syndrome):
    """9.7.5.2, table of codes: reserved values."""
    a, _ = posted(2)
    a.receive(ack(100, syndrome), NOW)
    assert a.completions == [] and not a.failed


# ---- receiver not ready ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("code", range(32))
def test_rnr_timer_table(code):
    """9.7.5.2.8, table of RNR timers: nothing is sent before it has passed."""
    milliseconds = [655.36, .01, .02, .03, .04, .06, .08, .12, .16, .24, .32, .48, .64, .96, 1.28, 1.92, 2.56, 3.84, 5.12,
                    7.68, 10.24, 15.36, 20.48, 30.72, 40.96, 61.44, 81.92, 122.88, 163.84, 245.76, 327.68, 491.52]
    a, _ = posted(2)
    a.take_sent()
    a.receive(rnr(100, code), NOW)
    assert a.sent == [] and a.timer == NOW + round(milliseconds[code] * MS)
    assert a.tick(a.timer - 1) == "idle" and a.sent == []
    a.tick(a.timer)
    assert psns(a.sent) == [100]  # one packet asks; the rest follows its ACK
    a.receive(ack(100), a.timer)
    assert psns(a.sent) == [100, 101]


def test_rnr_acknowledges_what_came_before():
    a, _ = posted(3)
    a.receive(rnr(102, 1), NOW)
    assert statuses(a) == [("send", "ok")] * 2


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_rnr_retries_end(retries):
    """9.9.2: rnr_retry resends, then RNR_RETRY_EXC. (Linux rxe's capture nak_rnr_exhaust: 2 retries, 3 sends.)"""
    a, _ = pair(a={"rnr_retry": retries})
    a.post_send("send", bytes(8))
    a.send(NOW)
    sends = 0
    while not a.failed:
        sends += len(a.take_sent())
        a.receive(rnr(100, 1), NOW)
        if a.timer:
            a.tick(a.timer)
    assert sends == retries + 1 and statuses(a) == [("send", "rnr_retry_exc")]


def test_rnr_retry_7_is_for_ever():
    a, _ = pair(a={"rnr_retry": 7})
    a.post_send("send", bytes(8))
    a.send(NOW)
    for _ in range(100):
        a.receive(rnr(100, 1), NOW)
        a.tick(a.timer)
    assert not a.failed


def test_rnr_retries_start_anew_after_progress():
    a, _ = pair(a={"rnr_retry": 1})
    for _ in range(5):
        a.post_send("send", bytes(8))
    a.send(NOW)
    now = NOW
    for psn in range(100, 105):
        a.receive(rnr(psn, 1), now)
        now = a.timer
        a.tick(now)
        a.receive(ack(psn), now)
    assert statuses(a) == [("send", "ok")] * 5


def test_one_rnr_nak_twice_counts_once():
    a, _ = pair(a={"rnr_retry": 1})
    a.post_send("send", bytes(8))
    a.send(NOW)
    a.receive(rnr(100, 5), NOW)
    a.receive(rnr(100, 5), NOW + 10)
    assert not a.failed


# ---- silence --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("retries", [0, 1, 7])
def test_ack_timeout_and_retries(retries):
    """9.7.6.1.3: 4.096 us * 2^timeout without a response is a retry; after retry_cnt of them, RETRY_EXC."""
    a, _ = pair(a={"timeout": 14, "retry_cnt": retries})
    a.post_send("send", bytes(8))
    a.post_send("send", bytes(8))
    a.send(NOW)
    timeout = 4096 << 14
    while not a.failed:
        now = a.timer
        a.tick(now)
    assert now - NOW == timeout * (retries + 1)
    assert statuses(a) == [("send", "retry_exc"), ("send", "flush")]
    assert a.counters["timeouts"] == retries + 1


def test_timeout_0_waits_for_ever():
    """9.7.6.1.3: the timer is off. Lost packets are still found by probing."""
    a, _ = pair(a={"timeout": 0})
    a.post_send("send", bytes(8))
    a.send(NOW)
    a.take_sent()
    for _ in range(200):
        a.tick(a.timer)
    assert not a.failed and len(a.sent) == 200


def test_any_answer_starts_the_retries_anew():
    a, _ = pair(a={"timeout": 10, "retry_cnt": 1})
    for _ in range(3):
        a.post_send("send", bytes(8))
    a.send(NOW)
    now = NOW
    for psn in (100, 101, 102):
        while a.counters["timeouts"] < psn - 99:
            now = a.timer
            a.tick(now)
        a.receive(ack(psn), now)
    assert statuses(a) == [("send", "ok")] * 3


def test_timer_is_off_when_nothing_is_outstanding():
    a, _ = posted(1)
    assert a.timer
    a.receive(ack(100), NOW)
    assert a.timer == 0


def test_probe_sends_one_packet_and_counts_no_retry():
    """Between the standard's timeouts the oldest packet is sent again, to learn what arrived."""
    a, _ = posted(8)
    a.take_sent()
    a.tick(a.timer)
    assert psns(a.take_sent()) == [100] and a.counters["timeouts"] == 0 and a.state["send_psn"] == 108
    a.receive(ack(107), a.timer)  # only the answer had been lost: nothing else is sent again
    assert a.sent == [] and statuses(a) == [("send", "ok")] * 8


def test_probe_that_alone_is_answered_goes_back():
    a, _ = posted(8)
    a.take_sent()
    a.tick(a.timer)
    a.take_sent()
    a.receive(ack(100), a.timer)
    assert psns(a.sent) == list(range(101, 108))


# ---- READ responses and atomic results ------------------------------------------------------------------------------

def test_read_response_is_scattered_in_order():
    a, _ = pair()
    w = a.post_send("read", bytes(2500), rkey=KEY, addr=AT)
    a.send(NOW)
    data = bytes(range(250)) * 10
    a.receive(response(100, data[:1024], "FIRST"), NOW)
    a.receive(response(101, data[1024:2048], "MIDDLE"), NOW)
    assert a.completions == []
    a.receive(response(102, data[2048:], "LAST"), NOW)
    assert statuses(a) == [("send", "ok")] and w.data == data


def test_lost_response_is_asked_for_from_where_it_is_missing():
    """9.4.4: a READ that is repeated may ask for the part that is missing alone."""
    a, _ = pair()
    a.post_send("read", bytes(4096), rkey=KEY, addr=AT)
    a.send(NOW)
    a.take_sent()
    a.receive(response(100, bytes(1024), "FIRST"), NOW)
    a.receive(response(102, bytes(1024), "MIDDLE"), NOW)
    request, = parsed(a.sent)
    assert (request["psn"], request["addr"], request["length"]) == (101, AT + 1024, 3072)


@pytest.mark.parametrize("bad", [response(100, bytes(1024), "FIRST"), response(100, bytes(4)), response(100, bytes(12))])
def test_response_that_does_not_fit(bad):
    """9.9.2: not the response to what was asked for is BAD_RESP."""
    a, _ = posted(1, 8, "read")
    a.receive(bad, NOW)
    assert statuses(a) == [("send", "bad_resp")]


def test_response_into_memory_that_is_gone():
    a, _ = pair()
    w = a.post_send("read", bytes(8), rkey=KEY, addr=AT)
    w.fault = 0
    a.send(NOW)
    a.receive(response(100), NOW)
    assert statuses(a) == [("send", "loc_prot")]


def test_ack_does_not_complete_a_read():
    a, _ = posted(1, 8, "read")
    a.receive(ack(100), NOW)
    assert a.completions == []


def test_response_acknowledges_what_came_before():
    """9.7.5.1.2: a READ response is an acknowledgement too."""
    a, _ = pair()
    a.post_send("send", bytes(8))
    a.post_send("write", bytes(8), rkey=KEY, addr=AT)
    a.post_send("read", bytes(8), rkey=KEY, addr=AT)
    a.send(NOW)
    a.receive(response(102), NOW)
    assert statuses(a) == [("send", "ok")] * 3


def test_wrong_kind_of_response_is_a_ghost():
    a, _ = posted(1, 8, "fetch_add")
    a.receive(response(100), NOW)
    assert a.completions == [] and a.counters["ghosts"] == 1
    a, _ = posted(1, 8, "send")
    a.receive(packet("RC ATOMIC_ACKNOWLEDGE", psn=100, syndrome=0x1F, original=1), NOW)
    assert a.completions == [] and a.counters["ghosts"] == 1


def test_nothing_happens_to_a_qp_in_error():
    a, _ = posted(2)
    a.receive(nak(100, 2), NOW)
    done = list(a.completions)
    for p in (ack(101), nak(101, 1), rnr(101, 3), response(101)):
        a.receive(p, NOW)
    assert a.completions == done and a.send(NOW) == "idle"
