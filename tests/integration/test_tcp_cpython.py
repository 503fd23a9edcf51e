"""CPython's own socket tests (libpython3-testsuite), with the library loaded as without it.

As they are they use loopback, which TCP mode leaves alone. So they are also run with a container's address in its
place, where their connections are accelerated.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PYTHON = "/usr/bin/python3"
MODULES = ["test_socket.py", "test_selectors.py", "test_socketserver.py", "test_asyncio", "support"]
# vsock: hangs where there is a vsock device without a hypervisor behind it, with the library and without.
OPTIONS = ["-v", "-u", "network", "-i", "*VSOCK*", "--timeout", "400"]
# What docs/tcp-mode.md says is different: the first write to a peer that has closed is EPIPE, in TCP the second is.
# testClose selects, in one thread, on the socket that another thread is still connecting.
DIFFERENT = {"testCreateConnectionClose", "testOutsideTimeout", "testInsideTimeout", "testClose"}
MOVED = {"test_host_resolution", "testStringToIPv6"}  # are about loopback's own names, and fail for the move


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """A copy of the tests that uses 10.32.1.1 and fd32::1:1 where they say loopback."""
    where = tmp_path_factory.mktemp("cpython")
    original = subprocess.run([PYTHON, "-c", "import test, os; print(os.path.dirname(test.__file__))"], text=True,
                              capture_output=True, check=True).stdout.strip()
    shutil.copytree(original, where / "test", ignore=shutil.ignore_patterns("__pycache__"))
    for name in MODULES:
        path = where / "test" / name
        for source in [path] if path.is_file() else path.rglob("*.py"):
            source.write_text(move(source.read_text()))
    return where


def move(text):
    text = text.replace("127.0.0.1", "10.32.1.1")
    text = re.sub(r"""(["'])localhost\1""", r"\g<1>10.32.1.1\1", text)
    return re.sub(r"""(["'])::1\1""", r"\1fd32::1:1\1", text)


def failures(net, names, plain, path=None):
    """The tests that fail, and how many were run."""
    env = {"FREEFLOW_LOG": "error"} | ({"PYTHONPATH": str(path)} if path else {})
    said = net.run("c1", [PYTHON, "-m", "test", *OPTIONS, *names], plain, timeout=450, check=False, env=env,
                   cwd="/tmp")
    ran = sum(map(int, re.findall(r"^Ran (\d+) tests?", said, re.M)))
    assert ran, said[-3000:]
    return set(re.findall(r"^(?:ERROR|FAIL): (\w+)", said, re.M)), ran


@pytest.mark.timeout(300)
def test_accelerated(tcp_net, moved, accelerated):
    failed, ran = failures(tcp_net, ["test_socket", "test_socketserver"], False, moved)
    assert ran > 600 and accelerated() > 100
    if failed - DIFFERENT - MOVED:  # what fails without the library too is none of its doing
        failed -= failures(tcp_net, ["test_socket", "test_socketserver"], True, moved)[0]
    assert failed <= DIFFERENT | MOVED


@pytest.mark.heavy
@pytest.mark.timeout(1000)
def test_asyncio_accelerated(tcp_net, moved, accelerated):
    names = ["test_selectors", "test_asyncio"] + [word for part in "esb" for word in
                                                  ("-m", f"test.test_asyncio.test_{part}*")] + ["-m", "*selectors*"]
    failed, ran = failures(tcp_net, names, False, moved)
    assert ran > 900 and accelerated() > 150
    if failed - DIFFERENT:
        failed -= failures(tcp_net, names, True, moved)[0]
    assert failed <= DIFFERENT


@pytest.mark.heavy
@pytest.mark.timeout(1000)
@pytest.mark.parametrize("name", ["test_socket", "test_selectors", "test_socketserver", "test_asyncio"])
def test_as_shipped(tcp_net, name):
    failed, ran = failures(tcp_net, [name], False)
    if failed:
        failed -= failures(tcp_net, [name], True)[0]
    assert not failed, (failed, ran)
