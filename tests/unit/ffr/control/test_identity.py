"""What the kernel says about a peer, with and without SO_PEERPIDFD (6.5)."""

import os
import socket

import pytest

from ffr.control import identity


@pytest.fixture(params=[identity.SO_PEERPIDFD, 9999], ids=["peerpidfd", "older kernel"])
def option(request, monkeypatch):
    monkeypatch.setattr(identity, "SO_PEERPIDFD", request.param)


@pytest.fixture
def listener(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        yield listener


def connected_by_a_child(listener, stay):
    """(accepted socket, pid); a child that does not stay is gone and reaped."""
    pid = os.fork()
    if pid == 0:
        try:
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(listener.getsockname())
            if stay:
                os.read(stay, 1)
        finally:
            os._exit(0)
    accepted, _ = listener.accept()
    if not stay:
        os.waitpid(pid, 0)
    return accepted, pid


def test_a_living_peer(listener, option):
    stay, go = os.pipe()
    before = len(os.listdir("/proc/self/fd"))
    accepted, pid = connected_by_a_child(listener, stay)
    with accepted:
        peer = identity.peer_process(accepted)
        assert (peer.pid, peer.uid, peer.gid, peer.in_our_pid_namespace) == (pid, os.getuid(), os.getgid(), True)
    os.write(go, b"x")
    os.waitpid(pid, 0)
    os.close(stay)
    os.close(go)
    assert len(os.listdir("/proc/self/fd")) == before - 2


def test_a_peer_that_is_gone(listener, option):
    accepted, _ = connected_by_a_child(listener, None)
    with accepted, pytest.raises(ProcessLookupError):
        identity.peer_process(accepted)


def test_the_namespace_of_a_socket_is_ours_and_closes(listener):
    accepted, _ = connected_by_a_child(listener, None)
    with accepted, identity.Namespace.of_socket(accepted) as theirs, identity.Namespace.own() as own:
        assert theirs.id == own.id and not theirs.is_foreign()
        fd = theirs.fd
    with pytest.raises(OSError):
        os.fstat(fd)
