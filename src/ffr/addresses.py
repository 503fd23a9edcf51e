"""IP addresses: those of this process's network namespace, those that a container may be given, and their GIDs."""

import ipaddress
import socket
import struct

from ffcore.handshake import GID_TABLE

# rtnetlink(7), netlink(7)
RTM_NEWADDR, RTM_GETADDR = 20, 22
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
IFA_ADDRESS, IFA_LOCAL = 1, 2
IFA_F_TENTATIVE, IFA_F_DADFAILED = 0x40, 0x08
RT_SCOPE_UNIVERSE = 0
NLMSGHDR, IFADDRMSG, RTATTR = struct.Struct("=IHHII"), struct.Struct("=BBBBI"), struct.Struct("=HH")
LOOPBACK = ipaddress.ip_address("127.0.0.1")


def parse(texts):
    """Addresses that a container can have, as a tuple, IPv4-mapped ones as IPv4. Raises ValueError with a reason."""
    addresses = tuple(dict.fromkeys(_usable(text) for text in texts))
    if not addresses:
        raise ValueError("at least one address is needed")
    if len(addresses) > GID_TABLE:
        raise ValueError(f"{len(addresses)} addresses, more than the {GID_TABLE} entries of a GID table")
    return addresses


def gid(address):
    """The RoCE v2 GID: the IPv6 address, or the IPv4-mapped one. 16 bytes."""
    if address.version == 6:
        return address.packed
    return bytes(10) + b"\xff\xff" + address.packed


def own():
    """The global addresses of this process's network namespace: IPv4 before IPv6, interfaces in their order. A host
    without any has 127.0.0.1, so that programs on it reach each other. At most GID_TABLE of them."""
    found = sorted(_dump(), key=lambda address: address.version)
    return tuple(dict.fromkeys(found))[:GID_TABLE] or (LOOPBACK,)


def _usable(text):
    address = ipaddress.ip_address(text)
    if address.version == 6 and address.ipv4_mapped:
        address = address.ipv4_mapped
    for kind in ("unspecified", "loopback", "multicast", "link_local"):
        if getattr(address, f"is_{kind}"):
            raise ValueError(f"{text} is {kind.replace('_', '-')}: such an address is nobody's alone")
    if address == ipaddress.ip_address("255.255.255.255"):
        raise ValueError(f"{text} is the broadcast address")
    return address


def _dump():
    """Asks the kernel (RTM_GETADDR) and yields addresses of global scope."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as netlink:
        request = IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        netlink.send(NLMSGHDR.pack(NLMSGHDR.size + len(request), RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0)
                     + request)
        while True:
            for kind, body in _messages(netlink.recv(1 << 16)):
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    return
                if kind == RTM_NEWADDR:
                    yield from _global_address(body)


def _messages(data):
    while len(data) >= NLMSGHDR.size:
        length, kind, _, _, _ = NLMSGHDR.unpack_from(data)
        yield kind, data[NLMSGHDR.size:length]
        data = data[_aligned(length):]


def _global_address(body):
    _, _, flags, scope, _ = IFADDRMSG.unpack_from(body)
    if scope != RT_SCOPE_UNIVERSE or flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED):
        return
    attributes = dict(_attributes(body[IFADDRMSG.size:]))
    packed = attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS)  # on a point-to-point link LOCAL is ours
    if packed:
        yield ipaddress.ip_address(packed)


def _attributes(data):
    while len(data) >= RTATTR.size:
        length, kind = RTATTR.unpack_from(data)
        yield kind, data[RTATTR.size:length]
        data = data[_aligned(length):]


def _aligned(length):
    return max(4, (length + 3) & ~3)  # never 0: a message of length 0 would not end
