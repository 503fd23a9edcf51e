"""`freeflow doctor` on routers that are absent, dead, mute, of another version, or not routers at all."""

import json
import socket
import threading
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from ffcore.handshake import HELLO_SIZE, pack_welcome
from freeflow import doctor
from freeflow.cli.main import cli


@contextmanager
def answering(directory, answer):
    """Something at the session socket that answers each hello with these bytes; None: it says nothing."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(directory / "router.sock"))
        listener.listen()

        def serve():
            peer, _ = listener.accept()
            with peer:
                peer.recv(HELLO_SIZE)
                if answer is not None:
                    peer.send(answer)
                peer.recv(1)  # until the doctor has gone

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        thread.join(10)


def session(directory):
    found = {finding.check: finding for finding in doctor.examine(str(directory))}
    return found["session"], found["traffic path"]


def test_no_router(tmp_path):
    found, path = session(tmp_path)
    assert found.state == path.state == doctor.FAIL and "no router" in found.text and found.cure


def test_labs_that_are_up_are_named(tmp_path, monkeypatch):
    class Record:
        running = True

    monkeypatch.setattr(doctor.lab_state, "names", lambda: ["one", "broken", "two"])
    monkeypatch.setattr(doctor.lab_state, "load", lambda name: Record() if name != "broken" else None)
    found = {finding.check: finding for finding in doctor.examine(str(tmp_path))}["labs"]
    assert found.state == doctor.OK and "one, two" in found.text and "broken" not in found.text
    monkeypatch.setattr(Record, "running", False)
    found = {finding.check: finding for finding in doctor.examine(str(tmp_path))}["labs"]
    assert found.state == doctor.WARN and "half gone: one, two" in found.text and "FREEFLOW_LAB=one" in found.cure
    monkeypatch.setattr(doctor.lab_state, "names", lambda: [])
    assert "labs" not in {finding.check for finding in doctor.examine(str(tmp_path))}


def test_a_dead_router(tmp_path):
    for name in ("router.sock", "router.tcp.sock"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as left_behind:
            left_behind.bind(str(tmp_path / name))
    found = {finding.check: finding for finding in doctor.examine(str(tmp_path))}
    assert "is dead" in found["session"].text and "`freeflow router`" in found["session"].cure
    assert found["tcp mode"].state == doctor.WARN and "nobody at" in found["tcp mode"].text


def test_a_dead_router_of_a_lab_comes_back_with_the_lab(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.lab_state, "STATE_ROOT", tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as left_behind:
        left_behind.bind(str(tmp_path / "router.sock"))
    assert "lab up" in session(tmp_path)[0].cure


@pytest.mark.parametrize("answer, state, words", [
    (pack_welcome(0), doctor.OK, "admits"),
    (pack_welcome(13, reason="this network namespace is not registered: ask"), doctor.FAIL, "not registered"),
    (pack_welcome(13, reason="this container was refused: address 10.32.1.1 is taken"), doctor.FAIL, "is taken"),
    (pack_welcome(1, reason="the router has no CAP_NET_ADMIN over this"), doctor.FAIL, "no CAP_NET_ADMIN"),
    (pack_welcome(93, reason="the library speaks layout 1 and the router 2"), doctor.FAIL, "layout"),
    (b"hello yourself", doctor.FAIL, "bytes instead of"),
    (bytes(len(pack_welcome(0))), doctor.FAIL, "not a router"),
])
def test_what_the_router_says_is_told(tmp_path, answer, state, words):
    with answering(tmp_path, answer):
        found, path = session(tmp_path)
    assert (found.state, path.state) == (state, state) and words in found.text
    assert bool(found.cure) == (state != doctor.OK)


def test_who_may_not_ask_of_other_hosts_is_told_who_may(tmp_path):
    with answering(tmp_path, pack_welcome(0)):
        assert "on the host" in session(tmp_path)[1].text


def test_a_router_that_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "WAIT_S", 0.1)
    with answering(tmp_path, None):
        assert "does not answer" in session(tmp_path)[0].text


def test_a_check_that_fails_itself_is_a_finding(monkeypatch):
    def broken(here):
        raise RuntimeError("oh")

    monkeypatch.setattr(doctor, "CHECKS", [broken])
    finding, = doctor.examine()
    assert (finding.check, finding.state) == ("broken", doctor.WARN) and "oh" in finding.text


def test_the_exit_status_and_the_json(tmp_path):
    result = CliRunner().invoke(cli, ["doctor", "--json", "--dir", str(tmp_path)])
    assert result.exit_code == 1
    checks = json.loads(result.output)
    assert checks[0]["check"] == "session" and {"ok", "fail", "warn"} >= {check["state"] for check in checks}
    with answering(tmp_path, pack_welcome(0)):
        assert CliRunner().invoke(cli, ["doctor", "--dir", str(tmp_path)]).exit_code == 0


def test_the_systems_library_is_told_from_ours(monkeypatch):
    ours = str(doctor.find_library("/nowhere", doctor.VERBS_LIBRARY))
    monkeypatch.setattr(doctor, "_loaded_verbs_library", lambda: ours)
    assert doctor.library(doctor.Here(None, None)).state == doctor.OK
    monkeypatch.setattr(doctor, "_loaded_verbs_library", lambda: "/bin/true")
    assert doctor.library(doctor.Here(None, None)).state == doctor.WARN
