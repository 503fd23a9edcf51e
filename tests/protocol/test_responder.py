"""Responder: what a request does and what is answered (IBTA volume 1, 9.7.4, 9.7.5, 9.9.3)."""

import pytest
from roce_pair import AT, KEY, NOW, names, packet, pair, parsed, psns, statuses

from ffr.nic.roce.protocol import harness as h

READ, WRITE, ATOMIC = 4, 2, 8  # IBV_ACCESS_REMOTE_*


def responder(receives=4, size=8192, **attributes):
    _, b = pair(b=attributes)
    for _ in range(receives):
        b.post_recv(size)
    return b


def send(psn, payload=b"12345678", part="ONLY", ackreq=1, **fields):
    return packet(f"RC SEND_{part}", psn=psn, payload=payload, ackreq=ackreq, **fields)


def write(psn, payload=b"12345678", part="ONLY", addr=AT, length=None, rkey=KEY, ackreq=1, **fields):
    return packet(f"RC WRITE_{part}", psn=psn, payload=payload, ackreq=ackreq, addr=addr, rkey=rkey,
                  length=len(payload) if length is None else length, **fields)


def read(psn, length=8, addr=AT, rkey=KEY):
    return packet("RC READ_REQUEST", psn=psn, addr=addr, rkey=rkey, length=length, ackreq=1)


def fetch_add(psn, add, addr=AT, rkey=KEY):
    return packet("RC FETCH_ADD", psn=psn, addr=addr, rkey=rkey, swap_add=add, ackreq=1)


def give(b, *packets, now=NOW):
    """The packets arrive one by one, each answered at once; the answers."""
    for p in packets:
        b.receive(p, now)
    return parsed(b.take_sent())


def batch(b, *packets, now=NOW):
    """They arrive together."""
    for p in packets:
        b.receive(p, now, send=False)
    b.send(now)
    return parsed(b.take_sent())


def syndromes(answers):
    return [(a["psn"], a["syndrome"]) for a in answers]


ACK, SEQUENCE, INVALID, ACCESS, OPERATION = 0x1F, 0x60, 0x61, 0x62, 0x63


# ---- SEND and WRITE -------------------------------------------------------------------------------------------------

def test_send_fills_a_receive_wqe():
    b = responder()
    answers = give(b, send(100, bytes(range(256)) * 4, "FIRST", 0), send(101, bytes(1024), "MIDDLE", 0),
                   send(102, b"end", "LAST"))
    assert syndromes(answers) == [(102, ACK)] and answers[0]["msn"] == 1
    assert statuses(b) == [("recv", "ok")] and b.completions[0][3]["length"] == 2051
    assert b.receive_queue[0].data[:2051] == bytes(range(256)) * 4 + bytes(1024) + b"end"


def test_immediate_invalidate_and_solicited_reach_the_completion():
    b = responder()
    b.register(0x99, 0, bytes(8))
    give(b, send(100, part="ONLY_IMM", imm=0xABCD, solicited=1), send(101, part="ONLY_INV", inv_rkey=0x99))
    first, second = (c[3] for c in b.completions)
    assert first["imm"] == 0xABCD and first["flags"] == h.CQE_IMM | h.CQE_SOLICITED
    assert second["imm"] == 0x99 and second["flags"] == h.CQE_INV
    assert [r.rkey for r in b.regions] == [KEY]


def test_invalidating_a_key_that_is_not_there_is_an_access_error():
    b = responder()
    assert syndromes(give(b, send(100, part="ONLY_INV", inv_rkey=0x99))) == [(100, ACCESS)]
    assert b.failed and b.events == ["access_err"]


def test_write_goes_where_its_reth_says():
    b = responder(receives=0)
    answers = give(b, write(100, b"\1" * 1024, "FIRST", addr=AT + 5, length=2050, ackreq=0),
                   write(101, b"\2" * 1024, "MIDDLE", ackreq=0), write(102, b"\3\3", "LAST"))
    assert syndromes(answers) == [(102, ACK)] and b.completions == []
    assert b.memory.data[5:2055] == b"\1" * 1024 + b"\2" * 1024 + b"\3\3"
    assert b.memory.data[2055] == 2055 & 255


