"""`make demo`, as a person runs it: it ends well within its time, and leaves no lab behind, also when it is stopped."""

import re
import signal
import subprocess
import sys

import pytest

from freeflow.lab import state

DEMO = [sys.executable, "-m", "freeflow", "demo"]
LIMIT_S = 180


def start():
    return subprocess.Popen(DEMO, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def lab_of(process):
    return f"demo-{process.pid}"


@pytest.mark.timeout(LIMIT_S + 20)
def test_runs_to_its_table():
    process = start()
    output = process.communicate(timeout=LIMIT_S)[0]
    assert process.returncode == 0, output
    for program in ("send", "write", "read", "atomic"):
        assert re.search(rf"ib_{program}_bw +[\d.]+ (Gb/s|million/s)", output), output
        assert re.search(rf"ib_{program}_lat +[\d.]+ µs", output), output
    assert re.search(r"hca_id:\s+ff0", output) and " × as much" in output and " × as fast" in output
    assert lab_of(process) not in state.names()


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_the_middle(number, status):
    process = start()
    for line in process.stdout:
        if "1 of 8" in line:
            break
    process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == status, output
    assert lab_of(process) not in state.names()
