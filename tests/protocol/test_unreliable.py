"""UC and UD (IBTA volume 1, 9.8.2 and 9.8.3)."""

import pytest
from roce_pair import AT, KEY, NOW, converse, names, packet, pair, parsed, psns, statuses

from ffr.nic.roce.protocol import harness as h

FULL = bytes(range(256)) * 4
GRH = b"\x60" + bytes(range(39))


def uc(receives=4, size=4096, **attributes):
    _, b = pair(b=attributes, transport="UC")
    for _ in range(receives):
        b.post_recv(size)
    return b


def send(psn, payload=b"12345678", part="ONLY"):
    return packet(f"UC SEND_{part}", psn=psn, payload=payload)


def write(psn, payload=b"12345678", part="ONLY", length=None, rkey=KEY, addr=AT, **fields):
    return packet(f"UC WRITE_{part}", psn=psn, payload=payload, rkey=rkey, addr=addr,
                  length=len(payload) if length is None else length, **fields)


def give(b, *packets):
    for p in packets:
        b.receive(p, NOW)
    assert b.sent == [], "nothing is answered"


def test_uc_exchange():
    a, b = pair(transport="UC")
    b.post_recv(4096), b.post_recv(0)
    a.post_send("send_imm", FULL * 3, imm=5)
    a.post_send("write", FULL + b"x", rkey=KEY, addr=AT)
    a.post_send("write_imm", b"y", rkey=KEY, addr=AT + 2000, imm=6)
    log = converse(a, b)
    assert names(p for _, p in log) == ["SEND_FIRST", "SEND_MIDDLE", "SEND_LAST_IMM", "WRITE_FIRST", "WRITE_LAST",
                                        "WRITE_ONLY_IMM"]
    assert statuses(a) == [("send", "ok")] * 3 and statuses(b) == [("recv", "ok")] * 2
    assert b.receive_queue[0].data[:3072] == FULL * 3 and b.memory.data[:1025] == FULL + b"x"
    assert a.timer == 0 and a.path.in_flight == 0


@pytest.mark.parametrize("operation", ["read", "fetch_add", "cmp_swp", "send_inv"])
def test_uc_has_no_reads_and_atomics(operation):
    """Nor SEND with invalidate, towards who speaks the standard alone."""
    a, _ = pair(transport="UC")
    a.post_send(operation, bytes(8), rkey=KEY, addr=AT)
    a.send(NOW)
    assert statuses(a) == [("send", "loc_qp_op")] and a.sent == []


def test_uc_send_with_invalidate_between_routers():
    a, b = pair(transport="UC", routed=True)
    b.register(0x77, 0, bytes(8))
    for size in (2000, 8):
        b.post_recv(4096)
        a.post_send("send_inv", bytes(size), imm=0x77)
        log = converse(a, b)
        assert names(p for _, p in log)[-1] == ("SEND_LAST_INV" if size > 1024 else "SEND_ONLY_INV")
        assert log[-1][1][0] in (0xD6, 0xD7)
        b.register(0x77, 0, bytes(8))
    assert statuses(a) == [("send", "ok")] * 2 and statuses(b) == [("recv", "ok")] * 2
    assert all(c[3]["imm"] == 0x77 and c[3]["flags"] == h.CQE_INV for c in b.completions)


def test_uc_invalidate_of_what_is_not_the_peers_loses_the_message():
    a, b = pair(transport="UC", routed=True)
    b.post_recv(4096)
    a.post_send("send_inv", bytes(8), imm=0x55)
    a.post_send("send", b"next")
    converse(a, b)
    assert statuses(a) == [("send", "ok")] * 2 and statuses(b) == [("recv", "ok")]
    assert b.receive_queue[0].data[:4] == b"next" and not b.failed


def test_uc_invalidate_from_a_foreign_peer_is_dropped():
    a, b = pair(a={"routed": True}, transport="UC")
    b.register(0x77, 0, bytes(8))
    b.post_recv(4096)
    a.post_send("send_inv", bytes(8), imm=0x77)
    converse(a, b)
    assert statuses(b) == [] and b.regions[-1].rkey == 0x77


def test_uc_lost_packet_loses_its_message_alone():
    """9.8.2: the rest of the message is dropped, its receive WQE serves the next one."""
    b = uc()
    give(b, send(100, FULL, "FIRST"), send(102, FULL, "LAST"), send(103, b"next"))
    assert statuses(b) == [("recv", "ok")] and b.completions[0][1] == 0 and b.completions[0][3]["length"] == 4
    assert b.receive_queue[0].data[:4] == b"next"