def test_write_with_immediate_takes_a_receive_wqe():
    b = responder()
    give(b, write(100, b"\1" * 1024, "FIRST", length=1032, ackreq=0), write(101, part="LAST_IMM", imm=7))
    kind, wr_id, status, details = b.completions[0]
    assert (kind, status) == ("recv", "ok") and details["write"] and details["length"] == 1032 and details["imm"] == 7


def test_empty_messages():
    """9.7.4.1: an empty WRITE or READ uses no key, so none is checked."""
    b = responder()
    answers = give(b, send(100, b""), write(101, b"", rkey=0xBAD), read(102, 0, rkey=0xBAD))
    assert names([packet("RC ACKNOWLEDGE")]) == ["ACKNOWLEDGE"]
    assert syndromes(answers) == [(100, ACK), (101, ACK), (102, ACK)] and answers[2]["payload"] == b""
    assert answers[2]["opcode"] == 0x10


def test_one_ack_for_a_batch():
    """9.7.5.1.2, coalesced acknowledges: the latest PSN stands for all."""
    b = responder()
    assert syndromes(batch(b, send(100), send(101), send(102))) == [(102, ACK)]


def test_no_ack_when_none_was_asked_for():
    b = responder()
    assert give(b, send(100, ackreq=0)) == [] and statuses(b) == [("recv", "ok")]


def test_msn_counts_messages():
    """9.7.7.1: each request that is completed, whatever its kind."""
    b = responder()
    answers = give(b, send(100), write(101), read(102), fetch_add(103, 1), send(104))
    assert [a["msn"] for a in answers] == [1, 2, 3, 4, 5]


# ---- PSN ------------------------------------------------------------------------------------------------------------

def test_gap_is_told_once():
    """9.7.5.2: one NAK names the expected PSN; what comes behind the gap is dropped in silence."""
    b = responder()
    assert syndromes(give(b, send(101), send(102), send(103))) == [(100, SEQUENCE)]
    assert b.completions == []
    answers = give(b, send(100), send(101))
    assert syndromes(answers) == [(100, ACK), (101, ACK)]
    assert syndromes(give(b, send(104))) == [(102, SEQUENCE)]


def test_gap_is_told_again_when_the_requester_has_gone_back():
    """The expected packet was lost once more, or the NAK was: waiting for a timeout would stop the link."""
    b = responder()
    assert syndromes(give(b, send(101), send(102))) == [(100, SEQUENCE)]
    assert syndromes(give(b, send(101))) == [(100, SEQUENCE)]


def test_nak_is_not_sent_when_the_packet_comes_in_the_same_batch():
    b = responder()
    assert syndromes(batch(b, send(101), send(100))) == [(100, ACK)]


def test_duplicate_send_and_write_are_acknowledged_not_executed():
    """9.7.5.1 (C9-110): with everything that came after them."""
    b = responder()
    give(b, send(100), write(101, b"\xAA" * 8), send(102))
    b.memory.data[:8] = bytes(8)
    assert syndromes(give(b, send(100), write(101, b"\xAA" * 8))) == [(102, ACK), (102, ACK)]
    assert statuses(b) == [("recv", "ok")] * 2 and b.memory.data[:8] == bytes(8)


def test_psn_half_a_circle_behind_is_a_duplicate():
    b = responder()
    assert syndromes(give(b, send((100 - 5) & 0xFFFFFF))) == [(99, ACK)] and b.completions == []


# ---- READ and atomics -----------------------------------------------------------------------------------------------

def test_read_is_answered_in_packets():
    """9.7.5.1: FIRST, MIDDLE, LAST; AETH on the first and last; PSNs from the request's on."""
    b = responder()
    answers = give(b, read(100, 2500, AT + 3))
    assert [a["opcode"] for a in answers] == [0x0D, 0x0E, 0x0F] and [a["psn"] for a in answers] == [100, 101, 102]
    assert b"".join(a["payload"] for a in answers) == b.memory.data[3:2503]
    assert b.state["epsn"] == 103


