"""What a host's socket in a container's hands cannot do: connect or bind anywhere else.

A program may disconnect its socket (connect with AF_UNSPEC) and connect it anew, and this one is the host's, with the
host's ways out. Its packet filter lets no answer in, but packets would leave. So data links are made in a cgroup with two
BPF programs: the kernel asks a socket's own cgroup, the one that it was made in, whoever holds it by then. They are asked
at connect and bind alone, so they cost data nothing.

Without the right to make such a cgroup (CAP_BPF and CAP_NET_ADMIN, a writable cgroup2) links work all the same, and
docs/tcp-mode.md says what remains.
"""

import ctypes
import logging
import os
import platform
import struct
import threading
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

DATA_PORT = 4792  # peer.h
SYS_BPF = {"x86_64": 321, "aarch64": 280}.get(platform.machine())
# linux/bpf.h
BPF_PROG_LOAD, BPF_PROG_ATTACH = 5, 8
BPF_PROG_TYPE_CGROUP_SOCK_ADDR = 18
INET4_BIND, INET6_BIND, INET4_CONNECT, INET6_CONNECT = 8, 9, 10, 11
USER_PORT = 24  # offset in struct bpf_sock_addr; network order
EPHEMERAL = 32768  # and above: link_open draws the ports of links from there
R0, R1 = 0, 1
LOAD_WORD, MOVE, JUMP_IF_EQUAL, JUMP_IF_NOT_BELOW, EXIT, FROM_NETWORK_ORDER = 0x61, 0xb7, 0x15, 0x35, 0x95, 0xdc


class Fence:
    def __init__(self):
        self.why_not = "not needed yet"  # None: it stands
        self._group = self._outside = None

    def build(self):
        """Once, when there are other hosts."""
        if self._group:
            return
        try:
            self._outside = own_group()
            self._group = self._outside / f"freeflow-links-{os.getpid()}"
            self._group.mkdir(exist_ok=True)  # of a router that was killed, and had this number
            (self._group / "cgroup.type").write_text("threaded")
            self._attach((INET4_CONNECT, INET6_CONNECT), allow_ports((JUMP_IF_EQUAL, DATA_PORT)))
            self._attach((INET4_BIND, INET6_BIND),
                         allow_ports((JUMP_IF_EQUAL, DATA_PORT), (JUMP_IF_NOT_BELOW, EPHEMERAL)))
            self.why_not = None
        except OSError as error:
            self.why_not = f"{error.strerror or error}"
            log.warning("sockets between hosts are not fenced in, see docs/tcp-mode.md: %s", error)

    def admit(self, thread):
        """A thread of this process: the sockets that it makes from now on are fenced in."""
        if self.why_not is None:
            (self._group / "cgroup.threads").write_text(str(thread))

    @contextmanager
    def inside(self):
        """The same for the calling thread, for a while."""
        thread = str(threading.get_native_id())
        self.admit(thread)
        try:
            yield
        finally:
            if self.why_not is None:
                (self._outside / "cgroup.threads").write_text(thread)

    def close(self):
        """The programs stay with the sockets that were made inside."""
        if self._group:
            try:
                self._group.rmdir()
            except OSError as error:
                log.info("%s stays: %s", self._group, error.strerror)

    def _attach(self, places, program):
        group = os.open(self._group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for place in places:
                loaded = load(program, place)
                try:
                    bpf(BPF_PROG_ATTACH, struct.pack("=IIII", group, loaded, place, 0))
                finally:
                    os.close(loaded)
        finally:
            os.close(group)


def own_group():
    """The directory of this process's cgroup2. Raises OSError."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    roots = [Path(words[4]) for words in mounts if words[words.index("-") + 1] == "cgroup2"]
    names = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    if not roots or not names:
        raise OSError("no cgroup2 is mounted")
    return roots[0] / names[0].lstrip("/")


def allow_ports(*tests):
    """A program that says 1 when one of these (jump, port) holds for bpf_sock_addr.user_port, else 0."""
    words = [instruction(LOAD_WORD, R0, R1, USER_PORT), instruction(FROM_NETWORK_ORDER, R0, value=16)]
    words += [instruction(jump, R0, offset=len(tests) - i + 1, value=port) for i, (jump, port) in enumerate(tests)]
    words += [instruction(MOVE, R0, value=0), instruction(EXIT), instruction(MOVE, R0, value=1), instruction(EXIT)]
    return b"".join(words)


def instruction(code, to=0, source=0, offset=0, value=0):
    return struct.pack("=BBhi", code, source << 4 | to, offset, value)


def load(program, place):
    """A descriptor of the program, checked by the kernel for that place. Raises OSError."""
    text, licence = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"MIT")
    attributes = struct.pack("=IIQQIIQII16xII", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, len(program) // 8,
                             ctypes.addressof(text), ctypes.addressof(licence), 0, 0, 0, 0, 0, 0, place)
    return bpf(BPF_PROG_LOAD, attributes)


def bpf(command, attributes):
    libc = ctypes.CDLL(None, use_errno=True)
    if SYS_BPF is None:
        raise OSError(f"no BPF on {platform.machine()}")
    result = libc.syscall(SYS_BPF, command, attributes, len(attributes))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"BPF: {os.strerror(number)}")
    return result
