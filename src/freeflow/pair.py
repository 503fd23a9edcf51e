"""A server and a client, run side by side: start the server, wait until it listens, run the client, collect both.

perftest, iperf3 and sockperf all work so. None of their clients tries again when the server is not there yet, and a
sleep is either too short or too long; so the wait looks into the server's own network namespace, which
`/proc/<pid>/net/tcp` shows without entering it.
"""

import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

TCP_LISTEN = "0A"
UDP_UNCONNECTED = "07"
LOOK_S = 0.005
GRACE_S = 5.0  # from the client's end to the server's, when the server ends by itself


class PairError(RuntimeError):
    """A pair that did not work; the message holds what both sides said."""


@dataclass(frozen=True)
class Ended:
    """How one side ended. `status` is negative when a signal ended it, as subprocess has it."""

    command: tuple
    status: int
    stdout: str
    stderr: str

    def __str__(self):
        said = (self.stdout + self.stderr).strip()
        return f"$ {' '.join(self.command)}\n{said}\n[exit status {self.status}]"


def descendants(pid):
    """The process and everything below it, parents first. What ends meanwhile is left out."""
    found, queue = [], [pid]
    while queue:
        pid = queue.pop(0)
        found.append(pid)
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                queue += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        except OSError:
            continue
    return found


def listens(pid, port, udp=False):
    """Whether anybody in the network namespace of `pid` waits on that TCP (or UDP) port."""
    kind, state = ("udp", UDP_UNCONNECTED) if udp else ("tcp", TCP_LISTEN)
    suffix = f":{port:04X}"
    for table in (kind, kind + "6"):
        try:
            rows = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[1].endswith(suffix) and fields[3] == state:
                return True
    return False


class Side:
    """One side: a process group of its own, its output in files, so that no pipe can fill up and block it."""

    def __init__(self, command, env=None):
        self.command = tuple(map(str, command))
        self.stdout, self.stderr = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.stdout,
                                        stderr=self.stderr, env=env, start_new_session=True)

    def wait_listening(self, port, timeout_s, udp=False):
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None and time.monotonic() < deadline:
            # Only the namespace it ends up in counts: the deepest descendant's, once there is one that listens.
            if any(listens(pid, port, udp) for pid in reversed(descendants(self.process.pid))):
                return
            time.sleep(LOOK_S)
        waited = "" if self.process.poll() is not None else f" within {timeout_s} s"
        raise PairError(f"nothing came to listen on port {port}{waited}:\n{self.stop()}")

    def wait(self, timeout_s):
        try:
            self.process.wait(timeout=max(0.0, timeout_s))
        except subprocess.TimeoutExpired:
            return self.stop()
        return self.ended()

    def stop(self):
        """Ask it to go, then make it go. Waits, so that nothing is left behind."""
        for sent, patience_s in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0)):
            if self.process.poll() is None:
                try:
                    os.killpg(self.process.pid, sent)
                    self.process.wait(patience_s)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
        return self.ended()

    def ended(self):
        texts = []
        for stream in (self.stdout, self.stderr):
            stream.seek(0)
            texts.append(stream.read())
        return Ended(self.command, self.process.poll(), *texts)


def run_pair(server, client, port, *, timeout_s=60.0, listen_s=20.0, udp=False, server_stays=False, env=None):
    """Runs both commands (lists of words) and returns how (server, client) ended.

    `server_stays`: the server serves for ever (sockperf), so it is stopped when the client is done. Otherwise a
    server that does not follow its client within a few seconds is stopped, and its status shows it.
    """
    below = Side(server, env)
    try:
        below.wait_listening(port, listen_s, udp)
        above = Side(client, env)
        try:
            client_ended = above.wait(timeout_s)
        finally:
            above.stop()
        server_ended = below.stop() if server_stays else below.wait(GRACE_S)
    finally:
        below.stop()
    return server_ended, client_ended
