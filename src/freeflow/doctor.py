"""What is wrong, and what to do about it: the checks of `freeflow doctor`.

They run where a program would run, on a host or inside a container, and need no privilege; what only the router's
owner can see is left out for others. A check never raises: what it could not find out is a finding too.
"""

import fcntl
import os
import platform
import resource
import shutil
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ffcore.handshake import LAYOUT_VERSION, WELCOME_SIZE, pack_hello, parse_welcome
from ffcore.paths import RouterPaths
from freeflow.control import Control
from freeflow.device_files import are_there
from freeflow.errors import FreeFlowError
from freeflow.lab import state as lab_state
from freeflow.lab.model import ROUTER_INSIDE
from freeflow.launch import VERBS_LIBRARY, LaunchError, find_library

OK, WARN, FAIL = "ok", "warn", "fail"
WAIT_S = 3.0  # for a router to answer a hello, and for a library to load
MIB, GIB = 1 << 20, 1 << 30
PROCMAP_QUERY, PROCMAP_QUERY_SIZE = 0xC0686611, 104  # linux/fs.h, from 6.11 on
REASONS = ("no_container", "other_host", "refused", "foreign_source", "no_listener", "plain_listener", "path",
           "not_claimed", "abandoned", "quota", "resources", "own_port", "privileged")  # ffcore/tcp.h
UNLIMITED = 1 << 60  # cgroup v1 writes "no limit" as a number of pages near 2^63


@dataclass
class Finding:
    check: str
    state: str  # OK, WARN: works, but; FAIL: will not work
    text: str
    cure: str = ""


@dataclass
class Here:
    """Which router is meant, and what earlier checks found out."""

    directory: str | None
    name: str | None
    admitted: bool = False
    welcome: dict = field(default_factory=dict)  # what the router answered, when it did admit
    others: int | None = None  # hosts that the router knows besides this one; None for who may not ask
    roce: dict = field(default_factory=dict)  # what the router says of its roce NIC


def examine(directory=None, name=None):
    """Runs all checks. Returns a list of Findings, in the order in which things build on each other."""
    here, findings = Here(directory, name), []
    for check in CHECKS:
        try:
            found = check(here)
        except Exception as error:
            found = Finding(check.__name__, WARN, f"this check failed itself: {error!r}")
        if found:
            found.check = check.__name__.replace("_", " ")
            findings.append(found)
    return findings


def finding(state, text, cure=""):
    """A check's answer; examine() fills in its name."""
    return Finding("", state, text, cure)


# ---- the router ----


def session(here):
    """Says hello as a program would: that tells whether the router lives, speaks our version and knows us."""
    try:
        paths = RouterPaths.of(here.directory, here.name)
    except ValueError as error:
        return finding(FAIL, str(error), "set FREEFLOW_DIR and FFR_NAME")
    path = paths.session_socket
    try:
        welcome = _hello(path)
    except FileNotFoundError:
        return finding(FAIL, f"no router at {path}", "start `freeflow router` on the host; in a container, mount its"
                                                     " directory and set FREEFLOW_DIR and FFR_NAME; or `freeflow run -- CMD`,"
                                                     " which starts one of your own (`freeflow run -- freeflow doctor` looks at it)")
    except ConnectionRefusedError:
        again = "`freeflow lab up` makes the lab anew" if _is_a_labs(paths) else "start `freeflow router` again"
        return finding(FAIL, f"the router at {path} is dead", again)
    except TimeoutError:
        return finding(FAIL, f"the router at {path} does not answer", "look at its log, restart it")
    except (OSError, ValueError) as error:
        return finding(FAIL, f"{path}: {error}", "is that a FreeFlow router's directory?")
    if welcome["status"]:
        return finding(FAIL, f"refused: {welcome['reason']} ({os.strerror(welcome['status'])})", _cure(welcome))
    here.admitted, here.welcome = True, welcome
    return finding(OK, f"the router at {path} admits this network namespace, layout {LAYOUT_VERSION}")


def router(here):
    """What the router says of itself, to its owner."""
    try:
        with Control(here.directory, here.name) as control:
            status = control.call("status")
    except FreeFlowError:
        return None  # session() has said what there is to say; containers may not ask
    return finding(OK, f"pid {status['pid']}, version {status['version']}, polling {status['polling']}, "
                       f"{status['containers']} network namespaces, this host's among them, {status['sessions']} sessions")


def policy(here):
    """Whether the policy file as it is now is the one in force, to the router's owner."""
    try:
        with Control(here.directory, here.name) as control:
            said = control.call("policy.show")
    except FreeFlowError:
        return None
    if not said["file"]:
        return None
    if said["error"]:
        return finding(WARN, f"its last change was refused, the policy before it stays: {said['error']}",
                       f"mend it; `freeflow policy check {said['file']}` tries it without the router")
    return finding(OK, f"{said['file']} is in force")


