"""Between two routers SENDs and WRITEs are cut by what the path carries, into packets of one size (ffr/nic/roce/protocol/cut.pxd).
Not the standard's, which cuts by the MTU (IBTA volume 1, 9.7.2): so it is for everybody else."""

import pytest
from roce_pair import AT, KEY, NOW, ack, converse, nak, names, packet, pair, parsed, psns, rnr, statuses

from ffr.nic.roce.protocol import harness as h
from ffr.nic.roce.protocol import wire

BTH, XRCETH, RETH, IMM, ICRC = 12, 4, 16, 4, 4
FILLED = 127  # packets of a message whose filler can be counted
CARRIES = [548, 1472, 1476, 4100, 8972]
OPERATIONS = ["send", "send_imm", "send_inv", "write", "write_imm"]
OTHER_KEY = 0x77  # for invalidation
MS = 1_000_000
RTT = 50_000


def beside(operation):
    """Bytes of the headers that FIRST alone has, and LAST alone."""
    return RETH * operation.startswith("write"), IMM * operation.endswith(("_imm", "_inv"))


def room_of(transport, carries):
    return carries - BTH - ICRC - XRCETH * (transport == "XRC")


def least_packets(transport, operation, carries, length):
    """LAST of a longer message than FILLED gets a byte where others leave room for its header: the only way then."""
    room, (reth, imm) = room_of(transport, carries), beside(operation)
    count = max(-(-(length + reth + imm) // room), 1)
    squeezed = count > FILLED and (count - 1) * room >= length + reth
    return -(-(length + reth) // (room - imm)) if squeezed else count


def longest(transport, operation, carries, count):
    """The most bytes that fit into so many packets."""
    return count * room_of(transport, carries) - sum(beside(operation))


def lengths(transport, operation, carries):
    of = [longest(transport, operation, carries, count) for count in (1, 2, 3, FILLED, FILLED + 1, 363, 400)]
    edges = [length + more for length in of for more in (-IMM, -1, 0, 1, 2, IMM, IMM + 1)]
    return [0, 1, 2, 3, 4, 5, *edges, 65536, 1 << 20]


def content(length):
    return bytes(i * 7 & 255 for i in range(257)) * (length // 257 + 1)


def routers(carries, transport="RC", size=0, **both):
    """As pair(), with room for `size` bytes more of everything."""
    a, b = pair(transport=transport, routed=True, carries=carries, **both)
    a.path.window = 4096
    b.memory.data.extend(bytes(size))
    return a, b


def post(a, operation, data):
    return a.post_send(operation, data, rkey=KEY, addr=AT, imm=OTHER_KEY)


def cut(transport, operation, carries, data):
    """The packets of one message."""
    a, _ = routers(carries, transport)
    post(a, operation, data)
    a.send(NOW, 4000)
    assert a.state["send_psn"] == a.state["next_psn"], "it was sent whole"
    return a.sent


def check_shape(transport, operation, carries, length, packets):
    count = least_packets(transport, operation, carries, length)
    sizes = [len(p) for p in packets]
    assert len(packets) == count and psns(packets) == list(range(100, 100 + count))
    assert max(sizes) <= carries - ICRC
    if 1 < count <= FILLED:
        assert len(set(sizes)) == 1
    elif count > FILLED:
        assert len(set(sizes[:-1])) == 1 and carries - ICRC - IMM <= sizes[0] and all(p[8] & 0x7F == 0 for p in packets)
        assert parsed(packets[-1:])[0]["payload"]
    stem = operation.split("_")[0].upper()
    first, last = (["FIRST"], "LAST") if count > 1 else ([], "ONLY")
    parts = first + ["MIDDLE"] * (count - 2) + [last + operation[len(stem):].upper()]
    assert names(packets) == [f"{stem}_{part}" for part in parts]


@pytest.mark.parametrize("carries", CARRIES)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("transport", ["RC", "XRC", "UC"])
def test_packets_of_a_message_are_of_one_size(transport, operation, carries):
    """The fewest that there may be, none longer than the path carries. Of more than 127 the last is of another size."""
    for length in lengths(transport, operation, carries):
        data = content(length)[:length]
        packets = cut(transport, operation, carries, data)
        check_shape(transport, operation, carries, length, packets)
        payload = b"".join(p["payload"][:len(p["payload"]) - 4 * p["filler"]] for p in parsed(packets))
        assert payload == data, length


def test_any_length_has_its_packets(rng):
    """Also where LAST has hardly a byte beside its own header."""
    for _ in range(400):
        transport, operation = rng.choice(["RC", "XRC", "UC"]), rng.choice(OPERATIONS)
        carries = rng.choice([*CARRIES, 4 * rng.randrange(137, 2243)])
        length = longest(transport, operation, carries, rng.randrange(1, 200)) + rng.randrange(-8, 9)
        length = rng.choice([length, rng.randrange(300_000)])
        packets = cut(transport, operation, carries, bytes(length))
        check_shape(transport, operation, carries, length, packets)
        assert sum(len(p["payload"]) - 4 * p["filler"] for p in parsed(packets)) == length


@pytest.mark.parametrize("carries", CARRIES)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("transport", ["RC", "XRC", "UC"])
def test_messages_arrive_whole(transport, operation, carries):
    """Byte for byte, with their exact length, and what LAST says beside its payload."""
    _, imm = beside(operation)
    for length in (0, 1, longest(transport, operation, carries, 1), longest(transport, operation, carries, 1) + 1, 5003,
                   65536, longest(transport, operation, carries, FILLED), longest(transport, operation, carries, 129) + 1):
        a, b = routers(carries, transport, size=length + 8)
        b.memory.data[:] = bytes(len(b.memory.data))
        b.register(OTHER_KEY, 0, bytes(8))
        b.post_recv(length + 8)
        data = content(length)[:length]
        post(a, operation, data)
        a.send(NOW, 4000)
        log = converse(a, b)
        assert all(len(p) <= carries - ICRC for _, p in log)
        assert statuses(a) == [("send", "ok")] and a.path.in_flight == 0
        where = b.memory.data if operation.startswith("write") else b.receive_queue[0].data
        assert where[:length] == data and not any(where[length:])
        if operation == "write":
            assert b.completions == []
            continue
        (_, _, status, details), = b.completions
        flags = {"_imm": h.CQE_IMM, "_inv": h.CQE_INV}.get(operation[-4:], 0)
        assert (status, details["length"], details["flags"]) == ("ok", length, flags)
        assert details["imm"] == OTHER_KEY or not imm
        assert [r.rkey for r in b.regions].count(OTHER_KEY) == (operation != "send_inv")


@pytest.mark.parametrize("transport", ["RC", "XRC"])
def test_reads_and_atomics_are_cut_by_the_mtu(transport):
    """9.7.2: both ends count the packets of a READ's response."""
    a, b = routers(8972, transport)
    post(a, "read", bytes(2500))
    a.post_send("fetch_add", bytes(8), rkey=KEY, addr=AT, compare_add=1)
    post(a, "send", bytes(2500))
    b.post_recv(2500)
    log = converse(a, b)
    asked = [p for source, p in log if source is a]
    assert names(asked) == ["READ_REQUEST", "FETCH_ADD", "SEND_ONLY"] and psns(asked) == [100, 103, 104]
    read = parsed(p for source, p in log if source is b)[:3]
    assert [len(p["payload"]) for p in read] == [1024, 1024, 452] and not any(p["filler"] for p in read)
    assert statuses(a) == [("send", "ok")] * 3 and a.send_queue[0].data == content_of_memory(2500)


def content_of_memory(length):
    return (bytes(range(256)) * (length // 256 + 1))[:length]


@pytest.mark.parametrize("routed", [False, True])
def test_until_a_path_is_known_to_carry_more_the_mtu_cuts(routed):
    """9.7.2. Towards peers that are not FreeFlow's, always."""
    a, b = pair(routed=routed)
    b.post_recv(3000)
    data = content(2050)[:2050]
    post(a, "send", data)
    log = converse(a, b)
    sent = parsed(p for source, p in log if source is a)
    assert [len(p["payload"]) for p in sent] == [1024, 1024, 2] and not any(p["filler"] for p in sent)
    assert b.receive_queue[0].data[:2050] == data


@pytest.mark.parametrize("bits", [1, 2, 127])
def test_reserved_bits_of_others_say_nothing(bits):
    """9.2: transmitted as 0, ignored on receive."""
    _, b = pair()
    b.post_recv(3000)
    for psn, part, size in (100, "FIRST", 1024), (101, "MIDDLE", 1024), (102, "LAST", 10), (103, "ONLY", 0):
        b.receive(packet(f"RC SEND_{part}", psn=psn, payload=bytes([7]) * size, filler=bits), NOW)
        b.post_recv(10)
    assert statuses(b) == [("recv", "ok")] * 2 and [c[3]["length"] for c in b.completions] == [2058, 0]
    assert b.receive_queue[0].data == bytes([7]) * 2058 + bytes(942)


@pytest.mark.parametrize("transport", ["RC", "UC"])
@pytest.mark.parametrize("part, size", [("FIRST", 1023), ("FIRST", 1028), ("MIDDLE", 1000), ("MIDDLE", 1456)])
def test_others_send_exactly_an_mtu(transport, part, size):
    """9.7.4.1: FIRST and MIDDLE. RC refuses anything else, UC gives the message up (9.8.2)."""
    _, b = pair(transport=transport)
    b.post_recv(9000)
    if part == "MIDDLE":
        b.receive(packet(f"{transport} SEND_FIRST", psn=100, payload=bytes(1024)), NOW)
    b.receive(packet(f"{transport} SEND_{part}", psn=100 + (part == "MIDDLE"), payload=bytes(size)), NOW)
    if transport == "RC":
        assert b.failed and parsed(b.sent)[-1]["syndrome"] == 0x61 and statuses(b) == [("recv", "flush")]
    else:
        assert b.counters["dropped"] == 1 and statuses(b) == [] and not b.failed


@pytest.mark.parametrize("transport", ["RC", "UC"])
def test_a_router_may_cut_as_it_likes(transport):
    """Where each byte belongs follows from the order of packets. The other way may carry less, or more."""
    _, b = pair(transport=transport, routed=True, carries=1472)
    b.post_recv(9000)
    for stem in ("SEND", "WRITE"):
        for n, (part, size) in enumerate([("FIRST", 12), ("MIDDLE", 4000), ("MIDDLE", 1), ("LAST", 2000)]):
            b.receive(packet(f"{transport} {stem}_{part}", psn=100 + n + 4 * (stem == "WRITE"), payload=bytes([n + 1]) * size,
                             rkey=KEY, addr=AT, length=6013, ackreq=1), NOW)
    expected = b"\1" * 12 + b"\2" * 4000 + b"\3" + b"\4" * 2000
    assert statuses(b) == [("recv", "ok")] and b.completions[0][3]["length"] == 6013
    assert b.receive_queue[0].data[:6013] == b.memory.data[:6013] == expected
    assert names(b.sent) == ["ACKNOWLEDGE"] * (8 if transport == "RC" else 0)


# ---- sent again -----------------------------------------------------------------------------------------------------

def mixed(a):
    """Messages of each kind, 10 to 20 packets each."""
    for operation in OPERATIONS:
        post(a, operation, content(15_001)[:15_001])


def unasked(packets):
    """By PSN, without the bit that asks for an ACK: it depends on what else is sent."""
    return {p["psn"]: wire.emit({**p, "ackreq": 0}) for p in parsed(packets)}


def sent_once(selective=False):
    a, b = routers(1472, selective=selective, mtu=256)
    mixed(a)
    a.send(NOW, 1000)
    packets = a.take_sent()
    assert len(packets) == 5 * 11
    return a, b, packets


def test_going_back_sends_the_same_packets():
    """9.7.5.2: after a NAK each PSN has the packet that it had."""
    for at in range(100, 155):
        a, _, packets = sent_once()
        a.receive(nak(at, 0), NOW + RTT, budget=1000)
        assert psns(a.sent) == list(range(at, 155))
        assert unasked(a.sent).items() <= unasked(packets).items()


def test_repairs_are_the_same_packets():
    a, _, packets = sent_once(selective=True)
    lost = {100, 101, 110, 111, 121, 130, 153}
    bits = sum(1 << psn - 100 for psn in range(100, 155) if psn not in lost)
    a.receive(packet("routed UD ACKNOWLEDGE", psn=100, syndrome=0x60, payload=bits.to_bytes(8, "little")), NOW + RTT)
    assert set(psns(a.sent)) == lost and unasked(a.sent).items() <= unasked(packets).items()
    assert all(p[1] & 0x4F == 0 and p[4] == 0 for p in a.sent), "MigReq, version and what is reserved"


@pytest.mark.parametrize("una", [100, 105, 110, 121, 154])
def test_a_probe_is_the_packet_that_it_repeats(una):
    a, _, packets = sent_once()
    if una > 100:
        a.receive(ack(una - 1), NOW + RTT)
    a.tick(a.timer)
    assert psns(a.sent) == [una] and unasked(a.sent).items() <= unasked(packets).items()


@pytest.mark.parametrize("una", [100, 105, 110, 121, 154])
def test_what_follows_a_wait_is_the_same(una):
    """After an RNR NAK (9.7.5.2.8), or after silence (9.7.6.1.3), one packet asks, the rest follows its ACK."""
    for silent in (False, True):
        a, _, packets = sent_once()
        if silent:
            a.receive(ack(una - 1), NOW + RTT) if una > 100 else None
            while not a.counters["timeouts"]:
                a.take_sent()
                a.tick(a.timer)
        else:
            a.receive(rnr(una, 1), NOW + RTT)
            a.tick(a.timer)
        a.receive(ack(una), NOW + 100 * MS, budget=1000)
        a.path.window = 100
        a.send(NOW + 100 * MS, 1000)
        assert psns(a.sent) == list(range(una, 155)) and unasked(a.sent).items() <= unasked(packets).items()


def test_what_is_kept_behind_a_gap_ends_where_it_did():
    """A copy is of the payload alone: its filler is not executed when its turn comes."""
    a, b = routers(1472, selective=True)
    for operation in OPERATIONS:
        b.post_recv(9000)
        post(a, operation, content(3001)[:3001])
    b.register(OTHER_KEY, 0, bytes(8))
    a.send(NOW)
    packets = a.take_sent()
    for p in packets[1:]:
        b.receive(p, NOW, send=False)
    assert b.state["held"] == len(packets) - 1
    b.receive(packets[0], NOW)
    assert statuses(b) == [("recv", "ok")] * 4 and [c[3]["length"] for c in b.completions] == [3001] * 4
    assert b.memory.data[:3001] == content(3001)[:3001] and b.memory.data[3001:4096] == content_of_memory(4096)[3001:]


# ---- malformed ------------------------------------------------------------------------------------------------------

def opened(transport, stem):
    """A router's QP in the middle of a message of 1000 bytes, of which 100 are there."""
    _, b = pair(transport=transport, routed=True, carries=1472)
    b.post_recv(1000)
    b.receive(packet(f"{transport} {stem}_FIRST", psn=100, payload=b"1" * 100, rkey=KEY, addr=AT, length=1000), NOW)
    return b


@pytest.mark.parametrize("transport", ["RC", "UC", "XRC"])
@pytest.mark.parametrize("stem", ["SEND", "WRITE"])
@pytest.mark.parametrize("part, size, filler", [
    ("LAST", 0, 1), ("LAST", 4, 1), ("LAST", 4, 127), ("LAST", 5, 2), ("LAST_IMM", 504, 127),
    ("MIDDLE", 8, 1), ("FIRST", 8, 1), ("ONLY", 8, 1), ("ONLY", 0, 1), ("ONLY_IMM", 8, 1)])
def test_filler_that_cannot_be_is_dropped(transport, stem, part, size, filler):
    """It is behind the payload of a LAST, and leaves a byte of it: nobody sends anything else. As if it had been lost."""
    b = opened(transport, stem)
    state, memory = b.state, bytes(b.memory.data)
    b.receive(packet(f"{transport} {stem}_{part}", psn=101, payload=b"2" * size, filler=filler, rkey=KEY, addr=AT,
                     length=size), NOW)
    assert b.state == state and b.memory.data == memory and b.completions == [] and b.sent == []
    assert b.counters["dropped"] == 1 and not b.failed
    b.receive(packet(f"{transport} {stem}_LAST", psn=101, payload=b"3" * 908, filler=2), NOW)
    where = b.receive_queue[0].data if stem == "SEND" else b.memory.data
    assert where[:1000] == b"1" * 100 + b"3" * 900 and not b.failed
    assert statuses(b) == ([("recv", "ok")] if stem == "SEND" else [])


@pytest.mark.parametrize("operation", ["ACKNOWLEDGE", "READ_RESPONSE_ONLY", "ATOMIC_ACKNOWLEDGE", "FETCH_ADD"])
def test_filler_elsewhere_is_dropped(operation):
    a, _ = pair(routed=True, carries=1472)
    post(a, "read", bytes(8))
    a.send(NOW)
    state = a.state
    a.receive(packet(f"RC {operation}", psn=100, syndrome=0x1F, rkey=KEY, addr=AT, length=8, filler=1,
                     payload=bytes(12 if operation == "READ_RESPONSE_ONLY" else 0)), NOW)
    assert a.state == state and a.completions == [] and a.counters["dropped"] == 1
    report = packet("routed UD ACKNOWLEDGE", psn=100, syndrome=0x60, filler=1, payload=bytes(12))
    a.receive(report, NOW)
    assert a.state == state


@pytest.mark.parametrize("part", ["FIRST", "MIDDLE", "LAST", "LAST_IMM"])
@pytest.mark.parametrize("stem", ["SEND", "WRITE"])
def test_empty_parts_are_refused(stem, part):
    """9.7.4.1: an invalid request. Nothing but an ONLY has no payload, between routers too."""
    b = opened("RC", stem)
    if part == "FIRST":
        b = pair(routed=True, carries=1472)[1]
        b.post_recv(1000)
    b.receive(packet(f"RC {stem}_{part}", psn=b.state["epsn"], rkey=KEY, addr=AT, length=1000), NOW)
    assert b.failed and parsed(b.sent)[-1]["syndrome"] == 0x61
    assert statuses(b) == [("recv", "flush")]


@pytest.mark.parametrize("part", ["MIDDLE", "LAST"])
@pytest.mark.parametrize("stem", ["SEND", "WRITE"])
def test_empty_parts_end_a_message_of_uc(stem, part):
    """9.8.2: it is given up, and its receive WQE serves the next one."""
    b = opened("UC", stem)
    b.receive(packet(f"UC {stem}_{part}", psn=101), NOW)
    b.receive(packet(f"UC {stem}_LAST", psn=102, payload=bytes(900)), NOW)
    b.receive(packet("UC SEND_ONLY", psn=103, payload=b"next"), NOW)
    assert statuses(b) == [("recv", "ok")] and b.completions[0][3]["length"] == 4 and b.counters["dropped"] == 2


def test_a_longer_message_than_was_said_is_refused():
    """9.7.4.1: its RETH's length, or its receive WQE's; filler does not count."""
    for stem, size, ok in [("SEND", 900, True), ("SEND", 901, False), ("WRITE", 900, True), ("WRITE", 899, False),
                           ("WRITE", 901, False)]:
        b = opened("RC", stem)
        b.receive(packet(f"RC {stem}_LAST", psn=101, ackreq=1, payload=bytes(size + 4 * 20), filler=20), NOW)
        assert b.failed != ok and parsed(b.sent)[-1]["syndrome"] == (0x1F if ok else 0x61)
