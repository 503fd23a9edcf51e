"""Who gets a session: the rules, without sockets or clocks."""

import errno

import pytest
from refusals import StandIn, refused

from ffcore.handshake import HELLO_SIZE, LAYOUT_VERSION, pack_hello, pack_welcome, parse_welcome
from ffr.network import addresses
from ffr.control.admission import ADMISSIONS_BURST, ADMISSIONS_PER_S, ADMISSIONS_PER_TURN, PENDING_PER_CONTAINER, PENDING_TOTAL, Admission, Peer
from ffr.control.identity import NamespaceId
from ffr.control.registry import Registry

WEB, STRANGER = NamespaceId(4, 2), NamespaceId(4, 77)


@pytest.fixture
def registry():
    registry = Registry()
    registry.add_host(StandIn(1), addresses.parse(["192.0.2.1"]))
    registry.add("web", StandIn(2), ["10.32.1.1"])
    return registry


@pytest.fixture
def admission(registry):
    return Admission(registry)


def hello_from(namespace_id, foreign=False):
    return pack_hello(), Peer(namespace_id, foreign, 4711)


def test_a_registered_namespace_is_admitted(admission, registry):
    assert admission.admit(*hello_from(WEB), 0.0) is registry.find(WEB)


def test_a_stranger_a_liar_and_a_refused_one_are_told_different_things(admission, registry):
    refused(registry.add, "db", StandIn(9), ["10.32.1.1"])
    told = [refused(admission.admit, *hello_from(*who), 0.0)
            for who in [(STRANGER,), (STRANGER, True), (NamespaceId(4, 9),)]]
    assert [refusal.errno for refusal in told] == [errno.EACCES, errno.EPERM, errno.EACCES]
    for refusal, word in zip(told, ["not registered", "user namespace", "10.32.1.1 is taken"], strict=True):
        assert word in refusal.reason


@pytest.mark.parametrize("hello, error", [
    (pack_hello(LAYOUT_VERSION + 1), errno.EPROTONOSUPPORT),
    (pack_hello(0), errno.EPROTONOSUPPORT),
    (pack_hello(magic=1), errno.EPROTO),
    (b"", errno.EPROTO),
    (b"GET / HTTP/1.0\r\n\r\n", errno.EPROTO),
    (pack_hello() + b"x", errno.EPROTO),
    (bytes(HELLO_SIZE), errno.EPROTO),
])
def test_what_is_not_this_versions_hello(admission, hello, error):
    assert refused(admission.admit, hello, Peer(WEB, False, 1), 0.0).errno == error


def test_a_container_has_as_many_sessions_as_are_left(registry):
    """Half of them for one alone, half of the rest for a second one: none can take all from the others."""
    web, host = registry.find(WEB), registry.find(NamespaceId(4, 1))
    admission = Admission(registry, sessions_max=100)
    web.sessions.update(range(49))
    admission.admit(*hello_from(WEB), 0.0)
    web.sessions.add(49)
    told = refused(admission.admit, *hello_from(WEB), 0.0)
    assert told.errno == errno.ENOSPC and "has 50 sessions already" in told.reason
    host.sessions.update(range(50, 74))
    admission.admit(*hello_from(NamespaceId(4, 1)), 0.0)
    host.sessions.add(74)
    assert refused(admission.admit, *hello_from(NamespaceId(4, 1)), 0.0).errno == errno.ENOSPC


def test_a_burst_is_admitted_then_the_rate(admission):
    for _ in range(ADMISSIONS_BURST):
        admission.admit(*hello_from(WEB), 10.0)
        admission.end_turn()
    assert refused(admission.admit, *hello_from(WEB), 10.0).errno == errno.EAGAIN
    admission.admit(*hello_from(NamespaceId(4, 1)), 10.0)  # others are not in its way
    admission.admit(*hello_from(WEB), 10.0 + 1.5 / ADMISSIONS_PER_S)
    assert refused(admission.admit, *hello_from(WEB), 10.0 + 1.5 / ADMISSIONS_PER_S).errno == errno.EAGAIN


def test_a_crowd_is_admitted_in_turns(admission):
    """Who comes later hears so at once, and loses nothing of the container's rate."""
    for _ in range(ADMISSIONS_PER_TURN):
        admission.admit(*hello_from(WEB), 10.0)
    assert refused(admission.admit, *hello_from(WEB), 10.0).errno == errno.EAGAIN
    admission.admit(*hello_from(NamespaceId(4, 1)), 10.0)
    admission.end_turn()
    for _ in range(ADMISSIONS_PER_TURN):
        admission.admit(*hello_from(WEB), 10.0)


def test_pending_handshakes_of_one_container_leave_room_for_the_others(admission):
    shares = [admission.begin(WEB) for _ in range(PENDING_PER_CONTAINER)]
    assert refused(admission.begin, WEB).errno == errno.EAGAIN
    admission.begin(NamespaceId(4, 1))
    admission.end(shares.pop())
    admission.begin(WEB)


def test_namespaces_that_nobody_registered_share_one_share(admission):
    for inode in range(1000, 1000 + PENDING_PER_CONTAINER):
        admission.begin(NamespaceId(4, inode))
    assert refused(admission.begin, STRANGER).errno == errno.EAGAIN
    admission.begin(WEB)


def test_a_share_is_given_back_to_where_it_was_taken_from(admission, registry):
    """Registered between hello and connect: the share stays the strangers'."""
    share = admission.begin(STRANGER)
    registry.add("db", StandIn(77), ["10.32.1.2"])
    admission.end(share)
    assert admission._pending.total() == 0


def test_pending_handshakes_in_all_are_bounded(registry):
    admission = Admission(registry)
    containers = PENDING_TOTAL // PENDING_PER_CONTAINER
    for number in range(containers):
        registry.add(f"c{number}", StandIn(100 + number), [f"10.1.0.{number + 1}"])
        for _ in range(PENDING_PER_CONTAINER):
            admission.begin(NamespaceId(4, 100 + number))
    assert refused(admission.begin, WEB).errno == errno.EAGAIN


def test_a_reason_that_is_too_long_is_cut_and_one_of_many_letters_survives():
    assert parse_welcome(pack_welcome(13, reason="x" * 500))["reason"] == "x" * 159
    assert "straße" in parse_welcome(pack_welcome(13, reason="straße 東京"))["reason"]