def map_of_hosts(here):
    """Whether this host and others find each other's containers; what the router says of it, to its owner."""
    try:
        with Control(here.directory, here.name) as control:
            status = control.call("status")
            known, here.roce = status["map"], status["roce"]
    except FreeFlowError:
        return None
    etcd, others = known.get("etcd"), len(known["hosts"])
    addresses = sum(known["hosts"].values()) - others  # each host's own is one of them
    here.others = others
    if not known["address"]:
        return finding(OK, "this host is alone (others: `freeflow router --etcd URL`, docs/map.md)")
    text = (f"this host is {known['address']}; {others} other{'s' * (others != 1)} known, with {addresses}"
            f" address{'es' * (addresses != 1)} of containers")
    if not etcd:
        return finding(OK, f"{text}, from a map that is written down")
    if not etcd["connected"]:
        return finding(WARN, f"{text}, as of {etcd['seconds']:.0f} s ago: no etcd since ({etcd['error']})",
                       f"start etcd, or mend the way to {' or '.join(etcd['endpoints'])}; what is known stays in use")
    if troubles := [f"{address} is claimed by {' and '.join(hosts)}" for address, hosts in etcd["conflicts"].items()]:
        return finding(WARN, f"{text}; {'; '.join(troubles)}", "remove the container where it is no longer")
    if etcd.get("other_versions"):
        return finding(FAIL, f"{text}; the routers of {', '.join(etcd['other_versions'])} are of another version: no connection with their"
                             " containers works", "install one FreeFlow on all hosts")
    if etcd["refused"]:
        return finding(WARN, f"{text}; {len(etcd['refused'])} records in etcd make no sense, such as"
                             f" {next(iter(etcd['refused'].items()))}", "see who writes below FreeFlow's prefix")
    return finding(OK, f"{text}, from etcd")


def labs(here):
    """Labs that are up on this machine; whose router is asked here need not be one of theirs."""
    states = {name: _lab_is_up(name) for name in lab_state.names()}
    found, half = ([name for name, is_up in states.items() if is_up is wanted] for wanted in (True, False))
    if not found and not half:
        return None
    others = [name for name in found if not _is_of_lab(here, name)]
    text = f"up on this machine: {', '.join(found) or 'none'}"
    if half:
        return finding(WARN, f"{text}; half made, or half gone: {', '.join(half)}",
                       f"unless somebody is making it just now: FREEFLOW_LAB={half[0]} freeflow lab down")
    if not others:
        return finding(OK, text)
    return finding(OK, f"{text}; each has routers of its own: FREEFLOW_LAB=NAME freeflow lab exec h1c1 -- freeflow doctor")


def _lab_is_up(name):
    """True, False (a part of it is there) or None, when there is nothing to say."""
    try:
        record = lab_state.load(name)
    except (FreeFlowError, ValueError, KeyError):  # of another version
        return None
    return record and record.running


def _is_of_lab(here, name):
    return RouterPaths.of(here.directory, here.name).directory.is_relative_to(lab_state.STATE_ROOT / name)


def _wire(roce):
    batches = {True: "by batches", False: "one by one"}
    if roce["link"] == "stream":
        up = roce["streams"]
        return f", and over the routers' TCP streams (--link stream; {sum(up.values())} of {len(up)} are up) to those of the others"
    return (f", and in RoCEv2 packets of up to {roce['mtu']} bytes over UDP to those of the others (roce NIC), sent"
            f" {batches[roce['gso']]} (GSO) and received {batches[roce['gro']]} (GRO)")


def traffic_path(here):
    """Which way messages go from here."""
    if not here.admitted:
        return finding(FAIL, "none: no router serves programs here", "mend the line `session` first")
    far = "; other hosts' containers: ask `freeflow doctor` on the host" if here.others is None else ""
    if here.others:
        far = _wire(here.roce)
    near = "through the router's shared memory to the containers of this host (local NIC, isolated mode)"
    if here.roce.get("nic") == "roce":
        near = "in packets of this host to itself to its containers (--nic roce)"
    elif here.roce.get("nic") == "local":
        far = "; others are not reached (--nic local)"
    return finding(OK, f"{near}{far}")


