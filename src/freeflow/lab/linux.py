"""System calls that Python 3.11 lacks or has only in modules too heavy for PID 1, by ctypes. Each raises OSError."""

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CONTAINER_NAMESPACES = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_MOVE, MS_REC, MS_SLAVE = 4096, 8192, 16384, 1 << 19
MNT_DETACH = 2
AT_FDCWD, OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH = -100, 1, 4

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_NO_NEW_PRIVS = 1, 4, 15, 38

_libc = ctypes.CDLL(None, use_errno=True)


def _call(function, *arguments, what=None):
    if function(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def unshare(flags):
    _call(_libc.unshare, ctypes.c_int(flags), what="unshare")


def setns(descriptor, flags):
    """descriptor: of a namespace file, or a pidfd (Linux 5.8) and then flags say which of its namespaces."""
    _call(_libc.setns, ctypes.c_int(descriptor), ctypes.c_int(flags), what="setns")


def mount(source, target, kind=None, flags=0, data=None):
    arguments = [None if value is None else os.fsencode(value) for value in (source, target, kind, data)]
    _call(_libc.mount, *arguments[:3], ctypes.c_ulong(flags), arguments[3], what=str(target))


def unmount(target, flags=0):
    _call(_libc.umount2, os.fsencode(target), ctypes.c_int(flags), what=str(target))


def open_tree(path):
    """A copy of what is mounted at path, not mounted anywhere yet: a descriptor, which lets go of it when closed."""
    descriptor = _libc.open_tree(ctypes.c_int(AT_FDCWD), os.fsencode(path), ctypes.c_uint(OPEN_TREE_CLONE | os.O_CLOEXEC))
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return descriptor


def move_mount(descriptor, target):
    """Mounts what open_tree gave."""
    _call(_libc.move_mount, ctypes.c_int(descriptor), b"", ctypes.c_int(AT_FDCWD), os.fsencode(target),
          ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH), what=str(target))


def sethostname(name):
    encoded = name.encode()
    _call(_libc.sethostname, encoded, ctypes.c_size_t(len(encoded)), what="sethostname")


def prctl(option, value=0):
    """value: an int, or bytes for PR_SET_NAME."""
    argument = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    _call(_libc.prctl, ctypes.c_int(option), argument, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0),
          what="prctl")


def become(uid):
    """Drops root for good: this user and group alone, and no program can give it back (no_new_privs)."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
