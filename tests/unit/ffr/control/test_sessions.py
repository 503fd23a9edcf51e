"""Sessions: what the reactor is given, and that nothing stays behind."""

import errno
import os
import socket

import pytest
from fake_reactor import FakeReactor
from refusals import StandIn, refused

from ffr.policy.registry import Policies
from ffr.control.registry import Registry
from ffr.control.sessions import Sessions


def open_descriptors():
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture
def container():
    return Registry().add("web", StandIn(2), ["10.32.1.1"], "blue")


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def test_the_reactor_gets_descriptors_of_its_own_and_a_hang_up_ends_it_all(container, pair):
    reactor = FakeReactor()
    sessions = Sessions(reactor, Policies())
    before = open_descriptors()
    number, limits, segments = sessions.open(container, pair[0], 4711)
    with segments:
        control, memory, event = segments.fds
        assert os.fstat(control).st_size == limits["control_bytes"]
        assert os.fstat(memory).st_size == limits["memory_bytes"] and os.fstat(memory).st_blocks == 0
        assert not set(segments.fds) & set(reactor.attached[number]["fds"])
        assert not any(os.get_inheritable(fd) for fd in (control, memory, event))
    assert reactor.attached[number]["gids"] == container.gids and container.sessions == {number}
    pair[1].shutdown(socket.SHUT_RDWR)
    sessions.reap()
    assert open_descriptors() == before and not container.sessions and len(sessions) == 0


def test_segments_cannot_be_resized_by_those_who_share_them(container, pair):
    _, _, segments = Sessions(FakeReactor(), Policies()).open(container, pair[0], 1)
    with segments:
        for fd in segments.fds[:2]:
            for size in (0, 1 << 40):
                with pytest.raises(PermissionError):
                    os.ftruncate(fd, size)


def test_a_full_reactor_is_a_refusal_that_leaves_nothing(container, pair):
    sessions = Sessions(FakeReactor(capacity=0), Policies({"quota": {"tenants": {"blue": {"sessions": 1}}}}))
    before = open_descriptors()
    for _ in range(3):  # also the quota is given back
        assert refused(sessions.open, container, pair[0], 1).errno == errno.ENOSPC
    assert open_descriptors() == before and not container.sessions


def test_a_number_given_out_again_is_forgotten_first(container, pair):
    reactor = FakeReactor()
    sessions = Sessions(reactor, Policies())
    number, _, segments = sessions.open(container, pair[0], 1)
    segments.close()
    reactor.detach(number, errno.ENODEV)
    reactor._next = number
    again, _, segments = sessions.open(container, pair[0], 1)
    segments.close()
    assert again == number and container.sessions == {number} and len(sessions) == 1


def test_end_all_tells_the_programs_the_error(container, pair):
    reactor = FakeReactor()
    sessions = Sessions(reactor, Policies())
    number, _, segments = sessions.open(container, pair[0], 1)
    segments.close()
    sessions.end_all(container, errno.ENODEV)
    sessions.reap()
    assert reactor.detached == [(number, errno.ENODEV)] and not container.sessions


def test_other_policies_reach_the_reactor_for_the_sessions_that_they_concern(container, pair):
    reactor = FakeReactor()
    sessions = Sessions(reactor, Policies())
    number, _, segments = sessions.open(container, pair[0], 1)
    segments.close()
    sessions.set_policy({"quota": {"session": {"max_qp": 3}}})
    assert [(told, limits["max_qp"]) for told, limits in reactor.limits_set] == [(number, 3)]
    sessions.set_policy({"quota": {"tenants": {"green": {"sessions": 3}}, "session": {"max_qp": 3}}})  # another tenant
    assert len(reactor.limits_set) == 1
    limits, records = sessions.limits_of(container)
    assert limits[number]["max_qp"] == 3 and records == {"max_qp": "quota.session"}