def test_answers_keep_the_order_of_requests():
    """9.7.5.1: an ACK that overtook a READ response would say that the response was lost."""
    b = responder()
    answers = batch(b, send(100), read(101, 2048), send(103), fetch_add(104, 1))
    assert [a["opcode"] for a in answers] == [0x0D, 0x0F, 0x12, 0x11]
    assert [a["psn"] for a in answers] == [101, 102, 104, 104]


def test_long_response_takes_several_turns():
    b = responder()
    b.receive(read(100, 10 * 1024), NOW, send=False)
    b.receive(send(110), NOW, send=False)
    assert b.send(NOW, 4) == "more" and psns(b.take_sent()) == [100, 101, 102, 103]
    assert b.send(NOW, 20) == "idle" and psns(b.sent) == [104, 105, 106, 107, 108, 109, 110]


def test_duplicate_read_is_read_anew():
    """9.7.5.1: from where the repeated request begins, as far as it asks (9.4.4)."""
    b = responder()
    give(b, read(100, 4096))
    b.memory.data[2048:2056] = b"changed!"
    answers = give(b, read(102, 2048, AT + 2048))
    assert [a["psn"] for a in answers] == [102, 103] and [a["opcode"] for a in answers] == [0x0D, 0x0F]
    assert answers[0]["payload"][:8] == b"changed!"
    answers = give(b, read(101, 1024, AT + 1024))
    assert [a["psn"] for a in answers] == [101] and answers[0]["opcode"] == 0x10
    assert b.state["epsn"] == 104


@pytest.mark.parametrize("bad", [dict(addr=AT + 1), dict(rkey=KEY + 1), dict(length=4097), dict(length=100)])
def test_duplicate_read_that_differs_is_dropped(bad):
    b = responder()
    give(b, read(100, 4096))
    assert give(b, read(100, **{"length": 4096, **bad})) == [] and not b.failed


def test_duplicate_of_a_response_that_is_still_to_come_changes_nothing():
    b = responder()
    b.receive(read(100, 8192), NOW, send=False)
    b.send(NOW, 2)
    b.receive(read(104, 4096, AT + 4096), NOW, send=False)
    b.send(NOW)
    assert psns(b.sent) == list(range(100, 108))


def test_atomics():
    """9.4.5: the value found is returned, the address holds the result."""
    b = responder()
    b.memory.data[:8] = (5).to_bytes(8, "little")
    answers = give(b, fetch_add(100, 0x11),
                   packet("RC COMPARE_SWAP", psn=101, addr=AT, rkey=KEY, compare=0x16, swap_add=99, ackreq=1),
                   packet("RC COMPARE_SWAP", psn=102, addr=AT, rkey=KEY, compare=1, swap_add=7, ackreq=1))
    assert [a["original"] for a in answers] == [5, 0x16, 99] and [a["opcode"] for a in answers] == [0x12] * 3
    assert int.from_bytes(b.memory.data[:8], "little") == 99


def test_duplicate_atomic_gets_the_stored_result():
    """9.7.5.1: it is never executed twice."""
    b = responder()
    b.memory.data[:8] = bytes(8)
    first = give(b, fetch_add(100, 1), fetch_add(101, 1))
    again = give(b, fetch_add(100, 1), fetch_add(101, 1))
    assert [a["original"] for a in again] == [0, 1] and again == first
    assert int.from_bytes(b.memory.data[:8], "little") == 2


def test_results_are_remembered_as_far_as_agreed():
    """9.7.5.1: as many as max_dest_rd_atomic; a duplicate of an older one is dropped."""
    b = responder(max_dest_rd_atomic=2)
    give(b, fetch_add(100, 1), fetch_add(101, 1), fetch_add(102, 1))
    assert give(b, fetch_add(100, 1)) == []
    assert len(give(b, fetch_add(101, 1), fetch_add(102, 1))) == 2


