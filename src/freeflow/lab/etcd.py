"""The lab's etcd: one member, which elects itself quickly and keeps its data in the lab's directory."""

import os
import shutil
import socket
import subprocess
import time

from freeflow.errors import FreeFlowError
from freeflow.lab.model import ETCD_PORT

PEER_PORT = 2380
READY_WAIT_S = 20.0
HEARTBEAT_MS, ELECTION_MS = 50, 250  # nobody else is to be heard: an election is a wait for nothing


def start(directory, log, address, netns=None, ports=(ETCD_PORT, PEER_PORT), scheme="http", options=()):
    """Starts etcd for clients at `address`, in the network namespace at `netns` (this one if None). What `directory`
    holds of an earlier one is taken up. options: further ones of etcd. Returns a Popen, not ready yet."""
    if not shutil.which("etcd"):
        raise FreeFlowError("several hosts find each other's containers by etcd: apt install etcd-server")
    client, peer = f"{scheme}://{address}:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
    command = ["etcd", "--name=lab", f"--data-dir={directory}", "--log-level=warn", "--logger=zap", "--log-outputs=stderr",
               f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
               f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=lab={peer}",
               f"--heartbeat-interval={HEARTBEAT_MS}", f"--election-timeout={ELECTION_MS}", *options]
    if netns:
        command = ["nsenter", f"--net={netns}", *command]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("ETCD_")}
    with open(log, "ab") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                env=variables, start_new_session=True)


def wait_ready(process, log, accepts, timeout_s=READY_WAIT_S):
    """Until `accepts()`: etcd listens once it has elected itself. Raises FreeFlowError with what it said instead."""
    deadline = time.monotonic() + timeout_s
    while not accepts():
        if process.poll() is not None:
            raise FreeFlowError(f"etcd ended with status {process.returncode}; it said: {_last(log)}")
        if time.monotonic() > deadline:
            raise FreeFlowError(f"etcd was not ready after {timeout_s:g} s; it said: {_last(log)}")
        time.sleep(0.01)


def accepts_at(address, port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def _last(log):
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1] if lines else "nothing"
