"""The device's files in a container that is there already: mounted, or brought up to date.

    python -m freeflow.device_show PIDFD     # how a router that is told of a change has it done
"""

import os
import sys
from pathlib import Path

from freeflow import device, device_files
from freeflow.errors import FreeFlowError
from freeflow.lab import linux
from freeflow.launch import VERBS_LIBRARY, find_library, router_at

WAIT_S = 10  # for the router, and for a file system that does not answer


def show(pid, router):
    """In the container of process `pid`, whose network namespace the router (RouterPaths) knows. Returns why that failed,
    or None."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        return f"process {pid}: {error.strerror}"
    try:
        return show_in(descriptor, router)
    finally:
        os.close(descriptor)


def show_in(descriptor, router):
    """As show; the process by its pidfd."""
    reader, writer = os.pipe()
    child = os.fork()  # the namespaces, and the library's session, end with it
    if not child:
        linux.prctl(linux.PR_SET_PDEATHSIG, 9)
        import signal
        signal.alarm(WAIT_S)
        try:
            _show(descriptor, router)
            said = ""
        except BaseException as error:
            said = str(error) or repr(error)
        os.write(writer, said.encode()[:1024])
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8", errors="replace") as pipe:
        why = pipe.read()
    _, status = os.waitpid(child, 0)
    return why or (f"no answer for {WAIT_S} s" if status else None)


def _show(descriptor, router):
    mounts = _mounts_of(descriptor)
    own = os.stat("/proc/self/ns/mnt").st_ino
    theirs = os.stat(f"/proc/{_pid_of(descriptor)}/ns/mnt").st_ino
    if own == theirs:
        raise FreeFlowError("its files are this machine's own")
    _refuse_shared(mounts, Path("/proc/self/mountinfo").read_text())
    # The identity towards the router is the network namespace's; the library and the router's socket are found here.
    linux.setns(descriptor, linux.CLONE_NEWNET)
    os.environ["FREEFLOW_DIR"], os.environ["FFR_NAME"] = str(router.directory), router.name
    found = device.describe(find_library(router.directory, VERBS_LIBRARY))
    with device_files.counters_of(router, os.stat("/proc/self/ns/net").st_ino) as counters:
        linux.setns(descriptor, linux.CLONE_NEWNS)
        if device_files.are_there(found.name, found.uverbs):
            device_files.write(found)
        else:
            device_files.plant(found)
        device_files.show_counters(found, counters)


def _pid_of(descriptor):
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines():
        if line.startswith("Pid:") and int(line.split()[1]) > 0:
            return int(line.split()[1])
    raise FreeFlowError("its process is gone")


def _mounts_of(descriptor):
    return Path(f"/proc/{_pid_of(descriptor)}/mountinfo").read_text()


def _refuse_shared(theirs, ours):
    """What is mounted inside must not be seen here: raises FreeFlowError where the mounts that are to be covered pass on
    to mounts of this machine."""
    here = {group for _, groups in peer_groups(ours) for group in groups}
    for place in (device_files.CLASSES, device_files.NODES):
        groups = next((groups for mounted, groups in reversed(list(peer_groups(theirs)))
                       if place.is_relative_to(mounted)), set())
        if groups & here:
            raise FreeFlowError(f"what is mounted at {place} inside would be mounted on this machine too")


def peer_groups(mountinfo):
    """(mount point, its shared peer groups) of each line of a mountinfo (proc(5)), the deepest mounts last."""
    lines = [line.split() for line in mountinfo.splitlines()]
    found = [(Path(fields[4].encode().decode("unicode_escape")),
              {word for word in fields[6:fields.index("-")] if word.startswith("shared:")}) for fields in lines]
    return sorted(found, key=lambda pair: len(pair[0].parts))


def main():
    if why := show_in(int(sys.argv[1]), router_at()):
        sys.exit(why)


if __name__ == "__main__":
    main()