def test_more_reads_than_agreed_is_an_invalid_request():
    """9.7.4.1: too many outstanding READs and atomics."""
    b = responder(max_dest_rd_atomic=2)
    answers = batch(b, read(100), read(101), read(102))
    assert [a["psn"] for a in answers] == [100, 101, 102] and answers[2]["syndrome"] == INVALID
    assert b.failed and b.events == ["req_err"]


def test_repeated_reads_do_not_count_as_outstanding():
    b = responder(max_dest_rd_atomic=1)
    give(b, read(100))
    answers = batch(b, read(100), read(101))
    assert [a["psn"] for a in answers] == [101] and not b.failed


def test_region_that_is_gone_in_the_middle_of_a_response():
    """The key is checked for each packet: revocation does not wait for long READs."""
    b = responder()
    b.receive(read(100, 8192), NOW, send=False)
    b.send(NOW, 3)
    b.regions.clear()
    b.send(NOW)
    assert parsed(b.sent)[-1]["psn"] == 103 and parsed(b.sent)[-1]["syndrome"] == ACCESS and b.failed


# ---- receiver not ready ---------------------------------------------------------------------------------------------

def test_rnr_nak():
    """9.7.5.2.8: with this QP's timer; what follows is dropped in silence; the packet succeeds when it comes again."""
    b = responder(receives=0, min_rnr_timer=9)
    assert syndromes(give(b, send(100), send(101), send(102))) == [(100, 0x20 | 9)]
    b.post_recv(64)
    assert syndromes(give(b, send(100))) == [(100, ACK)]
    assert syndromes(give(b, send(101))) == [(101, 0x20 | 9)]


def test_rnr_has_no_effect():
    """The WRITE's bytes with an immediate wait for the receive WQE too; msn and PSN stay."""
    b = responder(receives=0)
    before = bytes(b.memory.data)
    give(b, write(100, b"\xEE" * 8, "ONLY_IMM", imm=1))
    assert b.memory.data == before and b.state["epsn"] == 100 and b.state["msn"] == 0
    b.post_recv(0)
    give(b, write(100, b"\xEE" * 8, "ONLY_IMM", imm=1))
    assert b.memory.data[:8] == b"\xEE" * 8 and statuses(b) == [("recv", "ok")]


# ---- refusals -------------------------------------------------------------------------------------------------------

FULL = bytes(1024)


@pytest.mark.parametrize("packets", [
    [send(100, FULL, "MIDDLE")],
    [send(100, part="LAST")],
    [write(100, part="LAST")],
    [send(100, FULL, "FIRST"), send(101, FULL, "FIRST")],
    [send(100, FULL, "FIRST"), send(101)],
    [send(100, FULL, "FIRST"), write(101, FULL, "MIDDLE")],
    [write(100, FULL, "FIRST", length=2048), send(101, part="LAST")],
    [write(100, FULL, "FIRST", length=2048), read(101)],
], ids=range(8))
def test_opcode_out_of_sequence(packets):
    """9.7.4.1: first, middle and last of one message, one message after the other."""
    b = responder()
    assert syndromes(give(b, *packets))[-1] == (99 + len(packets), INVALID)
    assert b.failed and b.events == ["req_err"]


@pytest.mark.parametrize("packets", [
    [send(100, bytes(1000), "FIRST")],
    [send(100, FULL, "FIRST"), send(101, bytes(8), "MIDDLE")],
    [send(100, FULL, "FIRST"), send(101, b"", "LAST")],
    [send(100, bytes(1028))],
    [write(100, bytes(8), length=9)],
    [write(100, bytes(8), length=4)],
    [write(100, FULL, "FIRST", length=1024)],
    [write(100, FULL, "FIRST", length=2000), write(101, bytes(8), "LAST")],
    [write(100, FULL, "FIRST", length=2000), write(101, FULL, "MIDDLE")],
    [write(100, b"", length=(1 << 31) + 1)],
    [read(100, (1 << 31) + 1)],
], ids=range(11))
def test_length_that_does_not_fit(packets):
    """9.7.4.1: a packet's length against its place, a WRITE's against its RETH, any against 2^31."""
    b = responder()
    assert syndromes(give(b, *packets))[-1] == (99 + len(packets), INVALID)
    assert b.failed and {c[2] for c in b.completions} <= {"flush"}


