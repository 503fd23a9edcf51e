"""What is recorded of a lab, under /run/freeflow/labs/NAME, and the lock that its makers hold.

The plan is recorded before anything is made, and every process as soon as it runs; so whatever `up` leaves when it is
killed half-way, `down` knows it.
"""

import fcntl
import json
import os
import shutil
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from freeflow.errors import FreeFlowError
from freeflow.lab.model import STATE_ROOT, Plan
from freeflow.lab.processes import Process

FORMAT = 1
RECORD = "lab.json"


def boot_id():
    """Pids and namespaces of another boot are gone, whatever the record says."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass
class Record:
    """A lab as recorded. processes: host name -> its router, container name -> its PID 1, ETCD -> etcd."""

    plan: Plan
    processes: dict = field(default_factory=dict)
    cgroups: list = field(default_factory=list)
    complete: bool = False
    boot: str = field(default_factory=boot_id)

    @property
    def this_boot(self):
        return self.boot == boot_id()

    @property
    def running(self):
        """Whether all of it is there and alive."""
        return self.complete and self.this_boot and all(process.alive() for process in self.processes.values())

    def cgroups_of(self, container):
        return [group for group in self.cgroups if group.name == container.cgroup]

    def save(self):
        """Whole or not at all."""
        text = json.dumps({"format": FORMAT, "plan": asdict(self.plan), "boot": self.boot, "complete": self.complete,
                           "cgroups": [str(group) for group in self.cgroups],
                           "processes": {name: [p.pid, p.start] for name, p in self.processes.items()}}, indent=1)
        new = self.plan.directory / f"{RECORD}.new"
        new.write_text(text)
        new.replace(self.plan.directory / RECORD)


def load(name):
    """The Record of lab `name`, or None when there is none."""
    try:
        text = (STATE_ROOT / name / RECORD).read_text()
    except FileNotFoundError:
        return None
    read = json.loads(text)
    if read["format"] != FORMAT:
        raise FreeFlowError(f"lab {name} was made by another version of FreeFlow: take it down with that one")
    return Record(Plan(**read["plan"]), {key: Process(*value) for key, value in read["processes"].items()},
                  [Path(group) for group in read["cgroups"]], read["complete"], read["boot"])


def names():
    """The labs that have anything recorded."""
    with suppress(FileNotFoundError):
        return sorted(entry.name for entry in STATE_ROOT.iterdir())
    return []


@contextmanager
def locked(name):
    """Alone with lab `name`: its directory is made and held. It goes again when nothing was recorded in it."""
    descriptor = _lock(STATE_ROOT / name)
    try:
        yield
    finally:
        if not (STATE_ROOT / name / RECORD).exists():
            _leave(STATE_ROOT / name)
        os.close(descriptor)


def _lock(directory):
    while True:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # another `down` removed a parent in between
            continue
        except PermissionError:
            raise FreeFlowError(f"{directory}: a lab needs root") from None
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(directory)):
                return descriptor
        os.close(descriptor)  # what was locked is no longer what stands there


def erase(name):
    """Removes all that a lab kept, its record last. The directory stays, for the lock is on it."""
    for entry in sorted((STATE_ROOT / name).iterdir(), key=lambda entry: entry.name == RECORD):
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _leave(directory):
    """What stands for a lab that was not recorded goes, and of its parents those that are then empty."""
    shutil.rmtree(directory, ignore_errors=True)
    for parent in (STATE_ROOT, STATE_ROOT.parent):
        with suppress(OSError):
            parent.rmdir()
