"""Who is at the other end of a unix socket, by what the kernel says and nobody inside a container can choose.

The network namespace comes from the accepted socket itself (SIOCGSKNS): it is the one that the peer's socket was made
in, so no pid can be reused between asking and looking. The process comes from SO_PEERPIDFD where the kernel has it
(6.5), and from pidfd_open elsewhere.

A router without CAP_NET_ADMIN may not be given namespaces. It sees by the accepted socket's cookie (SO_NETNS_COOKIE)
whether that is its own one, and serves that alone, and there its own user alone: who is not root may keep neither
containers nor users apart.
"""

import errno
import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from ffr.errors import Refused

SIOCGSKNS = 0x894C
NS_GET_USERNS = 0xB701
NS_GET_NSTYPE = 0xB703
CLONE_NEWNET = 0x40000000
SO_PEERPIDFD = 77  # linux/socket.h; Python names it from 3.14 on
SO_NETNS_COOKIE = 71  # linux/socket.h, from 5.14 on
CAP_NET_ADMIN = 12  # linux/capability.h
ALL_UIDS = (1 << 32) - 1


@dataclass(frozen=True)
class NamespaceId:
    """What nsfs tells one namespace from another by, for as long as somebody holds it open."""

    device: int
    inode: int

    @classmethod
    def of(cls, fd):
        found = os.fstat(fd)
        return cls(found.st_dev, found.st_ino)


class Namespace:
    """An open network namespace. Holding it keeps its inode from being used for another one. Close it, or use with."""

    def __init__(self, fd):
        self.fd = fd
        self.id = NamespaceId.of(fd)

    @classmethod
    def of_socket(cls, sock):
        """The namespace that the peer of an accepted unix socket made its socket in. Raises OSError: EPERM when this
        process has no CAP_NET_ADMIN over that namespace."""
        return cls(fcntl.ioctl(sock.fileno(), SIOCGSKNS))

    @classmethod
    def of_own_user(cls, sock):
        """This process's own namespace, if the peer made its socket there and is of this user: what a router sees that
        of_socket refuses. Raises Refused, OSError."""
        with socket.socket(socket.AF_UNIX) as own:
            if _namespace_cookie(sock) != _namespace_cookie(own):
                raise Refused(errno.EPERM, "a router without CAP_NET_ADMIN serves its own network namespace alone, and this"
                                           " is another one")
        if not _is_our_user(peer_process(sock)):
            raise Refused(errno.EPERM, f"this router is user {os.geteuid()}'s own and serves nobody else")
        return cls.own()

    @classmethod
    def of_path(cls, path):
        """Raises OSError; its text says so when the path is no network namespace."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO of that name must not block us
        try:
            if fcntl.ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET:
                raise OSError(errno.EINVAL, "not a network namespace")
        except OSError as error:
            os.close(fd)
            raise OSError(errno.EINVAL, f"{path} is not a network namespace") from error
        return cls(fd)

    @classmethod
    def own(cls):
        return cls.of_path("/proc/self/ns/net")

    def is_foreign(self):
        """True when it belongs to another user namespace than this process's: somebody without privilege made it,
        and can put any address into it."""
        try:
            owner = fcntl.ioctl(self.fd, NS_GET_USERNS)
        except PermissionError:
            return True  # an owner outside our own user namespace
        try:
            return NamespaceId.of(owner) != _own_user_namespace()
        finally:
            os.close(owner)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


@dataclass(frozen=True)
class Process:
    """Who connected: the identity at the time of connect(), in the numbers of this process's namespaces."""

    pid: int  # 0: not visible from our pid namespace
    uid: int
    gid: int
    in_our_pid_namespace: bool


def peer_process(sock):
    """The process that connected. Raises ProcessLookupError when it is gone already."""
    pid, uid, gid = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if pid == 0:
        return Process(0, uid, gid, False)
    pidfd = peer_pidfd(sock, pid)
    try:
        same = _same_pid_namespace(pid)
        if _pid_of(pidfd) != pid:  # asked last: what was read from /proc/PID was this process's
            raise ProcessLookupError(errno.ESRCH, "the process that connected is gone")
        return Process(pid, uid, gid, same)
    finally:
        os.close(pidfd)


def has_net_admin(status="/proc/self/status"):
    """Whether this process may be told of other network namespaces. Those of its own user namespace, that is."""
    with open(status) as lines:
        mask = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return bool(mask >> CAP_NET_ADMIN & 1)


def _namespace_cookie(sock):
    """What tells network namespaces apart, of a socket's. A unix socket that was accepted is in its peer's."""
    try:
        return struct.unpack("Q", sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8))[0]
    except OSError as error:
        if error.errno == errno.ENOPROTOOPT:
            raise Refused(errno.EPERM, "without CAP_NET_ADMIN a router needs Linux 5.14 to know whose a program is") from None
        raise


def _is_our_user(peer):
    """In a user namespace all users that it lacks look like one, which may be the one that this process looks like."""
    if peer.uid != os.geteuid():
        return False
    mapped = sum(int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text().splitlines())
    if mapped >= ALL_UIDS or peer.uid != int(Path("/proc/sys/kernel/overflowuid").read_text()):
        return True
    try:
        os.stat(f"/proc/{peer.pid}/ns/net")  # the kernel compares the users that they really are
    except OSError:
        return False
    return True


def _own_user_namespace():
    found = os.stat("/proc/self/ns/user")
    return NamespaceId(found.st_dev, found.st_ino)


def peer_pidfd(sock, pid):
    """A pidfd of the process that connected, whose number is pid. Raises ProcessLookupError."""
    try:
        return struct.unpack("i", sock.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD, 4))[0]
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise ProcessLookupError(errno.ESRCH, "the process that connected is gone") from None
    # Before 6.5 the pid may have been reused since connect(). Who may do what hangs on the namespace and the uid,
    # which are the socket's own; the pid is only shown, and keeps containers off the control socket.
    return os.pidfd_open(pid)


def _pid_of(pidfd):
    with open(f"/proc/self/fdinfo/{pidfd}") as lines:
        for line in lines:
            if line.startswith("Pid:"):
                return int(line.split()[1])  # -1 once it is gone
    return -1


def _same_pid_namespace(pid):
    try:
        theirs = os.stat(f"/proc/{pid}/ns/pid")
    except OSError:  # gone, or none of ours to look at
        return False
    ours = os.stat("/proc/self/ns/pid")
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)
