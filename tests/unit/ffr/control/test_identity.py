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


def test_our_own_user_is_let_in_without_a_privilege(listener):
    stay, go = os.pipe()
    accepted, pid = connected_by_a_child(listener, stay)
    with accepted, identity.Namespace.of_own_user(accepted) as theirs, identity.Namespace.own() as own:
        assert theirs.id == own.id
    os.write(go, b"x")
    os.waitpid(pid, 0)


@pytest.mark.parametrize("what", ["another user", "another namespace"])
def test_nobody_else_is(listener, monkeypatch, what):
    stay, go = os.pipe()
    accepted, pid = connected_by_a_child(listener, stay)
    if what == "another user":
        monkeypatch.setattr(identity.os, "geteuid", lambda: 4711)
    else:
        monkeypatch.setattr(identity, "_namespace_cookie", id)
    with accepted, pytest.raises(identity.Refused):
        identity.Namespace.of_own_user(accepted)
    os.write(go, b"x")
    os.waitpid(pid, 0)


@pytest.mark.parametrize("mapped, visible, ours", [("0 0 4294967295", False, True), ("0 1000 1", True, True),
                                                   ("0 1000 1", False, False)])
def test_users_that_look_alike_in_a_user_namespace_are_told_apart(monkeypatch, mapped, visible, ours):
    """All that is not mapped looks like the overflow uid, which this process may look like itself."""
    texts = {"/proc/self/uid_map": mapped, "/proc/sys/kernel/overflowuid": str(os.geteuid())}
    monkeypatch.setattr(identity.Path, "read_text", lambda path: texts[str(path)])
    pid = os.getpid() if visible else 1 << 30
    assert identity._is_our_user(identity.Process(pid, os.geteuid(), 0, True)) is ours
