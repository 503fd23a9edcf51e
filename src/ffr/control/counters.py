"""The counters' shared memory (ffcore/stats.h): made at start, gone at exit, and swept up after routers that crashed.

A living router holds a lock (flock) on its own object. So whoever can take the lock of one has found a dead router's,
whatever has become of its pid.
"""

import fcntl
import mmap
import os
import re
import time
from pathlib import Path

import posix_ipc

from ffcore.stats import SIZE, Segment

MODE = 0o640  # root's group may watch
SHM = Path("/dev/shm")  # where Linux has what shm_open names
OURS = re.compile(r"freeflow-.+-\d+")


class Counters:
    """One router's counters. `fd` is the reactor's to map; `segment` is this process's view."""

    def __init__(self, name):
        """`name`: as shm_open has it, "/freeflow-<router>-<pid>". Raises OSError."""
        self.name = name
        while True:
            memory = _create(name)
            self.fd = memory.fd
            os.ftruncate(self.fd, SIZE)
            os.fchmod(self.fd, MODE)  # whatever the umask is
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            if os.fstat(self.fd).st_nlink:
                break
            os.close(self.fd)  # swept away between making and locking
        self.segment = Segment(mmap.mmap(self.fd, SIZE))
        self.segment.initialise(os.getpid(), len(os.sched_getaffinity(0)), time.monotonic_ns())

    def close(self):
        try:
            posix_ipc.unlink_shared_memory(self.name)
        except posix_ipc.ExistentialError:
            pass  # somebody tidied up
        os.close(self.fd)


def sweep():
    """Removes the counters of routers that are no more. Returns their names."""
    gone = []
    for path in SHM.glob("freeflow-*"):
        if OURS.fullmatch(path.name) and _is_abandoned(path):
            path.unlink(missing_ok=True)
            gone.append(f"/{path.name}")
    return gone


class Neighbours:
    """The counters of the other living routers of this machine: its labs', for a host has one."""

    def __init__(self, own):
        self._own, self._mapped = own.lstrip("/"), {}

    def look(self):
        """Their headers as buffers; None: nothing has changed since the last look."""
        names = {path.name for path in SHM.glob("freeflow-*")
                 if path.name != self._own and OURS.fullmatch(path.name) and not _is_abandoned(path)}
        if names == set(self._mapped):
            return None
        self._mapped = {name: kept for name in names if (kept := self._mapped.get(name) or _header(SHM / name))}
        return list(self._mapped.values())


def _header(path):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return mmap.mmap(fd, mmap.PAGESIZE, prot=mmap.PROT_READ) if os.fstat(fd).st_size >= mmap.PAGESIZE else None
    finally:
        os.close(fd)


def _create(name):
    try:
        return posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=MODE, size=0)
    except posix_ipc.ExistentialError:  # a dead router had our pid
        posix_ipc.unlink_shared_memory(name)
        return posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=MODE, size=0)


def _is_abandoned(path):
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False  # another account's, or gone
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
