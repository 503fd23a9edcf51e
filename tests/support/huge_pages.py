"""Huge pages of 2 MiB for a test: the machine's are what somebody has reserved."""

from contextlib import contextmanager
from pathlib import Path

COUNT = Path("/proc/sys/vm/nr_hugepages")


@contextmanager
def reserved(needed):
    """So many more than there are; afterwards as many as there were."""
    before = COUNT.read_text()
    COUNT.write_text(str(int(before) + needed))
    try:
        got = int(COUNT.read_text())
        assert got >= int(before) + needed, f"the machine has memory for {got} huge pages: {int(before) + needed} are needed"
        yield
    finally:
        COUNT.write_text(before)
