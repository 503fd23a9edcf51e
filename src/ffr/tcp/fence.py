"""What a link in a container's hands cannot do: connect or bind anywhere else.

A program may disconnect its socket (connect with AF_UNSPEC) and connect it anew; it is the router's or the host's, with
their ways. Its packet filter lets no answer in, but packets would leave. So links are made in a cgroup with a BPF program:
the kernel asks a socket's own cgroup, the one that it was made in, whoever holds it by then, and the program lets nobody
connect or bind but who is in that cgroup: the broker's thread. It is asked at connect and bind alone, so it costs data nothing.

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

SYS_BPF = {"x86_64": 321, "aarch64": 280}.get(platform.machine())
# linux/bpf.h
BPF_PROG_LOAD, BPF_PROG_ATTACH = 5, 8
BPF_PROG_TYPE_CGROUP_SOCK_ADDR = 18
PLACES = INET4_BIND, INET6_BIND, INET4_CONNECT, INET6_CONNECT = 8, 9, 10, 11
CURRENT_CGROUP_ID = 80  # bpf_get_current_cgroup_id, since Linux 5.7
R0, R1 = 0, 1
MOVE, LOAD_WIDE, JUMP_IF_EQUAL, CALL, EXIT = 0xb7, 0x18, 0x1d, 0x85, 0x95


class Fence:
    def __init__(self):
        self.why_not = "not needed yet"  # None: it stands
        self._group = self._outside = None

    def build(self):
        """Once."""
        if self._group:
            return
        try:
            self._outside = own_group()
            self._group = self._outside / f"freeflow-links-{os.getpid()}"
            self._group.mkdir(exist_ok=True)  # of a router that was killed, and had this number
            (self._group / "cgroup.type").write_text("threaded")
            program = let_in(self._group.stat().st_ino)  # which is a cgroup's number
            for place in PLACES:
                self._attach(place, program)
            self.why_not = None
        except OSError as error:
            self.why_not = f"{error.strerror or error}"
            log.warning("links are not fenced in, see docs/tcp-mode.md: %s", error)

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

    def _attach(self, place, program):
        group = os.open(self._group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
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


def let_in(cgroup):
    """A program that says 1 to a caller in that cgroup, else 0."""
    words = [instruction(CALL, value=CURRENT_CGROUP_ID),
             instruction(LOAD_WIDE, R1, value=cgroup & 0xffffffff), instruction(0, value=cgroup >> 32),
             instruction(JUMP_IF_EQUAL, R0, R1, offset=2),
             instruction(MOVE, R0, value=0), instruction(EXIT), instruction(MOVE, R0, value=1), instruction(EXIT)]
    return b"".join(words)


def instruction(code, to=0, source=0, offset=0, value=0):
    return struct.pack("=BBhI", code, source << 4 | to, offset, value)


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