def tcp_mode(here):
    """Whether sockets can be taken off the overlay; to the router's owner, how many were, and why others were not."""
    paths = RouterPaths.of(here.directory, here.name)
    if not _is_served(paths.tcp_socket):
        return finding(WARN, f"nobody at {paths.tcp_socket}: programs of TCP mode stay on the overlay", "start `freeflow"
                             " router`; in a container, mount its directory")
    try:
        with Control(here.directory, here.name) as control:
            told = control.call("status")["tcp"]
    except FreeFlowError:
        return finding(OK, f"{paths.tcp_socket} is there; programs use it with `freeflow run --tcp`")
    stayed = ", ".join(f"{told[reason]} {reason}" for reason in REASONS if told.get(reason))
    text = f"{told['accelerated']} connects accelerated, {told['links_out']} of them to other hosts" \
           + (f"; stayed on the overlay: {stayed} (docs/tcp-mode.md)" if stayed else "")
    if told["near"] is not True:
        return finding(WARN, f"{text}; connections on one host stay on the overlay: {told['near']}",
                       "run the router as root (CAP_SYS_ADMIN and CAP_NET_ADMIN); docs/tcp-mode.md says what it needs")
    if here.others and not told["hosts"]:
        return finding(WARN, f"{text}; no links with other hosts", "give each router the hosts' --key (docs/tcp-mode.md)")
    if silent := [host for host, linked in told["hosts"].items() if not linked]:
        return finding(WARN, f"{text}; not linked with {', '.join(silent)}",
                       "do the routers there run, with the same --key? Are TCP ports 4791 and 4792 open between hosts?")
    if told["hosts"] and told["fenced"] is not True:
        return finding(WARN, f"{text}; sockets between hosts are not fenced in: {told['fenced']}",
                       "run the router as root, with a writable cgroup2; docs/tcp-mode.md says what remains without")
    return finding(OK, text)


def _is_a_labs(paths):
    """As seen on the machine, or inside one of the lab's containers."""
    return paths.directory == ROUTER_INSIDE or paths.directory.is_relative_to(lab_state.STATE_ROOT)


