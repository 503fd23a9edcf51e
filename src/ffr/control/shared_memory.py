"""A process's shared memory, found and opened through the process: what is mapped at its addresses, by what the kernel says.

Nothing is taken from inside a container but an address. A mapping counts when it is shared, of a file system that lives in
memory alone (tmpfs, which memfd and SysV shared memory are too, or hugetlbfs), and may do what is asked. Anything else could
make the router wait (a FUSE file's server need not answer) or charge it for what somebody else wants.
"""

import errno
import fcntl
import mmap
import os
import signal
import stat
from dataclasses import dataclass

from ffcore.handshake import WHY
from ffr.errors import Refused
from ffr.mem import mappings, procmap

F_GET_SEALS, F_SEAL_WRITE, F_SEAL_FUTURE_WRITE = 1034, 8, 16  # linux/fcntl.h
MOUNTS_MAX = 4 << 20  # bytes of a process's mountinfo that are read: some 20 000 mounts
DESCRIPTORS_MAX = 4096  # of a process, that are looked at
PIECES_MAX = 1024  # mappings that one range may consist of: mprotect and mbind split them
IN_MEMORY = {"tmpfs", "hugetlbfs"}


@dataclass
class Found:
    """A range of a process's shared memory, open. Close `fd`; -1: it is the SysV segment whose number is `inode`."""

    fd: int
    device: tuple  # (major, minor)
    inode: int
    offset: int  # bytes, in the file
    length: int
    page: int  # bytes
    whole: bool  # it has no holes, and its seals let nobody make any


class NotShared(Refused):
    """`why`: a name of enum ff_why (control.h)."""

    def __init__(self, error, why, reason):
        super().__init__(error, reason)
        self.why = WHY[why]


