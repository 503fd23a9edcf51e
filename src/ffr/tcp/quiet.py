"""The network namespace in which connections on one host live: a loopback, every address, and nobody else.

Both ends of such a connection are TCP sockets there, and they have the very addresses and ports of the overlay's
connection. So all addresses are local (a local route for everything), and none is an interface's: who holds a socket of this
namespace and asks it for interfaces' addresses finds none, and nothing leads out.
"""

import ctypes
import logging
import os
import socket
import struct

log = logging.getLogger(__name__)

CLONE_NEWNET = 0x40000000
# rtnetlink(7), netlink(7), linux/rtnetlink.h, linux/if.h
RTM_NEWLINK, RTM_DELADDR, RTM_NEWROUTE = 16, 21, 24
NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE = 0x1, 0x4, 0x400
NLMSGHDR, RTATTR = struct.Struct("=IHHII"), struct.Struct("=HH")
IFINFOMSG, IFADDRMSG, RTMSG = struct.Struct("=BBHiII"), struct.Struct("=BBBBI"), struct.Struct("=BBBBBBBBI")
IFF_UP, LOOPBACK = 0x1, 1  # the loopback's index in every namespace
IFA_LOCAL, RTA_OIF = 2, 4
RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL = 255, 3, 254, 2
ANSWER_S = 1.0


def enter():
    """Moves the calling thread into a new one. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"a network namespace for connections on one host: {os.strerror(number)}")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(ANSWER_S)
        _ask(netlink, RTM_NEWLINK, 0, IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, LOOPBACK, IFF_UP, IFF_UP))
        _take_address(netlink, socket.AF_INET, 8, socket.inet_aton("127.0.0.1"))
        _make_all_local(netlink, socket.AF_INET, RT_SCOPE_HOST)
        try:
            _take_address(netlink, socket.AF_INET6, 128, socket.inet_pton(socket.AF_INET6, "::1"))
            _make_all_local(netlink, socket.AF_INET6, 0)
        except OSError as error:
            log.info("connections over IPv6 stay on the overlay: %s", error)


def _take_address(netlink, family, bits, address):
    """The one that the kernel gave the loopback when it came up."""
    _ask(netlink, RTM_DELADDR, 0, IFADDRMSG.pack(family, bits, 0, 0, LOOPBACK) + _attribute(IFA_LOCAL, address))


def _make_all_local(netlink, family, scope):
    route = RTMSG.pack(family, 0, 0, 0, RT_TABLE_LOCAL, RTPROT_BOOT, scope, RTN_LOCAL, 0)
    _ask(netlink, RTM_NEWROUTE, NLM_F_CREATE, route + _attribute(RTA_OIF, struct.pack("=I", LOOPBACK)))


def _attribute(kind, value):
    return RTATTR.pack(RTATTR.size + len(value), kind) + value


def _ask(netlink, what, flags, body):
    """Raises OSError with what the kernel says."""
    netlink.send(NLMSGHDR.pack(NLMSGHDR.size + len(body), what, NLM_F_REQUEST | NLM_F_ACK | flags, 0, 0) + body)
    number, = struct.unpack_from("=i", netlink.recv(4096), NLMSGHDR.size)
    if number:
        raise OSError(-number, f"the loopback of a new network namespace: {os.strerror(-number)}")
