"""Taking a lab down, whole or half-made. Only what its record names is touched."""

import fcntl
from contextlib import suppress
from pathlib import Path

from ffcore.paths import RouterPaths
from freeflow.errors import FreeFlowError
from freeflow.lab import cgroups, network, processes, state
from freeflow.lab.model import ROUTER_NAME

ROUTER_GRACE_S = 5.0  # a busy machine with many routers; one alone takes a tenth of a second


def down(name):
    """Removes lab `name`, whatever is left of it. Returns whether there was one."""
    with state.locked(name):
        record = state.load(name)
        if record is None:
            return False
        take_down(record)
        return True


def take_down(record):
    """Under the lab's lock. Each step is tried whatever became of the others; then raises FreeFlowError with all that
    failed, and the record stays for the next try."""
    failures = []
    if record.this_boot:
        for step in (end_processes, remove_namespaces, remove_cgroups):
            try:
                step(record)
            except FreeFlowError as error:
                failures.append(str(error))
    if failures:
        raise FreeFlowError("; ".join(failures))
    state.erase(record.plan.name)


def end_processes(record):
    """Routers may say goodbye; a container's PID 1 takes the whole container with it; and whatever else was started
    inside the lab's hosts goes as well."""
    hosts = {host.name for host in record.plan.hosts}
    named = {True: [], False: []}
    for name, process in record.processes.items():
        named[name in hosts].append(process)
    left = processes.end(named[True], ROUTER_GRACE_S) + processes.end(named[False])
    left += processes.end(list(processes.living_in(existing_namespaces(record))))
    for process in named[True]:
        remove_counters(process.pid)
    if left:
        raise FreeFlowError(f"processes that do not end: {', '.join(str(process.pid) for process in left)}")


def remove_counters(pid):
    """Those of a router that was killed before it could. A living router, should one have that pid by now, holds the
    lock on its own (ffr/control/counters.py)."""
    path = Path(f"/dev/shm{RouterPaths(Path(), ROUTER_NAME).stats_name(pid)}")
    with suppress(FileNotFoundError, BlockingIOError), open(path, "rb") as counters:
        fcntl.flock(counters, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def existing_namespaces(record):
    return [path for path in (Path("/run/netns", name) for name in record.plan.netns_names) if path.exists()]


def remove_namespaces(record):
    network.namespaces("delete", [path.name for path in existing_namespaces(record)])


def remove_cgroups(record):
    cgroups.remove(record.cgroups)
