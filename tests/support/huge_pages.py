"""Huge pages of 2 MiB for a test: the machine's are what somebody has reserved."""

from contextlib import contextmanager
from pathlib import Path

COUNT = Path("/proc/sys/vm/nr_hugepages")


@contextmanager
def reserved(needed):
    """So many more than there are; afterwards so many fewer, for other test runs may have theirs."""
    before = int(COUNT.read_text())
    COUNT.write_text(str(before + needed))
    got = int(COUNT.read_text())
    try:
        assert got >= before + needed, f"the machine has memory for {got} huge pages: {before + needed} are needed"
        yield
    finally:
        COUNT.write_text(str(max(int(COUNT.read_text()) - (got - before), 0)))
