"""PID 1 of a container. Run as `python -I -S` with nothing but this package's lab/ modules, so that it stays small.

Standard input brings what it needs to know, a line of JSON. It makes its namespaces, tells its maker the pid that the
machine knows it by ("PID\\n", then "ready\\n"), and waits for another line. A maker that dies first closes the pipe, and
the container goes too. Then it reaps until it is killed, and with it, as PID 1 of the namespace, go all the others.
"""

import json
import os
import signal
import sys
from pathlib import Path

from freeflow.lab import cgroups, linux
from freeflow.lab.model import RUN_INSIDE

DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "userfaultfd")
STREAMS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
PING_GROUPS = "/proc/sys/net/ipv4/ping_group_range"  # whose group is in it may ping without privileges


def main():
    spec = json.loads(sys.stdin.readline())
    cgroups.join(cgroups.join_files([Path(group) for group in spec["cgroups"]]))
    linux.unshare(linux.CONTAINER_NAMESPACES)
    said, says = os.pipe()
    child = os.fork()
    if child:
        os.write(1, b"%d\n" % child)
        os._exit(0)
    os.close(says)
    furnish(spec)
    linux.become(spec["uid"])
    os.read(said, 1)  # until the other has ended, and its line is there before this one's
    os.close(said)
    os.write(1, b"ready\n")
    if not sys.stdin.readline():
        os._exit(1)
    cut_loose()
    reap()


def furnish(spec):
    """Host name and mounts. The container has the machine's file system, but not what others keep in it: processes,
    shared memory, temporary files, labs."""
    linux.sethostname(spec["name"])
    linux.mount(None, "/", flags=linux.MS_REC | linux.MS_SLAVE)  # nothing mounted here is seen outside
    quiet = linux.MS_NOSUID | linux.MS_NODEV
    linux.mount("proc", "/proc", "proc", quiet | linux.MS_NOEXEC)
    linux.mount("sysfs", "/sys", "sysfs", quiet | linux.MS_NOEXEC | linux.MS_RDONLY)  # its own /sys/class/net
    own_devices()
    linux.mount("shm", "/dev/shm", "tmpfs", quiet, "mode=1777")
    if os.path.isdir("/dev/mqueue"):
        linux.mount("mqueue", "/dev/mqueue", "mqueue", quiet | linux.MS_NOEXEC)
    for source, target in spec["files"].items():
        linux.mount(source, target, flags=linux.MS_BIND)
    cover(spec["run"], RUN_INSIDE, spec["run_binds"])
    release_named_namespaces()
    Path(PING_GROUPS).write_text("0 2147483647")


def own_devices():
    """A /dev of its own, with what container runtimes give: what FreeFlow adds later (device_files.py) is not seen
    outside. Terminals are the machine's, for programs run in the caller's."""
    nodes = {name: os.stat(f"/dev/{name}") for name in DEVICES if os.path.exists(f"/dev/{name}")}
    folders = [name for name in ("pts", "shm", "mqueue") if os.path.isdir(f"/dev/{name}")]
    terminals = linux.open_tree("/dev/pts")
    linux.mount("dev", "/dev", "tmpfs", linux.MS_NOSUID | linux.MS_NOEXEC, "mode=755,size=64k")
    for name, seen in nodes.items():
        os.mknod(f"/dev/{name}", seen.st_mode, seen.st_rdev)
        os.chmod(f"/dev/{name}", seen.st_mode & 0o777)
    for name in folders:
        os.mkdir(f"/dev/{name}")
    linux.move_mount(terminals, "/dev/pts")
    os.close(terminals)
    for name, target in STREAMS.items():
        os.symlink(target, f"/dev/{name}")


def cover(staging, target, binds):
    """A tmpfs over target that holds only `binds` (name -> source). It is filled before it covers, because the
    sources may lie below target."""
    linux.mount("run", staging, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755")
    for name, source in binds.items():
        os.mkdir(os.path.join(staging, name))
        linux.mount(source, os.path.join(staging, name), flags=linux.MS_BIND)
    linux.mount(staging, target, flags=linux.MS_MOVE)


def release_named_namespaces():
    """`ip netns` pins namespaces by mounts, and this copy of them would keep every one of the machine's alive."""
    try:
        while True:  # one mount on another, as many as there are; then EINVAL
            linux.unmount("/run/netns", linux.MNT_DETACH)
    except OSError:
        pass


def cut_loose():
    """No descriptor of the maker's, no folder of its choosing."""
    os.chdir("/")
    nothing = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    linux.prctl(linux.PR_SET_NAME, b"container-init")


def reap():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            signal.sigwait({signal.SIGCHLD})
