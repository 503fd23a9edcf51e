"""How much memory a session may register when no policy says: what the machine and the program's control groups have."""

import os
from pathlib import Path

GIB = 1 << 30
SEGMENT_MIN, SEGMENT_MAX = 32 * GIB, 96 * GIB  # bytes of offsets; 1024 sessions of the most are 96 TiB of the router's 128
CGROUP_V1_NONE = 1 << 62  # what v1 says for "no limit" is about 2^63


def machine_bytes():
    """Seven eighths of the machine's memory: the kernel and the others need some."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8 * 7


def allowed_bytes(pid, proc="/proc", cgroups="/sys/fs/cgroup"):
    """The least of the machine's memory and the limits of the process's memory control groups, those above its own too."""
    try:
        lines = Path(proc, str(pid), "cgroup").read_text().splitlines()
    except OSError:
        lines = []  # it is gone, or not visible from here
    least = machine_bytes()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            least = min(least, *_limits(Path(cgroups), path, "memory.max"))
        elif "memory" in controllers.split(","):
            least = min(least, *_limits(Path(cgroups, "memory"), path, "memory.limit_in_bytes"))
    return least


def segment_bytes(pinned_bytes):
    """Offsets for so much registered memory: twice as many, since registrations that lie apart leave gaps between them."""
    wanted = max(SEGMENT_MIN, 2 * pinned_bytes)
    return max(min(wanted, SEGMENT_MAX), pinned_bytes * 5 // 4) // GIB * GIB


def _limits(root, path, name):
    """Of the group and those above it; what is no limit reads as infinity."""
    yield float("inf")
    if ".." in path:
        return  # above what this process sees
    folder = root / path.lstrip("/")
    while folder != root.parent:
        try:
            limit = (folder / name).read_text().strip()
        except OSError:
            limit = "max"
        if limit.isdigit() and 0 < int(limit) < CGROUP_V1_NONE:
            yield int(limit)
        folder = folder.parent
