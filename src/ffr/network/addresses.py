"""IP addresses: those of this process's network namespace, those that a container may be given, and their GIDs."""

import ipaddress

from ffcore.handshake import GID_TABLE
from ffr.network.interfaces import Interfaces

NETWORKS_MAX = 16  # of one container
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


def gid_network(network):
    """The GIDs of a network's addresses, as an IPv6Network."""
    if network.version == 6:
        return network
    return ipaddress.IPv6Network((gid(network.network_address), 96 + network.prefixlen))


def own():
    """The global addresses of this process's network namespace: IPv4 before IPv6, interfaces in their order. A host
    without any has 127.0.0.1, so that programs on it reach each other. At most GID_TABLE of them."""
    with Interfaces() as there:
        return tuple(there.addresses())[:GID_TABLE] or (LOOPBACK,)


def networks(texts):
    """Networks out of which a container may give itself addresses, as a tuple. Raises ValueError with a reason."""
    if len(texts) > NETWORKS_MAX:
        raise ValueError(f"{len(texts)} networks, more than {NETWORKS_MAX}")
    return tuple(dict.fromkeys(ipaddress.ip_network(text) for text in texts))


def is_usable(address):
    """Whether a container can have it."""
    try:
        return bool(_usable(str(address)))
    except ValueError:
        return False


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
