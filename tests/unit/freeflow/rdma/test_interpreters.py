"""The compiled modules belong to one interpreter of a process. Another one is refused when it imports them, not later."""

import subprocess
import sys

TWO = """
import _xxsubinterpreters as interpreters
from freeflow import rdma
try:
    interpreters.run_string(interpreters.create(), "from freeflow import rdma")
except interpreters.RunFailedError as error:
    print(error)
"""


def test_a_second_interpreter_is_refused():
    done = subprocess.run([sys.executable, "-c", TWO], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "ImportError" in done.stdout and "one interpreter" in done.stdout, done