@pytest.mark.parametrize("request_, lacking", [(write(100), WRITE), (read(100), READ), (fetch_add(100, 1), ATOMIC)])
def test_operation_that_the_qp_does_not_allow(request_, lacking):
    """9.7.4.1: qp_access_flags; NAK invalid request, as rxe answers in the capture nak_invalid."""
    b = responder(access=h.ALL_ACCESS & ~lacking)
    assert syndromes(give(b, request_)) == [(100, INVALID)]


@pytest.mark.parametrize("request_", [
    write(100, rkey=KEY + 1), write(100, addr=AT - 1), write(100, addr=AT + 65536 - 7), write(100, addr=2**64 - 4),
    write(100, FULL, "FIRST", addr=AT + 65536 - 1024, length=1025), read(100, rkey=0), read(100, 65537),
    read(100, 8, AT - 8), fetch_add(100, 1, rkey=1), fetch_add(100, 1, AT + 65536)], ids=range(10))
def test_key_or_range_that_does_not_hold(request_):
    """9.7.4.1: NAK remote access error, an async event, and no byte has moved."""
    b = responder()
    before = bytes(b.memory.data)
    assert syndromes(give(b, request_)) == [(100, ACCESS)]
    assert b.memory.data == before and b.failed and b.events == ["access_err"]
    assert [c[2] for c in b.completions] == ["flush"] * 4


@pytest.mark.parametrize("request_, lacking", [(write(100), WRITE), (read(100), READ), (fetch_add(100, 1), ATOMIC)])
def test_region_that_does_not_allow_it(request_, lacking):
    b = responder()
    b.memory.access &= ~lacking
    assert syndromes(give(b, request_)) == [(100, ACCESS)]


def test_misaligned_atomic():
    """9.4.5: invalid request."""
    b = responder()
    assert syndromes(give(b, fetch_add(100, 1, AT + 4))) == [(100, INVALID)]


def test_message_longer_than_its_receive_wqe():
    """9.9.3: LOC_LEN_ERR here, invalid request there. (rxe answers remote operational error: capture nak_short.)"""
    b = responder(receives=2, size=1500)
    answers = give(b, send(100, FULL, "FIRST", 0), send(101, bytes(600), "LAST"))
    assert syndromes(answers) == [(101, INVALID)]
    assert statuses(b) == [("recv", "loc_len"), ("recv", "flush")]


def test_receive_wqe_that_cannot_be_used():
    """9.9.3, class A: LOC_PROT here, remote operational error there, as rxe answers in the capture nak_op."""
    b = responder(receives=0)
    b.post_recv(64, status=4)
    assert syndromes(give(b, send(100))) == [(100, OPERATION)] and statuses(b) == [("recv", "loc_prot")]
    b = responder(receives=0)
    b.post_recv(64).fault = 4
    assert syndromes(give(b, send(100))) == [(100, OPERATION)] and statuses(b) == [("recv", "loc_prot")]


def test_refusal_flushes_the_message_that_was_open():
    b = responder(receives=2)
    give(b, send(100, FULL, "FIRST"), send(101, FULL, "FIRST"))
    assert statuses(b) == [("recv", "flush")] * 2


def test_failed_qp_answers_nothing_more():
    b = responder()
    assert len(give(b, write(100, rkey=1))) == 1
    assert give(b, send(100), send(101), read(100)) == [] and b.counters["dropped"] == 3


def test_wrong_partition_and_transport_are_dropped():
    """9.6.1: P_Key and opcode of another transport."""
    b = responder()
    assert give(b, send(100, pkey=0x1234), packet("UC SEND_ONLY", psn=100), packet("UD SEND_ONLY", psn=100)) == []
    assert b.counters["dropped"] == 3 and b.state["epsn"] == 100
    assert len(give(b, send(100, pkey=0x7FFF))) == 1  # a limited member of the same partition
