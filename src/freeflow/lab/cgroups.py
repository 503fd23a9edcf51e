"""A cpu and a memory cgroup for each container, in whichever version the machine has.

Version 1 has a hierarchy per controller, version 2 one for all. A container's groups stand directly below the root of
their hierarchy: a container then weighs as much as one ordinary process there, the router among them.
"""

import errno
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from freeflow.errors import FreeFlowError

CONTROLLERS = ("cpu", "memory")
EMPTY_WAIT_S = 5.0  # a cgroup stays busy until the kernel has buried the last of its processes


@dataclass(frozen=True)
class Hierarchies:
    """Roots below which a container gets a group of its own; missing: what no root was found for."""

    roots: tuple
    missing: tuple

    def groups(self, name):
        return [root / name for root in self.roots]


def find(mounts=None):
    """From /proc/self/mounts: the hierarchies of cpu and memory, usable ones only."""
    mounts = Path("/proc/self/mounts").read_text() if mounts is None else mounts
    version1, version2 = {}, None
    for line in mounts.splitlines():
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup":
            version1.update({controller: Path(where) for controller in CONTROLLERS
                             if controller in options.split(",") and controller not in version1})
        elif kind == "cgroup2" and version2 is None:
            version2 = Path(where)
    wanted = [controller for controller in CONTROLLERS if controller not in version1]
    offered = _delegated(version2, wanted) if version2 and wanted else []
    roots = [version1[controller] for controller in CONTROLLERS
             if controller in version1 and os.access(version1[controller], os.W_OK)]
    roots += [version2] if offered else []
    missing = [controller for controller in CONTROLLERS
               if controller not in offered and version1.get(controller) not in roots]
    return Hierarchies(tuple(dict.fromkeys(roots)), tuple(missing))


def _delegated(root, wanted):
    """Those of the wanted controllers that version 2 gives to groups below its root, switched on where need be."""
    try:
        offered = (root / "cgroup.controllers").read_text().split()
        for controller in wanted:
            if controller in offered and controller not in _enabled(root):
                (root / "cgroup.subtree_control").write_text(f"+{controller}")
    except OSError:  # read-only, or a root that has processes in it (a container's view of its own group)
        pass
    return [controller for controller in wanted if controller in _enabled(root)]


def _enabled(root):
    with suppress(OSError):
        return (root / "cgroup.subtree_control").read_text().split()
    return []


def create(groups):
    """Makes each, new. Returns why that failed, or None."""
    for group in groups:
        try:
            group.mkdir()
        except OSError as error:
            return f"{group}: {error.strerror}"
    return None


def join_files(groups):
    """Descriptors: writing "0" into each puts the writer there, also from inside a namespace that cannot see them."""
    return [os.open(group / "cgroup.procs", os.O_WRONLY) for group in groups if group.exists()]


def join(descriptors):
    for descriptor in descriptors:
        os.write(descriptor, b"0")
        os.close(descriptor)


def remove(groups):
    """Raises FreeFlowError when one stays busy."""
    deadline = time.monotonic() + EMPTY_WAIT_S
    for group in groups:
        while True:
            try:
                group.rmdir()
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise FreeFlowError(f"cgroup {group}: {error.strerror}") from None
                time.sleep(0.005)
                continue
            break
