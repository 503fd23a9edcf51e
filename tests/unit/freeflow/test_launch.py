"""What `freeflow run` puts into a program's environment, and its answers when the program cannot be run."""

import os
import socket
import subprocess
import sys

import pytest

from ffcore.paths import RouterPaths
from freeflow import launch

RUN = [sys.executable, "-m", "freeflow.cli.main", "run"]


@pytest.fixture
def place(tmp_path):
    """A router's directory with everything that launching looks at."""
    for name in (launch.VERBS_LIBRARY, launch.SOCKET_LIBRARY):
        (tmp_path / name).touch()
    return RouterPaths(tmp_path, "router")


@pytest.fixture
def listening(tmp_path):
    """A directory that has a router's socket in it; the libraries are the built ones."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "router.sock"))
        listener.listen()
        yield tmp_path


def run(directory, *command, **variables):
    return subprocess.run([*RUN, "--dir", directory, "--", *command], capture_output=True, text=True, timeout=30,
                          env=os.environ | variables)


def test_the_library_comes_first_and_what_was_there_stays(place):
    made = launch.environment(place, {"LD_PRELOAD": "/other.so", "LD_LIBRARY_PATH": "/lib/other", "HOME": "/h"})
    assert made["LD_PRELOAD"] == f"{place.directory}/libibverbs.so.1:/other.so"
    assert made["LD_LIBRARY_PATH"] == f"{place.directory}:/lib/other"
    assert (made["FREEFLOW_DIR"], made["FFR_NAME"], made["HOME"]) == (str(place.directory), "router", "/h")


def test_tcp_mode_adds_the_socket_library(place):
    made = launch.environment(place, {}, tcp=True)
    assert made["LD_PRELOAD"] == f"{place.directory}/libfsocket.so.1:{place.directory}/libibverbs.so.1"


def test_twice_is_once(place):
    once = launch.environment(place, {}, tcp=True)
    assert launch.environment(place, once, tcp=True) == once


def test_plain_takes_all_of_it_away(place):
    base = {"LD_PRELOAD": "/other.so", "HOME": "/h"}
    assert launch.plain(launch.environment(place, base, tcp=True)) == base
    assert launch.plain({"HOME": "/h"}) == {"HOME": "/h"}


@pytest.mark.parametrize("letter", ": ")
def test_a_path_that_a_preload_cannot_name(tmp_path, letter):
    directory = tmp_path / f"a{letter}b"
    directory.mkdir()
    (directory / launch.VERBS_LIBRARY).touch()
    with pytest.raises(launch.LaunchError, match="FREEFLOW_DIR"):
        launch.environment(RouterPaths(directory, "router"), {})


def test_no_router_names_the_cure(tmp_path):
    done = run(tmp_path, "true")
    assert done.returncode == 125
    assert f"no router at {tmp_path}/router.sock" in done.stderr and "freeflow router" in done.stderr


def test_a_router_that_was_killed_names_the_cure(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as killed:
        killed.bind(str(tmp_path / "router.sock"))
    done = run(tmp_path, "true")
    assert done.returncode == 125 and "has ended: start it again" in done.stderr


def test_the_program_s_own_status_and_words(listening):
    done = run(listening, "sh", "-c", "echo $FREEFLOW_DIR; echo $LD_PRELOAD >&2; exit 9")
    assert (done.returncode, done.stdout) == (9, f"{listening}\n")
    assert done.stderr.endswith("libibverbs.so.1\n")


def test_not_found_and_not_executable(listening, tmp_path):
    text = tmp_path / "text"
    text.write_text("no program")
    assert run(listening, "no-such-program").returncode == 127
    assert run(listening, "/no/such/program").returncode == 127
    assert run(listening, str(text)).returncode == 126


def test_a_script_without_an_interpreter_is_the_shell_s(listening, tmp_path):
    script = tmp_path / "script"
    script.write_text('exit "$1"\n')
    script.chmod(0o755)
    assert run(listening, str(script), "5").returncode == 5