def _is_served(path):
    """A dead router's socket is still there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(WAIT_S)
        try:
            sock.connect(str(path))
        except OSError:
            return False
    return True


def _cure(welcome):
    if "not registered" in welcome["reason"]:
        return "on the host: freeflow container add NAME --pid PID --address IP"
    if "no CAP_NET_ADMIN" in welcome["reason"]:
        return "run the router as root on the host"
    if "was refused" in welcome["reason"]:
        return "put right what it says, and on the host once more: freeflow container add NAME --pid PID --address IP"
    if welcome["layout_version"] != LAYOUT_VERSION:
        return "install the router's version of FreeFlow here, or ours there"
    return "see docs/operations.md"


def _hello(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(WAIT_S)
        sock.connect(str(path))
        try:
            sock.send(pack_hello())
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused at once; the reason is waiting
        message, descriptors, _, _ = socket.recv_fds(sock, WELCOME_SIZE + 1, 3)
        for fd in descriptors:
            os.close(fd)
        return parse_welcome(message)


# ---- the library and the programs ----


def library(here):
    """Which libibverbs a program started from here would load."""
    loaded = _loaded_verbs_library()
    if loaded and _is_ours(loaded):
        return finding(OK, f"programs started from here load FreeFlow's {loaded}")
    try:
        ours = find_library(RouterPaths.of(here.directory, here.name).directory, VERBS_LIBRARY)
    except (LaunchError, ValueError) as error:
        return finding(FAIL, f"FreeFlow's {VERBS_LIBRARY} is missing: {error}", "run `make build`")
    elsewhere = f"the system's {loaded}" if loaded else f"no {VERBS_LIBRARY} that can be seen"
    return finding(WARN, f"programs started from here load {elsewhere}",
                   f"start them with `freeflow run -- CMD`, which loads {ours}")


def programs(here):
    missing = [program for program in ("ib_send_bw", "ibv_devinfo") if not shutil.which(program)]
    if missing:
        return finding(WARN, f"not installed: {', '.join(missing)}", "apt install perftest ibverbs-utils")
    return finding(OK, "perftest and ibverbs-utils are installed")


def device_files(here):
    """Where UCX, Open MPI and scripts look for the device."""
    if os.environ.get("FREEFLOW_FILES"):
        return finding(OK, "/sys/class/infiniband and /dev/infiniband/uverbs0 are shown through a library that is preloaded")
    if are_there():
        return finding(OK, "/sys/class/infiniband and /dev/infiniband/uverbs0 are mounted")
    return finding(WARN, "no /sys/class/infiniband here: UCX will not use the device, other programs do",
                   "start programs with `freeflow run`, or mount the files when the container is made")


def _loaded_verbs_library():
    """Asks a child, whose dynamic linker obeys LD_PRELOAD and LD_LIBRARY_PATH as a program's does."""
    source = (f"import ctypes; ctypes.CDLL({VERBS_LIBRARY!r})\n"
              f"print(next(l.split()[-1] for l in open('/proc/self/maps') if {VERBS_LIBRARY[:13]!r} in l))")
    try:
        child = subprocess.run([sys.executable, "-I", "-c", source], capture_output=True, text=True, timeout=WAIT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return child.stdout.strip() or None


def _is_ours(path):
    return b"FREEFLOW_LOG" in Path(path).read_bytes()


# ---- the kernel ----


def kernel(here):
    """What registering memory rests on."""
    fast = _has_procmap_query()
    release = platform.release()
    if fast:
        return finding(OK, f"{release} answers PROCMAP_QUERY: registering memory again is quick")
    return finding(OK, f"{release} lacks PROCMAP_QUERY (6.11): registering memory again takes 45 to 290 µs more")


def userfaultfd(here):
    """Which way memory is registered. The welcome said whether the means came along."""
    if not here.admitted:
        return None
    if not here.welcome["userfaultfd"]:
        return finding(OK, "memory is registered by stopping the program's threads for a moment: " + here.welcome["reason"])
    if os.environ.get("FREEFLOW_USERFAULTFD") == "off":
        return finding(OK, "memory is registered by stopping the program's threads for a moment: FREEFLOW_USERFAULTFD=off",
                       "unset FREEFLOW_USERFAULTFD")
    return finding(OK, "memory is registered by a userfaultfd of the router's, without stopping threads")


def limits(here):
    """Limits under which a session's 32 GiB of (sparse) address space or its descriptors do not fit."""
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if space != resource.RLIM_INFINITY and space < 64 * GIB:
        return finding(FAIL, f"the address space is limited to {space / GIB:.1f} GiB", "ulimit -v unlimited")
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < 1024:
        return finding(WARN, f"only {files} descriptors", "ulimit -n 1024")
    maps = int(Path("/proc/sys/vm/max_map_count").read_text())
    if maps < 65530:
        return finding(WARN, f"vm.max_map_count is {maps}: each piece of registered memory is a mapping",
                       "sysctl -w vm.max_map_count=65530")
    return finding(OK, f"address space {_limit(space)}, {files} descriptors, {maps} mappings")


def cgroup(here):
    """Memory and processors of the control group that this runs in."""
    cores = len(os.sched_getaffinity(0))
    memory = _cgroup_number("memory.max", "memory", "memory.limit_in_bytes")
    share = _cpu_share()
    text = f"{cores} cores, memory {_limit(memory)}" + (f", {share:.1f} cores' time" if share else "")
    if memory is not None and memory < 256 * MIB:
        return finding(WARN, text, "registered memory is charged here: give the container more")
    if share and share < 1:
        return finding(WARN, text, "a polling program is stopped when its share is used up: give it a whole core")
    if cores < 3:
        return finding(OK, f"{text}: few cores, so pollers yield to each other")
    return finding(OK, text)


def _has_procmap_query():
    query = bytearray(PROCMAP_QUERY_SIZE)
    struct.pack_into("=QQQ", query, 0, PROCMAP_QUERY_SIZE, 0, id(query))  # size, flags, an address of ours
    with open("/proc/self/maps", "rb") as maps:
        try:
            fcntl.ioctl(maps, PROCMAP_QUERY, query)
        except OSError:
            return False
    return True


def _cpu_share():
    """Cores' worth of time, or None without a limit."""
    text = _cgroup_text("cpu.max", "cpu", "cpu.cfs_quota_us")
    if not text or text.split()[0] in ("max", "-1"):
        return None
    period = text.split()[1] if " " in text.strip() else _cgroup_text("", "cpu", "cpu.cfs_period_us")
    return int(text.split()[0]) / int(period)


def _cgroup_number(v2, controller, v1):
    text = _cgroup_text(v2, controller, v1)
    if not text or text.strip() == "max" or int(text) > UNLIMITED:
        return None
    return int(text)


def _cgroup_text(v2, controller, v1):
    """A file of our own control group, version 2 or 1; None when there is none."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        roots = [f"/sys/fs/cgroup/{controller}{path}", f"/sys/fs/cgroup/{controller}"] if number != "0" else [
            f"/sys/fs/cgroup{path}", "/sys/fs/cgroup"]
        if number != "0" and controller not in controllers.split(","):
            continue
        for root in roots:
            file = Path(root, v2 if number == "0" else v1)
            if file.is_file():
                return file.read_text()
    return None


def _limit(amount):
    if amount in (None, resource.RLIM_INFINITY):
        return "unlimited"
    return f"{amount / GIB:.1f} GiB"


CHECKS = [session, router, policy, labs, map_of_hosts, traffic_path, tcp_mode, library, programs, device_files, kernel,
          userfaultfd, limits, cgroup]
