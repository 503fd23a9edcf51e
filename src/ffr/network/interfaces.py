"""A network namespace's interfaces and addresses, as the kernel tells them (rtnetlink), and word of each change.

All of it may be in the hands of a container that changes its addresses in a loop or has a million of them: a look reads
a bounded part, changes are looked at ten times a second at most, and what is not looked at costs nothing.
"""

import ctypes
import ipaddress
import os
import socket
import struct
from contextlib import contextmanager
from dataclasses import dataclass

# rtnetlink(7), netlink(7), linux/if_link.h, linux/if.h
RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR = 16, 18, 20, 22
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
IFA_ADDRESS, IFA_LOCAL = 1, 2
IFA_F_TENTATIVE, IFA_F_DADFAILED = 0x40, 0x08
RT_SCOPE_UNIVERSE = 0
IFLA_MTU, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS = 4, 29, 8
IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291, 2.5.5.2
NLMSGHDR, RTATTR = struct.Struct("=IHHII"), struct.Struct("=HH")
IFADDRMSG, IFINFOMSG = struct.Struct("=BBBBI"), struct.Struct("=BBHiII")

CLONE_NEWNET = 0x40000000
READ_BYTES = 32 << 10  # the kernel's largest piece of a list
READS_MAX = 4  # of a list: some 1300 addresses, 15 ms of work; what is behind them is not seen
ANSWER_S = 1.0  # the kernel answers while it is asked; this is for locks that it waits for
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Link:
    up: bool  # administratively, and it has a carrier
    mtu: int  # bytes


class Interfaces:
    """What a network namespace (a descriptor; None is this process's own) has. Use with `with`. Raises OSError."""

    def __init__(self, namespace=None):
        with inside(namespace):
            self._lists = _netlink()
            self._links = _netlink()  # of its own: what is left of a list does not mix with answers

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._lists.close()
        self._links.close()

    def addresses(self):
        """{address of global scope: index of the interface that has it}, IPv4 first, interfaces in their order.
        IPv4-mapped ones are left out: their GIDs are IPv4 addresses'."""
        request = IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        found = [pair for body in _answers(self._lists, RTM_GETADDR, NLM_F_DUMP, request)
                 for pair in _global_address(body)]
        return dict(sorted(found, key=lambda pair: pair[0].version))

    def link(self, index):
        """Its Link, or None."""
        request = IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, index, 0, 0)
        request += RTATTR.pack(RTATTR.size + 4, IFLA_EXT_MASK) + struct.pack("=I", RTEXT_FILTER_SKIP_STATS)
        return next(map(_link, _answers(self._links, RTM_GETLINK, 0, request)), None)


class Watch:
    """Calls `changed()` soon after the interfaces or addresses of a network namespace have changed. For asyncio's thread.

    The socket is not read between two looks: a namespace in which everything changes all the time fills its buffer, and
    no more.
    """

    SETTLE_S = 0.01  # a change often comes with others
    GAP_S = 0.1
    BUFFER_BYTES = 16 << 10
    DRAIN_MAX = 64  # messages; what is left calls for the next look

    def __init__(self, loop, namespace, changed):
        """Raises OSError."""
        self._loop, self._changed = loop, changed
        self._timer, self._last_s = None, loop.time() - self.GAP_S
        with inside(namespace):
            self._socket = _netlink(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.BUFFER_BYTES)
        loop.add_reader(self._socket, self._on_change)

    def close(self):
        if self._timer:
            self._timer.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def hasten(self):
        """A change that waits to be looked at is looked at now, if the last look is not that recent."""
        if self._loop.time() - self._last_s < self.GAP_S or not (self._timer or self._is_told()):
            return
        if self._timer:
            self._timer.cancel()
        self._look()

    def _is_told(self):
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def _on_change(self):
        self._loop.remove_reader(self._socket)
        wait_s = max(self.SETTLE_S, self._last_s + self.GAP_S - self._loop.time())
        self._timer = self._loop.call_later(wait_s, self._look)

    def _look(self):
        self._timer, self._last_s = None, self._loop.time()
        for _ in range(self.DRAIN_MAX):  # before the look: what comes after it calls for another
            try:
                self._socket.recv(1)
            except BlockingIOError:
                break
            except OSError:  # ENOBUFS: it was full
                continue
        self._loop.add_reader(self._socket, self._on_change)
        self._changed()


@contextmanager
def inside(namespace):
    """This thread in another network namespace (a descriptor; None: where it is), for as long as it takes to make a
    socket: that stays there."""
    if namespace is None:
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(namespace)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _netlink(groups=0):
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    made.settimeout(ANSWER_S)
    made.bind((0, groups))
    return made


def _answers(netlink, question, flags, request):
    """Asks the kernel, and yields the bodies of what it answers: one, or (NLM_F_DUMP) a list."""
    head = NLMSGHDR.pack(NLMSGHDR.size + len(request), question, NLM_F_REQUEST | flags, question, 0)
    netlink.send(head + request)
    for _ in range(READS_MAX):
        for kind, body in _messages(netlink.recv(READ_BYTES)):
            if kind in (NLMSG_DONE, NLMSG_ERROR):
                return
            if kind in (RTM_NEWADDR, RTM_NEWLINK):
                yield body
        if not flags:
            return


def _messages(data):
    while len(data) >= NLMSGHDR.size:
        length, kind, _, _, _ = NLMSGHDR.unpack_from(data)
        yield kind, data[NLMSGHDR.size:length]
        data = data[_aligned(length):]


def _global_address(body):
    _, _, flags, scope, index = IFADDRMSG.unpack_from(body)
    if scope != RT_SCOPE_UNIVERSE or flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED):
        return
    attributes = dict(_attributes(body[IFADDRMSG.size:]))
    packed = attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS)  # on a point-to-point link LOCAL is ours
    if packed and not packed.startswith(MAPPED):
        yield ipaddress.ip_address(packed), index


def _link(body):
    _, _, _, _, flags, _ = IFINFOMSG.unpack_from(body)
    mtu, = struct.unpack("=I", dict(_attributes(body[IFINFOMSG.size:])).get(IFLA_MTU, bytes(4)))
    return Link(flags & IFF_UP != 0 and flags & IFF_LOWER_UP != 0, mtu)


def _attributes(data):
    while len(data) >= RTATTR.size:
        length, kind = RTATTR.unpack_from(data)
        yield kind, data[RTATTR.size:length]
        data = data[_aligned(length):]


def _aligned(length):
    return max(4, (length + 3) & ~3)  # never 0: a message of length 0 would not end