def find(pid, pidfd, address, length, writable):
    """The Found of [address, address + length) of the process, opened for what is asked. Raises NotShared, OSError."""
    try:
        maps = os.open(f"/proc/{pid}/maps", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _unseen(error) from None
    try:
        start, end, device, inode, offset = _range_of(maps, address, length, writable)
        path = _open_path(pid, start, end)
        if path < 0 and (path := _open_descriptor(pid, device, inode)) < 0:
            return _sysv(pid, maps, start, Found(-1, device, inode, offset, length, mmap.PAGESIZE, False))
    finally:
        os.close(maps)
    try:
        if mappings.identify(path) != (*device, inode):
            raise _changed()
        if (system := _file_system(pid, device)) is None:
            raise NotShared(errno.EOPNOTSUPP, "FILE_SYSTEM", f"device {device[0]}:{device[1]} is no tmpfs or hugetlbfs")
        if not stat.S_ISREG(os.fstat(path).st_mode):
            raise NotShared(errno.EOPNOTSUPP, "FILE_SYSTEM", "it is no file, but a device's node in one")
        _still_there(pidfd)  # what was looked at under its number was this process's
        fd = _open(path)
    finally:
        os.close(path)
    return _measured(Found(fd, device, inode, offset, length, mmap.PAGESIZE, False), system, writable)


def _range_of(maps, address, length, writable):
    """(start, end) of the mapping that holds the address; of the range's file device, inode, and the range's offset."""
    first = None
    at = address
    for _ in range(PIECES_MAX):
        found = procmap.find(maps, at)
        if found is None:
            raise _changed()
        start, end, may_write, shared, offset, major, minor, inode = found
        here = ((major, minor), inode, offset + (at - start) - (at - address))
        if not shared or not inode:
            raise NotShared(errno.EOPNOTSUPP, "PRIVATE", "that is not shared memory")
        if writable and not may_write:
            raise NotShared(errno.EFAULT, "READ_ONLY", "the program may not write there")
        first = first or (start, end, *here)
        if first[2:] != here:
            raise _changed()
        if end >= address + length:
            return first
        at = end
    raise NotShared(errno.ENOMEM, "MANY", f"the range consists of more than {PIECES_MAX} mappings")


def _open_path(pid, start, end):
    """The mapping's file, as a place in the file system: nothing of it is opened yet. -1: only root may look so."""
    try:
        return os.open(f"/proc/{pid}/map_files/{start:x}-{end:x}", os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _changed() from None
    except PermissionError:
        return -1
    except OSError as error:
        raise _unseen(error) from None


# ---- for a router that is an ordinary user's: what its own programs have open is the same ----

def _open_descriptor(pid, device, inode):
    """The file as one of the process's descriptors has it, by O_PATH too; -1 when none has."""
    try:
        for number in os.listdir(f"/proc/{pid}/fd")[:DESCRIPTORS_MAX]:
            try:
                path = os.open(f"/proc/{pid}/fd/{number}", os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            if mappings.identify(path) == (*device, inode):
                return path
            os.close(path)
    except OSError as error:
        raise _unseen(error) from None
    return -1


def _sysv(pid, maps, start, found):
    """A SysV segment has no descriptor, but its number as inode, which means the same in the same IPC namespace. Holes of one
    that is attached cannot be guarded: it has to be the router's own user who is charged for them."""
    try:
        here = os.geteuid() != 0 and os.stat(f"/proc/{pid}/ns/ipc").st_ino == os.stat("/proc/self/ns/ipc").st_ino
    except OSError as error:
        raise _unseen(error) from None
    if here and _file_system_of_own(found.device) == "tmpfs" and procmap.name(maps, start).startswith(b"/SYSV"):
        return found
    raise NotShared(errno.EOPNOTSUPP, "UNSEEN", "only root may open what a process has mapped without a descriptor")


def _open(path):
    """To be written to, whatever is asked: the kernel guards holes (userfaultfd) only for who might write."""
    try:
        return os.open(f"/proc/self/fd/{path}", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise NotShared(errno.EOPNOTSUPP, "SEALED", f"cannot be opened: {error.strerror}") from None


def _measured(found, system, writable):
    """Its size covers the range; and huge pages are mapped whole. A file that is sealed against writing cannot be guarded, and
    needs it no more once it is whole."""
    status = os.fstat(found.fd)
    if found.offset + found.length > status.st_size:
        os.close(found.fd)
        raise NotShared(errno.EFAULT, "SHORT", f"the range ends behind the file's {status.st_size} bytes")
    if system == "hugetlbfs":
        found.page = status.st_blksize
    if not writable and _is_sealed(found.fd):
        if status.st_blocks * 512 < status.st_size:
            os.close(found.fd)
            raise NotShared(errno.EOPNOTSUPP, "SEALED", "it is sealed, and has holes")
        found.whole = True
    return found


def _is_sealed(fd):
    try:
        return bool(fcntl.fcntl(fd, F_GET_SEALS) & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
    except OSError:
        return False  # no file of a kind that can be


def _still_there(pidfd):
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        raise _changed() from None
    except PermissionError:
        pass  # it is there


def _changed():
    return NotShared(errno.EFAULT, "CHANGED", "the mapping is another one by now")


def _unseen(error):
    return NotShared(errno.EOPNOTSUPP, "UNSEEN", f"the router may not look into the process: {error.strerror}")


# ---- file systems ----

_own = {}  # device of the kernel's own mounts -> file system; whole, or empty: registrations look at it side by side


def _file_system_of_own(device):
    """Of the mounts that nobody sees: what memfd_create makes files on, and SysV and shared anonymous memory."""
    global _own
    if not _own:
        _own = _look_at_examples()
    return _own.get(device)


def _look_at_examples():
    found = {}
    for flags, name in _kinds():
        try:
            fd = os.memfd_create("freeflow-look", os.MFD_CLOEXEC | flags)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise  # for now: the next registration looks again
            continue  # the kernel lists a size that it has no pages of
        found[mappings.identify(fd)[:2]] = name
        os.close(fd)
    return found


def _kinds():
    """(flags of memfd_create, file system)."""
    yield 0, "tmpfs"
    try:
        sizes = [name.removeprefix("hugepages-") for name in os.listdir("/sys/kernel/mm/hugepages")]
    except FileNotFoundError:
        return
    for size in sizes:
        shift = (int(size.removesuffix("kB")) << 10).bit_length() - 1
        yield os.MFD_HUGETLB | shift << os.MFD_HUGE_SHIFT, "hugetlbfs"


def _file_system(pid, device):
    """"tmpfs" or "hugetlbfs", or None. The caller holds a file of it open, so its number is nobody else's."""
    if name := _file_system_of_own(device):
        return name
    for where in (f"/proc/{pid}/mountinfo", "/proc/self/mountinfo"):
        try:
            with open(where, "rb") as file:
                text = file.read(MOUNTS_MAX)
        except OSError:
            continue
        for line in text.splitlines():
            words = line.split()
            if len(words) > 6 and words[2] == b"%d:%d" % device and b"-" in words:
                name = words[words.index(b"-") + 1].decode(errors="replace")
                return name if name in IN_MEMORY else None
    return None