def test_uc_new_message_ends_an_open_one():
    b = uc()
    give(b, send(100, FULL, "FIRST"), send(104, b"next"), send(105, FULL, "LAST"), send(106, b"more"))
    assert [c[1] for c in b.completions] == [0, 1]


def test_uc_duplicates_are_dropped():
    b = uc()
    give(b, send(100, b"one."), send(100, b"one."), send(101, b"two."), send(100, b"one."))
    assert [c[3]["length"] for c in b.completions] == [4, 4]


def test_uc_refusals_are_silent():
    """9.8.2: no receive WQE, a key that does not hold, a length that does not fit: the message is dropped."""
    b = uc(receives=0)
    before = bytes(b.memory.data)
    give(b, send(100), write(101, rkey=1), write(102, addr=AT - 1), write(103, length=4), write(104, length=12),
         write(105, part="ONLY_IMM", imm=1))
    assert not b.failed and b.completions == [] and b.memory.data == before
    b.post_recv(4)
    give(b, send(106, b"12345"), send(107, b"1234"))
    assert statuses(b) == [("recv", "ok")]
    b = uc(access=0)
    give(b, write(100))
    assert b.memory.data == before


def test_uc_receive_wqe_that_cannot_be_used():
    b = uc(receives=0)
    b.post_recv(64).fault = 0
    give(b, send(100))
    assert statuses(b) == [("recv", "loc_prot")] and b.failed


# ---- UD -------------------------------------------------------------------------------------------------------------

def ud_packet(payload=b"12345678", qkey=0x11111111, **fields):
    return packet("UD SEND_ONLY", qkey=qkey, src_qpn=0xA, payload=payload, **fields)


def ud(receives=2, size=1064):
    _, b = pair(transport="UD")
    for _ in range(receives):
        b.post_recv(size)
    return b


def test_ud_headers():
    """9.3.2: Q_Key and source QP; 10.2.5: a Q_Key with its high bit set means the QP's own."""
    a, _ = pair(transport="UD")
    a.post_send("send", b"x", qpn=0x77, qkey=0x2222, ah=1)
    a.post_send("send_imm", b"x", qpn=0x78, qkey=0x80000000, imm=9)
    a.send(NOW)
    first, second = parsed(a.sent)
    assert (first["qpn"], first["qkey"], first["src_qpn"]) == (0x77, 0x2222, 0xA)
    assert (second["qpn"], second["qkey"], second["imm"]) == (0x78, 0x11111111, 9)
    assert psns(a.sent) == [100, 101] and statuses(a) == [("send", "ok")] * 2


def test_ud_message_is_one_packet():
    """9.8.3: no longer than the MTU."""
    a, _ = pair(transport="UD")
    a.post_send("send", bytes(1025))
    a.send(NOW)
    assert statuses(a) == [("send", "loc_len")]


def test_an_ipv4_header_is_told_from_an_ipv6_one():
    """The completion says which, for whoever looks for the addresses."""
    b = ud()
    b.receive(ud_packet(), NOW, grh=bytes(20) + b"\x45" + bytes(19))
    assert b.completions[0][3]["flags"] == h.CQE_GRH | h.CQE_IPV4


def test_ud_receive_has_a_grh():
    """9.8.3: 40 bytes stand before the payload, and count in the length."""
    b = ud()
    b.receive(ud_packet(solicited=1), NOW, grh=GRH)
    _, _, status, details = b.completions[0]
    assert status == "ok" and details["length"] == 48 and details["src_qpn"] == 0xA
    assert details["flags"] == h.CQE_GRH | h.CQE_SOLICITED
    assert b.receive_queue[0].data[:48] == GRH + b"12345678"


def test_ud_psns_are_not_looked_at():
    b = ud()
    for psn in (7, 0xFFFFFF):
        b.receive(ud_packet(psn=psn), NOW, grh=GRH)
    assert statuses(b) == [("recv", "ok")] * 2


def test_ud_drops():
    """9.8.3: wrong Q_Key, no room, no receive WQE: without a word, and the receive WQE stays."""
    b = ud(receives=1, size=47)
    for p in (ud_packet(qkey=0x11111112), ud_packet(), ud_packet(bytes(1028))):
        b.receive(p, NOW, grh=GRH)
    assert b.completions == [] and b.counters["dropped"] == 3
    b.receive(ud_packet(b"1234567"), NOW, grh=GRH)
    b.receive(ud_packet(b"1234567"), NOW, grh=GRH)
    assert statuses(b) == [("recv", "ok")] and b.counters["dropped"] == 4 and b.sent == []
