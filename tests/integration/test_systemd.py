"""The unit: systemd understands it, it is no more open than a router has to be, and the router says when it is ready."""

import os
import re
import socket
import subprocess

import pytest

from lab_checks import said
from places import FREEFLOW

EXPOSURE_MAX = 6.5  # of 10; a router has to look into other namespaces


@pytest.fixture
def unit(tmp_path):
    """The unit's file."""
    path = tmp_path / "freeflow-router.service"
    path.write_text(said(subprocess.run([*FREEFLOW, "systemd", "--", "--polling", "lowcpu"], capture_output=True, text=True)))
    return path


def test_systemd_understands_it(unit):
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^ExecStart=/\S+/freeflow router --polling lowcpu$", unit.read_text(), re.MULTILINE)


def test_how_open_it_is(unit):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True)
    assert float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)[1]) <= EXPOSURE_MAX, done.stdout


def test_it_tells_systemd_when_it_is_ready_and_when_it_ends(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        router = subprocess.Popen([*FREEFLOW, "router", "--dir", tmp_path / "r"], stdout=subprocess.DEVNULL,
                                  env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert systemd.recv(100) == b"READY=1"
        assert (tmp_path / "r/router.sock").is_socket()
        router.terminate()
        assert systemd.recv(100) == b"STOPPING=1"
        assert router.wait(10) == 0
