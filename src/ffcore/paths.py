"""Where a router is found: the names that programs, the router and the command line agree on.

FREEFLOW_DIR and FFR_NAME choose the router, as they do for the library (which reads them in src/ffl/).
"""

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_DIRECTORY = "/freeflow"
DEFAULT_NAME = "router"
UNIX_PATH_MAX = 107  # sun_path without its NUL


@dataclass(frozen=True)
class RouterPaths:
    """The files of one router."""

    directory: Path
    name: str

    @classmethod
    def of(cls, directory=None, name=None):
        """What is given, else the environment, else the defaults. Raises ValueError for names no socket can have."""
        directory = directory or os.environ.get("FREEFLOW_DIR") or DEFAULT_DIRECTORY
        name = name or os.environ.get("FFR_NAME") or DEFAULT_NAME
        if "/" in name or "\0" in name or name.startswith("."):
            raise ValueError(f"router name {name!r}: neither slashes nor a leading dot")
        paths = cls(Path(directory), name)
        if len(os.fsencode(paths.tcp_socket)) > UNIX_PATH_MAX:
            raise ValueError(f"{paths.tcp_socket}: longer than the {UNIX_PATH_MAX} bytes of a unix socket's path")
        return paths

    @property
    def session_socket(self):
        """SOCK_SEQPACKET, for the library inside programs (ffcore/shm.h: ff_hello)."""
        return self.directory / f"{self.name}.sock"

    @property
    def control_socket(self):
        """SOCK_STREAM, JSON lines, for the router's owner."""
        return self.directory / f"{self.name}.ctl"

    @property
    def tcp_socket(self):
        """SOCK_SEQPACKET, for libfsocket (ffcore/tcp.h)."""
        return self.directory / f"{self.name}.tcp.sock"

    @property
    def lock_file(self):
        """Locked (flock) for as long as the router lives."""
        return self.directory / f"{self.name}.lock"

    @property
    def port_counters(self):
        """A folder for each container, by its network namespace's inode number (ffr/control/port_counters.py)."""
        return self.directory / f"{self.name}.counters"

    def stats_name(self, pid):
        """The POSIX shared memory of the counters (ffcore/stats.h)."""
        return f"/freeflow-{self.name}-{pid}"
