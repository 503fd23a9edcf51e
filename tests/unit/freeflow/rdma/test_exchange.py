"""The line by which two ends find each other: what parses, and what is refused."""

import json

import pytest

from freeflow import rdma
from freeflow.rdma import exchange
from freeflow.rdma.exchange import Hello

MINE = Hello(qpn=5, psn=0x123456, gid=bytes(range(16)), lid=0, mtu=4096, atomics=16, slot_bytes=4096)


def test_there_and_back():
    assert Hello.parse(MINE.line()) == MINE
    assert len(MINE.line()) < exchange.LINE_BYTES_MAX


@pytest.mark.parametrize("change", [{"qpn": 1 << 24}, {"qpn": -1}, {"qpn": "5"}, {"qpn": True}, {"psn": 1 << 24}, {"gid": "00"}, {"gid": "zz" * 16},
                                    {"gid": None}, {"mtu": 1500}, {"mtu": 0}, {"lid": 1 << 16}, {"atomics": -1}, {"slot_bytes": 1 << 31},
                                    {"more": 1}, {"protocol": "freeflow-rdma/0"}, {"protocol": None}])
def test_a_line_with_odd_values(change):
    with pytest.raises(rdma.WrongProtocol):
        Hello.parse(json.dumps(json.loads(MINE.line()) | change))


@pytest.mark.parametrize("left_out", json.loads(MINE.line()))
def test_a_line_that_lacks_something(left_out):
    values = json.loads(MINE.line())
    del values[left_out]
    with pytest.raises(rdma.WrongProtocol):
        Hello.parse(json.dumps(values))


@pytest.mark.parametrize("line", [b"", b"\n", b"GET / HTTP/1.1\r\n", b"[]", b"null", b"\xff\xfe\n", b"[" * 900])
def test_no_line_of_this_kind(line):
    with pytest.raises(rdma.WrongProtocol):
        Hello.parse(line)


def test_names_of_peers():
    assert exchange.name_of(("10.32.1.2", 5)) == "10.32.1.2:5"
    assert exchange.name_of(("::ffff:10.32.1.2", 5, 0, 0)) == "10.32.1.2:5"
    assert exchange.name_of(("fe80::1%eth0", 5, 0, 2)) == "[fe80::1]:5"
