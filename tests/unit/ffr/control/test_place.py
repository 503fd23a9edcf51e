"""A router's directory: one router at a time, and nothing left behind."""

import os
import socket

import pytest

from ffcore.paths import RouterPaths
from ffr.control.place import Place, PlaceTaken


@pytest.fixture
def paths(tmp_path):
    return RouterPaths.of(tmp_path / "a" / "b", "r1")


def test_the_directory_is_made_and_only_it_stays(paths):
    Place(paths).close()
    assert list(paths.directory.iterdir()) == []


def test_a_second_router_is_refused_by_the_first_ones_pid(paths):
    place = Place(paths)
    with pytest.raises(PlaceTaken, match=rf"pid {os.getpid()}\b.*--name"):
        Place(paths)
    Place(RouterPaths.of(paths.directory, "r2")).close()
    place.close()
    Place(paths).close()


def test_what_a_dead_router_left_is_replaced(paths):
    paths.directory.mkdir(parents=True)
    paths.lock_file.write_text("4711\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as old:
        old.bind(str(paths.session_socket))
    Place(paths)
    assert not paths.session_socket.exists() and paths.lock_file.read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("which", ["session_socket", "control_socket"])
def test_a_file_where_a_socket_must_be_is_not_removed(paths, which):
    paths.directory.mkdir(parents=True)
    getattr(paths, which).write_text("precious")
    with pytest.raises(PlaceTaken, match="not a socket"):
        Place(paths)
    assert getattr(paths, which).read_text() == "precious"


def test_a_lock_file_that_is_a_link_is_not_followed(paths, tmp_path):
    paths.directory.mkdir(parents=True)
    (tmp_path / "precious").write_text("precious")
    paths.lock_file.symlink_to(tmp_path / "precious")
    with pytest.raises(OSError):
        Place(paths)
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a\0b", "x" * 200])
def test_names_that_no_router_can_have(name):
    with pytest.raises(ValueError):
        RouterPaths.of("/freeflow", name)


def test_the_environment_chooses_unless_told_otherwise(monkeypatch):
    monkeypatch.setenv("FREEFLOW_DIR", "/e")
    monkeypatch.setenv("FFR_NAME", "env")
    assert str(RouterPaths.of().session_socket) == "/e/env.sock"
    assert str(RouterPaths.of("/d", "n").control_socket) == "/d/n.ctl"
    monkeypatch.setenv("FREEFLOW_DIR", "")
    monkeypatch.delenv("FFR_NAME")
    assert str(RouterPaths.of().session_socket) == "/freeflow/router.sock"
