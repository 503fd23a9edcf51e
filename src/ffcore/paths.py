"""Where a router is found: the names that programs, the router and the command line agree on.

FREEFLOW_DIR and FFR_NAME choose the router, as they do for the library (which reads them in src/ffl/).
"""

import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

DEFAULT_DIRECTORY = "/freeflow"
DEFAULT_NAME = "router"
STATE = Path("/var/lib/freeflow")
HOOKS = Path("/run/freeflow/hooks")
UNIX_PATH_MAX = 107  # sun_path without its NUL


@dataclass(frozen=True)
class RouterPaths:
    """The files of one router."""

    directory: Path
    name: str

    @classmethod
    def of(cls, directory=None, name=None):
        """What is given, else the environment, else the user's own router where there is one, else the defaults. Raises
        ValueError for names no socket can have."""
        name = name or os.environ.get("FFR_NAME") or DEFAULT_NAME
        directory = directory or os.environ.get("FREEFLOW_DIR")
        if not directory:
            own = cls(user_directory(), name)
            directory = own.directory if is_private(own.directory) and own.session_socket.is_socket() else DEFAULT_DIRECTORY
        return cls._checked(directory, name)

    @classmethod
    def to_run(cls, directory=None, name=None):
        """Of a router that is to be started: as `of`, but an ordinary user's goes into the user's own directory."""
        directory = directory or os.environ.get("FREEFLOW_DIR") or (user_directory() if os.geteuid() else DEFAULT_DIRECTORY)
        return cls._checked(directory, name or os.environ.get("FFR_NAME") or DEFAULT_NAME)

    @classmethod
    def private(cls):
        """Of the router that `freeflow run` starts for this user's programs in this network namespace."""
        return cls._checked(user_directory(), f"run-{os.stat('/proc/self/ns/net').st_ino}")

    @classmethod
    def _checked(cls, directory, name):
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

    def policy_copy(self, state=None):
        """The policy that this router last had from etcd: below `state`, or what is the administrator's (an ordinary user's: the
        user's) alone. Not in the router's directory, as below."""
        state = Path(state) if state else user_directory() / "state" if os.geteuid() else STATE
        return state / f"{str(self.directory).strip('/').replace('/', '_')}.{self.name}.policy.toml"

    @property
    def containers(self):
        """What engines' hooks have told of containers (ffr/control/restored.py). Not in the router's directory, which
        somebody may have mounted in a container so that its root can write there."""
        return HOOKS / f"{str(self.directory).strip('/').replace('/', '_')}.{self.name}"

    @property
    def held_file(self):
        """Locked (flock, shared) by the programs that a private router runs for; without any it ends."""
        return self.directory / f"{self.name}.held"

    @property
    def log_file(self):
        """What a private router has to say."""
        return self.directory / f"{self.name}.log"

    @property
    def files(self):
        """The device's files for programs that cannot have them mounted (freeflow/device_files.py)."""
        return self.directory / f"{self.name}.files"

    @property
    def port_counters(self):
        """A folder for each container, by its network namespace's inode number (ffr/control/port_counters.py)."""
        return self.directory / f"{self.name}.counters"

    def stats_name(self, pid):
        """The POSIX shared memory of the counters (ffcore/stats.h)."""
        return f"/freeflow-{self.name}-{pid}"


def user_directory():
    """Where the routers of an ordinary user are: below $XDG_RUNTIME_DIR, which nobody else may enter and which goes when
    the user leaves. Who has none (a container, su, cron) gets a directory of the user's own in the temporary one."""
    uid = os.geteuid()
    for runtime in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{uid}"):
        if runtime and is_private(Path(runtime)):
            return Path(runtime, "freeflow")
    return Path(tempfile.gettempdir(), f"freeflow-{uid}")


def is_private(directory):
    """Whether it is a directory of this user's that nobody else may enter: one of that name may be somebody else's trap."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
