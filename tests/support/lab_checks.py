"""What the lab's own tests share: a router that only answers, and a look for traces."""

import sys
import time
from pathlib import Path

from freeflow.lab.model import STATE_ROOT

STAND_IN = [sys.executable, str(Path(__file__).with_name("stand_in_router.py"))]


def said(done):
    """Standard output of a program that went well."""
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def wait_for(condition, timeout_s=10):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def traces(name):
    """Everything on this machine that has the lab's name on it."""
    found = [str(path) for path in Path("/run/netns").glob(f"ff-{name}-*")]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/freeflow-{name}-*")]
    found += [str(path) for path in STATE_ROOT.glob(name)]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{STATE_ROOT}/{name}/" in (process / "cmdline").read_text():
                found.append(str(process))
        except OSError:
            pass
    return found
