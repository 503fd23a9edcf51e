"""What tests start can be interrupted, however the tests themselves were started."""

import signal
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
STARTED_IGNORING = f"""
import os, runpy, signal, subprocess, sys
sys.path.insert(0, {str(CONFTEST.parent / "support")!r})
runpy.run_path({str(CONFTEST)!r})["let_children_be_interrupted"]()
os.kill(os.getpid(), signal.SIGHUP)
child = subprocess.Popen(["sleep", "100"])
child.send_signal(signal.SIGINT)
print(child.wait(20))
"""


def test_signals_that_a_shell_had_us_ignore():
    ignoring = ["sh", "-c", 'trap "" INT HUP; exec "$@"', "sh"]
    done = subprocess.run([*ignoring, sys.executable, "-c", STARTED_IGNORING], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, f"{-signal.SIGINT}\n"), done.stderr
