"""Processes that burn CPU beside a measurement."""

import subprocess
import sys
from contextlib import contextmanager


@contextmanager
def hogs(count):
    """`count` processes that do nothing but compute, for as long as the block lasts."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()
