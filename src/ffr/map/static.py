"""A map that is written down: {host address: [virtual addresses and small networks]}, as JSON or TOML has it; instead of the
list also {tenant: list}, where they are not all of one tenant."""

import errno
import ipaddress
import tomllib

from ffr.errors import Refused
from ffr.map.hosts import ADDRESSES_MAX
from ffr.map.settings import Settings
from ffr.map.tenants import DEFAULT_TENANT, RESERVED_TENANTS

NETWORK_MAX = 4096  # addresses of one network that stands for its containers


def load(path):
    """(the table [hosts], or None; the Settings of the table [etcd], or None) of a TOML file. What is in [hosts] is
    for parse to check. Raises ValueError."""
    try:
        with open(path, "rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise ValueError(f"the map of hosts {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"the map of hosts {path}: {error}") from None
    hosts, etcd = tables.get("hosts"), tables.get("etcd")
    if isinstance(hosts, dict) == isinstance(etcd, dict):
        raise ValueError(f"the map of hosts {path}: one table is needed, [hosts] or [etcd]")
    try:
        return hosts, etcd and Settings.of_table(etcd)
    except ValueError as error:
        raise ValueError(f"the map of hosts {path}: {error}") from None


def parse(hosts, own):
    """(this host's address, {virtual address: its host} of the others, host addresses among them, {virtual address: tenant}
    where that is said). `own`: the addresses of this machine, by which it finds itself. Raises Refused."""
    wanted, tenants = _expanded(hosts)
    mine = [address for address in wanted if address in own]
    if len(mine) != 1:
        count = f"{len(mine)} of these hosts are" if mine else "none of these hosts is"
        raise Refused(errno.EINVAL, f"{count} this one, and one must be: its addresses are {', '.join(map(str, own))}")
    return mine[0], {address: host for host, virtual in wanted.items() if host != mine[0]
                     for address in virtual | {host}}, tenants


def _expanded(hosts):
    wanted, owner, tenants = {}, {}, {}
    try:
        for text, virtual in hosts.items():
            host = ipaddress.ip_address(text)
            wanted[host] = set()
            for tenant, part in _parts(text, virtual):
                mine = set().union(*map(_network, part))
                if not mine.isdisjoint(wanted[host]):
                    raise ValueError(f"{text}: {min(mine & wanted[host], key=str)} is two tenants'")
                wanted[host] |= mine
                tenants |= dict.fromkeys(mine, tenant)
            for address in wanted[host] | {host}:
                if owner.setdefault(address, host) != host:
                    raise ValueError(f"{address} is on two hosts")
            if len(owner) > ADDRESSES_MAX:
                raise Refused(errno.ENOSPC, f"the map of hosts has more than {ADDRESSES_MAX} addresses")
    except ValueError as error:
        raise Refused(errno.EINVAL, str(error)) from None
    return wanted, tenants


def _parts(host, virtual):
    """(tenant, addresses and networks)."""
    parts = virtual if isinstance(virtual, dict) else {DEFAULT_TENANT: virtual}
    for tenant, part in parts.items():
        if not isinstance(part, list):
            raise ValueError(f"{host}: a list of addresses is needed, or a table of such lists by their tenants")
        if not tenant:
            raise ValueError(f"{host}: a tenant has a name")
        if tenant in RESERVED_TENANTS:
            raise ValueError(f"{host}: no tenant can be called {tenant!r}")
    return parts.items()


def _network(text):
    network = ipaddress.ip_network(text, strict=False)
    if network.version == 6 and network.network_address.ipv4_mapped:
        raise ValueError(f"{text}: write an IPv4 address as such")
    if network.num_addresses > NETWORK_MAX:
        raise ValueError(f"{text}: at most {NETWORK_MAX} addresses; name the containers' own")
    return set(network)
