"""A router of a test's own, and peers of it in namespaces of their own. Needs root."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import descriptors
from ffcore.handshake import WELCOME_SIZE, pack_hello, parse_welcome
from ffcore.paths import RouterPaths
from freeflow.control import Control

READY_S = 20.0
# Standard library alone, for Debian's Python: an unprivileged user may not be able to read the one that runs the tests.
PEER = """
import json, socket, sys
path, hello = sys.argv[1], bytes.fromhex(sys.argv[2])
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(10)
s.connect(path)
s.send(hello)
welcome, fds, _, _ = socket.recv_fds(s, 4096, 8)
print(json.dumps([welcome.hex(), len(fds)]), flush=True)
s.settimeout(None)
if len(sys.argv) > 3:
    sys.stdin.read()  # stay, until told to go
"""


class RouterProcess:
    """`python -m ffr.control.daemon` on a directory that everybody can reach. Use with `with`.

    within: words that start it under other circumstances, such as prlimit.
    """

    def __init__(self, *options, directory=None, within=()):
        self.directory = directory or tempfile.mkdtemp(prefix="ff-router-")
        os.chmod(self.directory, 0o755)
        self.paths = RouterPaths.of(self.directory, "router")
        self.log = Path(self.directory, "log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*within, sys.executable, "-m", "ffr.control.daemon", "--dir", self.directory,
                                             "--name", "router", *options], stdout=log, stderr=log)
        deadline = time.monotonic() + READY_S
        while "ready on" not in self.log.read_text() and self.process.poll() is None:
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)

    def control(self):
        return Control(self.directory, "router")

    def ask(self, op, **fields):
        with self.control() as control:
            return control.call(op, **fields)

    def sessions(self, container="host"):
        return next(c["sessions"] for c in self.ask("container.list")["containers"] if c["name"] == container)

    def descriptors(self):
        return descriptors.of_router(self.process.pid)

    def cpu_s(self):
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def anonymous_kib(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1])

    def crash(self):
        self.process.kill()
        self.process.wait()
        Path(self.log).unlink()

    def stop(self, number=signal.SIGTERM):
        """Ends it politely. Returns its exit status."""
        self.process.send_signal(number)
        return self.process.wait(READY_S)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Peer:
    """A process that says hello. `within`: the words that start it elsewhere, such as unshare --net."""

    def __init__(self, router, within=(), hello=None, stay=True):
        hello = pack_hello() if hello is None else hello
        self.process = subprocess.Popen(
            [*within, "/usr/bin/python3", "-I", "-c", PEER, str(router.paths.session_socket), hello.hex(),
             *(["stay"] if stay else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        answer = json.loads(self.process.stdout.readline())
        self.welcome, self.descriptors = parse_welcome(bytes.fromhex(answer[0])[:WELCOME_SIZE]), answer[1]
        if not stay:
            self.leave()

    def leave(self):
        self.process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.leave()


class EmptyNamespace:
    """A network namespace that somebody holds. `within` starts programs in it; `path` names it to the router."""

    def __init__(self, unshare=("unshare", "--net")):
        self.process = subprocess.Popen([*unshare, "sh", "-c", "echo here; exec cat"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.process.stdout.readline()
        self.path = f"/proc/{self.process.pid}/ns/net"
        self.within = ["nsenter", f"--net={self.path}"]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.communicate()


def eventually(condition, seconds=5.0):
    """Waits for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
